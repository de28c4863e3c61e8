"""What a photograph says of itself beside its pixels: its XMP packets and IPTC blocks, as bytes."""

import mmap
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from c2srt_cli.images.formats import format_of
from c2srt_cli.images.jpeg import Data, segments
from c2srt_cli.images.pillow import PILLOW
from c2srt_cli.images.tiff.directory import read_directory, read_header

#: Text of a PNG is not expanded further.
MAX_TEXT = 16 << 20

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENSION = b"http://ns.adobe.com/xmp/extension/\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_IPTC_RESOURCE = 0x0404
_GIF_XMP, _GIF_END = b"!\xff\x0bXMP DataXMP", b"\x01\xff\xfe\xfd"
_APP1, _APP13 = 0xE1, 0xED
_TIFF_XMP, _TIFF_IPTC, _TIFF_PHOTOSHOP = 700, 33723, 34377


@dataclass(frozen=True, slots=True)
class Metadata:
    """Blocks of metadata.

    Attributes:
        xmp: Packets; the first is the main one.
        iptc: IPTC-IIM blocks.
    """

    xmp: tuple[bytes, ...] = ()
    iptc: tuple[bytes, ...] = ()


def read_metadata(path: Path) -> Metadata:
    """The metadata of a photograph; none where the file holds none or cannot be read as a photograph.

    Pixels are not decoded, and of most formats only the header is read.

    Raises:
        OSError: the file cannot be opened.
    """
    with path.open("rb") as file:
        start = file.read(512)
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if start else b""
    try:
        kind = format_of(start)
        if kind == "JPEG":
            return _from_jpeg(data)
        if kind == "TIFF":
            return _from_tiff(data)
        if kind == "PNG":
            return _from_png(path)
        if kind == "GIF":
            return _from_gif(data)
        with PILLOW, Image.open(path, formats=[kind]) as image:
            xmp = image.info.get("xmp")
            return Metadata(xmp=(xmp,) if isinstance(xmp, bytes) else ())
    except Exception:  # Pillow raises what it likes; whether the picture can be read is said where it is decoded
        return Metadata()


def _from_jpeg(data: Data) -> Metadata:
    packets, photoshop = [], []
    extensions: dict[bytes, list[tuple[int, bytes]]] = {}
    for marker, start, end in segments(data):
        if marker == _APP1 and data[start : start + len(_XMP)] == _XMP:
            packets.append(data[start + len(_XMP) : end])
        elif marker == _APP1 and data[start : start + len(_EXTENSION)] == _EXTENSION:
            part = data[start + len(_EXTENSION) : end]  # 32 bytes of identity, total length, offset, and a piece
            if len(part) >= 40:
                extensions.setdefault(part[:32], []).append((int.from_bytes(part[36:40], "big"), part[40:]))
        elif marker == _APP13 and data[start : start + len(_PHOTOSHOP)] == _PHOTOSHOP:
            photoshop.append(data[start + len(_PHOTOSHOP) : end])
    packets += [
        b"".join(piece for _, piece in sorted(pieces))
        for identity, pieces in extensions.items()
        if any(identity in packet for packet in packets)  # an older one may have been left behind
    ]
    return Metadata(tuple(packets), tuple(_iptc_resources(b"".join(photoshop))))


def _from_tiff(data: Data) -> Metadata:
    header, place = read_header(data)
    tags = read_directory(data, header, place)
    xmp, iptc, resources = (tags.bytes(tag) for tag in (_TIFF_XMP, _TIFF_IPTC, _TIFF_PHOTOSHOP))
    return Metadata((xmp,) if xmp else (), tuple([iptc] if iptc else _iptc_resources(resources)))


def _from_gif(data: Data) -> Metadata:
    start = data.find(_GIF_XMP)
    end = data.find(_GIF_END, start)
    return Metadata(xmp=(data[start + len(_GIF_XMP) : end],) if 0 <= start < end else ())


def _iptc_resources(data: bytes) -> Iterator[bytes]:
    """The IPTC blocks among Photoshop's image resources."""
    place = 0
    while data[place : place + 4] == b"8BIM" and place + 12 <= len(data):
        name = data[place + 6] + 1
        start = place + 6 + name + name % 2
        size = int.from_bytes(data[start : start + 4], "big")
        if int.from_bytes(data[place + 4 : place + 6], "big") == _IPTC_RESOURCE:
            yield data[start + 4 : start + 4 + size]
        place = start + 4 + size + size % 2


def _from_png(path: Path) -> Metadata:
    """By its chunks: programs write XMP behind the pixels, where Pillow looks only after decoding them."""
    xmp, iptc = [], []
    for keyword, text in _png_texts(path):
        if keyword == b"XML:com.adobe.xmp":
            xmp.append(text)
        elif keyword.startswith(b"Raw profile type "):  # of ImageMagick and Exiv2: a name, a length, and hexadecimal
            try:
                profile = bytes.fromhex("".join(text.decode("ascii").split()[2:]))
            except ValueError:
                continue
            if keyword.endswith(b" xmp"):
                xmp.append(profile)
            elif keyword.endswith((b" iptc", b" 8bim")):
                iptc += list(_iptc_resources(profile)) or [profile]
    return Metadata(tuple(xmp), tuple(iptc))


def _png_texts(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Keyword and text of each textual chunk."""
    with path.open("rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            if kind not in (b"tEXt", b"zTXt", b"iTXt") or length > MAX_TEXT:
                file.seek(length + 4, 1)
                continue
            keyword, _, rest = file.read(length).partition(b"\0")
            file.seek(4, 1)
            packed = kind == b"zTXt"
            if kind == b"iTXt":
                packed, rest = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
            elif packed:
                rest = rest[1:]
            yield keyword, zlib.decompressobj().decompress(rest, MAX_TEXT) if packed else rest
