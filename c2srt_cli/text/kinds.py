"""What a file is that is no text, by its first bytes, and what to do about it."""

import io
import zipfile
from typing import NamedTuple

from c2srt_cli.text.decoding import encoding_of


class Kind(NamedTuple):
    """What a file is, with its article, and the way from there to text."""

    name: str
    advice: str


_SHEET = "in the spreadsheet program save it as 'CSV UTF-8', or as text with tabs, and name that file"
_PROSE = "save it as plain text (UTF-8), and name that file"
_WORDS = "write the words into a plain text file, and name that"
_PHOTO = "photographs are named without an option: is one behind the wrong option?"
_UNPACK = "unpack it, and name the file in it"

#: First bytes and what they tell.
_STARTS: tuple[tuple[bytes, Kind], ...] = (
    (b"%PDF-", Kind("a PDF", _WORDS)),
    (b"\xff\xd8\xff", Kind("a photograph (JPEG)", _PHOTO)),
    (b"\x89PNG\r\n", Kind("a picture (PNG)", _PHOTO)),
    (b"GIF87a", Kind("a picture (GIF)", _PHOTO)),
    (b"GIF89a", Kind("a picture (GIF)", _PHOTO)),
    (b"II*\0", Kind("a picture (TIFF or RAW)", _PHOTO)),
    (b"MM\0*", Kind("a picture (TIFF or RAW)", _PHOTO)),
    (b"SQLite format 3\0", Kind("a database, as Lightroom's catalog is one", "export its keywords as text")),
    (b"bplist00", Kind("a property list", _WORDS)),
    (b"PAR1\x15", Kind("Parquet", "write it as CSV")),
    (b"\x1f\x8b", Kind("packed (gzip)", _UNPACK)),
    (b"BZh91AY&SY", Kind("packed (bzip2)", _UNPACK)),
    (b"7z\xbc\xaf\x27\x1c", Kind("packed (7-Zip)", _UNPACK)),
    (b"\xfd7zXZ\0", Kind("packed (xz)", _UNPACK)),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Kind("an old Office file (.xls or .doc)", _SHEET)),
)

#: Text that is none for people: how it starts, in lower case.
_MARKUP: tuple[tuple[bytes, Kind], ...] = (
    (b"{\\rtf", Kind("a text document with formats (RTF)", _PROSE)),
    (b"<!doctype html", Kind("a web page", _WORDS)),
    (b"<html", Kind("a web page", _WORDS)),
    (b"<?xpacket", Kind("an XMP sidecar", _WORDS)),
    (b"<x:xmpmeta", Kind("an XMP sidecar", _WORDS)),
    (b"<?xml", Kind("XML", _WORDS)),
)

ARCHIVE = Kind("a ZIP archive", _UNPACK)
NO_TEXT = Kind("no text", _WORDS)

#: What a ZIP archive is, by the beginning of the name of a file in it.
_ARCHIVES: tuple[tuple[str, Kind], ...] = (
    ("xl/", Kind("an Excel workbook", _SHEET)),
    ("word/", Kind("a Word document", _PROSE)),
    ("ppt/", Kind("a presentation", _WORDS)),
    ("Index/", Kind("a Numbers or Pages document", "export it as CSV or plain text, and name that file")),
    ("content.xml", Kind("an OpenDocument file", "save it as CSV or plain text (UTF-8), and name that file")),
)

#: Share of control characters from which a file is no text.
_BINARY = 0.08


def kind_of(head: bytes) -> Kind | None:
    """What a file is by its first bytes; None where they may be text."""
    if found := next((kind for start, kind in _STARTS if head.startswith(start)), None):
        return found
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if found := next((kind for start, kind in _MARKUP if text.startswith(start)), None):
        return found
    if head[4:8] == b"ftyp":
        return Kind("a picture or video (HEIC, AVIF, MP4)", _PHOTO)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Kind("a picture (WebP)", _PHOTO)
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        return Kind("a picture (BMP)", _PHOTO)
    if head.startswith(b"PK\x03\x04"):
        return ARCHIVE
    two_bytes = encoding_of(head[: len(head) // 2 * 2]) != "utf-8"
    return None if two_bytes or not _is_binary(head) else NO_TEXT


def archive_kind(data: bytes) -> Kind:
    """What a ZIP archive is by the files in it, as Office files are some."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        names = []
    found = (kind for start, kind in _ARCHIVES if any(name.startswith(start) for name in names))
    return next(found, ARCHIVE)


def _is_binary(head: bytes) -> bool:
    """Whether so many of the first bytes are control characters that the file is no text, in UTF-8 at least."""
    controls = sum(head.count(code) for code in (*range(9), *range(14, 26), *range(27, 32)))
    return controls > max(16, _BINARY * len(head))
