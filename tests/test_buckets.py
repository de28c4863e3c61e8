"""Photographs in a bucket: what is made of them is what is made of files, and a rerun reads what has changed."""

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from buckets import downloaded, forget, upload
from command_line import Run
from photos import content, write_photos

from c2srt_cli import embed
from c2srt_cli.artifacts.buckets import list_objects
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


@pytest.mark.usefixtures("photos")
def test_tags_in_parts_in_a_bucket(c2srt: Run, tiny: str, tmp_path: Path, memory: Any) -> None:
    words = ["--labels", "cat, dog, tree", "--top-k", 2, "--allow-failures", *options(tiny)]
    for round_ in range(2):
        for out in ("memory://b/tags", tmp_path / "tags"):
            done = c2srt("tag", "memory://b/p", "--out", out, *words)
            assert (done.code, f"→ {out}" in done.err) == (0, True), done.err
        assert downloaded(memory, "b/tags") == content(tmp_path / "tags"), round_
        memory.store.pop("/b/p/p0002.png", None)
        memory.pipe_file("b/p/p0001.png", memory.cat_file("b/p/p0003.png"))
        forget()
    done = c2srt("embed", "memory://b/p", "--out", "memory://b/library", *options(tiny))
    assert (done.code, "memory://b/library:" in done.err, "copy it into a folder" in done.err) == (5, True, True), (
        done.err
    )
    done = c2srt("tag", "memory://b/library", "--labels", "cat")
    assert (done.code, "copy it into one" in done.err) == (3, True), done.err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["tag", "photos", "--labels", "cat", "--out", "memory://b/tags.jsonl"], "embeddings and tags in parts"),
        (
            ["tag", "photos", "--labels", "cat", "--out", "tags.jsonl", "--explain", "s3://b/why.jsonl"],
            "--explain s3://b",
        ),
        (["tag", "photos", "--labels", "cat", "--out", "s3://b/page", "--format", "html"], "--out s3://b/page"),
        (["tag", "photos", "--labels", "cat", "--out", "memory://b/tags", "--cluster", "auto"], "use --shard"),
        (["embed", "photos", "--out", "memory://b/e", "--cluster", "auto"], "use --shard"),
        (["embed", "photos", "--out", "https://host/e"], "is an address"),
        (["learn", "photos", "--out", "s3://b/profile"], "is an address"),
    ],
)
@pytest.mark.usefixtures("photos")
def test_what_is_not_written_into_a_bucket(
    c2srt: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = c2srt(*line)
    assert (done.code, said in done.err) == (2, True), done.err
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


@pytest.mark.parametrize(
    ("answer", "code", "said"), [(ConnectionError, 4, "same command again"), (PermissionError, 5, "unreadable")]
)
def test_a_bucket_that_stops_answering(  # noqa: PLR0917
    c2srt: Run,
    tiny: str,
    photos: Path,
    tmp_path: Path,
    memory: Any,
    monkeypatch: pytest.MonkeyPatch,
    answer: type[OSError],
    code: int,
    said: str,
) -> None:
    line = ["embed", "memory://b/p", "--out", tmp_path / "there", *options(tiny)]
    cat_file = type(memory).cat_file

    def fails(self: Any, path: str, *bounds: Any) -> bytes:
        if path.endswith("p0007.png"):
            raise answer("no")
        return bytes(cat_file(self, path, *bounds))

    monkeypatch.setattr(type(memory), "cat_file", fails)
    done = c2srt(*line)
    assert (done.code, said in done.err) == (code, True), done.err
    monkeypatch.setattr(type(memory), "cat_file", cat_file)
    forget()
    done = c2srt(*line)
    encoded = int(done.err.split(" encoded now")[0].rsplit(": ")[-1])
    assert (done.code, encoded) == (5, 1 if code == 5 else encoded), done.err
    assert encoded < 11
    assert c2srt("embed", photos, "--out", tmp_path / "here", *options(tiny)).code == 5
    if code == 4:
        assert load(tmp_path / "there") == load(tmp_path / "here")


def test_a_package_that_is_missing_is_named_by_its_extra(
    c2srt: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    done = c2srt("embed", "gs://bucket/p", "--out", tmp_path / "e")
    assert (done.code, "pip install 'c2srt[gs]'" in done.err) == (2, True), done.err
    done = c2srt("embed", "memory://bucket/p", "--out", tmp_path / "e")
    assert (done.code, "is an address" in done.err) == (2, True), done.err


def test_annotated_photographs_in_a_bucket(c2srt: Run, tiny: str, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(
        "path,labels\n" + "".join(f"p{n:04}.png,cat\n" for n in range(3)) + "gone.png,cat\n"
    )
    done = c2srt("prepare", "table", tmp_path / "rows.csv", "--root", photos, "--out", tmp_path / "a")
    assert done.code in (0, 5), done.err
    done = c2srt("embed", "-a", tmp_path / "a", "--root", "memory://b/p", "--out", tmp_path / "e", *options(tiny))
    assert "3 encoded now" in done.err, done.err


def test_another_object_of_the_same_size_and_time_is_another_version(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe_file("b/v/a.jpg", b"one")
    find = type(memory).find
    tags = iter(("x", "x", "y"))

    def tagged(self: Any, path: str, **options: Any) -> Any:
        tag = next(tags)
        return {name: facts | {"ETag": tag} for name, facts in find(self, path, **options).items()}

    monkeypatch.setattr(type(memory), "find", tagged)
    first, again, other = (list_objects(Path("memory:/b/v"))["a.jpg"] for _ in range(3))
    assert first == again
    assert other[:2] == first[:2]
    assert other != first


def test_python_writes_shares_into_a_bucket(tiny: str, photos: Path, tmp_path: Path, memory: Any) -> None:
    made: dict[str, Any] = {"backbone": tiny, "precision": "float32", "part_size": SIZE}
    for out, of in (("memory://b/api", 2), (tmp_path / "api", 1)):
        left = [embed(photos, out=out, share=(mine, of), **made).open for mine in range(of)]
        assert left[-1] == 0
    assert payload(tmp_path / "api", "shard-*")
    there = downloaded(memory, "b/api")
    assert {name: there[name] for name in payload(tmp_path / "api", "*")} == payload(tmp_path / "api", "*")
