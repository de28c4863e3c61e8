import struct
import sys
from pathlib import Path

import pytest
from odd_files import encode, picture

from c2srt_cli.errors import ImageError
from c2srt_cli.images import PixelSpec, extra_reads, formats, load_pixels

FTYP = struct.pack(">I", 24) + b"ftyp"


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"FUJIFILMCCD-RAW 0201FF383001", "Fujifilm"),
        (b"IIRO\x08\0\0\0", "Olympus"),
        (b"IIRS\x08\0\0\0", "Olympus"),
        (b"MMOR\0\0\0\x08", "Olympus"),
        (b"IIU\0\x18\0\0\0", "Panasonic"),
        (b"II\x1a\0\0\0HEAPCCDR", "Canon CRW"),
        (FTYP + b"crx \0\0\0\1crx isom", "Canon CR3"),
        (b"FOVb\0\0\2\0", "Sigma"),
        (b"\0MRM\0\0\0\0", "Minolta"),
        (b"II*\0\x10\0\0\0CR\2\0", "Canon CR2"),
    ],
)
@pytest.mark.parametrize("called", ["a.raw", "a.tif", "a.jpg"])
def test_raw_is_known_by_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: bytes, name: str, called: str
) -> None:
    """With a whole JPEG in it, as these files have."""
    monkeypatch.setitem(sys.modules, "rawpy", None)
    (tmp_path / called).write_bytes(start + bytes(500) + encode(picture(), "JPEG"))
    with pytest.raises(ImageError, match="RAW") as caught:
        load_pixels(tmp_path / called, PixelSpec(32))
    assert caught.value.reason == "unsupported" and name in caught.value.detail
    assert "c2srt[raw]" in caught.value.detail
    monkeypatch.undo()
    with pytest.raises(ImageError, match="LibRaw cannot read") as caught:
        load_pixels(tmp_path / called, PixelSpec(32))
    assert caught.value.reason in ("unsupported", "corrupt")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"8BPS\0\1", "Photoshop"),
        (encode(picture(), "JPEG2000"), "JPEG 2000"),
        (encode(picture(), "ICO"), "icon"),
        (b"gimp xcf v011\0", "GIMP"),
        (b"\0\5\x16\7\0\2\0\0Mac OS X", "AppleDouble"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "LFS"),
        (FTYP + b"isom\0\0\2\0isommp41", "film"),
        (b"BM is a text that begins as a bitmap would", "none of"),
    ],
)
def test_other_formats_are_called_by_their_names(content: bytes, name: str) -> None:
    with pytest.raises(ImageError, match=name) as caught:
        formats.format_of(content)
    assert caught.value.reason == "unsupported"


def test_what_an_extra_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.heic").write_bytes(FTYP + b"heic\0\0\0\0mif1heic")
    (tmp_path / "a.avif").write_bytes(encode(picture(), "AVIF"))
    (tmp_path / "a.jpg").write_bytes(encode(picture(), "JPEG"))
    assert extra_reads(tmp_path / "a.avif") and not extra_reads(tmp_path / "a.jpg")
    assert not extra_reads(tmp_path / "gone.heic")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert not extra_reads(tmp_path / "a.heic")


def test_suffixes_are_either_read_or_not() -> None:
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in formats.SUFFIXES)
    assert not formats.RAW_SUFFIXES & formats.OTHER_SUFFIXES
    assert not (formats.RAW_SUFFIXES | formats.OTHER_SUFFIXES) & set(formats.SUFFIXES)
    assert {".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2"} <= formats.RAW_SUFFIXES
    assert {".jxl", ".psd", ".jp2", ".svg", ".xcf", ".ico"} <= formats.OTHER_SUFFIXES
