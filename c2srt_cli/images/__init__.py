"""The only door for pixels: discovery, safe decode, orientation, resize."""

from c2srt_cli.images.discovery import SUFFIXES, FailedFile, Found, ImageFile, find_images
from c2srt_cli.images.fit import FITS, PixelSpec
from c2srt_cli.images.pixels import MAX_BYTES, MAX_PIXELS, Pixels, is_supported, load_pixels

__all__ = [
    "FITS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "SUFFIXES",
    "FailedFile",
    "Found",
    "ImageFile",
    "PixelSpec",
    "Pixels",
    "find_images",
    "is_supported",
    "load_pixels",
]
