"""Whatever mode a picture is decoded to, to 8 bits without transparency."""

import numpy as np
from PIL import Image

#: Numbers that are converted at once.
_BAND = 1 << 22


def opaque(image: Image.Image) -> Image.Image:
    """A decoded picture as L, RGB, CMYK or LAB.

    Transparent parts show white. 16 bits are scaled to 8 (by 257), not clipped. Other modes become RGB as Pillow
    converts them, which is what open_clip's transform does.
    """
    if image.mode.startswith("I;16"):
        return _from_deep(image)
    if image.has_transparency_data:
        return _on_white(image)
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "RGB", "CMYK", "LAB") else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode in ("LA", "La"):
        layered, mode = image.convert("LA"), "L"
    else:
        layered, mode = image if image.mode == "RGBA" else image.convert("RGBA"), "RGB"
    picture = Image.new(mode, image.size, "white")
    picture.paste(layered if mode == "RGB" else layered.convert("L"), mask=layered.getchannel("A"))
    return picture


def _from_deep(image: Image.Image) -> Image.Image:
    """16-bit grey; as a whole it would need eight times its bytes on the way."""
    transparent = image.info.get("transparency")
    picture = Image.new("L", image.size)
    rows = max(1, _BAND // image.width)
    for top in range(0, image.height, rows):
        values = np.asarray(image.crop((0, top, image.width, min(top + rows, image.height)))).astype(np.uint32)
        grey = ((values * 255 + 32767) // 65535).astype(np.uint8)
        if isinstance(transparent, int):
            grey[values == transparent] = 255
        picture.paste(Image.fromarray(grey), (0, top))
    return picture
