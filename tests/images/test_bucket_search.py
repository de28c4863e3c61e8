"""The search in a bucket against the one in a folder of the same names, and names that no folder holds."""

from pathlib import Path
from typing import Any

import pytest
from buckets import upload

from c2srt_cli.artifacts.buckets import read_object
from c2srt_cli.errors import ImageError, InputError, UsageError
from c2srt_cli.images import PixelSpec, bounds, find_images, load_pixels, pixels

NAMES = (
    "b.jpg",
    "a/z.PNG",
    "a.jpg",
    "a/b/ü 写真 📷.jpeg",
    "a!/x.jpg",
    "notes.txt",
    ".hidden.jpg",
    "@eaDir/t.jpg",
    "old/c.psd",
    "old/d.jpg",
    "a?b#c%20+&[x]*.jpg",
)


def search(*inputs: str, **options: Any) -> Any:
    return find_images(inputs, buckets=True, **options)


@pytest.mark.parametrize("exclude", [(), ("old/",), ("*.PNG", "!@eaDir/"), ("a/b",)])
def test_finds_what_a_folder_would_give_in_its_order(memory: Any, tmp_path: Path, exclude: tuple[str, ...]) -> None:
    for name in NAMES:
        (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "p" / name).write_bytes(b"x")
    upload(memory, tmp_path / "p", "bucket/p")
    memory.pipe_file("bucket/p2/other.jpg", b"x")
    there = search("memory://bucket/p", exclude=exclude)
    here = find_images([str(tmp_path / "p")], exclude=exclude)
    assert there.files.names.to_pylist() == here.files.names.to_pylist()
    assert there.left_out == here.left_out
    assert there.root.as_posix() == "memory:/bucket/p"
    assert [there.passes_over(name) for name in NAMES] == [here.passes_over(name) for name in NAMES]


def test_a_file_and_several_folders_of_one_bucket(memory: Any) -> None:
    for key in ("b/p/a.jpg", "b/p/c/d.jpg", "b/q/e.jpg", "b/p/odd.bin", "b/r/f.jpg"):
        memory.pipe_file(key, b"x")
    found = search("memory://b/p/odd.bin", "memory://b/p", "memory://b/q/")
    assert (found.root.as_posix(), found.files.names.to_pylist()) == (
        "memory:/b",
        ["p/odd.bin", "p/a.jpg", "p/c/d.jpg", "q/e.jpg"],
    )
    found = search("memory://b/p").relative_to(Path("memory://b"))
    assert found.files.names.to_pylist() == ["p/a.jpg", "p/c/d.jpg"]
    with pytest.raises(UsageError, match="memory://b/p"):
        search("memory://b/p").relative_to(Path("/photos"))


@pytest.mark.parametrize(
    "name", ["/a.jpg", "x//a.jpg", "../a.jpg", "x/../a.jpg", "./a.jpg", "x/./a.jpg", "x\\..\\a.jpg"]
)
def test_a_name_that_no_path_is_is_told_and_reads_nothing_else(memory: Any, name: str) -> None:
    memory.pipe_file("b/p/good.jpg", b"x")
    memory.store[f"/b/p/{name}"] = memory.store["/b/p/good.jpg"]
    found = search("memory://b/p")
    assert found.files.names.to_pylist() == ["good.jpg"]
    assert [(bad.name, bad.reason) for bad in found.problems] == [(name, "bad-name")]


def test_markers_of_folders_and_names_that_are_both_a_file_and_a_folder(memory: Any) -> None:
    for key in ("b/p/", "b/p/sub/", "b/p/x.jpg/", "b/p/a.jpg", "b/p/a.jpg/c.jpg"):
        memory.store[f"/{key}"] = None
        memory.pipe_file("b/tmp", b"x")
        memory.store[f"/{key}"] = memory.store.pop("/b/tmp")
    assert search("memory://b/p").files.names.to_pylist() == ["a.jpg", "a.jpg/c.jpg"]


def test_what_is_no_folder_of_a_bucket_is_refused(memory: Any, tmp_path: Path) -> None:
    memory.pipe_file("b/p/a.jpg", b"x")
    memory.pipe_file("c/a.jpg", b"x")
    for inputs, said in (
        (["https://host/p"], "is an address"),
        (["file:///p"], "is an address"),
        (["memory://"], "no address of a folder"),
        (["memory://b/../c"], "no address of a folder"),
        (["memory://b//p"], "no address of a folder"),
        (["memory://b/p", str(tmp_path)], "not in both"),
        (["memory://b/p", "memory://c"], "one bucket"),
    ):
        with pytest.raises(UsageError, match=said):
            search(*inputs)
    with pytest.raises(UsageError, match="line 2"):
        search("-", stdin=["a.jpg", "memory://b/p/a.jpg"])
    with pytest.raises(UsageError, match="embed and c2srt tag alone"):
        find_images(["memory://b/p"])
    with pytest.raises(InputError, match="no image"):
        search("memory://b/nothing")


def test_too_large_an_object_is_not_fetched(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.pipe_file("b/a.jpg", b"x" * 100)
    monkeypatch.setattr(pixels, "MAX_BYTES", 99)
    monkeypatch.setattr(type(memory), "cat_file", None)
    with pytest.raises(ImageError, match="100 bytes") as caught:
        load_pixels(Path("memory://b/a.jpg"), PixelSpec(8))
    assert (caught.value.reason, bounds.MAX_BYTES) == ("too-large", 1 << 30)


def test_an_object_that_is_missing_or_empty_is_a_failure_of_its_own(memory: Any) -> None:
    memory.pipe_file("b/a.jpg", b"")
    for name, reason in (("a.jpg", "empty"), ("b.jpg", "missing")):
        with pytest.raises(ImageError) as caught:
            load_pixels(Path(f"memory://b/{name}"), PixelSpec(8))
        assert caught.value.reason == reason
    assert read_object(Path("memory://b/a.jpg")) == b""
