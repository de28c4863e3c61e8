import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from c2srt_cli.errors import ImageError
from c2srt_cli.images import find_images
from c2srt_cli.review.thumbnails import SIDE, Thumbnail, forget_others, make_thumbnails, thumbnail_path

ODD = ("a.png", "..b\\c.png", "x/<img src=x onerror=alert(1)>.png", "CON.png", "é\n日.png", "a" * 200 + ".png")


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make(out: Path, root: Path, *names: str, known: Mapping[str, str] | None = None) -> list[Thumbnail | ImageError]:
    return make_thumbnails(out, root, names, known or {}, 2)


def quarters(size: tuple[int, int] = (300, 200), *, orientation: int = 1) -> bytes:
    """A picture that is red, green, blue and white in its corners, as the file of a camera that was held so."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    half = (size[1] // 2, size[0] // 2)
    pixels[: half[0], : half[1]], pixels[: half[0], half[1] :] = (255, 0, 0), (0, 255, 0)
    pixels[half[0] :, : half[1]], pixels[half[0] :, half[1] :] = (0, 0, 255), (255, 255, 255)
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "<script>alert(1)</script>"
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95, exif=exif)
    return stream.getvalue()


def corners(path: Path) -> list[tuple[int, ...]]:
    with Image.open(path) as picture:
        width, height = picture.size
        places = [(5, 5), (width - 6, 5), (5, height - 6), (width - 6, height - 6)]
        return [tuple(255 * (value > 127) for value in picture.convert("RGB").getpixel(place)) for place in places]  # type: ignore[union-attr]


R, G, B, W = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


@pytest.mark.parametrize(
    ("orientation", "expected", "sides"),
    [
        (1, [R, G, B, W], (300, 200)),
        (3, [W, B, G, R], (300, 200)),
        (6, [B, R, W, G], (200, 300)),
        (5, [R, B, G, W], (200, 300)),
    ],
)
def test_upright_whole_and_bare(
    orientation: int, expected: list[tuple[int, ...]], sides: tuple[int, int], tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(quarters(orientation=orientation))
    (found,) = make(tmp_path / "out", tmp_path, "a.jpg")
    assert found == Thumbnail(sha(tmp_path / "a.jpg"), *sides, made=True)
    path = tmp_path / "out" / thumbnail_path(found.sha256)
    assert corners(path) == expected
    with Image.open(path) as picture:
        assert picture.size == (SIDE, 256) if sides[0] > sides[1] else (256, SIDE)
        assert not picture.getexif()
    assert b"script" not in path.read_bytes()


def test_no_name_from_outside_is_a_files_name(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for number, name in enumerate(ODD):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(quarters((30 + number, 20)))
    before = {path: path.read_bytes() for path in (tmp_path / "photos").rglob("*.png")}
    found = make(out, tmp_path / "photos", *ODD)
    assert all(isinstance(one, Thumbnail) for one in found)
    expected = {thumbnail_path(sha(tmp_path / "photos" / name)) for name in ODD}
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == expected
    assert {path: path.read_bytes() for path in (tmp_path / "photos").rglob("*.png")} == before


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(quarters((300, 200 + ord(name[0]))))
    out, known = tmp_path / "out", {name: sha(tmp_path / name) for name in ("a.jpg", "b.jpg", "c.jpg")}
    first = make(out, tmp_path, *known)
    (tmp_path / "a.jpg").unlink()  # its disk is elsewhere: the thumbnail says what it was
    broken = out / thumbnail_path(known["b.jpg"])
    broken.write_bytes(broken.read_bytes()[:-100])
    (out / thumbnail_path(known["c.jpg"])).unlink()
    again = make(out, tmp_path, *known, known=known)
    assert [one.made for one in again if isinstance(one, Thumbnail)] == [False, True, True]
    sides = [
        [(one.sha256, one.width, one.height) for one in found if isinstance(one, Thumbnail)] for found in (first, again)
    ]
    assert sides[0] == sides[1]
    (unknown,) = make(out, tmp_path, "b.jpg")
    assert isinstance(unknown, Thumbnail) and not unknown.made
    forget_others(out, {thumbnail_path(known["b.jpg"])})
    assert [path.name for path in out.rglob("*.jpg")] == [broken.name]


def test_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff nothing")
    bad, gone = make(tmp_path / "out", tmp_path, "a.jpg", "b.jpg")
    assert isinstance(bad, ImageError) and isinstance(gone, ImageError)
    assert (bad.reason, gone.reason) == ("corrupt", "missing")


def test_thumbnails_are_no_photographs(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(quarters())
    make(tmp_path / "review", tmp_path, "a.jpg")
    assert [file.name for file in find_images([str(tmp_path)]).files] == ["a.jpg"]
