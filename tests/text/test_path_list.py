import codecs
import io
import zipfile

import pytest

from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.text import path_list, spellings

PATHS = ("photos/Fuß.jpg", "photos/a b.jpg", "日本/c.jpg")

#: The same list as the programs of different systems write it.
WRITTEN = {
    "bash, PowerShell 7 on Linux": "".join(f"{path}\n" for path in PATHS).encode(),
    "without an end of the last line": "\n".join(PATHS).encode(),
    "PowerShell 7": "".join(f"{path}\r\n" for path in PATHS).encode(),
    "PowerShell 5, Out-File -Encoding utf8": codecs.BOM_UTF8 + "".join(f"{path}\r\n" for path in PATHS).encode(),
    "PowerShell 5, >": codecs.BOM_UTF16_LE + "".join(f"{path}\r\n" for path in PATHS).encode("utf-16-le"),
    "big-endian": codecs.BOM_UTF16_BE + "".join(f"{path}\r\n" for path in PATHS).encode("utf-16-be"),
    "cmd /u, without a mark": "".join(f"{path}\r\n" for path in PATHS).encode("utf-16-le"),
    "UTF-32": "".join(f"{path}\n" for path in PATHS).encode("utf-32"),
    "old Macs": "".join(f"{path}\r" for path in PATHS).encode(),
    "DOS": "".join(f"{path}\r\n" for path in PATHS).encode() + b"\x1a",
}


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_lists_of_every_system(written: bytes) -> None:
    assert path_list(written) == PATHS


def workbook() -> bytes:
    """A ZIP archive that is laid out as Excel's."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "kind"),
    [(workbook(), "an Excel workbook"), (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "a photograph"), (b"%PDF-1.7\n", "a PDF")],
)
@pytest.mark.parametrize("null", [False, True])
def test_what_is_no_list_is_named(data: bytes, kind: str, null: bool) -> None:
    with pytest.raises(InputError, match=kind) as caught:
        path_list(data, null=null)
    assert caught.value.hint == "write one path a line, as text"


def test_short_names_with_a_nul_after_each_are_a_list() -> None:
    data = b"".join(b"%d\0" % number for number in range(100))
    assert len(path_list(data, null=True)) == 100
    with pytest.raises(UsageError, match="NUL") as caught:
        path_list(data)
    assert "--null" in str(caught.value.hint)


def test_two_lists_joined() -> None:
    joined = WRITTEN["PowerShell 5, Out-File -Encoding utf8"] * 2
    assert path_list(joined) == PATHS * 2
    assert path_list(WRITTEN["PowerShell 5, >"] * 2) == PATHS * 2


def test_lines_keep_their_numbers() -> None:
    assert path_list(b"a.jpg\r\n\r\n\nb.jpg\n") == ("a.jpg", "", "", "b.jpg")
    assert path_list(b"") == ()


def test_only_line_ends_end_lines() -> None:
    names = "a\u2028b.jpg\nc\x0bd.jpg\ne\x85f.jpg\ng\x1ch.jpg\ni\rj.jpg\n"
    assert path_list(names.encode()) == ("a\u2028b.jpg", "c\x0bd.jpg", "e\x85f.jpg", "g\x1ch.jpg", "i\rj.jpg")


def test_names_that_are_not_utf8_keep_their_bytes() -> None:
    assert path_list(b"caf\xe9.jpg\nb.jpg\n") == ("caf\udce9.jpg", "b.jpg")
    assert path_list(b"caf\xe9.jpg\0b.jpg\0", null=True) == ("caf\udce9.jpg", "b.jpg")
    assert path_list("F\x81\xe1.jpg\r\n".encode("latin-1")) == ("F\udc81\udce1.jpg",)  # dir /b in code page 850


@pytest.mark.parametrize("end", [b"\0", b""])
def test_nul_where_it_is_asked_for(end: bytes) -> None:
    written = b"./two\nlines.jpg\0c.jpg \0\xef\xbb\xbfd\r.jpg" + end
    assert path_list(written, null=True) == ("./two\nlines.jpg", "c.jpg ", "\ufeffd\r.jpg")


@pytest.mark.parametrize(
    "written", [b"./a.jpg\0./b.jpg\0", b"a\0b\0", b"a.jpg\nb.\0jpg\n", b"\0" * 8, b"caf\xe9\0\xe8\0"]
)
def test_nul_that_nobody_asked_for(written: bytes) -> None:
    with pytest.raises(UsageError, match="NUL") as refused:
        path_list(written)
    assert refused.value.hint and "--null" in refused.value.hint


def test_utf16_is_never_cut_at_its_zeros() -> None:
    with pytest.raises(UsageError, match="UTF-16") as refused:
        path_list(WRITTEN["PowerShell 5, >"], null=True)
    assert refused.value.where == "--null"
    with pytest.raises(UsageError, match="line breaks, and no NUL"):
        path_list(b"a.jpg\nb.jpg\n", null=True)
    assert path_list(b"a.jpg", null=True) == ("a.jpg",)
    with pytest.raises(InputError, match="starts as UTF-16"):
        path_list(WRITTEN["PowerShell 5, >"] + b"x")


@pytest.mark.parametrize(
    ("entry", "meant"),
    [
        ('"a, b.jpg"', ["a, b.jpg", '"a, b.jpg"']),
        ('"say ""a"".jpg"', ['say "a".jpg', '"say ""a"".jpg"']),
        (" 'C:/a b.jpg' ", ["C:/a b.jpg", "'C:/a b.jpg'"]),
        ("a.jpg ", ["a.jpg"]),
        ('"', ['"']),
        ('"a" or "b"', ['"a" or "b"']),
    ],
)
def test_what_a_line_may_mean(entry: str, meant: list[str]) -> None:
    assert list(spellings(entry)) == meant
