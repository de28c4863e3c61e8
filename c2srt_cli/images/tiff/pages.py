"""Which page of a TIFF file is the picture: not its thumbnail, not a mask. And RAW files, which are TIFF in form."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np

from c2srt_cli.images.formats import RawFileError
from c2srt_cli.images.tiff.directory import Directory, TiffError, read_directory, read_header

#: Directories that are looked at, in the chain and below it: page 1 is the picture unless one of these shows otherwise.
_MOST_PAGES = 64
#: A first page with so many times fewer pixels than another one is its thumbnail, marked or not.
_THUMBNAIL = 8

_SUBFILE, _OLD_SUBFILE, _COMPRESSION, _PHOTOMETRIC, _MAKE = 254, 255, 259, 262, 271
_SUB_DIRECTORIES, _DNG_VERSION = 330, 50706
_REDUCED, _MASK = 1, 4
#: Colour filter array and linear RAW.
_RAW_PHOTOMETRIC = (32803, 34892)
#: Compression as Nikon, Sony, Samsung, Kodak and Pentax have it in RAW files only.
_RAW_COMPRESSION = (32767, 32769, 32770, 32772, 34713, 34892, 65000, 65535)


@dataclass(frozen=True, eq=False)
class Page:
    """A directory that describes a picture.

    Attributes:
        directory: Its tags.
        parent: The page that it stands below, as its child; None for pages of the chain.
    """

    directory: Directory
    parent: "Page | None" = None

    def number(self, tag: int, default: int = 0) -> int:
        """A tag of the page."""
        return self.directory.number(tag, default)

    @property
    def pixels(self) -> int:
        """Width times height as they are stated."""
        return self.number(256) * self.number(257)

    @property
    def is_mask(self) -> bool:
        """Whether it says that it is the mask of another page."""
        return bool(self.number(_SUBFILE) & _MASK) or self.number(_PHOTOMETRIC) == 4

    @property
    def is_part(self) -> bool:
        """Whether it says that it is a mask, or a thumbnail of another page."""
        return self.is_mask or bool(self.number(_SUBFILE) & _REDUCED) or self.number(_OLD_SUBFILE) == 2

    @property
    def is_raw(self) -> bool:
        """Whether it holds what a camera's sensor saw, not yet a picture."""
        known = self.directory.entries
        return (
            _DNG_VERSION in known
            or self.number(_PHOTOMETRIC) in _RAW_PHOTOMETRIC
            or self.number(_COMPRESSION) in _RAW_COMPRESSION
        )

    def inherited(self, tag: int) -> Directory:
        """The directory that speaks of a tag: the page's own, or else that of the page above it."""
        if tag in self.directory.entries or self.parent is None:
            return self.directory
        return self.parent.inherited(tag)


def picture_page(data: bytes) -> Page:
    """The page that is the picture: the first one, unless it is the thumbnail of another.

    Raises:
        RawFileError: the file is a camera's RAW.
        TiffError: there is no page.
    """
    if data[8:10] == b"CR":
        raise RawFileError("Canon CR2")
    if data[8:12] in (b"IIII", b"MMMM"):
        raise RawFileError("Phase One IIQ")
    pages = list(_pages(data))
    if not pages:
        raise TiffError("there is no page")
    _refuse_raw(pages)
    pictures = [page for page in pages if not page.is_part]
    pictures = pictures or [page for page in pages if not page.is_mask] or pages
    first = pictures[0]
    largest = max(pictures, key=lambda page: page.pixels)
    is_child = largest.parent is not None and largest.pixels > first.pixels
    return largest if is_child or largest.pixels >= _THUMBNAIL * first.pixels else first


def is_cut(data: bytes) -> bool:
    """Whether strips or tiles of a DNG lie outside of the file, or are fewer than its sensor's picture takes.

    LibRaw then leaves what lay in that memory, which may be the photograph before, and tells nobody.
    """
    pages = list(_pages(data))
    if _DNG_VERSION not in pages[0].directory.entries:
        return False
    return any(_lacks_parts(page, len(data)) for page in pages if page.number(_PHOTOMETRIC) in _RAW_PHOTOMETRIC)


def _lacks_parts(page: Page, length: int) -> bool:
    width, height = page.number(256), page.number(257)
    tiled = 324 in page.directory.entries
    across, down = (page.number(322), page.number(323)) if tiled else (width, page.number(278, height))
    places, sizes = (page.directory.numbers(tag).astype(np.int64) for tag in ((324, 325) if tiled else (273, 279)))
    needed = ceil(width / max(across, 1)) * ceil(height / max(down, 1))
    return min(len(places), len(sizes)) < needed or bool((places[:needed] + sizes[:needed]).max(initial=0) > length)


def _pages(data: bytes) -> Iterator[Page]:
    """The pages of the chain, each followed by those below it. What is broken behind the first one is left out."""
    header, place = read_header(data)
    seen: set[int] = set()
    pending: list[tuple[int, Page | None]] = [(place, None)]
    while pending and len(seen) < _MOST_PAGES:
        place, parent = pending.pop()
        if place in seen:
            continue
        try:
            page = Page(read_directory(data, header, place), parent)
            below = [int(number) for number in page.directory.numbers(_SUB_DIRECTORIES)[:_MOST_PAGES]]
            page.pixels, page.is_part, page.is_raw  # noqa: B018 - values that lie outside of the file
        except TiffError:
            if not seen:
                raise
            continue
        finally:
            seen.add(place)
        if {256, 257} <= page.directory.entries.keys():
            yield page
        if page.directory.next:
            pending.append((page.directory.next, parent))
        pending += [(number, page) for number in reversed(below)]


def _refuse_raw(pages: list[Page]) -> None:
    if any(page.is_raw for page in pages):
        maker = pages[0].directory.bytes(_MAKE).split(b"\0")[0].decode("latin-1").strip()
        known = "".join(letter for letter in maker[:40] if letter.isprintable())
        name = "DNG" if _DNG_VERSION in pages[0].directory.entries else "TIFF in form"
        raise RawFileError(", ".join(part for part in (known, name) if part))
