"""RAW files and JPEG XL, made here, so that what they show is known."""

import io
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pillow_jxl  # noqa: F401 - Pillow saves it then
import pytest
import rawpy
from odd_files import exif
from PIL import Image
from raws import jpeg, linear, raf, sensor, tiff_ep, with_preview
from tiffs import tiff

from c2srt_cli.errors import ImageError
from c2srt_cli.images import PixelSpec, extra_reads, find_images, load_pixels
from c2srt_cli.images.formats import RAW_SUFFIXES, searched_suffixes
from c2srt_cli.images.raw import _preview

#: Quarters, as they lie on the sensor: red above, green and blue below; the noise of a sensor over all.
QUARTERS = np.zeros((400, 600, 3), np.uint8)
QUARTERS[:200], QUARTERS[200:, :300], QUARTERS[200:, 300:] = (200, 0, 0), (0, 200, 0), (0, 0, 200)
QUARTERS += np.random.default_rng(0).integers(0, 9, QUARTERS.shape).astype(np.uint8)
#: Corners by EXIF's orientation: top left, top right, bottom left, bottom right.
UPRIGHT = {1: "rrgb", 3: "bgrr", 6: "grbr", 8: "rbrg"}
SPEC = PixelSpec(64, fit="squash")


def corners(path: Path, spec: PixelSpec = SPEC) -> tuple[str, tuple[int, int]]:
    """The strongest colours of the four corners, and the sides."""
    got = load_pixels(path, spec)
    places = [(4, 4), (4, -4), (-4, 4), (-4, -4)]
    return "".join("rgb"[int(got.array[place].argmax())] for place in places), (got.width, got.height)


@pytest.mark.parametrize("orientation", [*UPRIGHT])
def test_without_a_preview_it_is_developed_at_half_size_and_upright(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "a.dng"
    path.write_bytes(tiff(sensor(QUARTERS, orientation)))
    half = (200, 300) if orientation in (6, 8) else (300, 200)
    assert corners(path) == (UPRIGHT[orientation], half)


@pytest.mark.parametrize("orientation", [*UPRIGHT])
def test_what_has_all_colours_in_each_pixel_is_not_halved(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "a.dng"
    path.write_bytes(tiff(linear(QUARTERS, orientation)))
    assert corners(path) == (UPRIGHT[orientation], (400, 600) if orientation in (6, 8) else (600, 400))


def test_oblong_pixels_are_stretched(tmp_path: Path) -> None:
    page = sensor(QUARTERS)
    page.tags[50718] = (5, [3 | 2 << 32, 1 | 1 << 32])  # DefaultScale: 3/2 across, 1/1 down
    (tmp_path / "a.dng").write_bytes(tiff(page))
    assert corners(tmp_path / "a.dng") == (UPRIGHT[1], (450, 200))
    wide = jpeg(np.repeat(QUARTERS, 3, 1)[:, ::2])
    (tmp_path / "a.dng").write_bytes(with_preview(QUARTERS, wide, (900, 400), scale=page.tags[50718]))
    assert corners(tmp_path / "a.dng") == (UPRIGHT[1], (900, 400))


def test_the_preview_of_a_sensor_that_lies_aslant() -> None:
    sizes = SimpleNamespace(width=3552, height=3551, flip=6, pixel_aspect=1.0)  # as LibRaw says it of a FinePix S5Pro
    data = jpeg(QUARTERS)
    file = SimpleNamespace(sizes=sizes, extract_thumb=lambda: SimpleNamespace(format=rawpy.ThumbFormat.JPEG, data=data))
    assert _preview(file, 64) == (data, 6)


@pytest.mark.parametrize("orientation", [*UPRIGHT])
def test_the_preview_is_taken_and_turned_once(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "a.nef"
    sides = (400, 600) if orientation in (6, 8) else (600, 400)
    for block in (b"", exif(orientation)):  # cameras say it in the preview too, or only in the file
        preview = jpeg(QUARTERS, block)
        path.write_bytes(with_preview(QUARTERS, preview, (600, 400), orientation))
        assert corners(path) == (UPRIGHT[orientation], sides)


def test_a_preview_that_the_camera_has_turned_already(tmp_path: Path) -> None:
    turned = np.ascontiguousarray(np.rot90(QUARTERS, -1))
    (tmp_path / "a.dng").write_bytes(with_preview(QUARTERS, jpeg(turned), (400, 600), 6))
    assert corners(tmp_path / "a.dng") == (UPRIGHT[6], (400, 600))


@pytest.mark.parametrize(
    ("name", "make", "model"),
    [
        ("a.nef", "NIKON CORPORATION", "NIKON D70"),
        ("a.arw", "SONY", "ILCE-7M3"),
        ("a.cr2", "Canon", "Canon EOS 350D DIGITAL"),
        ("a.pef", "PENTAX", "PENTAX K-5"),
        ("a.srw", "SAMSUNG", "NX20"),
        ("a.orf", "OLYMPUS CORPORATION", "E-410"),
    ],
)
def test_makers_own_forms(tmp_path: Path, name: str, make: str, model: str) -> None:
    for orientation, sides in ((1, (600, 400)), (6, (400, 600))):
        (tmp_path / name).write_bytes(tiff_ep(QUARTERS, make, model, orientation))
        assert corners(tmp_path / name) == (UPRIGHT[orientation], sides)


def test_fujifilms_form(tmp_path: Path) -> None:
    (tmp_path / "a.raf").write_bytes(raf(QUARTERS))
    assert corners(tmp_path / "a.raf") == (UPRIGHT[1], (600, 400))


@pytest.mark.parametrize(
    "preview",
    [
        jpeg(QUARTERS[::10, ::10]),  # 60 x 40: smaller than what is looked at
        jpeg(np.pad(QUARTERS, ((25, 25), (0, 0), (0, 0)))),  # bars above and below
        b"\xff\xd8\xff\xe0 is no JPEG",
    ],
)
def test_a_preview_that_does_not_serve_is_passed_over(tmp_path: Path, preview: bytes) -> None:
    (tmp_path / "a.arw").write_bytes(with_preview(QUARTERS, preview, (600, 400)))
    assert corners(tmp_path / "a.arw") == (UPRIGHT[1], (300, 200))


def test_what_breaks_off_is_corrupt(tmp_path: Path) -> None:
    values = QUARTERS.copy()
    values[300:] = 7  # what LibRaw leaves where data end: one value, no noise
    (tmp_path / "a.dng").write_bytes(tiff(sensor(values)))
    with pytest.raises(ImageError, match="breaks off") as caught:
        load_pixels(tmp_path / "a.dng", SPEC)
    assert caught.value.reason == "corrupt"
    values[-5:-1:2, 3] = 99  # and here and there with what lay in that memory
    (tmp_path / "a.dng").write_bytes(tiff(sensor(values)))
    with pytest.raises(ImageError, match="breaks off"):
        load_pixels(tmp_path / "a.dng", SPEC)
    values[300:] = 255  # white, as in a studio
    (tmp_path / "a.dng").write_bytes(tiff(sensor(values)))
    assert corners(tmp_path / "a.dng")[1] == (300, 200)


def test_a_dng_whose_strips_reach_beyond_the_file_is_corrupt(tmp_path: Path) -> None:
    data, (strip, beyond) = (
        tiff(sensor(QUARTERS)),
        (struct.pack("<HHII", 279, 4, 1, size) for size in (480_000, 490_000)),
    )
    (tmp_path / "a.dng").write_bytes(data.replace(strip, beyond))
    with pytest.raises(ImageError, match="breaks off"):
        load_pixels(tmp_path / "a.dng", SPEC)


def test_a_dng_that_lacks_a_tile_is_corrupt(tmp_path: Path) -> None:
    page = sensor(QUARTERS)
    page.tags |= {322: (4, [304]), 323: (4, [400]), 324: (4, [8, 8]), 325: (4, [243_200, 243_200])}
    (tmp_path / "a.dng").write_bytes(tiff(page))
    load_pixels(tmp_path / "a.dng", SPEC)
    page.tags |= {324: (4, [8]), 325: (4, [243_200])}
    (tmp_path / "a.dng").write_bytes(tiff(page))
    with pytest.raises(ImageError, match="breaks off"):
        load_pixels(tmp_path / "a.dng", SPEC)


def test_a_sensor_too_large_is_refused_before_it_is_developed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("c2srt_cli.images.bounds.MAX_DECODED", 600 * 400 * 10 - 1)
    (tmp_path / "a.dng").write_bytes(tiff(sensor(QUARTERS)))
    with pytest.raises(ImageError) as caught:
        load_pixels(tmp_path / "a.dng", SPEC)
    assert caught.value.reason == "too-large"
    (tmp_path / "b.dng").write_bytes(with_preview(QUARTERS, jpeg(QUARTERS), (600, 400)))
    assert corners(tmp_path / "b.dng")[1] == (600, 400)  # nothing is developed


def test_folders_are_searched_for_what_the_extras_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.CR2", "b.jxl", "c.jpg"):
        (tmp_path / name).write_bytes(b"")
    assert [file.name for file in find_images([str(tmp_path)]).files] == ["a.CR2", "b.jxl", "c.jpg"]
    assert searched_suffixes() > () and set(searched_suffixes()) >= RAW_SUFFIXES
    (tmp_path / "a.CR2").write_bytes(tiff(sensor(QUARTERS)))
    assert extra_reads(tmp_path / "a.CR2")
    monkeypatch.setitem(sys.modules, "rawpy", None)
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    found = find_images([str(tmp_path)])
    assert [file.name for file in found.files] == ["c.jpg"]
    assert "1 .cr2" in found.left_out and "1 .jxl" in found.left_out
    assert not extra_reads(tmp_path / "a.CR2")
    with pytest.raises(ImageError, match=r"c2srt\[raw\]"):
        load_pixels(tmp_path / "a.CR2", SPEC)


def test_jpeg_xl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    Image.fromarray(QUARTERS).save(file, "JXL", quality=95)
    for start in (b"", b"\0\0\0\x0cJXL \r\n\x87\n"):  # bare, and in boxes, which Pillow is not asked to make
        if not start:
            (tmp_path / "a.jxl").write_bytes(file.getvalue())
            assert corners(tmp_path / "a.jxl") == (UPRIGHT[1], (600, 400))
        else:
            (tmp_path / "b.jxl").write_bytes(start + b"broken")
            with pytest.raises(ImageError):
                load_pixels(tmp_path / "b.jxl", SPEC)
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    with pytest.raises(ImageError, match=r"c2srt\[jxl\]"):
        load_pixels(tmp_path / "a.jxl", SPEC)
