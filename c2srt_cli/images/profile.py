"""Colour profiles (ICC): what a picture's numbers mean, brought to sRGB, which backbones have been trained on."""

import io
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

#: A larger profile is not looked at; those of presses have up to 3 MB.
_MOST_BYTES = 1 << 22
#: Modes by the colour space that a profile states in its header.
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}
#: Classes of profiles that describe pictures: display, input, output, colour space.
_CLASSES = ("mntr", "scnr", "prtr", "spac")
#: A profile under which no colour moves further is sRGB by another name.
_SAME = 2
_INTENT = ImageCms.Intent.PERCEPTUAL
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION
#: Eight levels of each channel.
_PROBE = np.stack(np.meshgrid(*[np.linspace(0, 255, 8).astype(np.uint8)] * 3), axis=-1).reshape(8, 64, 3)

#: Colours of a square picture → colours in sRGB.
Conversion = Callable[[Image.Image], Image.Image]
#: What sRGB's curve is close to; a PNG whose gamma is within this share of it needs no conversion.
_GAMMA, _CLOSE = 1 / 2.2, 0.05


def conversion(picture: Image.Image, profile: bytes | None, gamma: float | None = None) -> Conversion | None:
    """How a picture comes to sRGB, by the profile or the gamma it was stored with; None where nothing is to be done.

    The intent is perceptual, with black points compensated. A profile that is broken, of another colour space than the
    picture, or sRGB itself says nothing.

    Args:
        picture: Of mode L, RGB, CMYK or LAB.
        profile: The ICC profile; None where it has none.
        gamma: Of a PNG without a profile, as its ``gAMA`` states it: 0.45455 is usual.

    Returns:
        From a picture of that mode and any size to one of mode RGB, or of the same mode for a gamma.
    """
    if profile and len(profile) <= _MOST_BYTES:
        transform = _transform(profile, picture.mode)
        return None if transform is None else transform.apply
    if gamma and abs(gamma / _GAMMA - 1) > _CLOSE and picture.mode in ("L", "RGB"):
        curve = np.rint(255 * (np.arange(256) / 255) ** (_GAMMA / gamma)).astype(int).tolist()
        return lambda stored: stored.point(curve * len(stored.getbands()))
    return None


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile's space to sRGB; None where there is nothing to do or the profile is unusable."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        about = source.profile
        if _SPACES.get(about.xcolor_space.strip()) != mode or about.device_class not in _CLASSES:
            return None
        transform = ImageCms.buildTransform(source, _srgb(), mode, "RGB", _INTENT, _FLAGS)
        if mode == "RGB":
            moved = np.asarray(transform.apply(Image.fromarray(_PROBE))).astype(int) - _PROBE
            return None if np.abs(moved).max() <= _SAME else transform
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return transform


@lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
