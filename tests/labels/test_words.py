from pathlib import Path

import pytest

from c2srt_cli.errors import C2srtError, InputError, UsageError
from c2srt_cli.labels import open_labels, read_labels, vocabulary_name


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("cat", ("cat",)),
        ("cat,dog", ("cat", "dog")),
        ("cat, red fox ,dog,", ("cat", "red fox", "dog")),
        ("cat;dog\nbird", ("cat", "dog", "bird")),
        ("animal|cat, Washington D.C.", ("animal|cat", "Washington D.C.")),
        ("#1, ca\u200bt", ("#1", "cat")),
        (", ".join(f"word {i}" for i in range(100)), tuple(f"word {i}" for i in range(100))),
    ],
)
def test_words(spec: str, names: tuple[str, ...]) -> None:
    assert open_labels(spec).path is None
    assert read_labels(spec).names == names
    assert vocabulary_name(spec) == "labels"


def test_words_have_the_fingerprint_of_a_file_with_them(folder: Path) -> None:
    (folder / "pets.txt").write_text("cat\ndog\n")
    assert read_labels("cat, dog").fingerprint == read_labels("pets.txt").fingerprint
    assert read_labels("pets.txt").names == ("cat", "dog")
    assert vocabulary_name("pets.txt") == vocabulary_name(folder / "pets.txt") == "pets"


def test_a_file_comes_before_words(folder: Path) -> None:
    (folder / "cat, dog").write_text("bird\n")
    assert read_labels("cat, dog").names == ("bird",)
    assert vocabulary_name("cat, dog") == "cat, dog"


@pytest.mark.parametrize(
    "spec", ["labels.txt", "./cat", "animals/cats", "C:\\photos\\labels", "~/labels", ".hidden", "l.csv"]
)
def test_a_path_is_no_word(spec: str) -> None:
    with pytest.raises(InputError, match="no such file") as refused:
        read_labels(spec)
    assert refused.value.hint and "the words" in refused.value.hint


@pytest.mark.parametrize("spec", ["labels", "lables", "Labels"])
def test_a_name_without_its_suffix_is_asked_about(folder: Path, spec: str) -> None:
    (folder / "labels.txt").write_text("cat\n")
    (folder / "cat.jpg").touch()
    with pytest.raises(UsageError, match=r"is labels\.txt meant\?"):
        read_labels(spec)
    assert read_labels(f"{spec},").names == (spec,)
    assert read_labels("cat").names == ("cat",)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("-", "standard input"),
        ("", "it is a folder"),
        (",", "no label in the words"),
        ("cat, dog, Cat", "words 1 and 3: 'Cat' stands twice"),
        ("cat, d\x07og", "word 2: control character"),
    ],
)
def test_what_is_neither(spec: str, words: str) -> None:
    with pytest.raises(C2srtError) as refused:
        read_labels(spec)
    assert words in str(refused.value)


def test_a_path_object_is_always_a_file() -> None:
    with pytest.raises(InputError, match="no such file"):
        read_labels(Path("cat"))
