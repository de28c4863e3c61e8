"""Keywords taken back: files to the byte as they were, and what exiftool reads."""

import os
from pathlib import Path
from typing import Any

import pytest
from exiftool import needs_exiftool, read_tags, write_tags
from packets import DARKTABLE, DIGIKAM, LIGHTROOM, SUBJECT, words
from PIL import Image

from c2srt_cli.errors import InputError
from c2srt_cli.tagging.record import Tag, TaggedImage
from c2srt_cli.tagging.undo import undo
from c2srt_cli.tagging.writers import WRITERS, WriteContext
from c2srt_cli.tagging.writers.txt import TXT


def photograph(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)


def give(root: Path, name: str, *labels: str, vocabulary: str = "labels", form: str = "xmp") -> None:
    context = WriteContext(root, labels, vocabulary=vocabulary)
    rows = [TaggedImage(name, tuple(Tag(label, 0.5, None, None) for label in labels))]
    assert not WRITERS[form].write(rows, root, context)


@pytest.mark.parametrize("packet", [DARKTABLE, DIGIKAM, LIGHTROOM])
def test_a_sidecar_is_as_it_was_to_the_byte(tmp_path: Path, packet: str) -> None:
    photograph(tmp_path / "sub/a.jpg")
    sidecar = tmp_path / "sub/a.jpg.xmp"
    sidecar.write_bytes(packet.encode())
    give(tmp_path, "sub/a.jpg", "zebra", "animal|okapi")
    give(tmp_path, "sub/a.jpg", "tapir", vocabulary="other")
    assert "zebra" in words(sidecar.read_bytes(), SUBJECT)
    result = undo([str(tmp_path)])
    assert (result.changed, result.removed, result.failures) == (1, 0, ())
    assert sidecar.read_bytes() == packet.encode()
    before = sidecar.stat().st_mtime_ns
    assert undo([str(tmp_path)]).changed == 0
    assert sidecar.stat().st_mtime_ns == before


def test_a_sidecar_of_our_own_goes(tmp_path: Path) -> None:
    photograph(tmp_path / "a.jpg")
    give(tmp_path, "a.jpg", "zebra")
    result = undo([str(tmp_path / "a.jpg")])  # the photograph names it
    assert (result.changed, result.removed) == (1, 1)
    assert os.listdir(tmp_path) == ["a.jpg"]  # noqa: PTH208


def test_one_vocabulary_alone(tmp_path: Path) -> None:
    photograph(tmp_path / "a.jpg")
    sidecar = tmp_path / "a.jpg.xmp"
    give(tmp_path, "a.jpg", "zebra")
    only = sidecar.read_bytes()
    give(tmp_path, "a.jpg", "boat", vocabulary="search boat")
    assert set(words(sidecar.read_bytes(), SUBJECT)) == {"zebra", "boat"}
    undo([str(sidecar)], "search boat")
    assert words(sidecar.read_bytes(), SUBJECT) == ["zebra"]
    assert undo([str(sidecar)], "nobody's").changed == 0
    undo([str(sidecar)], "labels")
    assert not sidecar.exists()
    assert only


@needs_exiftool
def test_what_somebody_has_taken_out_stays_out(tmp_path: Path) -> None:
    photograph(tmp_path / "a.jpg")
    sidecar = tmp_path / "a.jpg.xmp"
    give(tmp_path, "a.jpg", "zebra", "boat")
    write_tags(sidecar, "-XMP-dc:Subject-=zebra")  # the one list that a new sidecar has
    there: Any = read_tags(sidecar)
    assert there["XMP-dc:Subject"] in ("boat", ["boat"])
    assert undo([str(tmp_path)]).removed == 0
    assert "XMP-dc:Subject" not in read_tags(sidecar)
    give(tmp_path, "a.jpg", "zebra", "boat")
    assert words(sidecar.read_bytes(), SUBJECT) == ["boat"]


def test_what_cannot_be_undone_is_left_and_named(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        photograph(tmp_path / name)
        give(tmp_path, name, "zebra")
    broken = (tmp_path / "a.jpg.xmp").read_bytes()[:-30]
    (tmp_path / "a.jpg.xmp").write_bytes(broken)
    result = undo([str(tmp_path)])
    assert (result.changed, [Path(one.path).name for one in result.failures]) == (1, ["a.jpg.xmp"])
    assert (tmp_path / "a.jpg.xmp").read_bytes() == broken
    with pytest.raises(InputError, match="no such file"):
        undo([str(tmp_path), str(tmp_path / "none")])


class TestTextSidecars:
    def test_they_go_and_the_record_with_them(self, tmp_path: Path) -> None:
        for name in ("a.jpg", "sub/b.jpg"):
            photograph(tmp_path / name)
            give(tmp_path, name, "zebra", form="txt")
        (tmp_path / "note.txt").write_text("mine")
        result = undo([str(tmp_path)])
        assert (result.changed, result.removed, result.failures) == (2, 2, ())
        assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["a.jpg", "b.jpg", "note.txt"]

    def test_below_one_folder_or_of_one_photograph_alone(self, tmp_path: Path) -> None:
        for name in ("a.jpg", "c.jpg", "sub/b.jpg"):
            photograph(tmp_path / name)
            give(tmp_path, name, "zebra", form="txt")
        undo([str(tmp_path / "sub")])
        assert [(tmp_path / name).exists() for name in ("a.jpg.txt", "c.jpg.txt", "sub/b.jpg.txt")] == [
            True,
            True,
            False,
        ]
        undo([str(tmp_path / "a.jpg")])
        assert [(tmp_path / name).exists() for name in ("a.jpg.txt", "c.jpg.txt", TXT.record)] == [False, True, True]
        give(tmp_path, "c.jpg", "okapi", form="txt")  # it still knows its own file
        assert (tmp_path / "c.jpg.txt").read_text() == "okapi\n"

    def test_one_vocabulary_and_what_somebody_has_changed(self, tmp_path: Path) -> None:
        for name in ("a.jpg", "b.jpg"):
            photograph(tmp_path / name)
            give(tmp_path, name, "zebra", form="txt")
            give(tmp_path, name, "tapir", vocabulary="other", form="txt")
        (tmp_path / "b.jpg.txt").write_text("tapir\nzebra\nmine\n")
        result = undo([str(tmp_path)], "other")
        assert (tmp_path / "a.jpg.txt").read_text() == "zebra\n"
        assert (tmp_path / "b.jpg.txt").read_text() == "tapir\nzebra\nmine\n"
        assert (result.changed, len(result.failures)) == (1, 1)
