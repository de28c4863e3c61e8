"""The numbers that stand in a page of a TIFF file, whatever their width, order and compression.

Pillow reads some of the combinations of depth, sign, planes and photometric meaning, and takes some of the others for
one of these. So libtiff, inside Pillow, only unpacks bytes here: strips or tiles as if they were of an 8-bit grey
picture. Predictors, byte order and bits are undone in numpy.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from c2srt_cli.errors import ImageError
from c2srt_cli.images.bounds import at_most
from c2srt_cli.images.tiff.directory import TiffError
from c2srt_cli.images.tiff.pages import Page

#: Compression that gives back the bytes that were put in: none, LZW, Deflate, PackBits, LZMA, Zstandard.
LOSSLESS = (1, 5, 8, 32773, 32946, 34925, 50000)
_PREDICTED = (5, 8, 32946, 34925, 50000)
#: Bytes that are unpacked at once, unless a single strip holds more; and numbers that are made of them at once.
_BAND = 1 << 24
_NUMBERS = 1 << 22
_MOST_SEGMENTS = 1 << 20


@dataclass(frozen=True, slots=True)
class Layout:
    """How the numbers of a page are stored.

    Attributes:
        width: Of the picture.
        height: Of the picture.
        samples: Numbers per pixel.
        bits: Of each number.
        kind: ``u`` for unsigned, ``i`` for signed, ``f`` for float.
        order: Of their bytes: ``<`` or ``>``.
        planes: As many as samples where each has one of its own, else 1.
        compression: The tag's code.
        predictor: What was stored in place of the numbers: 1 themselves, 2 differences, 3 differences of their bytes.
        fill_order: Of the bits in a byte: 2 for the least significant first.
        tiled: Tiles instead of strips.
        segment: Width and height of a tile or strip.
    """

    width: int
    height: int
    samples: int
    bits: int
    kind: str
    order: str
    planes: int
    compression: int
    predictor: int
    fill_order: int
    tiled: bool
    segment: tuple[int, int]

    @classmethod
    def of(cls, page: Page) -> "Layout":
        """Read it from the tags.

        Raises:
            ImageError: ``unsupported``: samples of different depths, complex numbers.
            TiffError: a size is missing or impossible.
        """
        width, height, samples = page.number(256), page.number(257), page.number(277, 1)
        bits = {int(number) for number in page.directory.numbers(258)[:samples]} or {1}
        formats = {int(number) for number in page.directory.numbers(339)[:samples]} or {1}
        kinds = {{1: "u", 2: "i", 3: "f", 4: "u"}.get(number, "") for number in formats}
        if len(bits) > 1 or len(kinds) > 1 or "" in kinds:
            raise ImageError("unsupported", "TIFF whose samples are of different kinds, or complex numbers")
        compression, tiled = page.number(259, 1), 322 in page.directory.entries
        strip = width, min(page.number(278) or height, height)
        segment = (page.number(322), page.number(323)) if tiled else strip
        if min(width, height, samples, *bits, *segment) < 1 or samples > 64 or max(segment) > 1 << 30:
            raise TiffError("a size is missing or impossible")
        return cls(
            width,
            height,
            samples,
            bits.pop(),
            kinds.pop(),
            order=page.directory.header.order,
            planes=samples if page.number(284, 1) == 2 else 1,
            compression=compression,
            predictor=page.number(317, 1) if compression in _PREDICTED else 1,
            fill_order=page.number(266, 1),
            tiled=tiled,
            segment=segment,
        )

    @property
    def grid(self) -> tuple[int, int]:
        """Segments across and down."""
        return -(-self.width // self.segment[0]), -(-self.height // self.segment[1])

    @property
    def each(self) -> int:
        """Samples of one plane."""
        return self.samples // self.planes

    @property
    def row(self) -> int:
        """Bytes of a row of a segment."""
        return -(-self.segment[0] * self.each * self.bits // 8)

    @property
    def decoded_bytes(self) -> int:
        """What the numbers take as they are stored, with what tiles hold beyond the picture."""
        across, down = self.grid
        lines = down * self.segment[1] if self.tiled else self.height
        return across * self.row * lines * self.planes


class _Packed(TiffImageFile):
    """Bytes for pixels. Pillow's bound on pixels is none for bytes, which `bounds` has counted."""

    def load_prepare(self) -> None:
        ImageFile.ImageFile.load_prepare(self)


def bands(data: bytes, page: Page, layout: Layout) -> Iterator[tuple[int, np.ndarray]]:
    """The numbers from top to bottom, some rows at a time: the first row, and ``(h, W, S)``.

    Raises:
        ImageError: ``unsupported``: a depth or predictor that is not read; ``too-large``: too many strips or tiles.
        TiffError: the file does not hold what it states.
    """
    _check(layout)
    across, down = layout.grid
    first, last = (324, 325) if layout.tiled else (273, 279)
    offsets, counts = page.directory.numbers(first), page.directory.numbers(last)
    at_most(_MOST_SEGMENTS, across * down * layout.planes, "strips or tiles")
    if len(offsets) < across * down * layout.planes or (layout.compression != 1 and len(counts) < len(offsets)):
        raise TiffError("strips or tiles are missing")
    planes = page.number(277, 1) if page.number(284, 1) == 2 else 1
    if not layout.tiled and down == 1 and len(offsets) > planes:
        raise TiffError("more strips than one for all rows")
    step = max(1, _BAND // (across * layout.segment[1] * layout.row))
    for start in range(0, down, step):
        top, stop = start * layout.segment[1], min(start + step, down)
        lines = min(stop * layout.segment[1], layout.height) - top
        packed = []
        for plane in range(layout.planes):
            places = slice((plane * down + start) * across, (plane * down + stop) * across)
            pieces = _pieces(data, offsets[places], counts[places], layout)
            packed.append(_unpacked(pieces, layout, (stop - start) * layout.segment[1] if layout.tiled else lines))
        some = max(1, _NUMBERS // (across * layout.segment[0] * layout.samples))
        for line in range(0, lines, some):
            parts = [_numbers(rows, line, min(line + some, lines), layout) for rows in packed]
            yield top + line, parts[0] if layout.planes == 1 else np.concatenate(parts, axis=-1)


def _check(layout: Layout) -> None:
    bits, kind, predictor = layout.bits, layout.kind, layout.predictor
    if (
        not (bits in (16, 32, 64) if kind == "f" else bits in (8, 16, 32, 64) or (kind == "u" and bits < 16))
        or predictor not in (1, 2, 3)
        or (predictor == 2 and bits not in (8, 16, 32, 64))
        or (predictor == 3 and kind != "f")
    ):
        name = {"u": "unsigned", "i": "signed", "f": "float"}[kind]
        raise ImageError("unsupported", f"TIFF with {name} samples of {bits} bits and predictor {predictor}")


def _pieces(data: bytes, offsets: np.ndarray, counts: np.ndarray, layout: Layout) -> list[memoryview]:
    """The bytes of some strips or tiles as they stand in the file."""
    if layout.compression == 1:  # needs no count, and some programs write a wrong one
        counts = np.full(len(offsets), layout.row * layout.segment[1])
        ends = offsets.astype(np.uint64) + np.uint64(1)
    else:
        ends = offsets.astype(np.uint64) + counts.astype(np.uint64)
    if (offsets == 0).any() or (counts == 0).any() or (ends > len(data)).any():
        raise TiffError("a strip or tile lies outside of the file")
    view = memoryview(data)
    return [view[start : start + size] for start, size in zip(offsets.tolist(), counts.tolist(), strict=True)]


def _unpacked(pieces: list[memoryview], layout: Layout, lines: int) -> Image.Image:
    """Strips or tiles in their places: rows of bytes, as an 8-bit grey picture.

    Raises:
        TiffError: one is too short.
    """
    across, height, row = layout.grid[0], layout.segment[1], layout.row
    if layout.compression == 1:
        stored = np.frombuffer(b"".join(pieces), dtype=np.uint8)
        if len(stored) < lines * across * row:
            raise TiffError("the picture breaks off before its end")
        stored = stored[: lines * across * row]
        if layout.tiled:
            stored = stored.reshape(-1, across, height, row).swapaxes(1, 2).reshape(-1)
        if layout.fill_order == 2:
            stored = np.packbits(np.unpackbits(stored), bitorder="little")
        return Image.frombuffer("L", (across * row, lines), stored, "raw", "L", 0, 1)
    tags = {256: across * row, 257: lines, 258: 8, 259: layout.compression, 262: 1, 266: layout.fill_order, 277: 1}
    tags |= {322: row, 323: height} if layout.tiled else {278: height}
    with _Packed(io.BytesIO(_tiff(tags, pieces, tiled=layout.tiled))) as image:
        image.load()
        return image


def _tiff(tags: dict[int, int], pieces: list[memoryview], *, tiled: bool) -> bytes:
    """A TIFF file of one page with these tags, and these strips or tiles."""
    count = len(pieces)
    behind = 8 + 2 + 12 * (len(tags) + 2) + 4
    sizes = np.array([len(piece) for piece in pieces], dtype="<u4")
    places = np.cumsum(sizes, dtype="<u4") - sizes + np.uint32(behind + (8 * count if count > 1 else 0))
    lists = {(324 if tiled else 273): places, (325 if tiled else 279): sizes}
    directory, arrays = b"", b""
    for tag in sorted([*tags, *lists]):
        if tag in tags or count == 1:
            directory += struct.pack("<HHII", tag, 4, 1, tags[tag] if tag in tags else int(lists[tag][0]))
        else:
            directory += struct.pack("<HHII", tag, 4, count, behind + len(arrays))
            arrays += lists[tag].astype("<u4").tobytes()
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags) + 2)
    return b"".join([head, directory, bytes(4), arrays, *pieces])


def _numbers(rows: Image.Image, top: int, bottom: int, layout: Layout) -> np.ndarray:
    """Some rows of bytes as numbers ``(h, W, S)``, S being the samples of one plane."""
    packed = np.asarray(rows.crop((0, top, rows.width, bottom)))
    across, columns, each, bits = layout.grid[0], layout.segment[0], layout.each, layout.bits
    lines = len(packed)
    packed = packed.reshape(lines, across, layout.row)
    if bits not in (8, 16, 32, 64):
        ones = np.unpackbits(packed, axis=2)[:, :, : columns * each * bits].reshape(lines, -1, each, bits)
        values: np.ndarray = ones.astype(np.uint16) @ (1 << np.arange(bits)[::-1]).astype(np.uint16)
        return values[:, : layout.width]
    size = bits // 8
    if layout.predictor == 3:
        summed = np.cumsum(packed.reshape(lines, across, -1, each), axis=2, dtype=np.uint8)
        # the most significant bytes of all numbers come first
        planes = summed.reshape(lines, across, size, columns * each)
        values = np.ascontiguousarray(np.moveaxis(planes, 2, 3)).view(f">f{size}")
    else:
        values = packed.view(f"{layout.order}{'u' if layout.predictor == 2 else layout.kind}{size}")
    values = values.reshape(lines, across, columns, each)
    if layout.predictor == 2:
        values = np.cumsum(values, axis=2, dtype=f"u{size}").view(f"{layout.kind}{size}")
    return values.reshape(lines, across * columns, each)[:, : layout.width]
