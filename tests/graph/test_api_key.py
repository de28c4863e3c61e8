from pathlib import Path

import pytest

from c2srt_cli.errors import InputError
from c2srt_cli.graph.llm.api_key import VARIABLE, read_key

KEY = "sk-abc123"


@pytest.mark.parametrize(
    "data",
    [
        KEY.encode(),
        f"{KEY}\r\n".encode("utf-16"),  # echo … > key.txt in PowerShell 5
        f"\ufeff  {KEY}\u200b\u00a0\r\n\r\n".encode(),
        f"{KEY}\r".encode(),
        f"{KEY}\n\x1a".encode(),
    ],
)
def test_a_file_that_any_editor_saved(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "key.txt").write_bytes(data)
    assert read_key(tmp_path / "key.txt", None) == KEY


@pytest.mark.parametrize("data", [b"sk-abc\xff123", b"sk-abc\x07123", f"{KEY}\nsk-two".encode(), b"\xff\xd8\xff" * 9])
def test_what_is_no_key_is_not_repeated(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "key.txt").write_bytes(data)
    with pytest.raises(InputError) as refused:
        read_key(tmp_path / "key.txt", None)
    assert "abc" not in str(refused.value) and "0xff" not in str(refused.value)


def test_the_environment_with_what_was_copied_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"\u200b{KEY}\ufeff ")
    assert read_key(None, None) == KEY
