"""Parts that workers encode: what they leave, against one process; and what a machine lacks."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from photos import content, write_photos
from test_embed import prepared, run
from workers import HERE, Here

from c2srt_cli.artifacts import LOCK
from c2srt_cli.embeddings import on_cluster, shards
from c2srt_cli.embeddings.embed import EmbedResult, embed
from c2srt_cli.errors import InputError, Interrupted, UsageError
from c2srt_cli.progress import Progress


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten images, two of them none; shards are of two."""
    monkeypatch.setattr(shards, "SHARD", 2)
    write_photos(tmp_path / "photos", 10)
    for number in (1, 9):
        (tmp_path / f"photos/p000{number}.png").write_bytes(b"none")
    return tmp_path / "photos"


def on(photos: Path, out: Path, tiny: str, **options: Any) -> EmbedResult:
    return run(photos, out, tiny, part_size=4, cluster=HERE, **options)


def test_they_leave_what_one_process_leaves(tiny: str, photos: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\ndog\n")
    alone = run(photos, tmp_path / "alone", tiny, part_size=4, labels=labels)
    seen: list[tuple[int, int]] = []
    progress = Progress(advance=lambda done, total: seen.append((done, total)))
    together = on(photos, tmp_path / "e", tiny, labels=labels, progress=progress)
    assert content(tmp_path / "e") == content(tmp_path / "alone")
    assert seen[-1][1] == 10
    assert (together.total, together.failures, together.open) == (alone.total, alone.failures, 0)
    assert [row.path for row in together.failures] == ["p0001.png", "p0009.png"]


def test_stopped_and_gone_on_with(tiny: str, photos: Path, tmp_path: Path) -> None:
    run(photos, tmp_path / "alone", tiny, part_size=4)
    calls = 0

    def stopped() -> bool:
        nonlocal calls
        calls += 1
        return calls > 1

    with pytest.raises(Interrupted, match="1 of 3 parts are done"):
        on(photos, tmp_path / "e", tiny, progress=Progress(stopped=stopped))
    assert on(photos, tmp_path / "e", tiny).total == 10
    assert content(tmp_path / "e") == content(tmp_path / "alone")


@pytest.mark.parametrize("lacks", ["photographs", "parts"])
def test_a_machine_that_does_not_share_the_folders(tiny: str, photos: Path, tmp_path: Path, lacks: str) -> None:
    """What it has not is no reason to publish a part of failures."""
    job = prepared(photos, tmp_path / "e", tiny, part_size=4, cluster=HERE)

    class Apart(Here):
        def each(self, *given: Any, **named: Any) -> Any:
            shutil.move(photos if lacks == "photographs" else tmp_path / "e/part-00002", tmp_path / "elsewhere")
            return super().each(*given, **named)

    with pytest.raises(InputError, match="is not on this machine"):
        embed(replace(job, cluster=Apart("auto", 1, 0, 1)), Progress())
    assert not list((tmp_path / "e").glob("part-*/manifest.json"))
    assert not (tmp_path / "e" / LOCK).exists()


def test_a_machine_without_the_device(tiny: str, photos: Path, tmp_path: Path) -> None:
    job = prepared(photos, tmp_path / "e", tiny, part_size=4, cluster=HERE)
    other = replace(job.encoder, runtime=replace(job.encoder.runtime, device="cuda"))
    with pytest.raises(InputError, match="there is no cuda here"):
        embed(replace(job, encoder=other), Progress())


def test_the_device_is_that_of_the_workers(
    tiny: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here it may be missing: labels are embedded all the same."""
    there = prepared(photos, tmp_path / "e", tiny).encoder.runtime
    monkeypatch.setattr(on_cluster, "_runtime", lambda *_: (replace(there, device="cuda", dtype="bfloat16"), False))
    monkeypatch.setattr(Here, "call", lambda _, work: work())
    encoder = prepared(photos, tmp_path / "e", tiny, cluster=HERE).encoder
    assert encoder.runtime.device == "cuda"
    assert encoder.backbone.embed_texts(["a cat"]).shape == (1, 32)


def test_a_share_of_a_cluster(tiny: str, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="shares the parts out by itself"):
        on(photos, tmp_path / "e", tiny, share=(0, 2))
