import gzip
import io
import os
import sqlite3
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from c2srt_cli.errors import InputError
from c2srt_cli.text import read_text


def picture(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.effect_noise((64, 64), 50).convert("RGB").save(stream, kind)
    return stream.getvalue()


def archive(*names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name in names:
            file.writestr(name, "x" * 100)
    return stream.getvalue()


def catalogue(folder: Path) -> bytes:
    with sqlite3.connect(folder / "catalogue.db") as database:
        database.execute("create table keywords (name)")
    return (folder / "catalogue.db").read_bytes()


def parquet() -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table({"label": ["cat"]}), stream)
    return stream.getvalue()


#: A file, what it is called, and a word of what to do.
KINDS = {
    "jpeg": (picture("JPEG"), "a photograph (JPEG)", "option"),
    "png": (picture("PNG"), "a picture (PNG)", "option"),
    "gif": (picture("GIF"), "a picture (GIF)", "option"),
    "tiff": (picture("TIFF"), "a picture (TIFF or RAW)", "option"),
    "webp": (picture("WEBP"), "a picture (WebP)", "option"),
    "bmp": (picture("BMP"), "a picture (BMP)", "option"),
    "avif": (picture("AVIF"), "a picture or video (HEIC, AVIF, MP4)", "option"),
    "xlsx": (archive("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook", "CSV UTF-8"),
    "docx": (archive("[Content_Types].xml", "word/document.xml"), "a Word document", "plain text"),
    "ods": (archive("mimetype", "content.xml"), "an OpenDocument file", "CSV"),
    "numbers": (archive("Index/Document.iwa"), "a Numbers or Pages document", "CSV"),
    "zip": (archive("labels.txt"), "a ZIP archive", "unpack"),
    "broken zip": (archive("labels.txt")[:50], "a ZIP archive", "unpack"),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504), "an old Office file (.xls or .doc)", "CSV UTF-8"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF", "plain text"),
    "rtf": (b"{\\rtf1\\ansi cat\\par}", "a text document with formats (RTF)", "plain text"),
    "html": (b"\n<!DOCTYPE html>\n<html>", "a web page", "plain text"),
    "xml": (b"\xef\xbb\xbf<?xml version='1.0'?><a/>", "XML", "plain text"),
    "xmp": (b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>", "an XMP sidecar", "plain text"),
    "gzip": (gzip.compress(b"cat\n"), "packed (gzip)", "unpack"),
    "parquet": (parquet(), "Parquet", "CSV"),
}


@pytest.mark.parametrize(("data", "name", "advice"), KINDS.values(), ids=KINDS)
def test_what_is_no_text_is_called_by_its_name(tmp_path: Path, data: bytes, name: str, advice: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(data)
    with pytest.raises(InputError) as refused:
        read_text(path, "the labels", "hint")
    assert refused.value.what == f"the labels cannot be read (it is {name})"
    assert refused.value.hint and advice in refused.value.hint
    assert not refused.value.problems


def test_a_catalogue(tmp_path: Path) -> None:
    (tmp_path / "l").write_bytes(catalogue(tmp_path))
    with pytest.raises(InputError, match="Lightroom's catalog is one"):
        read_text(tmp_path / "l", "the labels", "hint")


def test_other_bytes(tmp_path: Path) -> None:
    path = tmp_path / "labels.bin"
    path.write_bytes(bytes(range(256)) * 20)
    with pytest.raises(InputError, match=r"the list cannot be read \(it is no text\)"):
        read_text(path, "the list", "hint")
    path.write_bytes("кошка\nсобака\n".encode("utf-16-le") * 100)
    assert read_text(path, "the list", "hint").lines[:2] == ("кошка", "собака")


@pytest.mark.parametrize("words", ["BMW", "PK", "II", "GIF8", "PAR1 of 18", "RIFF", "BZh", "[cat]", "<3", "xml"])
def test_words_are_no_magic_numbers(tmp_path: Path, words: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(f"{words}\n")
    assert read_text(path, "the list", "hint").lines == (words,)


def test_what_is_not_there_and_what_was_meant(tmp_path: Path) -> None:
    (tmp_path / "Labels.txt").touch()
    (tmp_path / "photo.jpg").touch()
    for name in ("labels.csv", "Lables.txt"):
        with pytest.raises(InputError, match="no such file") as refused:
            read_text(tmp_path / name, "the list", "hint")
        assert refused.value.hint == f"did you mean {tmp_path / 'Labels.txt'}?"
    for path in (tmp_path / "else.txt", tmp_path / "no/labels.txt", tmp_path / "photo.jpg/labels.txt"):
        with pytest.raises(InputError, match="no such file") as refused:
            read_text(path, "the list", "hint")
        assert refused.value.hint == "hint" and refused.value.where == str(path)
    with pytest.raises(InputError, match=r"the list cannot be read \(it is a folder\)"):
        read_text(tmp_path, "the list", "hint")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("cat\n")
    path.chmod(0)
    with pytest.raises(InputError, match=r"the list cannot be read \(Permission denied\)"):
        read_text(path, "the list", "hint")
