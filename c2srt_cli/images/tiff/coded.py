"""TIFF pages whose compression knows of pixels (fax, JPEG), or with subsampled colours: libtiff decodes them."""

import io
import struct

import numpy as np
from PIL import Image

from c2srt_cli.errors import ImageError
from c2srt_cli.images.tiff.directory import Directory, TiffError
from c2srt_cli.images.tiff.pages import Page
from c2srt_cli.images.tiff.samples import LOSSLESS, Layout

_FAX, _JPEG = (2, 3, 4), (6, 7)
#: What Pillow and libtiff are shown of the page: what is needed to decode it.
_TAGS = (
    *(256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 322, 323, 324, 325, 338),
    *(347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532),
)
_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


def open_coded(data: bytes, page: Page, layout: Layout) -> Image.Image:
    """Decode a page by libtiff.

    Raises:
        ImageError: ``unsupported``: a compression or form that Pillow does not get right.
        TiffError: values lie outside of the file.
    """
    bits = 1 if layout.compression in _FAX else 8
    if (
        layout.compression not in (*_FAX, *_JPEG, *LOSSLESS)
        or layout.planes > 1
        or (layout.bits, layout.kind) != (bits, "u")
        or layout.samples not in ((1,) if layout.compression in _FAX else (1, 3, 4))
    ):
        raise ImageError(
            "unsupported",
            f"TIFF of compression {layout.compression} with {layout.samples} samples of {layout.bits} bits; export it "
            "with LZW or without compression",
        )
    offsets, counts = page.directory.numbers(273), page.directory.numbers(279)
    if len(offsets) == len(counts) and any(np.add(offsets, counts, dtype=np.int64) > len(data)):
        raise TiffError("the picture breaks off before its end")
    with Image.open(io.BytesIO(_reduced(data, page.directory)), formats=["TIFF"]) as image:
        image.load()
        return image


def _reduced(data: bytes, directory: Directory) -> bytes:
    """The file with one directory more, at its end, that holds only what decoding needs; it is the first one now."""
    order, big = directory.header.order, directory.header.big
    kept = [tag for tag in _TAGS if tag in directory.entries]
    fixed, width = ("HHQ", 8) if big else ("HHI", 4)
    count = struct.pack(order + ("Q" if big else "H"), len(kept))
    body = b""
    for tag in kept:
        kind, number, place = directory.entries[tag]
        size = number * _WIDTHS.get(kind, 1)
        if place + size > len(data):
            raise TiffError(f"the values of tag {tag} lie outside of the file")
        body += struct.pack(order + fixed, tag, kind, number)
        body += data[place : place + width] if size <= width else struct.pack(order + fixed[-1], place)
    end = len(data) + len(data) % 2
    start = struct.pack(order + fixed[-1], end)
    head = data[:8] + start if big else data[:4] + start
    return b"".join([head, data[len(head) :], bytes(end - len(data)), count, body, bytes(width)])
