"""Keywords of one's own: written here as programs write them, some by exiftool."""

from pathlib import Path

import numpy as np
import pytest
from exiftool import needs_exiftool, write_tags
from packets import bag, packet
from photos import write_photos

from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.learning.keywords import labels_of, matched, read_keywords
from c2srt_cli.progress import Progress
from c2srt_cli.tagging.keywords.lists import Keyword
from c2srt_cli.tagging.record import Tag, TaggedImage
from c2srt_cli.tagging.writers import WRITERS, WriteContext


def keywords(root: Path) -> dict[str, set[str]]:
    """By photograph, paths with ``|``."""
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.suffix in (".jpg", ".png"))
    found, failures = read_keywords(root, names, Progress())
    assert not failures
    return {name: {"|".join(one) for one in own} for name, own in found.items()}


def test_sidecars_of_either_name(tmp_path: Path) -> None:
    write_photos(tmp_path, 3)
    (tmp_path / "p0000.png.xmp").write_bytes(packet(bag("dc:subject", "Dog", "beach &amp; sea")))
    (tmp_path / "p0001.xmp").write_bytes(packet(bag("digiKam:TagsList", "Animals/Dog", container="Seq")))
    assert keywords(tmp_path) == {"p0000.png": {"Dog", "beach & sea"}, "p0001.png": {"Animals|Dog"}}


def test_what_c2srt_has_given_is_nobodys_keyword(tmp_path: Path) -> None:
    write_photos(tmp_path, 2)
    (tmp_path / "p0000.png.xmp").write_bytes(packet(bag("dc:subject", "Dog")))
    rows = [TaggedImage(f"p000{i}.png", (Tag("cat", 0.3, None, None),)) for i in range(2)]
    assert WRITERS["xmp"].write(rows, tmp_path, WriteContext(tmp_path, ("cat",), vocabulary="v")) == []
    assert b"cat" in (tmp_path / "p0001.png.xmp").read_bytes()
    assert keywords(tmp_path) == {"p0000.png": {"Dog"}}


@needs_exiftool
def test_keywords_within_photographs(tmp_path: Path) -> None:
    for path in write_photos(tmp_path, 2, suffix=".jpg")[:1]:
        write_tags(path, "-IPTC:Keywords=harbour", "-XMP-dc:Subject=boat", "-XMP-lr:HierarchicalSubject=Places|Oslo")
    assert keywords(tmp_path) == {"p0000.jpg": {"harbour", "boat", "Places|Oslo"}}


def test_a_sidecar_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write_photos(tmp_path, 2)
    (tmp_path / "p0000.png.xmp").write_bytes(b"no XML")
    (tmp_path / "p0001.png.xmp").write_bytes(packet(bag("dc:subject", "Dog")))
    found, failures = read_keywords(tmp_path, ["p0000.png", "p0001.png"], Progress())
    assert list(found) == ["p0001.png"]
    assert [(one.path, one.reason) for one in failures] == [("p0000.png", "keywords")]


def test_words_of_three_photographs_are_labels() -> None:
    own: list[list[Keyword]] = [[("Dog",), ("Animals", "dog")], [("DOG",), ("beach",)]]
    own += [[("Animals", "Dog"), ("beach",)], [("beach ",)]]
    found = labels_of({f"{i}.jpg": one for i, one in enumerate(own)})
    assert found.names == ("beach", "Dog")


@pytest.mark.parametrize("name", ["# rated", "a|b", " ", "x\x00y"])
def test_what_can_be_no_label_is_passed_over(name: str) -> None:
    assert not labels_of({f"{i}.jpg": [(name,)] for i in range(5)}).labels


def test_labels_are_met_by_path_word_or_synonym() -> None:
    labels = LabelSet((Label("Animals|Dog", ("hound",)), Label("beach"), Label("cat")))
    own: dict[str, list[Keyword]] = {
        "path.jpg": [("animals", "dog")],
        "word.jpg": [("DOG",), ("Beach",)],
        "synonym.jpg": [("Pets", "Hound")],
        "other.jpg": [("fox",)],
    }
    names, shown = matched(own, labels)
    assert names == ["path.jpg", "word.jpg", "synonym.jpg"]
    np.testing.assert_array_equal(shown, [[1, 0, 0], [1, 1, 0], [1, 0, 0]])
