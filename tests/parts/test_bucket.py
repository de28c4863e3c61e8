"""Parts in a bucket against parts in a folder: the same bytes, whatever was killed while they were put there."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from buckets import downloaded, forget
from photos import Killed, content, stop_after, write_photos
from test_embed import prepared

from c2srt_cli.artifacts.hollow import is_hollow
from c2srt_cli.backbone.names import home
from c2srt_cli.embeddings import shards
from c2srt_cli.embeddings.embed import EmbedResult, embed
from c2srt_cli.embeddings.store import Store
from c2srt_cli.errors import InputError, Interrupted, UsageError
from c2srt_cli.parts import bucket
from c2srt_cli.parts.bucket import folder_of
from c2srt_cli.progress import Progress

OUT = Path("memory://b/out")


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins of this test alone; shards of two."""
    monkeypatch.setenv("C2SRT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(shards, "SHARD", 2)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_photos(tmp_path / "photos", 6)
    return tmp_path / "photos"


def run(photos: Path, out: Path, tiny: str, *, progress: Progress | None = None, **options: Any) -> EmbedResult:
    share = options.get("share")
    forget()
    with folder_of(out, share) as folder:
        return embed(prepared(photos, folder, tiny, part_size=4, **options), progress or Progress())


def elsewhere() -> None:
    """From now on on another machine."""
    shutil.rmtree(home())


def dying(monkeypatch: pytest.MonkeyPatch, number: int) -> Callable[[], int]:
    """Die before the n-th change of the bucket; the number of changes so far."""
    calls = 0

    def counted(change: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Path) -> None:
            nonlocal calls
            calls += 1
            if calls == number:
                raise Killed
            change(*arguments)

        return call

    for name in ("write_object", "delete_object"):
        monkeypatch.setattr(bucket, name, counted(getattr(bucket, name)))
    return lambda: calls


def check_done(memory: Any) -> None:
    """Whatever part has a manifest is whole."""
    there = downloaded(memory, "b/out")
    for name, data in there.items():
        if name.startswith("part-") and name.endswith("/manifest.json"):
            part = name.partition("/")[0]
            for number, file in json.loads(data)["shards"].items():
                assert len(there[f"{part}/shard-{int(number):05}.safetensors"]) == file["size"]
            assert f"{part}/index.parquet" in there


def test_a_bucket_holds_what_a_folder_would(tiny: str, photos: Path, tmp_path: Path, memory: Any) -> None:
    for out in (OUT, tmp_path / "e"):
        assert run(photos, out, tiny).encoded == 6
    assert downloaded(memory, "b/out") == content(tmp_path / "e")
    (stand_in,) = (home() / "buckets").iterdir()
    assert {path.name: is_hollow(path) for path in stand_in.glob("part-00000/*")} == {
        "index.parquet": False,
        "manifest.json": False,
        "shard-00000.safetensors": True,
        "shard-00001.safetensors": True,
    }


@pytest.mark.parametrize("moved", [False, True])
def test_a_rerun_adds_parts_and_marks_what_has_gone(
    tiny: str, photos: Path, tmp_path: Path, memory: Any, moved: bool
) -> None:
    for out in (OUT, tmp_path / "e"):
        run(photos, out, tiny)
    before = memory.modified("b/out/part-00000/shard-00001.safetensors")
    write_photos(photos, 1, start=7)
    for gone in ("p0000.png", "p0001.png", "p0005.png"):  # a whole shard, and half of one
        (photos / gone).unlink()
    if moved:
        elsewhere()
    for out in (OUT, tmp_path / "e"):
        result = run(photos, out, tiny)
        assert (result.encoded, result.removed) == (1, 3)
    assert downloaded(memory, "b/out") == content(tmp_path / "e")
    assert memory.modified("b/out/part-00000/shard-00001.safetensors") == before
    calls = len(downloaded(memory, "b/out"))
    with pytest.MonkeyPatch.context() as patch:
        changes = dying(patch, -1)
        assert run(photos, OUT, tiny).encoded == 0
        assert changes() == 4  # what says that it is being worked on comes and goes
    assert len(downloaded(memory, "b/out")) == calls


def test_what_somebody_has_deleted_in_the_bucket_is_made_again(
    tiny: str, photos: Path, tmp_path: Path, memory: Any
) -> None:
    for out in (OUT, tmp_path / "e"):
        run(photos, out, tiny)
    memory.rm("b/out", recursive=True)
    assert run(photos, OUT, tiny).encoded == 6
    assert downloaded(memory, "b/out") == content(tmp_path / "e")
    for name in list(downloaded(memory, "b/out")):
        if name.startswith("part-00000/"):
            memory.rm_file(f"b/out/{name}")
    assert run(photos, OUT, tiny).encoded == 4
    assert downloaded(memory, "b/out") == content(tmp_path / "e")


def test_a_kill_at_any_change_of_the_bucket(tiny: str, tmp_path: Path, memory: Any) -> None:
    photos = write_photos(tmp_path / "photos", 5)[0].parent
    run(photos, tmp_path / "e", tiny)
    wanted = content(tmp_path / "e")
    number, killed = 0, True
    while killed:
        number += 1
        memory.store.clear()
        shutil.rmtree(home(), ignore_errors=True)
        with pytest.MonkeyPatch.context() as patch:
            dying(patch, number)
            try:
                run(photos, OUT, tiny)
                killed = False
            except Killed:
                check_done(memory)
                patch.undo()
                patch.setenv("C2SRT_HOME", str(tmp_path / "home"))
                patch.setattr(shards, "SHARD", 2)
                if number % 3 == 0:
                    elsewhere()
                run(photos, OUT, tiny)
        assert downloaded(memory, "b/out") == wanted, number
    assert number > 10


def test_a_kill_while_a_part_is_rewritten(tiny: str, photos: Path, tmp_path: Path, memory: Any) -> None:
    run(photos, tmp_path / "e", tiny)
    run(photos, OUT, tiny)
    first = dict(memory.store)
    for gone in ("p0000.png", "p0001.png", "p0005.png"):
        (photos / gone).unlink()
    run(photos, tmp_path / "e", tiny)
    wanted = content(tmp_path / "e")
    shutil.copytree(home(), tmp_path / "before")
    for number in range(1, 12, 2):
        memory.store.clear()
        memory.store.update(first)
        shutil.rmtree(home())
        shutil.copytree(tmp_path / "before", home())
        with pytest.MonkeyPatch.context() as patch:
            dying(patch, number)
            try:
                run(photos, OUT, tiny)
            except Killed:
                check_done(memory)
        run(photos, OUT, tiny)
        assert downloaded(memory, "b/out") == wanted, number


def test_a_stopped_run_goes_on_within_its_part(tiny: str, photos: Path, tmp_path: Path, memory: Any) -> None:
    run(photos, tmp_path / "e", tiny)
    with pytest.raises(Interrupted) as caught:
        run(photos, OUT, tiny, progress=stop_after(1))
    assert caught.value.where == "memory://b/out"
    assert run(photos, OUT, tiny).encoded < 6
    assert downloaded(memory, "b/out").keys() == content(tmp_path / "e").keys()


@pytest.mark.parametrize("moved", [False, True])
def test_shares(tiny: str, photos: Path, tmp_path: Path, memory: Any, moved: bool) -> None:
    run(photos, tmp_path / "e", tiny)
    first = run(photos, OUT, tiny, share=(1, 2))
    assert (first.encoded, first.open) == (2, 1)
    if moved:
        elsewhere()
    second = run(photos, OUT, tiny, share=(0, 2))
    assert (second.encoded, second.open) == (4, 0)
    assert downloaded(memory, "b/out") == content(tmp_path / "e")


def test_a_second_process_is_noticed(tiny: str, photos: Path, memory: Any) -> None:
    with folder_of(OUT) as folder:
        job = prepared(photos, folder, tiny, part_size=4)
        memory.pipe_file("b/out/part-00000/manifest.json", b"{}")
        with pytest.raises(UsageError, match="another c2srt") as caught:
            embed(job, Progress())
    assert caught.value.where == "memory://b/out/part-00000"
    with pytest.raises(UsageError, match="writing here") as caught, folder_of(OUT):
        from c2srt_cli.artifacts import LOCK, lock

        with lock(folder / LOCK), folder_of(OUT):
            pass


@pytest.mark.parametrize("damage", ["index.parquet", "manifest.json", "shard-00000.safetensors"])
@pytest.mark.parametrize("gone", [False, True])
def test_what_is_damaged_in_the_bucket_is_made_again(  # noqa: PLR0917
    tiny: str, photos: Path, tmp_path: Path, memory: Any, damage: str, gone: bool
) -> None:
    run(photos, OUT, tiny)
    if gone:
        memory.rm_file(f"b/out/part-00000/{damage}")
    else:
        memory.pipe_file(f"b/out/part-00000/{damage}", b"damaged")
    run(photos, OUT, tiny)
    for name, data in downloaded(memory, "b/out").items():
        (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / name).write_bytes(data)
    assert Store.open(tmp_path / "d").verify() == 6


def test_what_is_not_ours_stays(tiny: str, photos: Path, memory: Any) -> None:
    memory.pipe_file("b/out/thesis.doc", b"x")
    with pytest.raises(InputError, match="not empty") as caught:
        run(photos, OUT, tiny)
    assert caught.value.where == "memory://b/out"
    memory.rm_file("b/out/thesis.doc")
    run(photos, OUT, tiny)
    odd = {
        "/b/out/thesis.doc",
        "/b/out/part-00000/../../evil",
        "/b/out/part-00000/..",
        "/b/out/part-00000//index.parquet",
    }
    for name in odd:
        memory.store[name] = memory.store["/b/out/manifest.json"]
    run(photos, OUT, tiny, overwrite=True)
    assert odd <= memory.store.keys()
    assert not (home().parent / "evil").exists()
