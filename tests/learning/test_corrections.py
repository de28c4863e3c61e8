import json
from pathlib import Path
from typing import Any

import pytest

from c2srt_cli.errors import InputError
from c2srt_cli.labels import LabelSet
from c2srt_cli.learning.corrections import check_labels, read_corrections


def line(**given: Any) -> str:
    return json.dumps({"path": "a/b.jpg", "sha256": "0" * 64, "label": "cat", "verdict": "no", **given})


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(one + "\n" for one in lines), encoding="utf-8")
    return path


def test_what_was_said_last_holds(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", line(), line(verdict="yes"), line(label="dog", verdict="yes"), "")
    second = write(tmp_path / "b.jsonl", line(label=" DOG "), line(label="Zoë\u2028", sha256="1" * 64))
    found = [(one.label, one.verdict) for one in read_corrections([first, second])]
    assert found == [("cat", "yes"), ("DOG", "no"), ("Zoë", "no")]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("{", "JSON"),
        ("[]", "object"),
        (line(verdict="maybe"), "verdict"),
        (line(verdict=True), "verdict"),
        (line(sha256="ABC"), "sha256"),
        (line(path="/etc/passwd"), "path: is an absolute path"),
        (line(path="../a.jpg"), "path: leads out of the folder"),
        (line(label=""), "label"),
        (line(label="  "), "the label is empty"),
        (line(label=None), "label: must be text"),
        ('{"path": "a.jpg"}', "sha256"),
    ],
)
def test_every_bad_line_is_named(bad: str, said: str, tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", line(), bad, "", line(label="dog"), bad)
    with pytest.raises(InputError, match="these corrections cannot be used") as raised:
        read_corrections([path])
    assert [one.partition(":")[0] for one in raised.value.problems] == ["line 2", "line 5"]
    assert all(said in one for one in raised.value.problems) and raised.value.where == str(path)


@pytest.mark.parametrize("data", [b"\xff\xd8\xff\xe0JFIF", b"\x00\x01\x02"])
def test_no_text_is_no_corrections(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_bytes(data)
    with pytest.raises(InputError):
        read_corrections([tmp_path / "c.jsonl"])


def test_labels_that_are_not_in_the_list_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", line(), line(label="Dog"), line(label="fox"), line(label="fox", sha256="2" * 64))
    verdicts = read_corrections([path])
    check_labels(verdicts, LabelSet.of(["cat", "dog", "FOX"]), "labels.txt")
    with pytest.raises(InputError, match="labels that are not in it") as raised:
        check_labels(verdicts, LabelSet.of(["dog", "horse"]), "labels.txt")
    assert raised.value.problems == ("'cat': 1 verdict", "'fox': 2 verdicts")
