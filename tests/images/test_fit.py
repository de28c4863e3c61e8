"""Tiles of very wide and tall pictures, against what Pillow cuts out of the whole picture."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from odd_files import exif
from PIL import Image

from c2srt_cli.images import PixelSpec, load_pixels
from c2srt_cli.images.pixels import fit_picture

Boxes = Sequence[tuple[float, float, float, float]]
SPEC = PixelSpec(16, fit="squash", tiles=True)


def noise(width: int, height: int) -> Image.Image:
    small = np.random.default_rng(0).integers(0, 256, (max(1, height // 8), max(1, width // 8), 3), np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def cut(picture: Image.Image, boxes: Boxes) -> list[np.ndarray]:
    return [np.array(picture.resize((16, 16), Image.Resampling.BICUBIC, box)) for box in boxes]


@pytest.mark.parametrize(
    ("size", "boxes"),
    [
        ((150, 60), []),  # not very wide yet
        ((151, 60), [(0, 0, 60, 60), (45.5, 0, 105.5, 60), (91, 0, 151, 60)]),
        ((180, 60), [(0, 0, 60, 60), (60, 0, 120, 60), (120, 0, 180, 60)]),
        ((60, 180), [(0, 0, 60, 60), (0, 60, 60, 120), (0, 120, 60, 180)]),
        ((640, 40), [(80 * i, 0, 80 * i + 80, 40) for i in range(8)]),  # eight cover it, no longer squares
    ],
)
@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_squares_along_the_long_side(size: tuple[int, int], boxes: Boxes, fit: str) -> None:
    picture = noise(*size)
    found = fit_picture(picture, PixelSpec(16, fit=fit, tiles=True))
    assert len(found.tiles) == len(boxes)
    assert all(np.array_equal(tile, one) for tile, one in zip(found.tiles, cut(picture, boxes), strict=True))
    whole = fit_picture(picture, PixelSpec(16, fit=fit))
    assert np.array_equal(found.array, whole.array)
    assert not whole.tiles


def test_they_lie_in_the_upright_picture(tmp_path: Path) -> None:
    upright = noise(60, 180)
    lying = upright.transpose(Image.Transpose.ROTATE_90)  # which orientation 6 turns back
    lying.save(tmp_path / "a.png", exif=exif(6))
    found = load_pixels(tmp_path / "a.png", SPEC)
    assert (found.width, found.height) == (60, 180)
    expected = cut(upright, [(0, 0, 60, 60), (0, 60, 60, 120), (0, 120, 60, 180)])
    assert all(np.array_equal(tile, one) for tile, one in zip(found.tiles, expected, strict=True))


@pytest.mark.parametrize("fit", ["squash", "pad"])
def test_a_jpeg_is_decoded_large_enough_for_them(tmp_path: Path, fit: str) -> None:
    noise(1800, 600).save(tmp_path / "a.jpg", quality=95)
    found, full = (load_pixels(tmp_path / "a.jpg", PixelSpec(64, fit=fit, draft=d, tiles=True)) for d in (True, False))
    assert len(found.tiles) == 3
    for one, other in zip(found.tiles, full.tiles, strict=True):
        assert np.abs(one.astype(int) - other.astype(int)).mean() < 2


def test_the_record_is_that_of_before_without_them() -> None:
    assert PixelSpec(16).record == {key: value for key, value in asdict(PixelSpec(16)).items() if key != "tiles"}
    assert PixelSpec(**SPEC.record) == SPEC
