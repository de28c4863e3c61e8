import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from photos import write_photos

from c2srt_cli.datasets.annotations import Annotations
from c2srt_cli.datasets.source import Source
from c2srt_cli.datasets.table import read
from c2srt_cli.errors import InputError


def content(annotations: Annotations) -> dict[str, tuple[str, set[str]]]:
    """Split and names of the labels of every image."""
    names = annotations.labels.names
    return {
        path: (str(annotations.split[i]), {names[label] for label in annotations.positive.row(i)})
        for i, path in enumerate(annotations.paths)
    }


EXPECTED = {
    "a.jpg": ("train", {"cat", "dog"}),
    "in/b, c.jpg": ("test", {"Zebra crossing"}),
    "d.jpg": ("val", set()),
}


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "photos.csv"
    path.write_text(
        "\ufeffPath,Labels,Split,note\n"
        "a.jpg,cat; dog;CAT,train,\n"
        '"in/b, c.jpg",Zebra  crossing,Test,"two\nlines"\n\n'
        f"{tmp_path}/d.jpg,,val,\n",
        encoding="utf-8",
    )
    source = Source(path)
    found = read(source, "")
    assert content(found) == EXPECTED
    assert found.labels.names == ("cat", "dog", "Zebra crossing")
    assert (found.root, found.complete, found.dataset) == (tmp_path, True, "table")
    assert found.seen.all()
    assert source.remarks == ["columns that are not read: note"]


@pytest.mark.parametrize("as_lists", [True, False])
def test_parquet(tmp_path: Path, as_lists: bool) -> None:
    labels: list[object] = [["cat", "dog"], ["Zebra crossing"], None if as_lists else ""]
    if not as_lists:
        labels = ["cat;dog", "Zebra crossing", None]
    table = {
        "path": ["a.jpg", "in/b, c.jpg", "d.jpg"],
        "labels": labels,
        "split": ["train", "test", "val"],
        "n": [1, 2, 3],
    }
    pq.write_table(pa.table(table), tmp_path / "photos.parquet")
    assert content(read(Source(tmp_path / "photos.parquet"), "")) == EXPECTED


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([3, 0, None], [{"3"}, {"0"}, set()]),
        ([3.0, 0.0, float("nan")], [{"3"}, {"0"}, set()]),  # as pandas keeps whole numbers beside an empty cell
        ([[1, None], [None], [0, 2]], [{"1"}, set(), {"0", "2"}]),
        (["cat", None, "dog;cat"], [{"cat"}, set(), {"cat", "dog"}]),
        ([["cat", None, ""], [], None], [{"cat"}, set(), set()]),
    ],
)
def test_numbers_and_empty_cells_of_a_parquet(tmp_path: Path, labels: list[object], found: list[set[str]]) -> None:
    path = tmp_path / "photos.parquet"
    pq.write_table(pa.table({"path": ["a", "b", "c"], "labels": labels}), path)
    assert [names for _, names in content(read(Source(path), "")).values()] == found


def test_a_categorical_column_of_a_parquet(tmp_path: Path) -> None:
    labels = pa.array(["cat", "dog", None]).dictionary_encode()
    pq.write_table(pa.table({"path": ["a", "b", "c"], "labels": labels}), tmp_path / "photos.parquet")
    assert [names for _, names in content(read(Source(tmp_path / "photos.parquet"), "")).values()] == [
        {"cat"},
        {"dog"},
        set(),
    ]


@pytest.mark.parametrize(
    ("labels", "shown"),
    [([0.5, 1.0], "0.5"), ([True, None], "True"), ([b"cat", b""], "b'cat'"), ([[{"id": 1}], []], "{'id': 1}")],
)
def test_what_is_no_label_in_a_parquet_is_named(tmp_path: Path, labels: list[object], shown: str) -> None:
    path = tmp_path / "photos.parquet"
    pq.write_table(pa.table({"path": ["a", "b"], "labels": labels}), path)
    with pytest.raises(InputError) as refused:
        read(Source(path), "")
    assert refused.value.problems[0] == f"row 2: {shown} is neither text nor a whole number"


def test_empty_paths_and_splits_of_a_parquet_are_named(tmp_path: Path) -> None:
    path = tmp_path / "photos.parquet"
    pq.write_table(pa.table({"path": ["a", None], "labels": ["cat", "cat"]}), path)
    with pytest.raises(InputError, match="row 3: the path is empty"):
        read(Source(path), "")
    pq.write_table(pa.table({"path": ["a", "b"], "labels": ["cat", "cat"], "split": ["train", None]}), path)
    with pytest.raises(InputError, match="row 3: split '' is none of train, val, test"):
        read(Source(path), "")


def test_tsv_root_and_prefix(tmp_path: Path) -> None:
    path = tmp_path / "photos.tsv"
    path.write_text("labels\tpath\tsplit\ncat\t/old/a.jpg\ttrain\ndog\t/old/b/c.jpg\ttest\n")
    found = read(Source(path, images=tmp_path / "new", prefix="/old/"), "")
    assert (found.root, found.paths) == (tmp_path / "new", ("a.jpg", "b/c.jpg"))


def test_without_splits_a_hash_decides(tmp_path: Path) -> None:
    path = tmp_path / "photos.csv"
    lines = [f"p{i}.jpg,cat" for i in range(1000)]
    path.write_text("path,labels\n" + "\n".join(lines))
    found = read(Source(path), "")
    assert 150 < len(found.rows("test")) < 250
    assert len(found.rows("train")) + len(found.rows("test")) == 1000
    path.write_text("path,labels\n" + "\n".join(lines[500:]))
    np.testing.assert_array_equal(read(Source(path), "").split, found.split[500:])


def test_every_fault_is_named(tmp_path: Path) -> None:
    path = tmp_path / "photos.csv"
    path.write_text("path,labels,split\na.jpg,cat,train\na.jpg,dog,training\n/else/b.jpg,cat,test\n../c.jpg,cat,test\n")
    with pytest.raises(InputError) as refused:
        read(Source(path), "")
    assert [problem.split(":")[0] for problem in refused.value.problems] == ["line 3", "line 3", "line 4", "line 5"]
    path.write_text("path,labels,split\na.jpg,cat\n,cat,train\n")
    with pytest.raises(InputError) as refused:
        read(Source(path), "")
    assert refused.value.problems == ("line 2: 2 cells, 3 columns", "line 3: the path is empty")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", b""),
        ("a.csv", b"path,labels\n"),
        ("a.csv", b"path,tags\na.jpg,cat\n"),
        ("a.csv", b"path,labels\na.jpg,\xff\n"),
        ("a.csv", b"path,labels\na.jpg,\n"),
        ("a.csv", b'path,labels\n"a.jpg,' + b"c" * 200_000),
        ("a.parquet", b"PAR1 and no more"),
        ("a.xlsx", b"PK"),
    ],
)
def test_what_is_no_table(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError):
        read(Source(tmp_path / name), "")


def test_a_folder_with_text_files(tmp_path: Path) -> None:
    paths = write_photos(tmp_path, 3) + write_photos(tmp_path / "in", 1, suffix=".jpg")
    paths[0].with_suffix(".txt").write_text("cat\n# mine\n\n zebra  crossing \n")
    (tmp_path / "p0001.png.txt").write_text("")
    paths[3].with_suffix(".txt").write_text("Cat\n")
    source = Source(tmp_path)
    found = read(source, "")
    labels = {path: names for path, (_, names) in content(found).items()}
    assert labels == {"p0000.png": {"Cat", "zebra crossing"}, "p0001.png": set(), "in/p0000.jpg": {"Cat"}}
    assert source.counts[0]["found"] == 1
    assert source.used.keys() == {"p0000.txt", "p0001.png.txt", "in/p0000.txt"}
    for path in tmp_path.rglob("*.txt"):
        path.unlink()
    with pytest.raises(InputError, match="no image has a"):
        read(Source(tmp_path), "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("path,labels\na.jpg,cat\n")
    path.chmod(0)
    with pytest.raises(InputError, match="cannot be read"):
        read(Source(path), "")
