"""Photographs in a bucket: what is made of them is what is made of files, and a rerun reads what has changed."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from buckets import forget, upload
from command_line import Run
from photos import write_photos

from c2srt_cli.embeddings import shards

SIZE = 4
FACTS = ("path", "size", "sha256", "width", "height", "shard", "row", "status", "reason", "detail")


@pytest.fixture
def photos(tmp_path: Path, memory: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten photographs and what is none, in a folder and in ``memory://b/p``."""
    monkeypatch.setattr(shards, "SHARD", 2)
    write_photos(tmp_path / "photos", 10)
    (tmp_path / "photos/broken.jpg").write_bytes(b"no image")
    upload(memory, tmp_path / "photos", "b/p")
    return tmp_path / "photos"


@pytest.fixture
def fetched(memory: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what is read of the bucket."""
    names, cat_file = list[str](), type(memory).cat_file

    def counted(self: Any, path: str, *bounds: Any) -> bytes:
        names.append(path.rpartition("/")[2])
        return bytes(cat_file(self, path, *bounds))

    monkeypatch.setattr(type(memory), "cat_file", counted)
    return names


def options(backbone: str) -> list[Any]:
    return ["--part-size", SIZE, "--backbone", backbone, "--batch-size", 3, "--workers", 2, "--precision", "float32"]


def facts(folder: Path) -> list[dict[str, Any]]:
    return [pq.read_table(part / "index.parquet").select(FACTS).to_pydict() for part in sorted(folder.glob("part-*"))]


def payload(folder: Path, name: str) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob(f"part-*/{name}"))}


def test_embeddings_of_a_bucket_are_those_of_a_folder(  # noqa: PLR0917
    c2srt: Run, tiny: str, photos: Path, tmp_path: Path, memory: Any, fetched: list[str]
) -> None:
    for source, out in (("memory://b/p", "there"), (photos, "here")):
        assert c2srt("embed", source, "--out", tmp_path / out, *options(tiny)).code == 5
    here, there = tmp_path / "here", tmp_path / "there"
    assert facts(there) == facts(here)
    store = [load(folder) for folder in (here, there)]
    assert store[0] == store[1]
    assert json.loads((there / "manifest.json").read_text())["options"]["root"] == "memory://b/p"
    assert sorted(fetched) == sorted(path.name for path in photos.iterdir())
    fetched.clear()
    memory.pipe_file("b/p/p0003.png", (photos / "p0004.png").read_bytes())
    memory.pipe_file("b/p/q.png", (photos / "p0001.png").read_bytes())
    memory.rm_file("b/p/p0000.png")
    forget()
    done = c2srt("embed", "memory://b/p", "--out", there, *options(tiny), "--allow-failures")
    assert (done.code, "2 encoded now, 1 removed" in done.err) == (0, True), done.err
    assert sorted(set(fetched) - {"broken.jpg"}) == ["p0003.png", "q.png"]  # of that one a few bytes


def load(folder: Path) -> list[tuple[str, bytes]]:
    from safetensors.torch import load_file

    found = []
    for path in sorted(folder.glob("part-*/shard-*")):
        found += [
            (f"{path.parent.name}/{path.name}/{name}", one.view(-1).float().numpy().tobytes())
            for name, one in sorted(load_file(path).items())
        ]
    return found


def test_tags_of_a_bucket_are_those_of_a_folder(
    c2srt: Run, tiny: str, photos: Path, tmp_path: Path, fetched: list[str]
) -> None:
    words = ["--labels", "cat, dog, tree", "--top-k", 2, "--allow-failures", *options(tiny)]
    for source, out in (("memory://b/p", "there"), (photos, "here")):
        assert c2srt("tag", source, "--out", tmp_path / out, *words).code == 0
    here, there = tmp_path / "here", tmp_path / "there"
    assert facts(there) == facts(here)
    assert payload(there, "tags.parquet") == payload(here, "tags.parquet") != {}
    fetched.clear()
    forget()
    done = c2srt("tag", "memory://b/p", "--out", there, *words)
    assert (done.code, "10 unchanged" in done.err, set(fetched)) == (0, True, {"broken.jpg"}), done.err
    for out in ("tags.jsonl", "tags.csv"):
        alone = [argument for argument in words if argument not in ("--part-size", SIZE)]
        for source in ("memory://b/p", photos):
            assert c2srt("tag", source, "--out", tmp_path / Path(str(source)).name / out, *alone).code == 0
        assert (tmp_path / "p" / out).read_bytes() == (tmp_path / "photos" / out).read_bytes()
    for wrong in (["--format", "xmp"], ["--format", "html", "--out", tmp_path / "page"]):
        done = c2srt("tag", "memory://b/p", "--labels", "cat", "--backbone", tiny, *wrong)
        assert (done.code, "use jsonl" in done.err) == (2, True), done.err


@pytest.mark.usefixtures("photos")
def test_commands_that_read_folders_alone_say_so(c2srt: Run, tiny: str, tmp_path: Path) -> None:
    for words in (
        ["learn", "memory://b/p", "--out", tmp_path / "l"],
        ["search", "memory://b/p", "cat", "--backbone", tiny, "--out", tmp_path / "page"],
    ):
        done = c2srt(*words)
        assert (done.code, "memory://b/p" in done.err) == (2, True), done.err
    done = c2srt("search", "memory://b/p", "cat", "--backbone", tiny)
    assert (done.code, "p0000.png" in done.out) == (5, True), done.err
