"""A picture of any format, opened: its size, profile and orientation are known, its pixels not yet decoded."""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

from PIL import Image, ImageFile

from c2srt_cli.errors import ImageError
from c2srt_cli.images.bmp import decode_fields, fields_size, has_bit_fields
from c2srt_cli.images.bounds import at_most, check_size
from c2srt_cli.images.fit import PixelSpec
from c2srt_cli.images.formats import TIFF_STARTS, RawFileError
from c2srt_cli.images.gif import first_frame
from c2srt_cli.images.jpeg import breaks_off, read_markers
from c2srt_cli.images.png import read_chunks
from c2srt_cli.images.raw import open_raw, reads_raw
from c2srt_cli.images.tiff import is_cut, open_tiff, read_orientation

Box = tuple[float, float, float, float]
#: Where a picture without EXIF may say how it lies.
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
#: Bytes a pixel by Pillow's modes; the others need four.
_DEPTHS = {"1": 1, "L": 1, "P": 1, "I;16": 2}
#: What decoders hold beside the picture, in bytes a pixel: WebP's two canvases, the planes of AVIF, HEIC and JXL.
_BESIDE = {"WEBP": 8, "AVIF": 4, "HEIF": 4, "JXL": 12}
#: Pixels of a run-length coded BMP, which Pillow decodes in Python.
_MOST_RUN_PIXELS = 4_000_000


@dataclass(frozen=True, slots=True)
class Opened:
    """A picture that can be decoded.

    Attributes:
        size: Width and height of the original as stored; None where they are those of what is decoded.
        part: Where it lies in what is decoded; a scaled JPEG may hold a fraction of a row too much. None: it is all.
        is_large: Whether no other should be decoded beside it.
        orientation: As EXIF numbers it, 1 to 8; other numbers say nothing.
        profile: Its colour profile.
        gamma: Of a PNG.
        decode: Decodes it, to whatever mode.
    """

    size: tuple[int, int] | None
    part: Box | None
    is_large: bool
    orientation: int
    profile: bytes | None
    gamma: float | None
    decode: Callable[[], Image.Image]


@contextmanager
def open_picture(data: bytes, kind: str, spec: PixelSpec) -> Iterator[Opened]:
    """Open a file of a format of `formats.format_of`.

    Raises:
        ImageError: it is too large, or of a form that is not read.
    """
    if kind == "TIFF":
        try:
            tiff = open_tiff(data)
        except RawFileError:
            if not reads_raw():
                raise
            kind = "RAW"
        else:
            large = check_size(*tiff.size, tiff.layout.decoded_bytes)
            yield Opened(tiff.size, (0, 0, *tiff.size), large, tiff.orientation, tiff.profile, None, tiff.decode)
            return
    if kind == "RAW":
        with open_raw(data, spec.size) as raw:
            if raw.preview is None:
                if data.startswith(TIFF_STARTS) and is_cut(data):
                    raise ImageError("corrupt", "the picture breaks off before its end")
                yield Opened(None, None, raw.is_large, 1, None, None, raw.develop)
                return
            with open_picture(raw.preview, "JPEG", spec) as preview:
                yield replace(preview, orientation=raw.orientation)
        return
    if kind == "BMP" and has_bit_fields(data):
        size = fields_size(data)
        large = check_size(*size, 4 * size[0] * size[1])
        yield Opened(size, (0, 0, *size), large, 0, None, None, partial(decode_fields, data))
        return
    jpeg = read_markers(data) if kind == "JPEG" else None
    png = read_chunks(data) if kind == "PNG" else None
    gif = first_frame(data) if kind == "GIF" else None
    if kind == "WEBP":
        _check_canvas(data)
    content = png.content if png else gif.content if gif else data
    with Image.open(io.BytesIO(content), formats=[kind]) as image:
        if isinstance(image, ImageFile.ImageFile):
            # All at once: a decoder that waits for the end of a long run is given it all again with each block more.
            image.decodermaxblock = len(content)
        size, about = gif.screen if gif else image.size, image.info
        check_size(*size, 0)
        if kind == "BMP" and about.get("compression") in (1, 2):
            at_most(_MOST_RUN_PIXELS, size[0] * size[1], "pixels in runs")
        wanted = _draft_size(size, spec) if spec.draft else None
        drafted = cast(tuple[str, Box] | None, image.draft(None, wanted)) if wanted else None
        depth = _DEPTHS.get(image.mode, 4) + _BESIDE.get(kind, 0)
        drawn = gif.screen if gif else image.size
        decoded = drawn[0] * drawn[1] * depth + (jpeg.buffered if jpeg else 0)

        def decode() -> Image.Image:
            image.load()
            if jpeg is not None and breaks_off(data, jpeg.start, image, wanted):
                raise ImageError("corrupt", "the picture breaks off before its end")
            return gif.on_screen(image) if gif else image

        yield Opened(
            size,
            drafted[1] if drafted else (0, 0, *size),
            check_size(*drawn, decoded),
            _orientation(png.exif, png.xmp) if png else _orientation(about.get("exif"), about.get("xmp")),
            png.profile if png else about.get("icc_profile"),
            None if "srgb" in about else about.get("gamma"),
            decode,
        )


def in_memory(picture: Image.Image) -> Opened:
    """A picture that a program holds; one that it opened from a file need not be decoded yet.

    Raises:
        ImageError: it is too large.
    """
    about = picture.info

    def decode() -> Image.Image:
        picture.load()
        return picture

    return Opened(
        picture.size,
        (0, 0, *picture.size),
        check_size(*picture.size, picture.width * picture.height * _DEPTHS.get(picture.mode, 4)),
        _orientation(picture.getexif().tobytes(), about.get("xmp")),
        about.get("icc_profile"),
        None if "srgb" in about else about.get("gamma"),
        decode,
    )


def _draft_size(size: tuple[int, int], spec: PixelSpec) -> tuple[int, int]:
    """The sides that a scaled JPEG must not go below: twice the square's, for "pad" alone on the long side only."""
    twice = 2 * spec.size
    if spec.fit != "pad" or spec.tiles_of(size):
        return twice, twice
    return (twice, 1) if size[0] >= size[1] else (1, twice)


def _orientation(exif: bytes | None, xmp: bytes | None) -> int:
    """From EXIF or, without it, XMP; a broken block says nothing about the picture."""
    orientation = read_orientation(exif) if exif else 0
    found = None if orientation or not xmp else _XMP_ORIENTATION.search(xmp)
    return int(found[1]) if found else orientation


def _check_canvas(data: bytes) -> None:
    """Refuse a WebP by the size in its header: Pillow's decoder takes memory for it at once."""
    if data[12:16] == b"VP8X":
        sides = [int.from_bytes(data[place : place + 3], "little") + 1 for place in (24, 27)]
    elif data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        sides = [(bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1]
    else:
        sides = [int.from_bytes(data[place : place + 2], "little") & 0x3FFF for place in (26, 28)]
    check_size(sides[0], sides[1], sides[0] * sides[1] * (4 + _BESIDE["WEBP"]))
