from pathlib import Path

import pytest

from c2srt_cli.errors import InputError
from c2srt_cli.text import read_toml


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_options_of_any_editor(tmp_path: Path, encoding: str, end: str) -> None:
    path = tmp_path / "options.toml"
    path.write_bytes(f"# mine{end}[training]{end}epochs = 3{end}".encode(encoding))
    assert read_toml(path) == {"training": {"epochs": 3}}


def test_what_is_none(tmp_path: Path) -> None:
    path = tmp_path / "options.toml"
    with pytest.raises(InputError, match="no such file"):
        read_toml(path)
    path.write_text("epochs =\n")
    with pytest.raises(InputError, match=r"cannot be read as TOML \(Invalid value \(at line 1"):
        read_toml(path)
    path.write_bytes("größe = 1\n".encode("cp1252"))
    with pytest.raises(InputError, match="cannot be read as TOML") as refused:
        read_toml(path)
    assert refused.value.problems == ("line 1: byte 0xf6 at column 3 is not UTF-8",)
