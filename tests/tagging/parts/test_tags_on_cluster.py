"""Tags that workers give, against those of one process."""

import importlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import Run
from photos import content, write_photos
from workers import HERE

from c2srt_cli.embeddings.encoder import Machine
from c2srt_cli.errors import InputError, Interrupted, UsageError
from c2srt_cli.progress import Progress
from c2srt_cli.tagging.decision import Rule
from c2srt_cli.tagging.parts.job import TagPartsJob
from c2srt_cli.tagging.parts.on_cluster import part_tagger
from c2srt_cli.tagging.parts.tag_parts import tag_parts
from c2srt_cli.tagging.tag import TagOptions, prepare_tagging
from c2srt_cli.tagging.update import TagResult
from c2srt_cli.tagging.writers import WRITERS


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Ten photographs, one of which cannot be read, and labels, named as from here."""
    monkeypatch.chdir(tmp_path)
    write_photos(Path("photos"), 9)
    Path("photos/broken.jpg").write_bytes(b"no image")
    Path("labels.txt").write_text("".join(f"thing {i}\n" for i in range(12)))
    yield tmp_path
    os.chdir(tmp_path)


def asked(tiny: str, out: str, **options: Any) -> TagOptions:
    given: dict[str, Any] = {"machine": Machine(precision="float32", batch=3, workers=1), "rule": Rule(top_k=2)}
    given |= options
    return TagOptions(("photos",), Path("labels.txt"), backbone=tiny, writer=WRITERS["parts"], out=Path(out), **given)


def run(options: TagOptions, progress: Progress | None = None, **more: Any) -> TagResult:
    assert options.out is not None
    job = TagPartsJob(prepare_tagging(options, Progress()), options.out, 4, asked=options, **more)
    return tag_parts(job, progress or Progress())


def test_they_leave_what_one_process_leaves(tiny: str) -> None:
    alone, seen = run(asked(tiny, "alone")), []
    progress = Progress(advance=lambda done, total: seen.append((done, total)))
    together = run(asked(tiny, "t"), progress, cluster=replace(HERE, lost=False))
    assert content(Path("t")) == content(Path("alone"))
    assert seen[-1] == (10, 10)
    assert (together.tagged, together.failures, together.open) == (alone.tagged, alone.failures, 0)
    one, other = together.summary, alone.summary
    assert (one.photographs, one.tags, one.untagged) == (other.photographs, other.tags, other.untagged) == (9, 18, 0)
    assert [(given.label, given.count, given.best, given.doubtful) for given in one.given] == [
        (given.label, given.count, given.best, given.doubtful) for given in other.given
    ]
    assert [given.sure for given in one.given] == pytest.approx([given.sure for given in other.given])


def test_stopped_and_gone_on_with(tiny: str) -> None:
    run(asked(tiny, "alone"))
    wishes = iter([False, True])
    with pytest.raises(Interrupted, match="1 of 3 parts are done"):
        run(asked(tiny, "t"), Progress(stopped=lambda: next(wishes)), cluster=HERE)
    assert run(asked(tiny, "t"), cluster=HERE).tagged == 9
    assert content(Path("t")) == content(Path("alone"))


def test_what_would_give_other_tags(tiny: str) -> None:
    """A worker that reads other labels, or runs otherwise, than the process that has assigned the parts."""
    options = asked(tiny, "t")
    wishes = iter([True])
    with pytest.raises(Interrupted):
        run(options, Progress(stopped=lambda: next(wishes)), cluster=HERE)
    made = TagPartsJob(prepare_tagging(options, Progress()), Path("t"), 4).made
    part_tagger(Path.cwd(), options, 4, made, 1)
    with pytest.raises(InputError, match="other options"):
        part_tagger(Path.cwd(), replace(options, rule=Rule(top_k=3)), 4, made, 1)
    with pytest.raises(InputError, match="is not on this machine"):
        part_tagger(Path("/nowhere"), options, 4, made, 1)


def test_a_share_of_a_cluster(tiny: str) -> None:
    with pytest.raises(UsageError, match="shares the parts out by itself"):
        run(asked(tiny, "t", share=(0, 2)), cluster=HERE, share=(0, 2))


def test_one_file_is_written_by_one_process(tiny: str, c2srt: Run) -> None:
    done = c2srt("tag", "photos", "-l", "labels.txt", "--out", "t.csv", "--cluster", "auto", "--backbone", tiny)
    assert (done.code, "written by one process" in done.err) == (2, True)


def test_without_ray(tiny: str, c2srt: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    done = c2srt("tag", "photos", "-l", "labels.txt", "--out", "t", "--cluster", "auto", "--backbone", tiny)
    assert (done.code, "pip install 'c2srt[ray]'" in done.err) == (2, True)
