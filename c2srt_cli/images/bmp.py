"""BMP whose colours lie in bit fields: Pillow reads the usual ones of those only."""

import numpy as np
from PIL import Image

from c2srt_cli.errors import ImageError

_FIELDS, _ALPHA_FIELDS = 3, 6
#: A header from this size on holds the masks, before that they follow it.
_WITH_MASKS, _WITH_ALPHA = 52, 56
#: Pixels that are converted at once.
_BAND = 1 << 22


def has_bit_fields(data: bytes) -> bool:
    """Whether `decode_fields` is for this file."""
    header, depth, coding = _number(data, 14, 4), _number(data, 28, 2), _number(data, 30, 4)
    return header >= 40 and depth in (16, 32) and coding in (_FIELDS, _ALPHA_FIELDS)


def fields_size(data: bytes) -> tuple[int, int]:
    """Width and height."""
    return _number(data, 18, 4), abs(int.from_bytes(data[22:26], "little", signed=True))


def decode_fields(data: bytes) -> Image.Image:
    """An RGB picture, or RGBA where it has an alpha channel that is not nothing but zeros.

    Raises:
        ImageError: ``corrupt``: it breaks off, or a mask is none.
    """
    header, depth, coding = _number(data, 14, 4), _number(data, 28, 2), _number(data, 30, 4)
    width, height = fields_size(data)
    with_alpha = header >= _WITH_ALPHA or coding == _ALPHA_FIELDS
    masks = [_number(data, place, 4) for place in (54, 58, 62, 66)[: 3 + with_alpha]]
    stride = -(-width * depth // 32) * 4
    start = _number(data, 10, 4)
    if min(width, height) < 1 or not all(masks[:3]) or start + stride * height > len(data):
        raise ImageError("corrupt", "the picture breaks off before its end")
    if with_alpha and not masks[3]:
        del masks[3]
    rows = np.frombuffer(data, np.uint8, stride * height, start).reshape(height, stride)
    if _number(data, 22, 4) < 1 << 31:  # otherwise the first row is the upper one
        rows = rows[::-1]
    mode = "RGBA" if len(masks) == 4 else "RGB"
    picture = Image.new(mode, (width, height))
    some = max(1, _BAND // width)
    for top in range(0, height, some):
        words = np.ascontiguousarray(rows[top : top + some]).view(f"<u{depth // 8}")[:, :width]
        channels = [_eight_bits(words, mask) for mask in masks]
        picture.paste(Image.fromarray(np.stack(channels, axis=-1)), (0, top))
    if mode == "RGBA" and picture.getchannel("A").getbbox() is None:  # by programs that leave the channel empty
        return picture.convert("RGB")
    return picture


def _eight_bits(words: np.ndarray, mask: int) -> np.ndarray:
    shift = (mask & -mask).bit_length() - 1
    most = mask >> shift
    values = (words.astype(np.uint64) & mask) >> shift
    return np.asarray(((values * 255 + most // 2) // most).astype(np.uint8))


def _number(data: bytes, place: int, size: int) -> int:
    return int.from_bytes(data[place : place + size], "little")
