"""Captions: what a trainer reads in them, and what is left of what people wrote."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2srt_cli.artifacts import file_sha256, file_stamp
from c2srt_cli.errors import UsageError
from c2srt_cli.tagging.record import Tag, TaggedImage
from c2srt_cli.tagging.undo import undo
from c2srt_cli.tagging.writers import WRITERS, Captions, WriteContext, text_files
from c2srt_cli.tagging.writers.kohya import KOHYA, caption_word
from c2srt_cli.tagging.writers.text_record import TextRecord

REPLACE = Captions(replace=True)


def give(folder: Path, *words: str, name: str = "a.jpg", **more: Any) -> list[str]:
    """Write the caption of a photograph; the problems there were."""
    made = {"labels": words or ("cat",), "vocabulary": "labels"} | more
    context = WriteContext(folder, made.pop("labels"), **made)
    rows = [TaggedImage(name, tuple(Tag(word, 0.5, None, None) for word in words))]
    return [failure.detail for failure in WRITERS["kohya"].write(rows, folder, context)]


def read_by_trainer(path: Path) -> list[str]:
    """As sd-scripts does: the first line, stripped, taken apart at its commas."""
    lines = path.read_text("utf-8").splitlines()
    return [word.strip() for word in lines[0].strip().split(",")] if lines else []


@pytest.fixture
def caption(tmp_path: Path) -> Path:
    (tmp_path / "a.jpg").write_text("a photograph")
    return tmp_path / "a.txt"


def test_form(tmp_path: Path, caption: Path) -> None:
    assert give(tmp_path, "animal|cat", "Cat", "red,  green", "sofa") == []
    assert caption.read_bytes() == b"cat, red green, sofa\n"
    assert read_by_trainer(caption) == ["cat", "red green", "sofa"]
    assert give(tmp_path, name="b.png") == []
    assert (tmp_path / "b.txt").read_bytes() == b""


@pytest.mark.parametrize(
    ("mine", "then"),
    [
        (b"ohwx dog", b"ohwx dog, cat, sofa"),
        (b"ohwx,dog\n", b"ohwx,dog, cat, sofa\n"),
        (b"a dog, on a lawn.\r\nanother caption\r\n", b"a dog, on a lawn., cat, sofa\r\nanother caption\r\n"),
        (b"\xef\xbb\xbfSofa, dog", b"\xef\xbb\xbfSofa, dog, cat"),
        (b"dog, ,", b"dog, cat, sofa, ,"),
        (b"dog,  cat ,sofa\n", b"dog,  cat ,sofa\n"),
        ("h\u00fctte\n".encode(), "h\u00fctte, cat, sofa\n".encode()),
        (b"\nsecond line\n", b"cat, sofa\nsecond line\n"),
    ],
)
def test_words_of_people_stay_to_the_byte(tmp_path: Path, caption: Path, mine: bytes, then: bytes) -> None:
    caption.write_bytes(mine)
    for _ in range(2):
        assert give(tmp_path, "cat", "sofa") == []
        assert caption.read_bytes() == then
    give(tmp_path, "sofa")
    give(tmp_path, "cat", "sofa")
    assert len(caption.read_bytes()) == len(then)
    assert undo([str(tmp_path)]).failures == ()
    assert caption.read_bytes() == mine
    assert not (tmp_path / KOHYA.record).exists()


def test_a_caption_of_our_own_goes(tmp_path: Path, caption: Path) -> None:
    give(tmp_path, "cat")
    result = undo([str(caption)])
    assert (result.changed, result.removed) == (1, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


def test_ours_are_best_first_behind_words_of_people(tmp_path: Path, caption: Path) -> None:
    caption.write_text("mine")
    give(tmp_path, "cat", "sofa")
    give(tmp_path, "lamp", "sofa", "cat")
    assert caption.read_text() == "mine, lamp, sofa, cat"


def test_where_somebody_has_mixed_them_each_keeps_its_place(tmp_path: Path, caption: Path) -> None:
    give(tmp_path, "cat", "sofa")
    caption.write_text("cat, ohwx, sofa\n")
    give(tmp_path, "lamp", "sofa", "cat")
    assert caption.read_text() == "cat, ohwx, sofa, lamp\n"
    give(tmp_path, "lamp")
    assert caption.read_text() == "ohwx, lamp\n"


def test_what_is_taken_out_stays_out(tmp_path: Path, caption: Path) -> None:
    give(tmp_path, "cat", "sofa")
    caption.write_text("SOFA, mine\n")
    for _ in range(2):
        give(tmp_path, "cat", "sofa")
        assert caption.read_text() == "SOFA, mine\n"
    give(tmp_path, "cat", vocabulary="other")
    assert caption.read_text() == "SOFA, mine\n"
    undo([str(tmp_path)])
    assert caption.read_text() == "mine\n"
    give(tmp_path, "cat", "sofa")
    assert caption.read_text() == "mine, sofa\n"
    give(tmp_path, "cat", "sofa", restore=True)
    assert caption.read_text() == "mine, cat, sofa\n"
    caption.unlink()  # asked for anew
    give(tmp_path, "cat", "sofa")
    assert caption.read_text() == "cat, sofa\n"


def test_vocabularies_leave_each_other_s_words(tmp_path: Path, caption: Path) -> None:
    caption.write_text("mine")
    give(tmp_path, "sea", "sun", vocabulary="holidays")
    give(tmp_path, "cat", "Sun", vocabulary="animals")
    assert caption.read_text() == "mine, cat, Sun, sea"
    give(tmp_path, vocabulary="holidays")
    assert caption.read_text() == "mine, cat, Sun"
    undo([str(tmp_path)], "animals")
    assert caption.read_text() == "mine"


def test_replacing_and_leaving_out(tmp_path: Path, caption: Path) -> None:
    caption.write_text("ohwx, Cat\nanother")
    give(tmp_path, "cat", "sofa", captions=Captions(undesired=("furniture|SOFA",)))
    assert caption.read_text() == "ohwx, Cat\nanother"
    give(tmp_path, "cat", "sofa", captions=REPLACE)
    assert caption.read_text() == "cat, sofa\n"
    give(tmp_path, "cat", "sofa", captions=Captions(undesired=("sofa",)))
    assert caption.read_text() == "cat\n"


def test_what_cannot_be_shared_is_left(tmp_path: Path, caption: Path) -> None:
    caption.write_bytes("h\u00fctte".encode("latin-1"))
    assert give(tmp_path, "cat") == ["a.txt is no UTF-8; it was left as it is"]
    assert caption.read_bytes() == "h\u00fctte".encode("latin-1")
    context = WriteContext(tmp_path, ("cat",))
    rows = [TaggedImage(name, (Tag("cat", 0.5, None, None),)) for name in ("b.jpg", "b.png")]
    failed = WRITERS["kohya"].write(rows, tmp_path, context)
    assert [one.detail for one in failed] == ["b.txt would be that of b.png too", "b.txt would be that of b.jpg too"]


def test_text_files_of_labels_are_another_form_s(tmp_path: Path, caption: Path) -> None:
    """Neither form takes the other's words for its own."""
    context = WriteContext(tmp_path, ("cat",), vocabulary="labels", sidecar_name="stem")
    rows = [TaggedImage("a.jpg", (Tag("cat", 0.5, None, None),))]
    assert WRITERS["txt"].write(rows, tmp_path, context) == []
    give(tmp_path, "sofa")
    assert caption.read_text() == "cat, sofa\n"
    assert len(WRITERS["txt"].write(rows, tmp_path, context)) == 1
    assert undo([str(tmp_path)]).failures == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg"]


def current(folder: Path, **more: Any) -> list[str]:
    find = WRITERS["kohya"].current
    assert find is not None
    made = {"vocabulary": "labels", "decision": "d"} | more
    return list(find({"a.jpg": file_stamp(folder / "a.jpg")}, folder, WriteContext(folder, ("cat", "sofa"), **made)))


def test_what_has_not_changed_is_not_tagged_again(tmp_path: Path, caption: Path) -> None:
    caption.write_text("mine")
    stamp = file_stamp(tmp_path / "a.jpg")._replace(sha256=file_sha256(tmp_path / "a.jpg"))
    how: dict[str, Any] = {"labels": ("cat", "sofa"), "stamps": {"a.jpg": stamp}, "decision": "d"}
    assert current(tmp_path) == []
    give(tmp_path, "cat", **how)
    assert current(tmp_path) == ["a.jpg"]
    assert current(tmp_path, decision="other") == current(tmp_path, captions=REPLACE) == []
    assert current(tmp_path, captions=Captions(undesired=("cat",))) == []
    give(tmp_path, "cat", **how, captions=Captions(undesired=("cat",)))
    assert current(tmp_path, captions=Captions(undesired=("CAT",))) == ["a.jpg"]
    give(tmp_path, "cat", **how, captions=REPLACE)
    assert current(tmp_path, captions=REPLACE) == current(tmp_path) == ["a.jpg"]
    caption.write_text("cat, mine\n")
    assert current(tmp_path) == []
    caption.write_text("mine\n")
    give(tmp_path, "cat", **how)
    assert current(tmp_path) == ["a.jpg"]
    assert current(tmp_path, restore=True) == []
    with pytest.raises(UsageError, match=r"a\.txt alone"):
        current(tmp_path, sidecar_name="ext")


@pytest.mark.parametrize("mine", [None, "mine"])
@pytest.mark.parametrize("stop", ["before", "after"])
def test_a_killed_run_is_gone_on_with(
    tmp_path: Path, caption: Path, monkeypatch: pytest.MonkeyPatch, mine: str | None, stop: str
) -> None:
    """Words that were about to be written are none that somebody has taken out."""

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def killed_before_writing(path: Path, change: Any, **_: object) -> None:
        change(path.read_bytes() if path.exists() else b"")
        killed()

    if mine:
        caption.write_text(mine)
    for words in (("cat",), ("cat", "sofa")):
        with monkeypatch.context() as patch:
            if stop == "before":
                patch.setattr(text_files, "update", killed_before_writing)
            else:
                patch.setattr(TextRecord, "tidy", killed)
            with pytest.raises(KeyboardInterrupt):
                give(tmp_path, *words)
    give(tmp_path, "lamp", "sofa")
    assert read_by_trainer(caption) == [*([mine] if mine else []), "lamp", "sofa"]
    undo([str(tmp_path)])
    assert caption.exists() == bool(mine)
    assert not mine or caption.read_text() == mine


@given(st.text())
def test_a_word_is_one_word(label: str) -> None:
    word = caption_word(label)
    assert "," not in word
    assert len(word.splitlines()) <= 1
    assert word == word.strip()
