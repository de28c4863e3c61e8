"""RAW files by hand: DNG with a Bayer sensor, and what cameras put beside it."""

import io

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


def jpeg(picture: np.ndarray, exif: Image.Exif | bytes = b"") -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


def with_preview(rgb: np.ndarray, preview: bytes, size: tuple[int, int], orientation: int = 1) -> bytes:
    """A DNG whose first page is a JPEG of the whole picture."""
    width, height = size
    tags = {254: (4, [1]), 256: (4, [width]), 257: (4, [height]), 258: (3, [8, 8, 8]), 259: (3, [7]), 262: (3, [6])}
    camera = {271: b"Made\0", 272: b"Made Camera\0", 274: (3, [orientation]), 50706: (1, [1, 4, 0, 0])}
    one = TiffPage(tags | camera | {277: (3, [3]), 278: (4, [height])}, [preview], [sensor(rgb, orientation)])
    return tiff(one)
