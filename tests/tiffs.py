"""TIFF files by hand: any tags, any number of pages, pages below pages."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

#: Field types by the width of the numbers.
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


@dataclass
class TiffPage:
    """A page: its tags, its strips, the pages below it. Values of tags are ``(field type, numbers)`` or bytes."""

    tags: dict[int, Any]
    strips: Sequence[bytes] = ()
    below: Sequence["TiffPage"] = field(default_factory=list)


def page(values: np.ndarray, photometric: int, **more: Any) -> TiffPage:
    """A page without compression, in one strip, of ``(H, W)`` or ``(H, W, S)`` numbers in their own byte order."""
    height, width, *rest = values.shape
    samples = rest[0] if rest else 1
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    tags = {256: (4, [width]), 257: (4, [height]), 258: (3, [values.dtype.itemsize * 8] * samples), 259: (3, [1])}
    tags |= {262: (3, [photometric]), 277: (3, [samples]), 278: (4, [height]), 339: (3, [kind] * samples)}
    return TiffPage(tags | {int(tag): value for tag, value in more.get("tags", {}).items()}, [values.tobytes()])


def tiff(*pages: TiffPage, order: str = "<", big: bool = False) -> bytes:
    """The file of these pages."""
    file = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 0))
    if big:
        file = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "HHHQ", 43, 8, 0, 0))
    place = len(file) - (8 if big else 4)  # of the offset of the next directory
    for one in pages:
        start, following = _add(file, one, order, big)
        struct.pack_into(order + ("Q" if big else "I"), file, place, start)
        place = following
    return bytes(file)


def _add(file: bytearray, one: TiffPage, order: str, big: bool) -> tuple[int, int]:
    """Append a page; where its directory stands, and where the offset of the next one does."""
    tags = dict(one.tags)
    if one.strips:
        places = []
        for strip in one.strips:
            places.append(len(file))
            file += strip + bytes(len(strip) % 2)
        tags |= {273: (4, places), 279: (4, [len(strip) for strip in one.strips])}
    if one.below:
        tags[330] = (4, [_add(file, child, order, big)[0] for child in one.below])
    width = 8 if big else 4
    entries = b""
    for tag, value in sorted(tags.items()):
        kind, numbers = (7, value) if isinstance(value, bytes) else value
        size = {1: 1, 3: 2, 4: 4, 5: 8, 7: 1, 13: 4, 16: 8}[kind]
        body = struct.pack(f"{order}{len(numbers)}{_CODES[size]}", *numbers)
        if len(body) > width:
            here = len(file)
            file += body + bytes(len(body) % 2)
            body = struct.pack(order + ("Q" if big else "I"), here)
        entries += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, len(numbers)) + body.ljust(width, b"\0")
    start = len(file)
    file += struct.pack(order + ("Q" if big else "H"), len(tags)) + entries + bytes(width)
    return start, len(file) - width
