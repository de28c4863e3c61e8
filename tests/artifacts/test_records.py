"""What may stand in a file that somebody else could have written."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from c2srt_cli.artifacts import records
from c2srt_cli.artifacts.records import Count, Record, RelativePath, Sha256, Text, parse, read_record
from c2srt_cli.errors import InputError


class Made(Record):
    """Of every kind of field."""

    path: RelativePath = "a/b.jpg"
    text: Text = ""
    count: Count = 0
    sha256: Sha256 = "ab" * 32
    number: float = 0.5
    flag: bool = False
    several: tuple[int, ...] = ()
    named: dict[str, int] = Field(default_factory=dict)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("path", "../a.jpg", "leads out of the folder"),
        ("path", "a/../../b", "leads out of the folder"),
        ("path", "a\\..\\b", "leads out of the folder"),
        ("path", "/etc/passwd", "is an absolute path"),
        ("path", "\\\\host\\share", "is an absolute path"),
        ("path", "C:\\x", "is an absolute path"),
        ("path", "c:/x", "is an absolute path"),
        ("path", "a//b", "is not the plain path of a file"),
        ("path", "./a", "is not the plain path of a file"),
        ("path", "", "is not the plain path of a file"),
        ("path", "a\0b", "holds a zero byte"),
        ("text", "a\0b", "holds a zero byte"),
        ("text", 5, "must be text, is 5"),
        ("count", -1, "must be greater than or equal to 0"),
        ("count", 2**53, "must be less than"),
        ("count", 2**70, "must be"),
        ("count", 1.0, "must be a whole number"),
        ("count", True, "must be a whole number"),
        ("count", "1", "must be a whole number"),
        ("sha256", "AB" * 32, "must match pattern"),
        ("sha256", "ab" * 31, "must match pattern"),
        ("number", float("nan"), "must be a finite number"),
        ("number", float("-inf"), "must be a finite number"),
        ("number", "0.5", "must be a number"),
        ("flag", 1, "must be true or false"),
        ("several", 1, "must be a list"),
        ("several", [1, "2"], "several[1]: must be a whole number"),
        ("named", {"a": 1.5}, "named.a: must be a whole number"),
        ("named", [], "must be an object"),
    ],
)
def test_a_field_is_exactly_of_its_type(field: str, value: Any, said: str) -> None:
    assert parse(Made, b"{}", "x") == Made()
    with pytest.raises(InputError) as caught:
        parse(Made, json.dumps({field: value}), "x", "make it again")
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(field) and said in caught.value.problems[0]
    assert (caught.value.where, caught.value.hint, caught.value.exit_code) == ("x", "make it again", 3)


def test_every_fault_is_named_and_long_values_are_cut() -> None:
    with pytest.raises(InputError) as caught:
        parse(Made, json.dumps({"count": -1, "text": ["x" * 5000], "flag": None}), "x")
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["text", "count", "flag"]
    assert max(map(len, caught.value.problems)) < 120


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"5", b'{"count": 1e999}', b"\xff", b"[" * 100_000, b'{"a": NaN'])
def test_what_is_no_object_of_json(data: bytes) -> None:
    with pytest.raises(InputError, match="cannot be"):
        parse(Made, data, "x")


def test_only_regular_files_of_some_size_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe would be waited for, and a device has no end."""
    path = tmp_path / "a.json"
    path.write_bytes(b'{"count": 5}')
    assert read_record(path, Made).count == 5
    monkeypatch.setattr(records, "MAX_BYTES", 11)
    with pytest.raises(InputError, match="is too large"):
        read_record(path, Made)
    os.mkfifo(tmp_path / "pipe")
    for odd, said in (
        ("pipe", "is not a file"),
        ("", "is not a file"),
        ("none", "no such file"),
        ("a.json/x", "no such"),
    ):
        with pytest.raises(InputError, match=said):
            read_record(tmp_path / odd, Made)
    with pytest.raises(InputError, match="is not a file"):
        read_record(Path("/dev/zero"), Made)
