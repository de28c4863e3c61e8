import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from packets import SUBJECT
from packets import words as subjects
from photos import fingerprints, write_photos
from typer.testing import CliRunner

from c2srt_cli.cli import app
from c2srt_cli.errors import UsageError
from c2srt_cli.search.search import Hit, SearchResult

FAST = ("--precision", "float32", "--batch-size", "4")


def test_found_written_and_taken_back(tiny: str, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 6)[0].parent
    before = fingerprints(photos)
    search = ["search", str(photos), "a red fox", "--backbone", tiny, *FAST, "--top", "3"]
    done = CliRunner().invoke(app, [*search, "--json", "--tag", "fox", "--yes"])
    assert done.exit_code == 0, done.output
    found = [json.loads(line)["path"] for line in done.stdout.splitlines()]
    assert len(found) == 3
    assert sorted(path.name for path in photos.glob("*.xmp")) == sorted(f"{name}.xmp" for name in found)
    for name in found:
        assert subjects((photos / f"{name}.xmp").read_bytes(), SUBJECT) == ["fox"]
    other = CliRunner().invoke(app, ["tag", str(photos), "-l", "cat, dog", "--backbone", tiny, *FAST, "-f", "xmp"])
    assert other.exit_code == 0, other.output
    assert "fox" in subjects((photos / f"{found[0]}.xmp").read_bytes(), SUBJECT)  # no other run takes it out
    done = CliRunner().invoke(app, ["undo", str(photos)])
    assert done.exit_code == 0, done.output
    assert fingerprints(photos) == before
    assert "files of c2srt's own removed" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{photos}"], "come after the photographs"),
        (["{photos}", "fox", "--tag", "fox"], "nobody can be asked"),
        (["{photos}", "fox", "--not", "snow", "--threshold", "0.5"], "several terms have no probability"),
        (["{photos}", "fox", "--threshold", "0.5"], "not calibrated"),
        (["{photos}", "fox", "--tag", " ", "--yes"], "no keyword"),
    ],
)
def test_what_is_refused(tiny: str, tmp_path: Path, arguments: list[str], said: str) -> None:
    photos = write_photos(tmp_path / "photos", 2)[0].parent
    given = [text.format(photos=photos) for text in arguments]
    done = CliRunner().invoke(app, ["search", *given, "--backbone", tiny, *FAST])
    assert isinstance(done.exception, UsageError)
    assert said in done.exception.what
    assert not list(photos.glob("*.xmp"))


def test_a_keyword_is_no_markup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = write_photos(tmp_path / "photos", 2)[0].parent
    hits = [Hit(path.name, 0.5, None) for path in photos.iterdir()]
    monkeypatch.setattr("typer.confirm", lambda *_, **__: False)
    command = sys.modules["c2srt_cli.cli.search"]  # the package has the function under the name of the module
    assert command._write(SearchResult(photos, hits, 2, ()), hits, "[/red]", yes=False) == 0
    assert "Write [/red] into the sidecars of 2 photographs?" in capsys.readouterr().err
    assert not list(photos.glob("*.xmp"))


def page_of(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "data.js").read_text().removeprefix("review(").removesuffix(");\n"))
    return found


def test_as_a_page(tiny: str, tmp_path: Path) -> None:
    """What is found above the line, and the others below, in the order of the search."""
    photos = write_photos(tmp_path / "photos", 6)[0].parent
    search = ["search", str(photos), "a red fox", "--not", "snow", "--backbone", tiny, *FAST, "--json"]
    every = CliRunner().invoke(app, [*search, "--top", "6"])
    done = CliRunner().invoke(app, [*search, "--top", "2", "--out", str(tmp_path / "page")])
    assert done.exit_code == 0, done.output
    page, found = page_of(tmp_path / "page"), [json.loads(line) for line in every.stdout.splitlines()]
    assert page["labels"] == ["red fox - snow"] == [page["title"]]
    paths = [page["photographs"][number][0] for number, *_ in page["given"][0] + page["others"][0]]
    assert paths == [one["path"] for one in found]
    assert [len(page["given"][0]), len(page["others"][0])] == [2, 4]
    assert [one[1] for one in page["given"][0]] == pytest.approx([one["score"] for one in found[:2]], abs=1e-4)
    for path, sha256, *_ in page["photographs"]:
        assert sha256 == hashlib.sha256((photos / path).read_bytes()).hexdigest()
    assert len(list((tmp_path / "page/c2srt-thumbs").rglob("*.jpg"))) == 6
