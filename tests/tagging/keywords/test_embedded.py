"""Keywords that photographs hold themselves, as exiftool and hand-made blocks put them in."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from exiftool import needs_exiftool, read_tags, write_tags
from packets import bag, packet
from PIL import Image

from c2srt_cli.images.metadata import read_metadata
from c2srt_cli.tagging.keywords.embedded import read_embedded
from c2srt_cli.tagging.keywords.iptc import read_keywords
from c2srt_cli.tagging.keywords.packet import PacketError

SEA = packet(bag("dc:subject", "sea", "Ann") + bag("lr:hierarchicalSubject", "People|Ann"))
WORDS = (("sea",), ("Ann",), ("People", "Ann"))


def encoded(kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(stream, kind, **options)
    return stream.getvalue()


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def jpeg(*segments: bytes) -> bytes:
    data = encoded("JPEG")
    return data[:2] + b"".join(segments) + data[2:]


def app1(xmp: bytes) -> bytes:
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)


def iim(*datasets: tuple[int, int, bytes]) -> bytes:
    return b"".join(struct.pack(">BBBH", 0x1C, record, number, len(data)) + data for record, number, data in datasets)


def photoshop(block: bytes, name: bytes = b"\0\0") -> bytes:
    other = b"8BIM\x03\xed" + b"\0\0" + struct.pack(">L", 3) + b"abc\0"
    return other + b"8BIM\x04\x04" + name + struct.pack(">L", len(block)) + block + b"\0" * (len(block) % 2)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))


def png(*chunks: bytes, late: bool = True) -> bytes:
    data = encoded("PNG")
    place = data.index(b"IEND") - 4 if late else 33  # 33: behind the header
    return data[:place] + b"".join(chunks) + data[place:]


def profile(kind: bytes, data: bytes) -> bytes:
    text = b"\n" + kind + b"\n" + b"%8d" % len(data) + b"\n" + data.hex().encode() + b"\n"
    return chunk(b"zTXt", b"Raw profile type " + kind + b"\0\0" + zlib.compress(text))


SUN = iim((1, 90, b"\x1b%G"), (2, 25, "Köln".encode()), (2, 5, b"a title"), (2, 25, b"sea"))
EXTENDED = b"0123456789ABCDEF0123456789ABCDEF"
MAIN = packet(bag("dc:subject", "sea", "Ann") + f"<xmp:Note>{EXTENDED.decode()}</xmp:Note>")
REST = packet(bag("lr:hierarchicalSubject", "People|Ann"))


def extension(offset: int, data: bytes, identity: bytes = EXTENDED) -> bytes:
    head = identity + struct.pack(">LL", len(REST), offset)
    return segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + head + data)


@pytest.mark.parametrize(
    ("data", "keywords"),
    [
        (jpeg(app1(SEA)), WORDS),
        (jpeg(app1(SEA + b"\0" * 9)), WORDS),
        (jpeg(app1(MAIN), extension(300, REST[300:]), extension(0, REST[:300])), WORDS),
        (jpeg(app1(SEA), extension(0, b"<not XML lr:hierarchicalSubject", b"F" * 32)), WORDS),
        (jpeg(segment(0xED, b"Photoshop 3.0\0" + photoshop(SUN))), (("Köln",), ("sea",))),
        (jpeg(segment(0xED, b"Photoshop 3.0\0" + photoshop(SUN, b"\x03abc"))), (("Köln",), ("sea",))),
        (jpeg(*(segment(0xED, b"Photoshop 3.0\0" + part) for part in (photoshop(SUN)[:40], photoshop(SUN)[40:]))),
         (("Köln",), ("sea",))),
        (jpeg(app1(SEA), segment(0xED, b"Photoshop 3.0\0" + photoshop(SUN))),
         (("sea",), ("Ann",), ("Köln",), ("People", "Ann"))),
        (png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + SEA)), WORDS),
        (png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + SEA), late=False), WORDS),
        (png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(SEA))), WORDS),
        (png(profile(b"xmp", SEA), profile(b"iptc", photoshop(SUN)), chunk(b"tEXt", b"Raw profile type iptc\0x 1 z")),
         (("sea",), ("Ann",), ("Köln",), ("People", "Ann"))),
        (encoded("WEBP", xmp=SEA), WORDS),
        (encoded("TIFF", tiffinfo={700: SEA}), WORDS),
        (encoded("TIFF", tiffinfo={34377: photoshop(SUN)}), (("Köln",), ("sea",))),
        (encoded("GIF").replace(b",", b"!\xff\x0bXMP DataXMP" + SEA + b"\x01\xff\xfe\xfd" + b"\0,", 1), WORDS),
        (encoded("AVIF", xmp=SEA), WORDS),
        (jpeg(app1(b"\xff\xfe" + SEA.decode().encode("utf-16-le"))), WORDS),
        (jpeg(app1(b"<broken")), ()),
        (encoded("JPEG"), ()),
        (encoded("BMP"), ()),
        (b"no photograph", ()),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"zTXt", b"Raw profile type iptc\0\0broken"), ()),
    ],
)  # fmt: skip
def test_keywords_of_a_photograph(tmp_path: Path, data: bytes, keywords: tuple[tuple[str, ...], ...]) -> None:
    path = tmp_path / "a"
    path.write_bytes(data)
    assert read_embedded(path).keywords == keywords


def test_heic(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.new("RGB", (64, 64), "teal")).save(tmp_path / "a.heic", xmp=SEA)
    assert read_embedded(tmp_path / "a.heic").keywords == WORDS


def test_keywords_that_cannot_be_read_are_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(app1(SEA[:-90])))
    with pytest.raises(PacketError, match=r"which it would hide, cannot be read: not well-formed"):
        read_embedded(path)
    with pytest.raises(FileNotFoundError):
        read_embedded(tmp_path / "b.jpg")


def test_what_c2srt_wrote_into_a_sidecar_is_no_keyword_of_the_photograph_s(tmp_path: Path) -> None:
    """Somebody has copied a sidecar into the photograph."""
    own = bag("dc:subject", "sea", "cat") + bag("c:addedSubject", "cat")
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(app1(packet(own, 'xmlns:c="urn:c2srt:xmp#"'))))
    assert read_embedded(path).keywords == (("sea",),)


@pytest.mark.parametrize(
    ("charset", "raw", "keyword"),
    [
        (b"\x1b%G", "Zoë 猫".encode(), "Zoë 猫"),
        (b"\x1b%/I", "Zoë".encode(), "Zoë"),
        (b"", "Zoë".encode(), "Zoë"),
        (b"", "Zoë €".encode("cp1252"), "Zoë €"),
        (b"\x1b.A", "Zoë".encode("latin-1"), "Zoë"),
        (b"\x1b-A", "Zoë".encode("latin-1"), "Zoë"),
        (b"\x1b-L", "Москва".encode("iso8859-5"), "Москва"),
        (b"\x1b-F", "Αθήνα".encode("iso8859-7"), "Αθήνα"),
        (b"\x1b%G", b"Zo\xeb", "Zoë"),  # it says what it is not
        (b"\x1b%G", b"  sea \0", "sea"),
    ],
)  # fmt: skip
def test_characters_of_iptc(charset: bytes, raw: bytes, keyword: str) -> None:
    head = [(1, 90, charset)] if charset else []
    assert read_keywords(iim(*head, (2, 25, raw), (2, 25, b""))) == [keyword]


def test_odd_iptc_blocks() -> None:
    long = struct.pack(">BBBHL", 0x1C, 2, 25, 0x8004, 3) + b"sea"
    assert read_keywords(long + iim((2, 25, b"sun"))) == ["sea", "sun"]
    assert read_keywords(iim((2, 25, b"sea")) + b"\0\0\0\0\0\0") == ["sea"]
    assert read_keywords(iim((2, 25, b"sea"))[:-1]) == ["se"]
    assert read_keywords(b"") == read_keywords(b"\x1c") == []


def test_iptc_has_no_room_for_long_keywords(tmp_path: Path) -> None:
    long = "ä long keyword that goes on for more than sixty-four bytes, and on"
    path = tmp_path / "a.jpg"
    short = iim((2, 25, long.encode()[:64]), (2, 25, b"sea"))
    path.write_bytes(jpeg(app1(packet(bag("dc:subject", long))), segment(0xED, b"Photoshop 3.0\0" + photoshop(short))))
    assert read_embedded(path).keywords == ((long,), ("sea",))


@needs_exiftool
@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp"])
def test_what_exiftool_writes_is_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    Image.new("RGB", (8, 8)).save(path)
    write_tags(path, "-XMP-dc:Subject=猫", "-XMP-dc:Subject=b & c", "-XMP-mediapro:CatalogSets=x|y")
    tags = read_tags(path)
    assert read_embedded(path).keywords == (*((word,) for word in tags["XMP-dc:Subject"]), ("x", "y"))
    assert {keywords.qualified for keywords in read_embedded(path).lists} == {"dc:subject", "mediapro:CatalogSets"}


def test_texts_of_a_png_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("c2srt_cli.images.metadata.MAX_TEXT", 1000)
    path = tmp_path / "a.png"
    path.write_bytes(png(chunk(b"zTXt", b"XML:com.adobe.xmp\0\0" + zlib.compress(b" " * 9_000_000, 9)[:900])))
    assert [len(text) for text in read_metadata(path).xmp] == [1000]
