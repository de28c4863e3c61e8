"""Parts of embeddings: which image goes where, what a rerun leaves alone, and several processes on one folder."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from photos import Killed, content, die_at, stop_after, write_photos
from test_embed import by_path, prepared, run, same

from c2srt_cli.artifacts import LOCK, lock
from c2srt_cli.embeddings import shards
from c2srt_cli.embeddings.embed import EmbedResult, embed
from c2srt_cli.embeddings.store import Store
from c2srt_cli.errors import InputError, Interrupted, UsageError
from c2srt_cli.parts.index import INDEX
from c2srt_cli.progress import Progress

SIZE = 4
NAMES = [f"p{number:04}.png" for number in range(10)]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten images; shards are of two, parts are of four."""
    monkeypatch.setattr(shards, "SHARD", 2)
    write_photos(tmp_path / "photos", 10)
    return tmp_path / "photos"


@pytest.fixture
def embedded(tiny: str, photos: Path, tmp_path: Path) -> Path:
    run(photos, tmp_path / "e", tiny, part_size=SIZE)
    return tmp_path / "e"


def index(folder: Path, part: int) -> dict[str, str]:
    """Status by path, as pyarrow reads it."""
    table = pq.read_table(folder / f"part-{part:05}" / INDEX)
    return dict(zip(table["path"].to_pylist(), table["status"].to_pylist(), strict=True))


def files(folder: Path, part: int) -> dict[str, bytes]:
    return content(folder / f"part-{part:05}")


def again(photos: Path, folder: Path, tiny: str, **options: Any) -> EmbedResult:
    return run(photos, folder, tiny, part_size=SIZE, **options)


def test_images_are_assigned_in_order(tiny: str, photos: Path, embedded: Path, tmp_path: Path) -> None:
    assert [index(embedded, part) for part in range(3)] == [
        dict.fromkeys(NAMES[start : start + SIZE], "ok") for start in (0, 4, 8)
    ]
    run(photos, tmp_path / "one", tiny)
    assert same(by_path(embedded), by_path(tmp_path / "one"))
    store = Store.open(embedded)
    assert store.paths.to_pylist() == NAMES
    assert store.verify() == len(store) == 10
    assert store.part.tolist() == [0] * 4 + [1] * 4 + [2] * 2
    ((_, tokens, vectors),) = store.batches([9, 0, 5, 4], 4)
    wanted = [by_path(embedded)[NAMES[place]] for place in (9, 0, 5, 4)]
    assert torch.equal(vectors, torch.stack([one["global"] for one in wanted]))
    assert tokens.local is not None
    assert torch.equal(tokens.local, torch.stack([one["local"] for one in wanted]))
    some = store.take(store.find([NAMES[8], NAMES[1]]))
    assert some.columns("path")["path"].to_pylist() == some.paths.to_pylist() == [NAMES[8], NAMES[1]]
    assert torch.equal(
        torch.cat([found for _, found in some.global_embeddings()]),
        torch.stack([by_path(embedded)[NAMES[place]]["global"] for place in (1, 8)]),
    )


def test_what_is_new_goes_into_new_parts(tiny: str, photos: Path, embedded: Path) -> None:
    before = content(embedded)
    write_photos(photos, 2, seed=1, start=20)
    (photos / "a.png").write_bytes((photos / NAMES[0]).read_bytes())
    result = again(photos, embedded, tiny)
    assert (result.total, result.encoded, result.removed) == (13, 3, 0)
    assert {name: data for name, data in content(embedded).items() if name in before and "/" in name} == {
        name: data for name, data in before.items() if "/" in name
    }
    assert list(index(embedded, 3)) == ["a.png", "p0020.png", "p0021.png"]


def test_what_has_gone_is_marked_and_may_come_back(tiny: str, photos: Path, embedded: Path, tmp_path: Path) -> None:
    before = content(embedded)
    (photos / NAMES[5]).rename(tmp_path / "kept.png")
    result = again(photos, embedded, tiny)
    assert (result.total, result.encoded, result.removed) == (9, 0, 1)
    assert index(embedded, 1) == dict.fromkeys(NAMES[4:8], "ok") | {NAMES[5]: "removed"}
    assert NAMES[5] not in Store.open(embedded).paths.to_pylist()
    assert [files(embedded, part) for part in (0, 2)] == [
        {name.partition("/")[2]: data for name, data in before.items() if name.startswith(f"part-{part:05}")}
        for part in (0, 2)
    ]
    (tmp_path / "kept.png").rename(photos / NAMES[5])
    result = again(photos, embedded, tiny)
    assert (result.total, result.encoded, result.removed) == (10, 0, 0)
    assert by_path(embedded).keys() == set(NAMES)
    assert content(embedded).keys() == before.keys()


def test_what_has_changed_moves_to_a_new_part(tiny: str, photos: Path, embedded: Path, tmp_path: Path) -> None:
    kept = (photos / NAMES[0]).read_bytes()
    write_photos(photos, 1, seed=7)
    result = again(photos, embedded, tiny)
    assert (result.total, result.encoded, result.removed) == (10, 1, 0)
    assert (index(embedded, 0)[NAMES[0]], index(embedded, 3)) == ("removed", {NAMES[0]: "ok"})
    run(photos, tmp_path / "fresh", tiny)
    assert same(by_path(embedded), by_path(tmp_path / "fresh"))
    # and back: the first embedding holds again
    (photos / NAMES[0]).write_bytes(kept)
    assert again(photos, embedded, tiny).encoded == 0
    assert (index(embedded, 0)[NAMES[0]], index(embedded, 3)) == ("ok", {NAMES[0]: "removed"})


def test_a_part_of_which_nothing_is_left(tiny: str, photos: Path, embedded: Path) -> None:
    for name in NAMES[:4]:
        (photos / name).unlink()
    again(photos, embedded, tiny)
    assert files(embedded, 0).keys() == {INDEX, "manifest.json"}
    write_photos(photos, 4)
    assert again(photos, embedded, tiny).encoded == 4
    assert Store.open(embedded).verify() == 10


def test_killed_at_any_write(
    tiny: str, photos: Path, embedded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a run that adds, drops and changes images: the next one leaves what an unbroken one does."""
    shutil.copytree(embedded, tmp_path / "before")
    write_photos(photos, 5, seed=1, start=20)
    write_photos(photos, 1, seed=2, start=1)
    (photos / NAMES[6]).unlink()
    job, real = prepared(photos, embedded, tiny, part_size=SIZE), os.fsync
    embed(job, Progress())
    whole = content(embedded)
    for number in range(1, 40):
        shutil.rmtree(embedded)
        shutil.copytree(tmp_path / "before", embedded)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", die_at(number, real))
            try:
                embed(job, Progress())
            except Killed:
                embed(job, Progress())
            else:
                break
        assert content(embedded) == whole, f"killed at write {number}"
    assert number > 20


@pytest.mark.parametrize("damage", ["a shard", "an index", "a manifest"])
def test_a_damaged_part_is_mended_and_no_other_touched(tiny: str, photos: Path, embedded: Path, damage: str) -> None:
    before = content(embedded)
    name = {"a shard": "shard-00001.safetensors", "an index": INDEX, "a manifest": "manifest.json"}[damage]
    path = embedded / "part-00001" / name
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(InputError):
        Store.open(embedded).verify()
    assert again(photos, embedded, tiny).encoded == (2 if damage == "a shard" else 0)
    assert Store.open(embedded).verify() == 10
    after = content(embedded)
    assert {name for name in after if after[name] != before.get(name)} <= {
        f"part-00001/{name}" for name in (INDEX, "manifest.json", "shard-00002.safetensors")
    }


@pytest.mark.parametrize("what", ["gone", "of other embeddings", "not counted"])
def test_parts_that_are_not_those_of_the_manifest(tiny: str, photos: Path, embedded: Path, what: str) -> None:
    manifest = embedded / "part-00001/manifest.json"
    if what == "gone":
        shutil.rmtree(embedded / "part-00001")
    elif what == "not counted":
        shutil.copytree(embedded / "part-00001", embedded / "part-00003")
    else:
        value = json.loads(manifest.read_text())
        value["options"]["split_stage"] = 1
        manifest.write_text(json.dumps(value))
    with pytest.raises(InputError):
        Store.open(embedded)
    again(photos, embedded, tiny)
    assert by_path(embedded).keys() == set(NAMES)
    assert Store.open(embedded).verify() == 10


def old_layout(embedded: Path) -> None:
    """As versions before there were parts left it, from embeddings of one part."""
    part = embedded / "part-00000"
    (part / "manifest.json").unlink()
    for path in part.iterdir():
        path.rename(embedded / path.name)
    part.rmdir()
    manifest = json.loads((embedded / "manifest.json").read_text())
    del manifest["parts"]
    (embedded / "manifest.json").write_text(json.dumps(manifest | {"schema": 1}))


def test_embeddings_of_before_there_were_parts(
    tiny: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are read, and become the first part; wherever that is killed."""
    run(photos, tmp_path / "whole", tiny)
    whole, vectors = content(tmp_path / "whole"), by_path(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "old")
    old_layout(tmp_path / "old")
    store = Store.open(tmp_path / "old")
    assert store.verify() == 10
    ((_, _, found),) = store.batches(range(10), 10)
    assert torch.equal(found, torch.stack([vectors[name]["global"] for name in NAMES]))
    job, real = prepared(photos, tmp_path / "e", tiny), Path.replace
    for number in range(1, 9):
        calls = 0

        def replace(path: Path, target: Path, number: int = number) -> Path:
            nonlocal calls
            calls += not path.name.startswith(".")
            if calls == number:
                raise Killed
            return real(path, target)

        shutil.copytree(tmp_path / "old", tmp_path / "e")
        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", replace)
            try:
                embed(job, Progress())
            except Killed:
                patch.undo()
                assert embed(job, Progress()).total == 10
        assert same(by_path(tmp_path / "e"), vectors)
        shutil.rmtree(tmp_path / "e")
    shutil.copytree(tmp_path / "old", tmp_path / "e")
    assert embed(job, Progress()).encoded == 0
    assert content(tmp_path / "e") == whole


class TestShares:
    def test_each_does_its_own_and_the_last_publishes(self, tiny: str, photos: Path, tmp_path: Path) -> None:
        labels = tmp_path / "labels.txt"
        labels.write_text("cat\ndog\n")
        run(photos, tmp_path / "whole", tiny, part_size=SIZE, labels=labels)
        out = tmp_path / "e"
        first = again(photos, out, tiny, share=(0, 2), labels=labels)
        assert (first.encoded, first.open) == (6, 1)
        with pytest.raises(InputError, match="unfinished"):
            Store.open(out)
        write_photos(photos, 1, start=30)  # waits until all that is assigned is done
        second = again(photos, out, tiny, share=(1, 2), labels=labels)
        assert (second.encoded, second.open) == (4, 0)
        assert content(out) == content(tmp_path / "whole")
        third = again(photos, out, tiny, share=(1, 2), labels=labels)
        assert (third.encoded, third.open) == (1, 0)

    def test_at_once(self, tiny: str, photos: Path, tmp_path: Path) -> None:
        run(photos, tmp_path / "whole", tiny, part_size=2)
        jobs = [prepared(photos, tmp_path / "e", tiny, part_size=2, share=(number, 3)) for number in range(3)]
        with ThreadPoolExecutor(3) as pool:
            results = list(pool.map(lambda job: embed(job, Progress()), jobs))
        assert sum(result.encoded for result in results) == 10
        assert content(tmp_path / "e") == content(tmp_path / "whole")

    def test_one_that_is_stopped_or_taken_away(self, tiny: str, photos: Path, tmp_path: Path) -> None:
        run(photos, tmp_path / "whole", tiny, part_size=SIZE)
        out = tmp_path / "e"
        with pytest.raises(Interrupted):
            again(photos, out, tiny, share=(0, 2), progress=stop_after(1))
        again(photos, out, tiny, share=(1, 2))
        assert again(photos, out, tiny, share=(0, 2)).open == 0
        assert content(out) == content(tmp_path / "whole")

    def test_a_part_has_one_writer(self, tiny: str, photos: Path, tmp_path: Path) -> None:
        with pytest.raises(Interrupted):
            again(photos, tmp_path / "e", tiny, share=(0, 2), progress=stop_after(1))
        with lock(tmp_path / "e/part-00000" / LOCK), pytest.raises(UsageError, match="another c2srt"):
            again(photos, tmp_path / "e", tiny)

    def test_other_options_are_refused(self, tiny: str, photos: Path, tmp_path: Path) -> None:
        again(photos, tmp_path / "e", tiny, share=(0, 2))
        with pytest.raises(InputError, match="made with other options"):
            again(photos, tmp_path / "e", tiny, share=(1, 2), fit="pad")
        with pytest.raises(UsageError, match="cannot start again"):
            again(photos, tmp_path / "e", tiny, share=(1, 2), overwrite=True)
