"""The structure of a JPEG file: what it will cost to decode, and what libjpeg conceals when it breaks off."""

import io
import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image, ImageChops

from c2srt_cli.errors import ImageError
from c2srt_cli.images.bounds import at_most

Data = bytes | mmap.mmap
_SCAN, _END = b"\xff\xda", b"\xff\xd9"
#: Bits that no scan continues with unchanged grey.
_FILLER = bytes(range(255)) * 4
_FILL = re.compile(rb"\xff+")
#: A marker inside or behind a scan, but for stuffed bytes and restarts.
_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
_START_OF_SCAN = 0xDA
_FRAMES = range(0xC0, 0xD0)
_NO_FRAMES = (0xC4, 0xC8, 0xCC)
#: Sequential, progressive, and both with arithmetic coding.
_DECODED, _PROGRESSIVE = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA), (0xC2, 0xCA)
#: Encoders write up to 20 scans. Each costs time by the picture's size, whatever it holds.
_MOST_SCANS = 100
_MOST_SCANNED = 3_000_000_000
#: Colour profiles, depth maps and the like come in segments of 64 KiB.
_MOST_SEGMENTS = 10_000
_MOST_FILL = 1 << 16
#: EXIF is one segment; Pillow joins several, each time anew.
_MOST_EXIF = 16


@dataclass(frozen=True, slots=True)
class Jpeg:
    """What the markers of a file say.

    Attributes:
        width: In pixels.
        height: In pixels.
        start: Where the first scan begins, behind the header and the thumbnails in it.
        buffered: Bytes in which the decoder keeps coefficients between scans; 0 where there is one scan.
    """

    width: int
    height: int
    start: int
    buffered: int


def segments(data: Data) -> Iterator[tuple[int, int, int]]:
    """The segments before the picture: marker, and where its content starts and ends; last of all the first scan's.

    Raises:
        ImageError: ``too-large``: more of them, or of fill bytes, than a photograph has; ``corrupt``: there
            is no scan.
    """
    place = 2
    for _ in range(_MOST_SEGMENTS):
        place = data.find(b"\xff", place)
        fill = _FILL.match(data, place) if place >= 0 else None
        if fill is None or fill.end() >= len(data):
            raise ImageError("corrupt", "the file ends before the picture begins")
        at_most(_MOST_FILL, fill.end() - place, "fill bytes in a row")
        marker, place = data[fill.end()], fill.end() + 1
        if marker <= 0x01 or 0xD0 <= marker <= 0xD8:
            continue
        end = place + int.from_bytes(data[place : place + 2], "big")
        yield marker, place + 2, end
        if marker == _START_OF_SCAN:
            return
        place = end
    at_most(_MOST_SEGMENTS, _MOST_SEGMENTS + 1, "segments before the picture")


def read_markers(data: bytes) -> Jpeg:
    """Read the header, and count scans where there can be several.

    Raises:
        ImageError: ``unsupported``: 12 bits, lossless, hierarchical; ``too-large``: more scans or segments than a
            photograph has; ``corrupt``: there is no scan.
    """
    exif, process, frame, place, components = 0, 0, b"", 0, 0
    for marker, start, end in segments(data):
        if marker in _FRAMES and marker not in _NO_FRAMES:
            process, frame = marker, data[start:end]
        elif marker == _START_OF_SCAN:
            place, components = start - 4, data[start] if start < len(data) else 0
        exif += data[start : start + 5] == b"Exif\0"
    at_most(_MOST_EXIF, exif, "EXIF blocks")
    if len(frame) < 6 or len(frame) < 6 + 3 * frame[5]:
        raise ImageError("corrupt", "the picture's size and colours are not stated")
    if process not in _DECODED or frame[0] != 8:
        kind = "hierarchical or lossless JPEG" if process not in _DECODED else f"JPEG of {frame[0]} bits"
        raise ImageError("unsupported", f"{kind}, which few programs read; save it as JPEG of 8 bits")
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    several = process in _PROGRESSIVE or components < frame[5]
    most = min(_MOST_SCANS, _MOST_SCANNED // max(1, width * height))
    # all places that look like a scan are never fewer, and faster to count
    if several and data.count(_SCAN, place) > most:
        at_most(most, _scans(data, place), f"scans of {width:,} x {height:,} pixels")
    return Jpeg(width, height, place, _coefficients(frame, width, height) if several else 0)


def _coefficients(frame: bytes, width: int, height: int) -> int:
    """Bytes of all coefficients, two each; a component may have fewer than one a pixel."""
    factors = [(value >> 4, value & 15) for value in frame[7 : 6 + 3 * frame[5] : 3]]
    most = max((across * down for across, down in factors), default=0) or 1
    return 2 * width * height * sum(across * down for across, down in factors) // most


def _scans(data: bytes, start: int) -> int:
    """Scans of the picture whose first one begins at ``start``."""
    scans, place = 0, start
    for _ in range(_MOST_SEGMENTS):
        found = _MARKER.search(data, place)
        if found is None or found[1] == _END[1:]:
            break
        scans += found[1] == _SCAN[1:]
        place = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    else:
        at_most(_MOST_SEGMENTS, _MOST_SEGMENTS + 1, "segments between scans")
    return scans


def breaks_off(data: bytes, start: int, decoded: Image.Image, draft: tuple[int, int] | None) -> bool:
    """Whether scans end before the picture does.

    No end marker (a copy that stopped, its space filled with zeros) is one sign. Where the marker comes too early
    libjpeg leaves the rest mid-grey; then a scan that goes on with other bits gives another picture. So only pictures
    whose last pixel is mid-grey are decoded twice.

    Args:
        data: The file.
        start: Where its first scan begins.
        decoded: What Pillow made of it.
        draft: What `Image.draft` was given for it, if anything.
    """
    # from behind, where the marker usually is: a search through megabytes would hold up the other threads
    if data.rfind(_END, start) < 0:
        return True
    last = decoded.getpixel((decoded.width - 1, decoded.height - 1))
    if last not in (128, (128, 128, 128)):
        return False
    end = data.find(_END, start)
    with Image.open(io.BytesIO(data[:end] + _FILLER + _END), formats=["JPEG"]) as longer:
        longer.decodermaxblock = end + len(_FILLER)  # see `opened`
        if draft:
            longer.draft(None, draft)
        return ImageChops.difference(longer, decoded).getbbox() is not None
