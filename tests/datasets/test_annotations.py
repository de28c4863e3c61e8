import csv
import json
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import MultiLabelBinarizer

from c2srt_cli.datasets.annotations import (
    Annotations,
    Incidence,
    read_annotations,
    read_label_table,
    write_annotations,
)
from c2srt_cli.errors import InputError
from c2srt_cli.labels import Label, LabelSet

LISTS = st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=8)


def example(*, complete: bool = False) -> Annotations:
    labels = LabelSet((Label("cat", ("kitty", "pussy, cat")), Label("crane", id="/m/1"), Label("crane", id="/m/2")))
    return Annotations(
        Path("/photos"),
        labels,
        np.array([True, False, True]),
        ("a/1.jpg", "b é.jpg", "c.jpg", "d.jpg"),
        np.array(["train", "test", "val", "train"]),
        Incidence.from_lists([[2, 0], [], [1], [0]]),
        Incidence.from_lists([[1], [], [0, 2], []]),
        complete,
        "birds",
        {"counts": [], "remarks": ["few"]},
    )


class TestIncidence:
    @given(LISTS)
    def test_dense_is_what_scikit_learn_makes(self, lists: list[list[int]]) -> None:
        expected = MultiLabelBinarizer(classes=range(10)).fit_transform(lists).reshape(len(lists), 10)
        found = Incidence.from_lists(lists)
        assert found.starts.dtype == np.int64
        assert found.labels.dtype == np.int32
        assert len(found) == len(lists)
        np.testing.assert_array_equal(found.dense(np.arange(10)), expected.astype(bool))
        np.testing.assert_array_equal(found.lengths, expected.sum(1))
        columns = np.array([7, 0, 3])
        np.testing.assert_array_equal(found.dense(columns), expected[:, columns].astype(bool))
        for i, ids in enumerate(lists):
            assert found.row(i).tolist() == sorted(set(ids))

    @given(LISTS, st.randoms(use_true_random=False))
    def test_pairs_in_any_order(self, lists: list[list[int]], random: Random) -> None:
        pairs = [(row, label) for row, ids in enumerate(lists) for label in ids]
        random.shuffle(pairs)
        rows, labels = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
        found, expected = Incidence.from_pairs(rows, labels, len(lists)), Incidence.from_lists(lists)
        np.testing.assert_array_equal(found.starts, expected.starts)
        np.testing.assert_array_equal(found.labels, expected.labels)

    def test_select(self) -> None:
        found = Incidence.from_lists([[0, 4], [], [2], [1, 3, 5]])
        for rows in ([3, 0, 0, 1], [], [2]):
            chosen = found.select(np.array(rows, dtype=np.int64))
            assert [chosen.row(i).tolist() for i in range(len(chosen))] == [found.row(i).tolist() for i in rows]
        masked = found.select(np.array([True, False, False, True]))
        assert [masked.row(i).tolist() for i in range(2)] == [[0, 4], [1, 3, 5]]

    def test_empty(self) -> None:
        assert Incidence.empty(3).dense(np.arange(2)).tolist() == [[False] * 2] * 3
        assert len(Incidence.empty(0)) == 0


class TestTruth:
    def test_what_nobody_said_is_unknown(self) -> None:
        truth = example().truth(np.array([2, 0, 1]), np.array([2, 0, 1]))
        assert truth.dtype == np.int8
        assert truth.tolist() == [[-1, -1, 1], [1, 1, -1], [0, 0, 0]]

    def test_complete(self) -> None:
        truth = replace(example(complete=True), negative=Incidence.empty(4)).truth(np.arange(4), np.arange(3))
        assert truth.tolist() == [[1, -1, 1], [-1, -1, -1], [-1, 1, -1], [1, -1, -1]]

    def test_rows(self) -> None:
        assert example().rows("train").tolist() == [0, 3]
        assert example().rows("test").tolist() == [1]


class TestFingerprint:
    def test_images_may_move(self) -> None:
        moved = replace(example(), root=Path("/elsewhere"), notes={})
        assert moved.fingerprint == example().fingerprint

    @pytest.mark.parametrize(
        "change",
        [
            {"seen": np.array([True, True, True])},
            {"paths": ("a/1.jpg", "b.jpg", "c.jpg", "d.jpg")},
            {"split": np.array(["train", "test", "val", "test"])},
            {"positive": Incidence.from_lists([[2], [0], [1], [0]])},
            {"negative": Incidence.empty(4)},
            {"complete": True},
            {"labels": LabelSet((Label("cat"), Label("crane", id="/m/1"), Label("crane", id="/m/2")))},
        ],
    )
    def test_everything_else_counts(self, change: dict[str, object]) -> None:
        assert replace(example(), **change).fingerprint != example().fingerprint  # type: ignore[arg-type]


class TestFiles:
    def test_round_trip(self, tmp_path: Path) -> None:
        write_annotations(tmp_path / "a", example(), {"dataset": "birds"}, inputs={"source": "abc"})
        found = read_annotations(tmp_path / "a")
        assert found.fingerprint == example().fingerprint
        assert (found.root, found.paths, found.labels) == (Path("/photos"), example().paths, example().labels)
        assert (found.complete, found.dataset, found.notes) == (False, "birds", example().notes)
        assert found.split.tolist() == example().split.tolist()
        assert found.seen.dtype == bool
        assert found.positive.labels.dtype == np.int32
        assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
            "annotations.parquet",
            "labels.csv",
            "manifest.json",
        ]

    def test_what_others_read(self, tmp_path: Path) -> None:
        write_annotations(tmp_path, example(), {})
        rows = pq.read_table(tmp_path / "annotations.parquet").to_pylist()
        assert rows[0] == {"path": "a/1.jpg", "positive": [0, 2], "negative": [1], "split": "train"}
        assert rows[1] == {"path": "b é.jpg", "positive": [], "negative": [], "split": "test"}
        with (tmp_path / "labels.csv").open(encoding="utf-8", newline="") as file:
            assert list(csv.reader(file)) == [
                ["label", "synonyms", "id", "seen"],
                ["cat", "kitty;pussy, cat", "", "1"],
                ["crane", "", "/m/1", "0"],
                ["crane", "", "/m/2", "1"],
            ]
        manifest = json.loads((tmp_path / "manifest.json").read_text())
        assert (manifest["kind"], manifest["root"], manifest["complete"]) == ("annotations", "/photos", False)

    @pytest.mark.parametrize("name", ["annotations.parquet", "labels.csv", "manifest.json"])
    def test_missing_and_damaged(self, tmp_path: Path, name: str) -> None:
        write_annotations(tmp_path, example(), {})
        whole = (tmp_path / name).read_bytes()
        for data in (b"", whole[: len(whole) // 2], b"\xff" * 40):
            (tmp_path / name).write_bytes(data)
            with pytest.raises(InputError):
                read_annotations(tmp_path)
        (tmp_path / name).unlink()
        with pytest.raises(InputError, match="holds no annotations" if name == "manifest.json" else "no such file"):
            read_annotations(tmp_path)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "label,id,seen\ncat,,1\n",
            "label,synonyms,id,seen\ncat,,,yes\n",
            "label,synonyms,id,seen\ncat\n",
            "label,synonyms,id,seen\ncat,,,2\n",
            "label,synonyms,id,seen\ncat,,,1,5\n",
            'label,synonyms,id,seen\n"cat',
            "\xff",
        ],
    )
    def test_a_damaged_table_of_labels_is_named(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "labels.csv"
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(InputError, match=r"labels\.csv: the labels are damaged"):
            read_label_table(path)

    def test_changed_by_hand(self, tmp_path: Path) -> None:
        write_annotations(tmp_path, example(), {})
        path = tmp_path / "labels.csv"
        path.write_text(path.read_text().replace("/m/2,1", "/m/2,0"))
        with pytest.raises(InputError, match="fingerprint differs"):
            read_annotations(tmp_path)

    def test_a_killed_run_leaves_nothing_to_trust(self, tmp_path: Path) -> None:
        write_annotations(tmp_path, example(), {})
        (tmp_path / "manifest.json").rename(tmp_path / "unfinished.json")
        with pytest.raises(InputError, match="unfinished"):
            read_annotations(tmp_path)
        write_annotations(tmp_path, example(), {})
        assert len(read_annotations(tmp_path)) == 4

    def test_other_options_and_other_folders(self, tmp_path: Path) -> None:
        write_annotations(tmp_path / "a", example(), {"seed": 0})
        write_annotations(tmp_path / "a", example(), {"seed": 0})
        with pytest.raises(InputError, match="other options"):
            write_annotations(tmp_path / "a", example(), {"seed": 1})
        write_annotations(tmp_path / "a", example(), {"seed": 1}, overwrite=True)
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine/letter.txt").touch()
        with pytest.raises(InputError, match="letter"):
            write_annotations(tmp_path / "mine", example(), {}, overwrite=True)
        (tmp_path / "e").mkdir()
        (tmp_path / "e/manifest.json").write_text('{"kind": "embeddings"}')
        with pytest.raises(InputError, match="holds embeddings"):
            write_annotations(tmp_path / "e", example(), {}, overwrite=True)

    FORGED: ClassVar[dict[str, tuple[dict[str, object], str]]] = {
        "a path that leads out": ({"paths": ("../a", "b", "c", "d")}, "row 0, '../a': its path leads out"),
        "an absolute path": ({"paths": ("a", "/etc/passwd", "c", "d")}, "row 1, '/etc/passwd': its path is an abs"),
        "a path twice": ({"paths": ("a", "b", "c", "a")}, "row 3, 'a': stands in row 0 too"),
        "a split": ({"split": np.array(["train", "test", "all", "val"])}, "there is no split 'all'"),
        "a long split": ({"split": np.array(["training", "test", "val", "val"])}, "there is no split 'training'"),
        "a label too many": ({"positive": Incidence.from_lists([[3], [], [], []])}, "row 0: there is no label 3"),
        "a label below": ({"negative": Incidence.from_lists([[], [-1], [], []])}, "row 1: there is no label -1"),
        "a label twice": (
            {"positive": Incidence(np.array([0, 1, 3, 3, 3]), np.array([2, 0, 0], np.int32))},
            "row 1: labels do not ascend",
        ),
        "absent and unknown": ({"complete": True}, "column 'negative': there is nothing in it"),
        "a label by two names": (
            {"labels": LabelSet((Label("cat"), Label("Cat"), Label("crane")))},
            "line 3: 'cat' stands in line 2 too",
        ),
        "an empty label": ({"labels": LabelSet((Label("cat"), Label(" "), Label("crane")))}, "line 3: ' ' is no label"),
        "notes": ({"notes": {"a": float("1e300")}}, ""),
        "a zero byte": ({"dataset": "a\0b"}, "dataset: holds a zero byte"),
    }

    @pytest.mark.parametrize(("change", "said"), FORGED.values(), ids=FORGED)
    def test_what_somebody_sends_is_checked_though_its_fingerprint_is_right(
        self, tmp_path: Path, change: dict[str, object], said: str
    ) -> None:
        write_annotations(tmp_path, replace(example(), **change), {})  # type: ignore[arg-type]
        if not said:
            read_annotations(tmp_path)
            return
        with pytest.raises(InputError) as refused:
            read_annotations(tmp_path)
        assert said in str(refused.value)

    @pytest.mark.parametrize("column", ["path", "positive", "split"])
    @pytest.mark.parametrize("how", ["numbers", "holes", "nothing"])
    def test_columns_of_other_types(self, tmp_path: Path, column: str, how: str) -> None:
        write_annotations(tmp_path, example(), {})
        table = pq.read_table(tmp_path / "annotations.parquet")
        columns = {name: table[name] for name in table.column_names}
        if how == "nothing":
            del columns[column]
        elif how == "holes":
            columns[column] = pa.array([*table[column].to_pylist()[:3], None], table[column].type)
        else:
            columns[column] = pa.array([1.5, 2.5, 3.5, 4.5])
        pq.write_table(pa.table(columns), tmp_path / "annotations.parquet")
        with pytest.raises(InputError, match=f"the annotations are damaged.*{column}"):
            read_annotations(tmp_path)
