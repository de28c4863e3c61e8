"""Where sidecars lie: names that are there, names to come, links, and what collides on this file system."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from c2srt_cli.artifacts import Stamp
from c2srt_cli.tagging.keywords.ledger import Claim
from c2srt_cli.tagging.keywords.merge import merge
from c2srt_cli.tagging.record import Tag, TaggedImage
from c2srt_cli.tagging.writers import WRITERS, WriteContext
from c2srt_cli.tagging.writers.sidecar import Sidecars

OLD = b"<r:RDF xmlns:r='http://www.w3.org/1999/02/22-rdf-syntax-ns#'/>"


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(OLD if name.lower().endswith(".xmp") else b"a photograph")


def chosen(folder: Path, names: list[str], style: Any = None, notes: list[str] | None = None) -> dict[str, str]:
    """Where the sidecars of photographs lie; the names of those that get none are left out."""
    context = WriteContext(folder, (), sidecar_name=style, note=(notes if notes is not None else []).append)
    sidecars = Sidecars(names, ".xmp", folder, context)
    return {name: sidecars[name] for name in names if name not in sidecars.problems}


@pytest.mark.parametrize(
    ("there", "style", "wanted"),
    [
        ([], None, "a.jpg.xmp"),
        (["a.jpg.xmp"], None, "a.jpg.xmp"),
        (["a.xmp"], None, "a.xmp"),
        (["a.xmp", "a.cr2"], None, "a.xmp"),  # that of a pair, which Lightroom reads for the RAW file
        (["a.xmp", "a.jpg.xmp"], None, "a.jpg.xmp"),
        (["a.XMP"], None, "a.XMP"),
        (["A.jpg.xmp"], None, "A.jpg.xmp"),
        (["A.jpg.xmp", "A.jpg"], None, "a.jpg.xmp"),  # another photograph's
        (["b.xmp", "b.jpg"], None, "a.xmp"),  # as the folder has it
        (["b.xmp", "b.jpg", "c.jpg", "c.jpg.xmp"], None, "a.jpg.xmp"),
        (["b.xmp"], None, "a.jpg.xmp"),  # no photograph's
        (["x/b.xmp", "x/b.jpg"], None, "a.jpg.xmp"),  # another folder's
        (["a.xmp"], "ext", "a.jpg.xmp"),
        (["a.jpg.xmp"], "stem", "a.xmp"),
        (["a.xmp"], "stem", "a.xmp"),
        (["a.jpg.xmp", "a.jpg.png"], None, "a.jpg.xmp"),
    ],
)
def test_the_sidecar_that_is_there_is_taken(tmp_path: Path, there: list[str], style: Any, wanted: str) -> None:
    make(tmp_path, "a.jpg", *there)
    photographs = ["a.jpg", *(name for name in there if name.endswith((".jpg", ".png")))]
    notes: list[str] = []
    assert chosen(tmp_path, photographs, style, notes)["a.jpg"] == wanted
    second = style is not None and not (tmp_path / wanted).exists()
    assert len(notes) == (second or there == ["a.xmp", "a.jpg.xmp"])


def test_names_that_differ_in_composition(tmp_path: Path) -> None:
    make(tmp_path, "e\u0301.jpg.xmp")
    (name,) = (path.name for path in tmp_path.iterdir())
    assert chosen(tmp_path, ["\u00e9.jpg"]) == {"\u00e9.jpg": name}


def test_only_what_collides_gets_none(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "a.png", "b.jpg", "x/a.jpg", "x/B.jpg", "x/b.tif")
    names = ["a.jpg", "a.png", "b.jpg", "x/a.jpg", "x/B.jpg", "x/b.tif"]
    assert chosen(tmp_path, names, "ext").keys() == set(names)
    stems = chosen(tmp_path, names, "stem")
    assert stems == {"b.jpg": "b.xmp", "x/a.jpg": "x/a.xmp", "x/B.jpg": "x/B.xmp", "x/b.tif": "x/b.xmp"}
    # one that is there could be either's; without one each gets its own
    make(tmp_path, "a.xmp", "b.xmp")
    assert chosen(tmp_path, names[:3]) == {"b.jpg": "b.xmp"}
    (tmp_path / "a.xmp").unlink()
    assert chosen(tmp_path, names[:3]) == {"a.jpg": "a.jpg.xmp", "a.png": "a.png.xmp", "b.jpg": "b.xmp"}


def one_case(path: Path) -> bool:
    """Path.exists of a file system that takes names for one that differ by case alone."""
    return path.parent.is_dir() and path.name.casefold() in {entry.name.casefold() for entry in path.parent.iterdir()}


def test_case_twins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["IMG_1.JPG", "img_1.jpg", "other.jpg"]
    make(tmp_path, *names)
    if len(list(tmp_path.iterdir())) == 3:  # this file system tells them apart
        assert chosen(tmp_path, names) == {name: f"{name}.xmp" for name in names}
        assert chosen(tmp_path, names, "stem") == {
            "IMG_1.JPG": "IMG_1.xmp",
            "img_1.jpg": "img_1.xmp",
            "other.jpg": "other.xmp",
        }
    assert {path.name for path in tmp_path.iterdir()} <= set(names)  # nothing is left of the trial
    monkeypatch.setattr(Path, "exists", one_case)
    assert chosen(tmp_path, names) == {"other.jpg": "other.jpg.xmp"}


def test_two_links_to_one_sidecar_collide(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "b.jpg", "c.jpg", "store/x.xmp")
    for name in ("a.jpg.xmp", "b.jpg.xmp"):
        (tmp_path / name).symlink_to("store/x.xmp")
    assert chosen(tmp_path, ["a.jpg", "b.jpg", "c.jpg"]) == {"c.jpg": "c.jpg.xmp"}


# as files


def write(folder: Path, *names: str, labels: tuple[str, ...] = ("cat",), **more: Any) -> list[str]:
    rows = [TaggedImage(name, tuple(Tag(label, 0.5, None, None) for label in labels)) for name in names]
    context = WriteContext(folder, labels, vocabulary="labels", **more)
    return [failure.detail for failure in WRITERS["xmp"].write(rows, folder, context)]


def test_a_link_is_written_through(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "store/a.xmp")
    (tmp_path / "a.jpg.xmp").symlink_to("store/a.xmp")
    assert write(tmp_path, "a.jpg") == []
    assert (tmp_path / "a.jpg.xmp").is_symlink()
    assert b"cat" in (tmp_path / "store/a.xmp").read_bytes()
    assert write(tmp_path, "a.jpg", labels=()) == []
    assert (tmp_path / "store/a.xmp").read_bytes() == OLD


def test_a_link_to_nowhere_makes_the_file_that_it_names(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "store/other.xmp")
    (tmp_path / "a.jpg.xmp").symlink_to("store/a.xmp")
    assert write(tmp_path, "a.jpg") == []
    assert (tmp_path / "a.jpg.xmp").is_symlink()
    assert b"cat" in (tmp_path / "store/a.xmp").read_bytes()


def odd_sidecars(folder: Path) -> Iterator[str]:
    make(folder, *(f"{name}.jpg" for name in ("loop", "folder", "pipe", "fine")))
    (folder / "loop.jpg.xmp").symlink_to("loop.jpg.xmp")
    (folder / "folder.jpg.xmp").mkdir()
    os.mkfifo(folder / "pipe.jpg.xmp")
    yield from ("loop.jpg", "folder.jpg", "pipe.jpg")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in this system's folders")
def test_what_is_no_file_is_left_and_the_others_are_written(tmp_path: Path) -> None:
    names = list(odd_sidecars(tmp_path))
    assert len(write(tmp_path, *names, "fine.jpg")) == 3
    assert (tmp_path / "loop.jpg.xmp").is_symlink()
    assert (tmp_path / "folder.jpg.xmp").is_dir()
    assert (tmp_path / "pipe.jpg.xmp").is_fifo()
    assert b"cat" in (tmp_path / "fine.jpg.xmp").read_bytes()


def test_a_stem_that_another_photograph_has_taken_in_an_earlier_run(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "a.png")
    assert write(tmp_path, "a.jpg", sidecar_name="stem") == []
    before = (tmp_path / "a.xmp").read_bytes()
    (why,) = write(tmp_path, "a.png", sidecar_name="stem")
    assert "a.xmp was left as it is: it is that of a.jpg" in why
    assert (tmp_path / "a.xmp").read_bytes() == before
    (tmp_path / "a.jpg").unlink()  # renamed, say
    assert write(tmp_path, "a.png", sidecar_name="stem") == []


def test_the_photographs_of_the_whole_run_say_what_collides(tmp_path: Path) -> None:
    """A rerun writes those rows alone that have changed."""
    make(tmp_path, "a.jpg", "a.png")
    stamps = dict.fromkeys(("a.jpg", "a.png"), Stamp(1, 1, 1))
    (why,) = write(tmp_path, "a.png", sidecar_name="stem", stamps=stamps)
    assert "a.xmp would be that of a.jpg too" in why


def test_sidecars_elsewhere_follow_what_is_there(tmp_path: Path) -> None:
    make(tmp_path, "photos/x/a.jpg", "out/x/a.xmp")
    rows = [TaggedImage("x/a.jpg", (Tag("cat", 0.5, None, None),))]
    context = WriteContext(tmp_path / "photos", ("cat",))
    assert WRITERS["xmp"].write(rows, tmp_path / "out", context) == []
    assert merge((tmp_path / "out/x/a.xmp").read_bytes(), "", Claim(()), None) == OLD
    assert not (tmp_path / "out/x/a.jpg.xmp").exists()


@pytest.mark.parametrize(
    ("there", "style", "raw", "jpeg"),
    [
        ([], None, "a.CR2.xmp", "a.jpg.xmp"),
        (["a.xmp"], None, "a.xmp", "a.jpg.xmp"),  # Lightroom's, of the RAW file
        (["a.CR2.xmp"], None, "a.CR2.xmp", "a.jpg.xmp"),  # darktable's
        (["a.xmp", "a.jpg.xmp"], None, "a.xmp", "a.jpg.xmp"),
        (["b.xmp"], None, "a.xmp", "a.jpg.xmp"),  # as the folder has it
        ([], "stem", "a.xmp", "a.jpg.xmp"),
        (["a.xmp"], "ext", "a.CR2.xmp", "a.jpg.xmp"),
    ],
)
def test_a_raw_file_and_the_jpeg_beside_it(tmp_path: Path, there: list[str], style: Any, raw: str, jpeg: str) -> None:
    make(tmp_path, "a.jpg", "a.CR2", "b.CR2", *there)
    assert chosen(tmp_path, ["a.CR2", "a.jpg", "b.CR2"], style) | {"b.CR2": ""} == {
        "a.CR2": raw,
        "a.jpg": jpeg,
        "b.CR2": "",
    }
