"""PNG without what does not belong to the picture: texts that unpack to gigabytes, further frames, the unknown."""

import zlib
from typing import NamedTuple

from c2srt_cli.errors import ImageError
from c2srt_cli.images.bounds import at_most

#: Without the first four there is no picture; the others say what its numbers mean.
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_HELPFUL = (b"tRNS", b"gAMA", b"sRGB")
_XMP = b"XML:com.adobe.xmp\0"
#: How programs kept EXIF before there was a chunk for it: hexadecimal, in a compressed text.
_RAW_EXIF = b"Raw profile type exif\0"
#: Some programs write pixels in chunks of 4 KiB.
_MOST_CHUNKS = 1 << 18
#: What is unpacked of a text, a profile or EXIF at most.
_MOST_UNPACKED = 1 << 22


class Png(NamedTuple):
    """A file and what is said about it.

    Attributes:
        content: The file with the chunks that make the picture, each checked by its checksum.
        profile: The colour profile.
        exif: The EXIF block.
        xmp: XMP.
    """

    content: bytes
    profile: bytes | None
    exif: bytes | None
    xmp: bytes | None


def read_chunks(data: bytes) -> Png:
    """Take a file apart.

    Pillow checks the checksums of pixel data only when asked, and then cannot decode any more. Chunks that a picture
    can do without are passed over where they are damaged.

    Raises:
        ImageError: ``corrupt``: a checksum is wrong, or the file ends too early; ``too-large``: more chunks than a
            picture has.
    """
    view = memoryview(data)
    kept: list[memoryview] = [view[:8]]
    profile = exif = xmp = None
    place, kind = 8, b""
    for _ in range(_MOST_CHUNKS):
        size, kind = int.from_bytes(view[place : place + 4], "big"), bytes(view[place + 4 : place + 8])
        end = place + 12 + size
        if end > len(data):
            raise ImageError("corrupt", "the picture breaks off before its end")
        wanted = kind in _CRITICAL or kind in _HELPFUL or kind in (b"iCCP", b"eXIf", b"zTXt", b"iTXt")
        sound = wanted and zlib.crc32(view[place + 4 : end - 4]) == int.from_bytes(view[end - 4 : end], "big")
        if kind in _CRITICAL and not sound:
            raise ImageError("corrupt", f"the checksum of a chunk ({kind.decode()}) is wrong")
        body = view[place + 8 : end - 4]
        if sound and kind in (*_CRITICAL, *_HELPFUL):
            kept.append(view[place:end])
        elif sound and kind == b"iCCP":
            profile = _unpacked(body, bytes(body[:80]).find(b"\0") + 2)
        elif sound and kind == b"eXIf":
            exif = bytes(body[:_MOST_UNPACKED])
        elif sound and kind == b"zTXt" and bytes(body[: len(_RAW_EXIF)]) == _RAW_EXIF:
            exif = exif or _from_hexadecimal(_unpacked(body, len(_RAW_EXIF) + 1))
        elif sound and kind == b"iTXt" and bytes(body[: len(_XMP)]) == _XMP:
            xmp = bytes(body[:_MOST_UNPACKED])
        place = end
        if kind == b"IEND":
            return Png(b"".join(kept), profile, exif, xmp)
    at_most(_MOST_CHUNKS, _MOST_CHUNKS + 1, "chunks")
    raise AssertionError


def _unpacked(body: memoryview, start: int) -> bytes | None:
    try:
        return zlib.decompressobj().decompress(body[start:], _MOST_UNPACKED) or None
    except zlib.error:
        return None


def _from_hexadecimal(text: bytes | None) -> bytes | None:
    try:
        return bytes.fromhex((text or b"").split(b"\n", 3)[3].decode("ascii"))
    except (IndexError, ValueError):
        return None
