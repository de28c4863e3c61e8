from pathlib import Path

import numpy as np
import pytest

from c2srt_cli.datasets.annotations import Annotations, Incidence, write_annotations
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
    [
        ("path,tags\na,cat\n", "no column 'labels'"),
        ("", "no column 'labels'"),
        ("path,labels\na,whale\n", "no image"),
    ],
)
def test_what_cannot_be_used(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_annotations(write(tmp_path, text), LABELS)
    with pytest.raises(InputError, match="holds no annotations"):
        read_annotations(tmp_path, LABELS)
    (tmp_path / "a.csv").write_bytes(b"path,labels\na,\xff\n")
    with pytest.raises(InputError, match="cannot be read"):
        read_annotations(tmp_path / "a.csv", LABELS)


def prepared(folder: Path, labels: tuple[Label, ...], lists: list[list[int]], seen: list[bool]) -> Path:
    """A folder of annotations, whose last image is for testing."""
    content = Annotations(
        folder,
        LabelSet(labels),
        np.array(seen),
        tuple(f"{i}.jpg" for i in range(len(lists))),
        np.array(["train"] * (len(lists) - 1) + ["test"]),
        Incidence.from_lists(lists),
        Incidence.empty(len(lists)),
        complete=True,
        dataset="table",
    )
    write_annotations(folder / "a", content, {})
    return folder / "a"


def test_a_folder_of_annotations(tmp_path: Path) -> None:
    labels = (Label("whale"), Label("RED FOX", id="f"), Label("lifting crane", id="/m/1"), Label("Cat"))
    folder = prepared(tmp_path, labels, [[0, 1], [1, 2], [3], [], [0, 1, 2]], [True, True, True, False])
    assert read_annotations(folder, LABELS) == [{0}, {0, 2}, set(), set()]


TWO = (Label("crane", id="/m/1"), Label("Crane", id="/m/2"), Label("cat"))


def test_a_name_of_two_labels_has_to_be_an_id(tmp_path: Path) -> None:
    path = write(tmp_path, "path,labels\na,/m/2;cat\nb,/m/1\n")
    assert read_annotations(path, LabelSet(TWO)) == [{1, 2}, {0}]
    path = write(tmp_path, "path,labels\na, CRANE;cat\nb,/m/1\n")
    with pytest.raises(InputError) as refused:
        read_annotations(path, LabelSet(TWO))
    assert refused.value.problems == ("'CRANE' is the name of 2 of the labels",)
    by_id = prepared(tmp_path / "ids", TWO, [[0, 1], [1, 2], [0]], [True, True, True])
    assert read_annotations(by_id, LabelSet(TWO)) == [{0, 1}, {1, 2}]
    with pytest.raises(InputError) as refused:
        read_annotations(by_id, LabelSet((Label("crane"), Label("cat"))))
    assert refused.value.problems == ("'crane' may be crane or Crane",)
    by_name = prepared(tmp_path / "names", (Label("crane"), Label("cat")), [[0, 1], [0]], [True, True])
    with pytest.raises(InputError) as refused:
        read_annotations(by_name, LabelSet(TWO))
    assert refused.value.problems == ("'crane' is the name of 2 of the labels",)
