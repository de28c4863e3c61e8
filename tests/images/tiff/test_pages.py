import sys
from pathlib import Path

import numpy as np
import pytest
from odd_files import encode, exif, picture
from tiffs import TiffPage, page, tiff

from c2srt_cli.errors import ImageError
from c2srt_cli.images import PixelSpec, load_pixels
from c2srt_cli.images.tiff import open_tiff, read_orientation

LARGE = np.asarray(picture())
SMALL = LARGE[::4, ::4]


def shown(*pages: TiffPage, order: str = "<", big: bool = False) -> tuple[int, int]:
    """Width and height of the page that is taken for the picture; its content is that of the large picture."""
    data = tiff(*pages, order=order, big=big)
    return open_tiff(data).size


def rgb(values: np.ndarray, subfile: int | None = None, **tags: object) -> TiffPage:
    more = {} if subfile is None else {"254": (4, [subfile])}
    return page(np.ascontiguousarray(values), 2, tags=more | tags)


def test_the_first_page_is_the_picture() -> None:
    half = LARGE[::2, ::2]
    assert shown(rgb(LARGE), rgb(half)) == (96, 64)
    assert shown(rgb(half), rgb(LARGE)) == (48, 32)  # a smaller page is no thumbnail
    assert shown(rgb(half, 2), rgb(LARGE, 2)) == (48, 32)  # pages of a document


@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True), (">", True)])
def test_thumbnails_and_masks_are_not_the_picture(order: str, big: bool) -> None:
    mask = page(np.full((256, 256), 255, np.uint8), 4, tags={254: (4, [4])})
    old = rgb(SMALL, None, **{"255": (3, [2])})
    for pages in (
        [rgb(SMALL, 1), rgb(LARGE, 0)],
        [rgb(SMALL, 1), rgb(LARGE[::2, ::2], 1), rgb(LARGE)],
        [old, rgb(LARGE)],
        [mask, rgb(LARGE)],
        [rgb(SMALL), rgb(LARGE)],  # not marked, but many times smaller
        [rgb(LARGE), rgb(LARGE[::2, ::2], 1), rgb(SMALL, 1)],  # a pyramid
        [rgb(LARGE), mask],
    ):
        assert shown(*pages, order=order, big=big) == (96, 64)


def test_the_picture_may_stand_below_its_thumbnail() -> None:
    for thumbnail in (rgb(SMALL, 1), rgb(LARGE[::2, ::2])):
        thumbnail.below = [rgb(LARGE, 0)]
        assert shown(thumbnail) == (96, 64)
    whole = rgb(LARGE)
    whole.below = [rgb(LARGE[::2, ::2], 1), rgb(SMALL, 1)]
    assert shown(whole) == (96, 64)
    nothing_else = rgb(SMALL, 1)
    assert shown(nothing_else) == (24, 16)


def test_the_page_below_lies_as_the_page_above(tmp_path: Path) -> None:
    top = rgb(SMALL, 1, **{"274": (3, [6])})
    top.below = [rgb(LARGE, 0)]
    (tmp_path / "a.tif").write_bytes(tiff(top))
    got = load_pixels(tmp_path / "a.tif", PixelSpec(16))
    assert (got.width, got.height) == (64, 96)


def test_chains_that_never_end_or_break_off() -> None:
    one = rgb(LARGE)
    data = bytearray(tiff(one))
    data[-4:] = data[4:8]  # the next page is the first
    assert open_tiff(bytes(data)).size == (96, 64)
    data[-4:] = b"\xff\xff\xff\x7f"
    assert open_tiff(bytes(data)).size == (96, 64)
    top = rgb(SMALL, 1)
    top.tags[330] = (4, [8, 2**31, 3])
    assert shown(top) == (24, 16)


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        ({"50706": (1, [1, 4, 0, 0])}, "DNG"),
        ({"271": b"NIKON CORPORATION\0"}, "NIKON CORPORATION"),
        ({"271": b"SONY\0"}, "SONY"),
        ({}, "TIFF in form"),
    ],
)
def test_raw_is_refused_and_its_preview_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tags: dict[str, object], name: str
) -> None:
    """What NEF, ARW, PEF, SRW and DNG look like: a preview, and below it what the sensor saw."""
    monkeypatch.setitem(sys.modules, "rawpy", None)
    preview = rgb(SMALL, 1, **tags)
    sensor = page(np.zeros((64, 96), np.uint16), 32803, tags={254: (4, [0])})
    for below, chain in (([sensor], []), ([], [sensor]), ([rgb(LARGE[::2, ::2], 1), sensor], [])):
        preview.below = below
        for called in ("a.nef", "a.tif", "a.jpg"):
            (tmp_path / called).write_bytes(tiff(preview, *chain))
            with pytest.raises(ImageError, match="RAW") as caught:
                load_pixels(tmp_path / called, PixelSpec(32))
            assert caught.value.reason == "unsupported" and name in caught.value.detail


def test_raw_by_its_compression_or_its_first_bytes() -> None:
    for code in (34713, 32767, 65535, 65000):
        preview = rgb(SMALL, 1)
        preview.below = [page(np.zeros((64, 96), np.uint8), 1, tags={259: (3, [code])})]
        with pytest.raises(ImageError, match="RAW"):
            open_tiff(tiff(preview))
    data = tiff(rgb(LARGE))
    for mark in (b"CR\2\0", b"IIII"):
        with pytest.raises(ImageError, match="RAW"):
            open_tiff(data[:8] + mark + data[12:])


def test_orientation_of_an_exif_block() -> None:
    for orientation in range(1, 9):
        assert read_orientation(exif(orientation).tobytes()) == orientation
    for broken in (
        b"",
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\x7f",
        exif(9).tobytes(),
        b"Exif\0\0MM\0*\0\0\0\x08\0\1",
    ):
        assert read_orientation(broken) == 0


def test_directories_are_read_as_pillow_writes_them() -> None:
    for options in ({}, {"compression": "tiff_lzw"}, {"big_tiff": True}):
        opened = open_tiff(encode(picture(), "TIFF", **options))
        np.testing.assert_array_equal(np.asarray(opened.decode()), LARGE)
        assert (opened.size, opened.orientation, opened.profile) == ((96, 64), 0, b"")
