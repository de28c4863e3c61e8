"""RAW files by hand: DNG with a Bayer sensor, and what cameras put beside it."""

import io
import struct

import numpy as np
from PIL import Image
from tiffs import TiffPage, page, tiff


def sensor(rgb: np.ndarray, orientation: int = 1) -> TiffPage:
    """The page of what a sensor under red, green, green and blue saw of a picture ``(H, W, 3)`` uint8."""
    values = rgb[:, :, 1].astype(np.uint16)
    values[0::2, 0::2] = rgb[0::2, 0::2, 0]
    values[1::2, 1::2] = rgb[1::2, 1::2, 2]
    camera = {271: b"Made\0", 272: b"Made Camera\0", 274: (3, [orientation])}
    colours = {33421: (3, [2, 2]), 33422: (1, [0, 1, 1, 2]), 50706: (1, [1, 4, 0, 0]), 50717: (4, [65535])}
    return page(values * 257, 32803, tags={254: (4, [0])} | camera | colours)


def linear(rgb: np.ndarray, orientation: int = 1) -> TiffPage:
    """The page of a DNG whose pixels have all three colours already, as phones write it."""
    camera = {271: b"Made\0", 272: b"Made Camera\0", 274: (3, [orientation]), 50706: (1, [1, 4, 0, 0])}
    return page(rgb.astype(np.uint16) * 257, 34892, tags={254: (4, [0]), 50717: (4, [65535] * 3)} | camera)


def jpeg(picture: np.ndarray, exif: Image.Exif | bytes = b"") -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


def with_preview(
    rgb: np.ndarray,
    preview: bytes,
    size: tuple[int, int],
    orientation: int = 1,
    scale: tuple[int, list[int]] | None = None,
) -> bytes:
    """A DNG whose first page is a JPEG of the whole picture; ``scale`` is the DefaultScale of its sensor."""
    width, height = size
    tags = {254: (4, [1]), 256: (4, [width]), 257: (4, [height]), 258: (3, [8, 8, 8]), 259: (3, [7]), 262: (3, [6])}
    camera = {271: b"Made\0", 272: b"Made Camera\0", 274: (3, [orientation]), 50706: (1, [1, 4, 0, 0])}
    below = sensor(rgb, orientation)
    below.tags |= {50718: scale} if scale else {}
    one = TiffPage(tags | camera | {277: (3, [3]), 278: (4, [height])}, [preview], [below])
    return tiff(one)


def tiff_ep(rgb: np.ndarray, make: str, model: str, orientation: int = 1) -> bytes:
    """A maker's own RAW file, TIFF in form: the JPEG of the whole picture, and below it what the sensor saw."""
    height, width = rgb.shape[:2]
    camera = {271: make.encode() + b"\0", 272: model.encode() + b"\0", 274: (3, [orientation])}
    size = {254: (4, [1]), 256: (4, [width]), 257: (4, [height]), 278: (4, [height])}
    coded = {258: (3, [8, 8, 8]), 259: (3, [6]), 262: (3, [6]), 277: (3, [3])}
    below = sensor(rgb, orientation)
    below.tags = {tag: value for tag, value in below.tags.items() if tag < 50706} | camera
    data = tiff(TiffPage(size | coded | camera, [jpeg(rgb)], [below]))
    return data.replace(b"II*\0", b"IIRO", 1) if make.startswith("OLYMPUS") else data


def raf(rgb: np.ndarray) -> bytes:
    """Fujifilm's: a header that says where the JPEG, the sensor's size and its values are."""
    (height, width), preview, values = rgb.shape[:2], jpeg(rgb), rgb[:, :, 1].astype("<u2") * 16
    sizes = struct.pack(">I", 3) + b"".join(struct.pack(">4H", tag, 4, height, width) for tag in (0x100, 0x111, 0x121))
    places = [160, 160 + len(preview), 160 + len(preview) + len(sizes)]
    lengths = [len(preview), len(sizes), values.nbytes]
    offsets = struct.pack(">6I", *(number for pair in zip(places, lengths, strict=True) for number in pair))
    head = b"FUJIFILMCCD-RAW 0201FF000000" + b"X-T1".ljust(32, b"\0") + b"0100".ljust(24, b"\0") + offsets
    return head.ljust(160, b"\0") + preview + sizes + values.tobytes()
