import struct
from pathlib import Path

import numpy as np
import pytest
from odd_files import encode, picture
from PIL import Image

from c2srt_cli.errors import ImageError
from c2srt_cli.images import PixelSpec, load_pixels

SIDE = 16
NUMBERS = np.random.default_rng(0).integers(0, 1 << 32, (SIDE, SIDE), dtype=np.uint64)


def fields(depth: int, masks: list[int], *, header: int = 40, down: bool = False, coding: int = 3) -> bytes:
    """A BMP of random words, upside down as usual."""
    words = (NUMBERS & ((1 << depth) - 1)).astype(f"<u{depth // 8}")
    start = 14 + max(header, 40 + 4 * len(masks))
    info = struct.pack("<IiiHHIIiiII", header, SIDE, -SIDE if down else SIDE, 1, depth, coding, 0, 0, 0, 0, 0)
    info += b"".join(mask.to_bytes(4, "little") for mask in masks)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, start) + info.ljust(start - 14, b"\0") + words.tobytes()


def expected(masks: list[int]) -> np.ndarray:
    shares = [(NUMBERS & mask) / mask for mask in masks]
    color = np.stack(shares[:3], axis=-1)
    if len(masks) == 4:
        color = color * shares[3][..., None] + 1 - shares[3][..., None]
    return np.asarray(255 * color)


@pytest.mark.parametrize(
    ("depth", "masks", "more"),
    [
        (16, [0x7C00, 0x3E0, 0x1F], {}),
        (16, [0xF800, 0x7E0, 0x1F], {"down": True}),
        (16, [0x0C00, 0x0380, 0x0040], {}),
        (16, [0xF00, 0xF0, 0xF, 0xF000], {"header": 108}),
        (32, [0xFF000000, 0xFF0000, 0xFF00], {}),
        (32, [0xFF0000, 0xFF00, 0xFF, 0xFF000000], {"header": 124}),
        (32, [0xFF000000, 0xFF0000, 0xFF00, 0xFF], {"coding": 6}),
        (32, [0xFFE00000, 0x1FFC00, 0x3FF], {}),
        (32, [0x3FF00000, 0xFFC00, 0x3FF], {"header": 56, "down": True}),
    ],
)
def test_any_bit_fields(tmp_path: Path, depth: int, masks: list[int], more: dict[str, int]) -> None:
    (tmp_path / "a.bmp").write_bytes(fields(depth, masks, **more))  # type: ignore[arg-type]
    got = load_pixels(tmp_path / "a.bmp", PixelSpec(SIDE)).array
    wanted = expected(masks) if more.get("down") else expected(masks)[::-1]
    assert np.abs(got - wanted).max() <= 1.5


def test_an_alpha_channel_of_nothing_but_zeros_is_none(tmp_path: Path) -> None:
    data = fields(32, [0xFF0000, 0xFF00, 0xFF, 0xFF000000], header=124)
    words = np.frombuffer(data[138:], "<u4") & 0xFFFFFF
    (tmp_path / "a.bmp").write_bytes(data[:138] + words.tobytes())
    got = load_pixels(tmp_path / "a.bmp", PixelSpec(SIDE)).array
    assert np.abs(got - expected([0xFF0000, 0xFF00, 0xFF])[::-1]).max() <= 1


def test_damaged_fields(tmp_path: Path) -> None:
    data = fields(16, [0x7C00, 0x3E0, 0x1F])
    for broken in (data[:-1], data[:54] + bytes(4) + data[58:], data[:18] + bytes(4) + data[22:]):
        (tmp_path / "a.bmp").write_bytes(broken)
        with pytest.raises(ImageError) as caught:
            load_pixels(tmp_path / "a.bmp", PixelSpec(SIDE))
        assert caught.value.reason == "corrupt"


def test_other_depths_stay_pillows(tmp_path: Path) -> None:
    image = picture().resize((SIDE, SIDE))
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        (tmp_path / "a.bmp").write_bytes(encode(image.convert(mode), "BMP"))
        got = load_pixels(tmp_path / "a.bmp", PixelSpec(SIDE)).array
        with Image.open(tmp_path / "a.bmp") as again:
            np.testing.assert_array_equal(got, np.asarray(again.convert("RGB")))
    down = struct.pack("<IiiHHIIiiII", 40, SIDE, -SIDE, 1, 24, 0, 0, 0, 0, 0, 0)
    rows = np.asarray(image)[..., ::-1].tobytes()
    (tmp_path / "a.bmp").write_bytes(b"BM" + struct.pack("<IHHI", 0, 0, 0, 54) + down + rows)
    np.testing.assert_array_equal(load_pixels(tmp_path / "a.bmp", PixelSpec(SIDE)).array, np.asarray(image))
    two = struct.pack("<IiiHHIIiiII", 40, SIDE, SIDE, 1, 2, 0, 0, 0, 0, 0, 0)
    (tmp_path / "a.bmp").write_bytes(b"BM" + struct.pack("<IHHI", 0, 0, 0, 54) + two + rows)
    with pytest.raises(ImageError) as caught:
        load_pixels(tmp_path / "a.bmp", PixelSpec(SIDE))
    assert caught.value.reason == "unsupported"
