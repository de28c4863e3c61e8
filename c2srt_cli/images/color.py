"""Whatever mode a picture is stored in, to 8-bit RGB."""

import numpy as np
from PIL import Image

from c2srt_cli.errors import ImageError

#: Ranges that numbers without a stated depth usually have: fractions, 8 bits, 16 bits.
_RANGES = (1.0, 255.0, 65535.0)


def to_rgb(image: Image.Image) -> Image.Image:
    """A decoded image of any mode as RGB.

    Transparent parts show white. 16 bits are scaled to 8 (by 257), not clipped. Float and 32-bit integer pixels are
    scaled from the smallest of 0..1, 0..255 and 0..65535 that holds them all, else from their own range. Other modes
    are converted as Pillow does, which is what open_clip's transform does: embedded colour profiles are not applied.

    Raises:
        ImageError: float pixels of which none is a number.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _from_deep(image)
    if image.has_transparency_data:
        # Pillow converts premultiplied grey to nothing but "LA".
        layered = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        picture = Image.new("RGB", image.size, "white")
        picture.paste(layered, mask=layered.getchannel("A"))
        return picture
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_deep(image: Image.Image) -> Image.Image:
    values = np.asarray(image)  # (H, W)
    low, high = (0.0, 65535.0) if image.mode.startswith("I;16") else _range(values)
    scaled = np.nan_to_num(values.astype(np.float32), nan=low, posinf=high, neginf=low)
    grey = np.rint((scaled - low) * (255 / ((high - low) or 1.0))).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey).convert("RGB")


def _range(values: np.ndarray) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise ImageError("corrupt", "no pixel is a number")
    low, high = float(finite.min()), float(finite.max())
    if low >= 0:
        for limit in _RANGES:
            if high <= limit:
                return 0.0, limit
    return low, high
