"""Photographs that would take more time or memory than any should: refused, or read without what is too much."""

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from odd_files import encode, exif, flat_jpeg, jpeg_segment, picture, png_chunk, stored
from PIL import Image, PngImagePlugin
from tiffs import TiffPage, page, tiff

from c2srt_cli.errors import ImageError
from c2srt_cli.images import PixelSpec, bounds, gif, jpeg, load_pixels, opened, png

LARGE = np.asarray(picture())


def load(path: Path, data: bytes) -> str:
    """``ok`` where the picture is the one that was hidden in all this, else the reason and the detail."""
    path.write_bytes(data)
    try:
        got = load_pixels(path, PixelSpec(64, draft=False))
    except ImageError as error:
        return f"{error.reason}: {error.detail}"
    assert np.abs(got.array.astype(int) - LARGE[:, 16:80].astype(int)).mean() < 12
    return "ok"


def scans(count: int, sides: int = 64, between: bytes = b"") -> bytes:
    """A grey progressive JPEG: flat, its coefficients said to be nothing again and again."""
    head = b"\xff\xd8" + jpeg_segment(0xDB, b"\0" + b"\1" * 64)
    head += jpeg_segment(0xC2, struct.pack(">BHHB", 8, sides, sides, 1) + b"\1\x11\0")
    head += jpeg_segment(0xC4, b"\0\1" + bytes(15) + b"\0") + jpeg_segment(0xC4, b"\x10\1" + bytes(15) + b"\xe0")
    blocks = (-(-sides // 8)) ** 2
    first = jpeg_segment(0xDA, b"\1\1\0\0\0\0") + bytes(-(-blocks // 8))
    runs = -(-blocks // 32767)
    bits = ("0" + "1" * 14) * runs
    bits += "1" * (-len(bits) % 8)
    more = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    return head + first + (between + jpeg_segment(0xDA, b"\1\1\0\1\x3f\0") + more) * (count - 1) + b"\xff\xd9"


def test_scans_are_counted_and_weighed_by_the_pictures_size() -> None:
    assert jpeg.read_markers(scans(100)).width == 64
    for data, most in (
        (scans(101), 100),
        (scans(40, 10_000), 30),
        (scans(101, between=jpeg_segment(0xFE, b"\xff\xd9")), 100),
    ):
        with pytest.raises(ImageError, match=f"scans .*at most {most} ") as caught:
            jpeg.read_markers(data)
        assert caught.value.reason == "too-large"
    # what looks like scans, in a thumbnail, a comment or behind the end, is none
    looks = b"\xff\xda" * 200
    plain = encode(picture(), "JPEG", progressive=True)
    scan = plain.index(b"\xff\xda", plain.index(b"\xff\xda") + 2)
    for data in (plain + looks, plain[:2] + jpeg_segment(0xFE, looks) + plain[2:]):
        jpeg.read_markers(data)
    jpeg.read_markers(plain[:scan] + jpeg_segment(0xFE, looks) + plain[scan:])
    with Image.open(io.BytesIO(scans(100))) as image:
        image.load()  # it is a JPEG


def test_repeated_scans_of_a_sequential_jpeg_are_counted_too() -> None:
    plain = encode(picture(), "JPEG", subsampling="4:4:4")
    start = plain.index(b"\xff\xda")
    one = jpeg_segment(0xDA, b"\1\1\0\0\x3f\0") + bytes(10)
    with pytest.raises(ImageError, match="scans"):
        jpeg.read_markers(plain[:start] + one * 101 + b"\xff\xd9")


def test_headers_are_bounded(tmp_path: Path) -> None:
    plain = encode(picture(), "JPEG", quality=90)
    head, rest = plain[:2], plain[2:]
    path = tmp_path / "a.jpg"
    assert load(path, head + b"\xff" * 60_000 + rest) == "ok"
    assert load(path, head + b"\xff" * 70_000 + rest).startswith("too-large: 70,001 fill bytes")
    assert load(path, head + jpeg_segment(0xFE, b"") * 9_000 + rest) == "ok"
    assert "segments" in load(path, head + jpeg_segment(0xFE, b"") * 10_001 + rest)
    block = jpeg_segment(0xE1, b"Exif\0\0" + bytes(1000))
    assert load(path, head + block * 16 + rest) == "ok"
    assert "17 EXIF" in load(path, head + block * 17 + rest)
    assert load(path, head + b"\xff" * 50).startswith("corrupt")
    # fill bytes and restarts where the picture ends: libjpeg passes over them, in time that grows as they do
    for many in (b"\xff" * 5_000_000, b"\xff\xd0" * 1_000_000):
        assert load(path, plain[:-2] + many + b"\xff\xd9") == "ok"


@pytest.mark.parametrize("frame", [b"\xff\xc3", b"\xff\xc5", b"\xff\xcb"])
def test_jpegs_of_other_processes_and_depths_are_unsupported(tmp_path: Path, frame: bytes) -> None:
    plain = encode(picture(), "JPEG")
    place = plain.index(b"\xff\xc0")
    assert load(tmp_path / "a.jpg", plain.replace(b"\xff\xc0", frame)).startswith(
        "unsupported: hierarchical or lossless"
    )
    deep = plain[: place + 4] + b"\x0c" + plain[place + 5 :]
    assert load(tmp_path / "a.jpg", deep).startswith("unsupported: JPEG of 12 bits")


def test_png_without_its_texts(tmp_path: Path) -> None:
    plain = encode(picture(), "PNG")
    head, rest = plain[:33], plain[33:]
    huge = zlib.compress(bytes(PngImagePlugin.MAX_TEXT_CHUNK + 1))
    path = tmp_path / "a.png"
    for chunk in (
        png_chunk(b"zTXt", b"Comment\0\0" + huge),
        png_chunk(b"iTXt", b"Comment\0\1\0\0\0" + huge),
        png_chunk(b"iCCP", b"profile\0\0" + huge),
        png_chunk(b"iCCP", b"profile\0\0no stream"),
        png_chunk(b"iCCP", b"profile"),
        png_chunk(b"eXIf", bytes(5_000_000)),
        png_chunk(b"tEXt", b"Comment\0" + b"a" * 100) * 20_000,
        png_chunk(b"fcTL", b"nonsense"),
        png_chunk(b"gAMA", b"")[:-4] + b"\0\0\0\0",  # its checksum is wrong
    ):
        assert load(path, head + chunk + rest) == "ok"
    assert load(path, head + png_chunk(b"PLTE", bytes(9))[:-4] + b"\0\0\0\0" + rest).startswith("corrupt: the checksum")
    assert load(path, plain[:-12]).startswith("corrupt")
    assert load(path, plain[:-1]).startswith("corrupt")


def test_png_has_a_bound_of_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "_MOST_CHUNKS", 10)
    plain = encode(picture(), "PNG")
    png.read_chunks(plain[:33] + png_chunk(b"tEXt", b"a\0b") * 7 + plain[33:])
    with pytest.raises(ImageError, match="at most 10 are") as caught:
        png.read_chunks(plain[:33] + png_chunk(b"tEXt", b"a\0b") * 9 + plain[33:])
    assert caught.value.reason == "too-large"


def test_orientation_of_a_png_wherever_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    plain = encode(stored(6), "PNG")
    block = exif(6).tobytes()
    lines = f"\nexif\n{len(block):8}\n{block.hex()}\n".encode()
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    for chunk in (
        png_chunk(b"eXIf", block.removeprefix(b"Exif\0\0")),
        png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(lines)),
        png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp),
    ):
        assert load(path, plain[:33] + chunk + plain[33:]) == "ok"
        assert load(path, plain[:-12] + chunk + plain[-12:]) == "ok"


def test_gif_without_all_but_its_first_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    plain = encode(picture(), "GIF")
    table = 13 + (3 << ((plain[10] & 7) + 1))
    comment = b"\x21\xfe" + (b"\xff" + b"c" * 255) * 20_000 + b"\0"
    assert load(path, plain[:table] + comment + plain[table:]) == "ok"
    assert load(path, plain[:-1] + plain[table:-1] * 500 + b";") == "ok"
    assert load(path, plain[:-1]) == "ok"  # nothing of the frame is gone
    assert load(path, plain[: len(plain) // 2]).startswith("corrupt")
    assert load(path, plain[:table] + b";").startswith("corrupt: there is no frame")
    for data in (plain[:10], b"GIF89a", plain[:table]):
        with pytest.raises(ImageError):
            gif.first_frame(data)


def test_a_first_gif_frame_smaller_than_the_screen_stands_on_white(tmp_path: Path) -> None:
    frame = Image.new("P", (8, 8), 1)
    frame.putpalette([200, 0, 0, 0, 0, 200])
    frame.paste(0, (0, 0, 8, 4))
    for options, upper in (({}, (200, 0, 0)), ({"transparency": 0}, (255, 255, 255))):
        data = bytearray(encode(frame, "GIF", optimize=False, **options))
        data[6:10] = struct.pack("<HH", 16, 16)
        place = data.index(b"\x2c", 13 + (3 << ((data[10] & 7) + 1)))
        data[place + 1 : place + 5] = struct.pack("<HH", 4, 4)
        (tmp_path / "a.gif").write_bytes(data)
        got = load_pixels(tmp_path / "a.gif", PixelSpec(16)).array
        assert (got[8:12, 4:12] == (0, 0, 200)).all() and (got[4:8, 4:12] == upper).all()
        got[4:12, 4:12] = 255
        assert (got == 255).all()


def test_tiff_of_a_million_pieces_or_tags(tmp_path: Path) -> None:
    rows = LARGE.reshape(64, -1)
    one = page(LARGE, 2, tags={278: (4, [1])})
    one.strips = [row.tobytes() for row in rows]
    assert load(tmp_path / "a.tif", tiff(one)) == "ok"
    many = TiffPage({**one.tags, 322: (4, [1]), 323: (4, [1]), 256: (4, [1025]), 257: (4, [1024])})
    many.tags |= {324: (4, [8]), 325: (4, [1])}
    assert load(tmp_path / "a.tif", tiff(many)).startswith("too-large: 1,049,600 strips or tiles")
    data = tiff(page(LARGE, 2))
    # thousands of tags that all hold the whole file
    first = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[first : first + 2], "little")
    extra = b"".join(
        struct.pack("<HHII", tag, 7, len(data), 0) for tag in range(33_000, 63_000) if tag not in (34675, 50706)
    )
    head = struct.pack("<H", count + len(extra) // 12)
    body = data[:4] + struct.pack("<I", len(data)) + data[8:] + head + data[first + 2 : first + 2 + 12 * count] + extra
    assert load(tmp_path / "a.tif", body + bytes(4)) == "ok"


def test_bytes_of_the_decoded_form_are_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_PIXELS", 20_000)
    monkeypatch.setattr(bounds, "MAX_DECODED", 120_000)
    grey = np.zeros((100, 100))
    for values, is_read in (
        (np.zeros((100, 100, 3), np.uint16), True),
        (np.zeros((100, 100, 4), np.float32), False),
        (np.zeros((100, 200, 3), np.uint16), True),
        (np.zeros((100, 201, 3), np.uint16), False),
        (grey.astype(np.float64), True),
        (np.zeros((100, 160), np.float64), False),
        (np.zeros((201, 100), np.uint8), False),
    ):
        path = tmp_path / "a.tif"
        path.write_bytes(tiff(page(values, 2 if values.ndim == 3 else 1)))
        try:
            load_pixels(path, PixelSpec(8))
        except ImageError as error:
            assert not is_read and error.reason == "too-large" and "at most" in error.detail
        else:
            assert is_read
    # a progressive JPEG keeps its coefficients beside the picture
    data = encode(Image.new("RGB", (150, 120)), "JPEG", progressive=True, subsampling="4:4:4")
    assert jpeg.read_markers(data).buffered == 150 * 120 * 3 * 2
    assert jpeg.read_markers(encode(Image.new("RGB", (150, 120)), "JPEG")).buffered == 0
    half = encode(Image.new("RGB", (150, 120)), "JPEG", progressive=True, subsampling="4:2:0")
    assert jpeg.read_markers(half).buffered == 150 * 120 * 3
    path.write_bytes(data)
    with pytest.raises(ImageError, match="bytes when decoded"):
        load_pixels(path, PixelSpec(150, draft=False))


@pytest.mark.parametrize(("kind", "place"), [("VP8X", 24), ("VP8 ", 26), ("VP8L", 21)])
def test_webp_is_refused_by_its_header(monkeypatch: pytest.MonkeyPatch, kind: str, place: int) -> None:
    """Pillow would take memory for it when it opens it."""
    image = picture() if kind != "VP8X" else Image.merge("RGBA", (*picture().split(), Image.new("L", (96, 64), 9)))
    data = encode(image, "WEBP", lossless=kind == "VP8L")
    assert data[12:16] == kind.encode() and place < len(data)
    opened._check_canvas(data)
    monkeypatch.setattr(bounds, "MAX_PIXELS", 96 * 64 - 1)
    with pytest.raises(ImageError, match="96 x 64 pixels"):
        opened._check_canvas(data)


def test_run_length_coded_bmp_is_bounded(tmp_path: Path) -> None:
    def coded(width: int, height: int) -> bytes:
        header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 256, 0)
        return (
            b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + 1024) + header + bytes(1024) + b"\x01\0\0\0" * height + b"\0\1"
        )

    (tmp_path / "a.bmp").write_bytes(coded(30, 20))
    assert load_pixels(tmp_path / "a.bmp", PixelSpec(8)).width == 30
    (tmp_path / "a.bmp").write_bytes(coded(3000, 3000))
    with pytest.raises(ImageError, match="pixels in runs") as caught:
        load_pixels(tmp_path / "a.bmp", PixelSpec(8))
    assert caught.value.reason == "too-large"


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of a process as Linux gives it")
def test_memory_of_a_large_picture(tmp_path: Path) -> None:
    """60 million pixels of 16 bits take little more than their 8-bit form, whichever way they come."""
    height, width = 6000, 10_000
    stream = zlib.compressobj(1)
    strips = [zlib.compress(bytes(2 * width * 500), 1)] * 12
    one = TiffPage({256: (4, [width]), 257: (4, [height]), 258: (3, [16]), 259: (3, [8]), 262: (3, [1]), 277: (3, [1])})
    one.tags[278], one.strips = (4, [500]), strips
    (tmp_path / "a.tif").write_bytes(tiff(one))
    rows = b"".join(stream.compress(bytes(2 * width + 1)) for _ in range(height)) + stream.flush()
    ihdr = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + ihdr + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b""))
    (tmp_path / "small.png").write_bytes(encode(picture(), "PNG"))
    code = (
        "import resource, sys; from pathlib import Path; from c2srt_cli.images import PixelSpec, load_pixels\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "load_pixels(Path(sys.argv[1]), PixelSpec(64)); before = peak()\n"
        "load_pixels(Path(sys.argv[2]), PixelSpec(64)); print(peak() - before)"
    )
    for name, most in (("a.tif", 450), ("a.png", 550)):
        command = [sys.executable, "-c", code, str(tmp_path / "small.png"), str(tmp_path / name)]
        run = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
        assert int(run.stdout) < most, name


def test_flat_jpeg_of_any_size_has_one_scan() -> None:
    assert jpeg.read_markers(flat_jpeg(14_000, 14_000)).buffered == 0
