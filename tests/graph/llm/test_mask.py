"""Where the key comes from, and where it must not go."""

import html
import json
import re
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from c2srt_cli.errors import C2srtError, InputError
from c2srt_cli.graph.llm.api_key import Mask, read_key

keys = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=60)


@settings(max_examples=30)
@given(keys, st.text(max_size=9), st.text(max_size=9))
@example("0000\\\\", "", "")
@example("\\\\\\sk\\\\u0041", "", "")
def test_a_key_is_found_in_every_spelling(key: str, before: str, after: str) -> None:
    mask = Mask(key)
    spellings = (
        key,
        key.upper(),
        json.dumps(key)[1:-1],
        json.dumps(json.dumps(key)[1:-1])[1:-1],
        "".join(f"\\u{ord(character):04x}" for character in key),
        "".join(f"\\x{ord(character):02x}" for character in key),
        quote(key, safe=""),
        quote(quote(key, safe=""), safe=""),
        "".join(f"%{ord(character):02X}" for character in key),
        re.sub("[<>&\"']", lambda found: f"&#{ord(found[0])};", key),
        html.escape(key),
        "".join(f"&#x{ord(character):x};" for character in key),
    )
    for text in spellings:
        assert mask(text) == "…"
        assert text not in mask(f"{before}{text}{after}") or text in before + after


def test_a_short_word_is_no_secret() -> None:
    assert Mask("none")("none") == "none"
    assert Mask("")("text") == "text"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no API key in the file"),
        (b" \n", "no API key in the file"),
        (b"\xff\xd8\xff", "not one word|not plain text"),
        (b"two words", "not one word"),
        ("schlüssel".encode(), "not one word"),
        (b"sk\x00key", "not one word|not plain text"),
    ],
)
def test_what_is_no_key(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_key(tmp_path / "key", None)


def test_a_key_given_for_the_name_of_its_file_is_not_shown(tmp_path: Path) -> None:
    for odd in (Path("sk-secret-0123456789"), tmp_path):
        with pytest.raises(C2srtError) as caught:
            read_key(odd, None)
        assert str(odd) not in str(caught.value)
        assert "--api-key-file" in str(caught.value)


def test_a_key_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", " sk-0123456789\n")
    assert read_key(None, None) == "sk-0123456789"
    monkeypatch.setenv("OPENAI_API_KEY", "")
    assert read_key(None, "http://localhost") == ""
    with pytest.raises(C2srtError, match="there is no API key"):
        read_key(None, None)


@pytest.mark.parametrize("part", ["\\", "&#x0", "%25", "sk-secret-", "\\u00"])
def test_the_time_grows_with_the_length(part: str) -> None:
    text = part * (1_000_000 // len(part))
    started = time.perf_counter()
    assert Mask("sk-secret-0123456789")(text) == text
    assert time.perf_counter() - started < 5  # a fraction of a second, and hours where it grew with the square
