"""The summary of a run, against pandas."""

import io
import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import Run
from photos import write_photos
from rich.console import Console

from c2srt_cli.cli.summary import show_summary
from c2srt_cli.tagging.record import KeptImage, Tag, TaggedImage
from c2srt_cli.tagging.summary import Summary

LABELS = [f"label {n}" for n in range(9)]


def images(count: int, *, calibrated: bool) -> list[TaggedImage]:
    random = np.random.default_rng(0)
    found = []
    for number in range(count):
        chosen = random.permutation(8)[: random.integers(0, 5)]  # the last label is given to none
        tags = [
            Tag(LABELS[i], score, round(score / 2, 6) if calibrated else None, None)
            for i, score in zip(chosen.tolist(), random.random(len(chosen)).tolist(), strict=True)
        ]
        found.append(TaggedImage(f"a/{number:03}.jpg", tuple(tags)))
    return found


@pytest.mark.parametrize("calibrated", [True, False])
def test_labels_are_counted(calibrated: bool) -> None:
    rows, summary = images(50, calibrated=calibrated), Summary(LABELS)
    assert list(summary.watch([*rows, KeptImage("b.jpg", "")])) == [*rows, KeptImage("b.jpg", "")]
    table = pd.DataFrame(
        [(t.label, row.path, t.probability if calibrated else t.score) for row in rows for t in row.tags],
        columns=["label", "path", "sure"],
    )
    assert (summary.photographs, summary.tags) == (50, len(table))
    assert summary.untagged == sum(not row.tags for row in rows) > 0
    assert summary.calibrated is calibrated
    by_label = table.groupby("label")["sure"]
    assert {one.label: one.count for one in summary.given} == by_label.size().to_dict()
    np.testing.assert_allclose([one.sure for one in summary.given], by_label.mean()[[o.label for o in summary.given]])
    for one in summary.given:
        assert one.best == table.path[by_label.idxmax()[one.label]]
        assert one.doubtful == table.path[by_label.idxmin()[one.label]]
    counts = [one.count for one in summary.given]
    assert counts == sorted(counts, reverse=True)


@pytest.mark.parametrize(
    ("probability", "count", "suspicious"),
    [(0.3, 5, True), (0.3, 4, False), (0.9, 50, False), (None, 17, True), (None, 16, False)],
)
def test_many_tags_of_little_faith_are_suspicious(probability: float | None, count: int, suspicious: bool) -> None:
    summary = Summary(["sky", "sea"])
    for number in range(50):
        tags = (Tag("sky", 0.2, probability, None),) if number < count else ()
        summary.add(TaggedImage(f"{number}.jpg", tags))
    assert [one.label for one in summary.suspicious] == ["sky"] * suspicious


@pytest.mark.parametrize(
    ("probability", "found_from", "missing"),
    [
        (0.29, 0.3, ["sky", "sea", "owl"]),
        (0.3, 0.3, ["sea", "owl"]),
        (0.01, None, ["sea", "owl"]),
        (None, 0.3, ["sea", "owl"]),
    ],
)
def test_a_label_that_fits_no_photograph_is_not_found(
    probability: float | None, found_from: float | None, missing: list[str]
) -> None:
    summary = Summary(["sky", "sea", "owl"], found_from=found_from)
    summary.add(TaggedImage("a.jpg", (Tag("sky", 0.2, probability, None),)))
    summary.add(TaggedImage("b.jpg", (Tag("sky", 0.1, None if probability is None else 0.001, None),)))
    assert summary.not_found == missing
    assert [one.count for one in summary.given] == [2], "no tag is taken back"
    assert f"not found in 2 photographs: {len(missing)} labels: {', '.join(missing)}" in shown(summary, 120)


def shown(summary: Summary, width: int) -> str:
    stream = io.StringIO()
    show_summary(summary, Console(file=stream, width=width, highlight=False))
    return stream.getvalue()


@pytest.mark.parametrize(("tagged", "advise", "said"), [(4, True, True), (5, True, False), (4, False, False)])
def test_where_most_have_no_label_the_preset_that_gives_more_is_named(tagged: int, advise: bool, said: bool) -> None:
    summary, stream = Summary(["sky"]), io.StringIO()
    for number in range(10):
        tags = (Tag("sky", 0.2, 0.5, None),) if number < tagged else ()
        summary.add(TaggedImage(f"{number}.jpg", tags))
    show_summary(summary, Console(file=stream), advise=advise)
    assert ("without a label; --preset generous gives more" in stream.getvalue()) == said


@pytest.mark.parametrize("width", [80, 120])
def test_it_fits_the_terminal_and_cannot_move_it(width: int) -> None:
    summary = Summary([*LABELS, "none"])
    for number in range(30):
        tags = (
            Tag("[bold]\x1b[31m a label with a name as long as a sentence is", 0.3, 0.2, None),
            *(Tag(f"more {n}", 0.1, 0.1, None) for n in range(number)),
        )
        summary.add(TaggedImage(f"{'folder/' * 9}{number}犬の写真\x1b[2J.jpg", tags))
    text = shown(summary, width)
    assert "\x1b" not in text and "[bold]" in text
    assert all(len(line) + sum(ord(c) > 0x2E80 for c in line) <= width for line in text.splitlines()[:14])
    assert "18 more labels" in text and "given suspiciously often" in text


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_photos(tmp_path / "photos", 22)
    return tmp_path / "photos"


def tag(photos: Path, tiny: str) -> tuple[object, ...]:
    machine = ("--backbone", tiny, "--precision", "float32", "--batch-size", 11)
    return ("tag", photos, "-l", "cat, dog", "--top-k", 1, *machine)


def test_a_file_is_summed_up_beside_it(c2srt: Run, tiny: str, photos: Path) -> None:
    out = photos.parent / "tags.jsonl"
    asked = tag(photos, tiny)
    done = c2srt(*asked, "--out", out)
    assert done.code == 0 and not done.out
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    count = sum(any(tag["label"] == "cat" for tag in row["tags"]) for row in rows)
    assert any(line.split()[:2] == ["cat", str(count)] for line in done.err.splitlines())
    assert f"next: c2srt review {out} --out review" in done.err
    again = c2srt(*asked, "--out", out)  # nothing is tagged anew: there is nothing to sum up
    assert "fits best" not in again.err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("how", ["many", "asked for", "few"])
def test_a_terminal_gets_lines_for_few_and_the_summary_for_many(
    how: str, c2srt: Run, tiny: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "few":
        for path in sorted(photos.iterdir())[20:]:
            path.unlink()
    terminal = Terminal()
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stdout", terminal)
    table = ["--format", "table"] if how == "asked for" else []
    asked = tag(photos, tiny)
    done = c2srt(*asked, *table)
    assert done.code == 0, done.err
    text = terminal.getvalue()
    assert ("fits best" in text) == (how == "many")
    assert sum(line.startswith("p0") for line in text.splitlines()) == {"many": 0, "asked for": 22, "few": 20}[how]
    named = shlex.join([str(photos), "--labels", "cat, dog"])
    assert (f"next: c2srt tag {named} --format html --out review\n" in done.err) == (how != "few")
