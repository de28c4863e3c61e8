"""The only door for pixels: discovery, safe decode, orientation, resize."""

from c2srt_cli.images.bounds import MAX_BYTES, MAX_PIXELS
from c2srt_cli.images.discovery import Found, find_images
from c2srt_cli.images.files import ImageFiles
from c2srt_cli.images.fit import FITS, PixelSpec
from c2srt_cli.images.formats import SUFFIXES, extra_reads, is_raw
from c2srt_cli.images.picture import ImageFile, MemoryImage, Picture
from c2srt_cli.images.pixels import Pixels, load_each, load_pixels
from c2srt_cli.images.search import FailedFile

__all__ = [
    "FITS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "SUFFIXES",
    "FailedFile",
    "Found",
    "ImageFile",
    "ImageFiles",
    "MemoryImage",
    "Picture",
    "PixelSpec",
    "Pixels",
    "extra_reads",
    "find_images",
    "is_raw",
    "load_each",
    "load_pixels",
]
