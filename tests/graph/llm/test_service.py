"""Addresses of servers."""

import pytest

from c2srt_cli.errors import UsageError
from c2srt_cli.graph.llm.service import OPENAI, address


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("http://localhost:11434/v1", "http://localhost:11434/v1"),
        ("http://localhost:11434/v1/", "http://localhost:11434/v1"),
        ("https://host.org/v1/chat/completions", "https://host.org/v1"),
        ("https://[::1]:8000/v1", "https://[::1]:8000/v1"),
        (None, OPENAI),
    ],
)
def test_an_address(monkeypatch: pytest.MonkeyPatch, given: str | None, read: str) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert address(given) == read


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("localhost:11434/v1", "is no address of a server"),
        ("ftp://host.org", "is no address of a server"),
        ("http://", "is no address of a server"),
        ("http://host.org:99999", "is no address"),
        ("http://[::1", "is no address"),
        ("words", "is no address of a server"),
        ("https://host.org/v1?key=sk-secret", "ends where its"),
        ("https://host.org/v1#sk-secret", "ends where its"),
        ("https://me:sk-secret@host.org/v1", "user name or a password"),
        ("https://sk-secret@host.org/v1", "user name or a password"),
    ],
)
@pytest.mark.parametrize("variable", [False, True])
def test_what_is_no_address(monkeypatch: pytest.MonkeyPatch, given: str, said: str, variable: bool) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", given)
    with pytest.raises(UsageError, match=said) as caught:
        address(None if variable else given)
    assert caught.value.where == ("OPENAI_BASE_URL" if variable else "--base-url")
    assert "sk-secret" not in str(caught.value)
