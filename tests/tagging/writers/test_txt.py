"""Text sidecars: what stands in them, whose they are, and what is left of it on the next run."""

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2srt_cli.artifacts import file_sha256, file_stamp
from c2srt_cli.errors import UsageError
from c2srt_cli.tagging.record import Tag, TaggedImage
from c2srt_cli.tagging.writers import WRITERS, WriteContext
from c2srt_cli.tagging.writers.escape import one_line
from c2srt_cli.tagging.writers.text_record import TextRecord
from c2srt_cli.tagging.writers.txt import TXT

CAT, BARE = ("pets/cat.jpg", ("animal|cat", "sofa")), ("wall.png", ())
Row = tuple[str, tuple[str, ...]]


def context(folder: Path, **more: Any) -> WriteContext:
    made = {"labels": ("animal|cat", "sofa", "tree"), "vocabulary": "labels"} | more
    return WriteContext(folder, made.pop("labels"), **made)


def write(folder: Path, *rows: Row, **more: Any) -> list[str]:
    """Write rows; the paths of those that could not be written."""
    images = [TaggedImage(path, tuple(Tag(label, 0.5, None, None) for label in labels)) for path, labels in rows]
    return [failure.path for failure in WRITERS["txt"].write(images, folder, context(folder, **more))]


def test_names_and_text(tmp_path: Path) -> None:
    assert write(tmp_path, CAT, BARE) == []
    assert (tmp_path / "pets/cat.jpg.txt").read_bytes() == b"animal|cat\nsofa\n"
    assert (tmp_path / "wall.png.txt").read_bytes() == b""
    assert write(tmp_path / "stem", CAT, sidecar_name="stem") == []
    assert (tmp_path / "stem/pets/cat.txt").read_bytes() == b"animal|cat\nsofa\n"
    assert write(tmp_path / "stem", (CAT[0], ("sofa",))) == []  # named as c2srt has named it before
    assert (tmp_path / "stem/pets/cat.txt").read_bytes() == b"sofa\n"
    assert not (tmp_path / "stem/pets/cat.jpg.txt").exists()


def test_a_note_of_the_user_s_is_no_sidecar_to_follow(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("shot with the old lens\n")
    assert write(tmp_path, ("a.jpg", ("sofa",))) == []
    assert (tmp_path / "a.txt").read_text() == "shot with the old lens\n"
    assert (tmp_path / "a.jpg.txt").read_text() == "sofa\n"
    assert write(tmp_path, ("a.jpg", ("sofa",)), sidecar_name="stem") == ["a.jpg"]


def test_rerun_keeps_files_and_follows_new_tags(tmp_path: Path) -> None:
    sidecar = tmp_path / "pets/cat.jpg.txt"
    write(tmp_path, CAT, BARE)
    before = sidecar.stat()
    record = (tmp_path / TXT.record).read_bytes()
    assert write(tmp_path, CAT, BARE) == []
    after = sidecar.stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)
    assert (tmp_path / TXT.record).read_bytes() == record
    assert write(tmp_path, (CAT[0], CAT[1][:1])) == []
    assert sidecar.read_text() == "animal|cat\n"


@pytest.mark.parametrize("mine", ["a caption of mine\n", "sofa\n"])
def test_a_file_of_somebody_else_stays(tmp_path: Path, mine: str) -> None:
    (tmp_path / "pets").mkdir()
    sidecar = tmp_path / "pets/cat.jpg.txt"
    sidecar.write_text(mine)
    assert write(tmp_path, CAT, BARE) == ["pets/cat.jpg"]
    assert sidecar.read_text() == mine
    assert (tmp_path / "wall.png.txt").exists()


def test_a_file_changed_by_hand_stays_whatever_comes(tmp_path: Path) -> None:
    write(tmp_path, CAT)
    sidecar = tmp_path / "pets/cat.jpg.txt"
    for mine in ("animal|cat\nchecked by me\n", "animal|cat\n"):
        sidecar.write_text(mine)
        assert write(tmp_path, CAT) == ["pets/cat.jpg"]
        assert write(tmp_path, (CAT[0], ("tree",)), vocabulary="other") == ["pets/cat.jpg"]
        assert sidecar.read_text() == mine
    sidecar.unlink()  # how it is asked for anew
    assert write(tmp_path, CAT) == []
    assert sidecar.read_text() == "animal|cat\nsofa\n"


def test_what_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "pets").write_text("a file where a folder should be")
    assert write(tmp_path, CAT, BARE) == ["pets/cat.jpg"]


def test_only_what_collides_is_refused(tmp_path: Path) -> None:
    rows: list[Row] = [(path, ("sofa",)) for path in ("a.jpg", "b.jpg", "a.png")]
    assert write(tmp_path, *rows, sidecar_name="stem") == ["a.jpg", "a.png"]
    assert (tmp_path / "b.txt").read_text() == "sofa\n"
    assert not (tmp_path / "a.txt").exists()


@given(st.lists(st.text(min_size=1, max_size=12), max_size=4))
def test_one_line_a_label(labels: list[str]) -> None:
    for label in labels:
        line = one_line(label)
        assert len(line.splitlines()) <= 1
        if not any(unicodedata.category(letter) in ("Cc", "Zl", "Zp", "Cs") for letter in label):
            assert line == label.strip()


# vocabularies


def test_vocabularies_leave_each_other_s_lines(tmp_path: Path) -> None:
    sidecar = tmp_path / "a.jpg.txt"
    write(tmp_path, ("a.jpg", ("sea", "sun")), vocabulary="holidays")
    write(tmp_path, ("a.jpg", ("cat", "Sun")), vocabulary="animals")
    assert sidecar.read_text() == "cat\nSun\nsea\n"
    write(tmp_path, ("a.jpg", ()), vocabulary="animals")
    assert sidecar.read_text() == "sea\nsun\n"
    write(tmp_path, ("a.jpg", ("cat", "Sun")), vocabulary="animals")
    write(tmp_path, ("a.jpg", ("sea",)), vocabulary="holidays")
    assert sidecar.read_text() == "cat\nSun\nsea\n"


def test_files_of_an_older_version_are_those_of_the_vocabulary_that_comes(tmp_path: Path) -> None:
    """That wrote a hash of name and content, a line each."""
    import hashlib

    (tmp_path / "a.jpg.txt").write_text("sea\n")
    (tmp_path / "b.jpg.txt").write_text("sea\n")
    mark = hashlib.sha256(b"a.jpg.txt\0sea\n").hexdigest()
    (tmp_path / TXT.record).write_text(f"{mark}\n")
    assert write(tmp_path, ("a.jpg", ("sun",)), ("b.jpg", ("sun",)), vocabulary="new") == ["b.jpg"]
    assert (tmp_path / "a.jpg.txt").read_text() == "sun\n"
    write(tmp_path, ("a.jpg", ("cat",)), vocabulary="other")
    assert (tmp_path / "a.jpg.txt").read_text() == "sun\ncat\n"


def current(folder: Path, **more: Any) -> list[str]:
    find = WRITERS["txt"].current
    assert find is not None
    stamps = {path.name: file_stamp(path) for path in sorted(folder.glob("*.jpg"))}
    return list(find(stamps, folder, context(folder, **{"decision": "d", **more})))


def run(folder: Path, *labels: str, **more: Any) -> None:
    paths = sorted(folder.glob("*.jpg"))
    stamps = {path.name: file_stamp(path)._replace(sha256=file_sha256(path)) for path in paths}
    assert write(folder, *((p.name, labels) for p in paths), stamps=stamps, **{"decision": "d", **more}) == []


def test_what_has_not_changed_is_not_tagged_again(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg"):
        (tmp_path / name).write_text(name)
    assert current(tmp_path) == []
    run(tmp_path, "sofa")
    assert current(tmp_path) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    assert current(tmp_path, decision="other") == current(tmp_path, vocabulary="other") == []
    (tmp_path / "a.jpg").write_text("A.jpg")  # another picture, as long
    (tmp_path / "b.jpg").write_text("b.jpg")  # touched
    (tmp_path / "c.jpg.txt").write_text("mine\n")
    (tmp_path / "d.jpg.txt").unlink()
    assert current(tmp_path) == ["b.jpg"]


def test_a_run_that_is_killed_knows_its_files_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from c2srt_cli.tagging.writers import text_files

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def killed_before_writing(path: Path, change: Callable[[bytes], bytes], **_: object) -> None:
        change(path.read_bytes())
        killed()

    names = [f"{i}.jpg" for i in range(3)]
    write(tmp_path, *((name, ("tree",)) for name in names))
    for stop in (0, 1):  # before a file is written, and after
        with monkeypatch.context() as patch:
            if stop:
                patch.setattr(TextRecord, "tidy", killed)
            else:
                patch.setattr(text_files, "update", killed_before_writing)
            with pytest.raises(KeyboardInterrupt):
                write(tmp_path, *((name, ("sofa", str(stop))) for name in names))
    assert write(tmp_path, *((name, ("sofa",)) for name in names)) == []
    unbroken = tmp_path / "other"
    write(unbroken, *((name, ("sofa",)) for name in names))
    assert (tmp_path / TXT.record).read_bytes() == (unbroken / TXT.record).read_bytes()


def test_a_record_that_is_no_record_vouches_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jpg.txt").write_text("mine\n")
    sha256 = file_sha256(tmp_path / "a.jpg.txt")
    lines = [
        "[",
        "7",
        "null",
        '{"file": 7}',
        json.dumps({"file": "a.jpg.txt", "sha256": sha256, "given": 7}),
        "[" * 9999,
    ]
    (tmp_path / TXT.record).write_text("\n".join(lines))
    assert write(tmp_path, ("a.jpg", ("sofa",)), ("b.jpg", ("sofa",))) == ["a.jpg"]
    assert (tmp_path / "a.jpg.txt").read_text() == "mine\n"


def test_other_labels_under_the_name_of_a_vocabulary_are_asked_about(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("a photograph")
    run(tmp_path, "sofa")
    before = (tmp_path / "a.jpg.txt").read_bytes()
    with pytest.raises(UsageError, match=r"fewer than half \(0 of 3\)"):
        current(tmp_path, labels=("sea", "sun"))
    assert (tmp_path / "a.jpg.txt").read_bytes() == before
    assert current(tmp_path, labels=("sea", "sun"), replace=True) == ["a.jpg"]
    assert current(tmp_path, labels=("sofa", "animal|cat")) == ["a.jpg"]


def test_keywords_taken_out_cannot_be_told_and_asked_back(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="left alone"):
        current(tmp_path, restore=True)
