import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2srt_cli.text import Text, decode_text

LINES = ("cat", "Kätzchen", "", "日本の城", "上海")
ENDS = {"Unix": "\n", "Windows": "\r\n", "old Macs": "\r"}
MARKED = ("utf-8-sig", "utf-16", "utf-32")


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("encoding", ["utf-8", *MARKED, "utf-16-le", "utf-16-be"])
def test_encodings_and_line_ends(encoding: str, end: str) -> None:
    text = "".join(line + end for line in LINES)
    assert decode_text(text.encode(encoding)) == Text(LINES)
    assert decode_text(text.removesuffix(end).encode(encoding)) == Text(LINES)
    assert decode_text(f"{text}\x1a".encode(encoding)) == Text(LINES)
    if encoding in MARKED:  # two files, one behind the other
        assert decode_text(text.encode(encoding) * 2) == Text(LINES * 2)


@pytest.mark.parametrize("words", [("cat", "dog"), ("кошка", "собака"), ("城",), ("כלב",), ("上",), ("a",)])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_in_any_script(words: tuple[str, ...], encoding: str) -> None:
    assert decode_text("".join(f"{word}\r\n" for word in words).encode(encoding)) == Text(words)


@given(st.lists(st.text("abcäßж城語 -,;|#😀", max_size=9), min_size=2, max_size=5), st.sampled_from(["le", "be"]))
def test_utf16_without_a_mark_is_never_taken_for_something_else(lines: list[str], order: str) -> None:
    data = "".join(f"{line}\r\n" for line in lines).encode(f"utf-16-{order}")
    assert decode_text(data) == Text(tuple(lines))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"cat\0\ndog\n", "line 1: NUL (U+0000) at column 4"),
        (b"cat\n\0dog\n\n", "line 2: NUL (U+0000) at column 1"),
        (b"cat\0\ndo\n", "line 1: NUL (U+0000) at column 4"),
        (b"cat!\n\0dogs", "line 2: NUL (U+0000) at column 1"),  # which could be UTF-16, of no language
        (b"cat\n\x1adog\n", "line 2: control character (U+001A) at column 1"),
    ],
)
def test_zero_bytes_and_end_marks_within_text(data: bytes, problem: str) -> None:
    assert decode_text(data).problems == (problem,)


def test_end_marks_of_dos_are_padded() -> None:
    assert decode_text(b"cat\r\ndog\r\n\x1a" + b"\x1a" * 100) == Text(("cat", "dog"))
    assert decode_text(b"cat\r\n\x1a\r\n\0\0") == Text(("cat",))


def test_every_faulty_line_is_named_and_the_others_are_read() -> None:
    text = decode_text("cat\nKätzchen\n日本é\ndog".encode("cp1252", "replace").replace(b"??", "日本".encode()))
    assert text.lines == ("cat", "", "", "dog")
    assert text.problems == (
        "line 2: byte 0xe4 at column 2 is not UTF-8",
        "line 3: byte 0xe9 at column 3 is not UTF-8",
    )
    assert text.hint is not None and "iconv -f WINDOWS-1252" in text.hint
    mixed = decode_text(b"a\0\nb\xff\n")
    assert [problem[:7] for problem in mixed.problems] == ["line 1:", "line 2:"]
    assert "WINDOWS" not in (decode_text(b"\x81\x8d").hint or "")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_that_breaks_off(encoding: str) -> None:
    mark = codecs.BOM_UTF16_LE if encoding.endswith("le") else codecs.BOM_UTF16_BE
    text = decode_text(mark + "cat\ndog\n".encode(encoding) + b"x")
    assert text.lines == () and text.hint
    assert text.problems == ("line 3: the text is UTF-16 up to here, and then it is not",)


def test_invisible_characters_are_gone_and_faults_named() -> None:
    text = decode_text("\ufeffcat\u200b\n\ufeffdog\nbird\x07\n".encode())
    assert text == Text(("cat", "dog", ""), ("line 3: control character (U+0007) at column 5",))
    assert str(decode_text(b"cat\r\ndog\r\n")) == "cat\ndog"
    assert decode_text(b"") == Text(())


@given(st.binary(max_size=40))
def test_any_bytes_are_lines_or_problems(data: bytes) -> None:
    text = decode_text(data)
    assert all(problem.startswith("line ") for problem in text.problems)
    assert not any("\n" in line or "\r" in line for line in text.lines)


def test_a_misread_line_among_others_that_are_right_is_what_somebody_has_written() -> None:
    """Open Images writes AdÃ©lie penguin, and Pokémon as it should be."""
    assert decode_text("AdÃ©lie penguin\nPokémon\n".encode()).lines == ("AdÃ©lie penguin", "Pokémon")
    assert decode_text("AdÃ©lie penguin\ncat\n".encode()).problems
