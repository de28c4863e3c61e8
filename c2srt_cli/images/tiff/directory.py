"""The directories of a TIFF file: which tags they hold, and what stands in them. An EXIF block is such a file too."""

import mmap
import struct
from dataclasses import dataclass

import numpy as np

#: Most entries that are looked at in a directory; real ones have a few hundred.
_MOST_ENTRIES = 65_535
#: Field types → numpy's, as far as whole numbers and bytes go.
_TYPES = {
    1: "u1",
    2: "u1",
    3: "u2",
    4: "u4",
    6: "i1",
    7: "u1",
    8: "i2",
    9: "i4",
    13: "u4",
    16: "u8",
    17: "i8",
    18: "u8",
}


class TiffError(ValueError):
    """The file contradicts itself, or ends too early."""


@dataclass(frozen=True, slots=True)
class Header:
    """Byte order (``<`` or ``>``) and whether offsets have eight bytes (BigTIFF)."""

    order: str
    big: bool


@dataclass(frozen=True, eq=False)
class Directory:
    """One directory; values are read when they are asked for.

    Attributes:
        data: The file.
        header: Its byte order and width of offsets.
        entries: Type, number of values, and place of the values in the file, by tag; the first of a repeated tag.
        next: Where the next directory stands; 0 for none.
    """

    data: bytes | mmap.mmap
    header: Header
    entries: dict[int, tuple[int, int, int]]
    next: int

    def numbers(self, tag: int) -> np.ndarray:
        """Whole numbers of a tag ``(n,)``; none where the tag is missing.

        Raises:
            TiffError: they lie outside of the file, or are of another type.
        """
        if tag not in self.entries:
            return np.empty(0, dtype=np.int64)
        kind, count, place = self.entries[tag]
        if kind not in _TYPES:
            raise TiffError(f"tag {tag} holds no whole numbers")
        dtype = np.dtype(self.header.order + _TYPES[kind])
        if place + count * dtype.itemsize > len(self.data):
            raise TiffError(f"the values of tag {tag} lie outside of the file")
        return np.frombuffer(self.data, dtype, count, place)

    def number(self, tag: int, default: int = 0) -> int:
        """The first number of a tag."""
        values = self.numbers(tag)
        return int(values[0]) if len(values) else default

    def bytes(self, tag: int) -> bytes:
        """What a tag holds, as it stands."""
        return self.numbers(tag).tobytes()


def read_header(data: bytes | mmap.mmap) -> tuple[Header, int]:
    """The header, and where the first directory stands.

    Raises:
        TiffError: there is none.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        raise TiffError("no TIFF header")
    magic = int(struct.unpack_from(order + "H", data, 2)[0])
    if magic == 42:
        return Header(order, big=False), int(struct.unpack_from(order + "I", data, 4)[0])
    if magic == 43 and len(data) >= 16:
        return Header(order, big=True), int(struct.unpack_from(order + "Q", data, 8)[0])
    raise TiffError("no TIFF header")


def read_directory(data: bytes | mmap.mmap, header: Header, place: int) -> Directory:
    """The directory at ``place``. One that the file breaks off in has the entries that are there.

    Raises:
        TiffError: ``place`` lies outside of the file.
    """
    width, word = (8, "u8") if header.big else (4, "u4")
    head = 8 if header.big else 2
    if place < 8 or place + head > len(data):
        raise TiffError("a directory lies outside of the file")
    stated = int.from_bytes(data[place : place + head], "little" if header.order == "<" else "big")
    fields = np.dtype(
        [
            ("tag", header.order + "u2"),
            ("kind", header.order + "u2"),
            ("count", header.order + word),
            ("value", "V", width),
        ]
    )
    there = min(stated, (len(data) - place - head) // fields.itemsize, _MOST_ENTRIES)
    table = np.frombuffer(data, fields, there, place + head)
    entries: dict[int, tuple[int, int, int]] = {}
    for index in range(there):
        tag, kind, count = int(table["tag"][index]), int(table["kind"][index]), int(table["count"][index])
        inside = place + head + index * fields.itemsize + fields.itemsize - width
        if tag in entries:
            continue
        size = count * np.dtype(_TYPES[kind]).itemsize if kind in _TYPES else width + 1
        if size > width:
            inside = int.from_bytes(data[inside : inside + width], "little" if header.order == "<" else "big")
        entries[tag] = (kind, count, inside)
    after = place + head + stated * fields.itemsize
    following = data[after : after + width] if there == stated else b""
    return Directory(data, header, entries, int.from_bytes(following, "little" if header.order == "<" else "big"))
