"""TIFF: the page that is the picture, its numbers, and what they mean. EXIF blocks, which are TIFF files, too."""

from dataclasses import dataclass

from PIL import Image

from c2srt_cli.images.tiff.coded import open_coded
from c2srt_cli.images.tiff.color import paint
from c2srt_cli.images.tiff.directory import TiffError, read_directory, read_header
from c2srt_cli.images.tiff.pages import Page, is_cut, picture_page
from c2srt_cli.images.tiff.samples import LOSSLESS, Layout

__all__ = ["TiffError", "TiffPicture", "is_cut", "open_tiff", "read_orientation"]

_ORIENTATION, _ICC = 274, 34675
_YCBCR = 6


@dataclass(frozen=True, eq=False)
class TiffPicture:
    """The picture in a TIFF file, not yet decoded.

    Attributes:
        data: The file.
        page: The page that is the picture.
        layout: How it is stored.
    """

    data: bytes
    page: Page
    layout: Layout

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as stored."""
        return self.layout.width, self.layout.height

    @property
    def profile(self) -> bytes:
        """Its colour profile; nothing where it has none."""
        return self.page.inherited(_ICC).bytes(_ICC)

    @property
    def orientation(self) -> int:
        """As EXIF numbers it; 0 where nothing is said."""
        return self.page.inherited(_ORIENTATION).number(_ORIENTATION)

    def decode(self) -> Image.Image:
        """The picture as it is stored, on white where it is transparent.

        Raises:
            ImageError: ``unsupported``: a form that is not read.
            TiffError: the file does not hold what it states.
        """
        if self.layout.compression in LOSSLESS and self.page.number(262, 1) != _YCBCR:
            return paint(self.data, self.page, self.layout)
        return open_coded(self.data, self.page, self.layout)


def open_tiff(data: bytes) -> TiffPicture:
    """Find the picture in a file.

    Raises:
        ImageError: ``unsupported``: a camera's RAW file, or samples of a kind that is not read.
        TiffError: there is no picture, or its size is missing.
    """
    page = picture_page(data)
    return TiffPicture(data, page, Layout.of(page))


def read_orientation(exif: bytes) -> int:
    """The orientation in an EXIF block, 1 to 8; 0 where it says none or is broken."""
    block = exif.removeprefix(b"Exif\0\0")
    try:
        header, place = read_header(block)
        value = read_directory(block, header, place).number(_ORIENTATION)
    except TiffError:
        return 0
    return value if 1 <= value <= 8 else 0
