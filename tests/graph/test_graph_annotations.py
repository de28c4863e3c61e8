from pathlib import Path

import pytest

from c2srt_cli.errors import InputError
from c2srt_cli.graph.annotations import read_annotations
from c2srt_cli.labels import Label, LabelSet

LABELS = LabelSet((Label("Red Fox"), Label("cat"), Label("crane", id="/m/1")))


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "a.csv"
    path.write_text(text)
    return path


def test_rows(tmp_path: Path) -> None:
    text = "\ufeffpath,labels\na.jpg,cat; red  fox\nb.jpg,\nc.jpg,/m/1;CAT;whale\n"
    assert read_annotations(write(tmp_path, text), LABELS) == [{0, 1}, set(), {1, 2}]


def test_only_the_training_split_is_learnt_from(tmp_path: Path) -> None:
    text = "path,split,labels\na,train,cat\nb,test,cat;Red Fox\nc,val,cat\nd,train,Red Fox\n"
    assert read_annotations(write(tmp_path, text), LABELS) == [{1}, {0}]


@pytest.mark.parametrize(
    ("text", "words"),
    [("path,tags\na,cat\n", "no column labels"), ("", "no column labels"), ("path,labels\na,whale\n", "no photograph")],
)
def test_what_cannot_be_used(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_annotations(write(tmp_path, text), LABELS)
    with pytest.raises(InputError, match="cannot be read"):
        read_annotations(tmp_path, LABELS)
