"""Files of a few bytes that say to hold more than the memory."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from c2srt_cli.artifacts.parquet import unpacks_to_too_much
from c2srt_cli.datasets.annotations import Annotations, Incidence, read_annotations, write_annotations
from c2srt_cli.datasets.prepare import PrepareOptions, prepare
from c2srt_cli.errors import InputError
from c2srt_cli.labels import LabelSet
from c2srt_cli.parts.index import read_index
from c2srt_cli.tagging.reading import open_tags

ROWS = 600_000


def repeated(value: Any, kind: pa.DataType, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int8()), rows), pa.array([value], kind)).cast(kind)


@pytest.mark.parametrize(
    "columns",
    [
        {"path": [f"images/{number:06}.jpg" for number in range(50_000)], "labels": ["cat"] * 50_000},
        {"path": [f"{number:06}" for number in range(50_000)], "positive": [[]] * 50_000},
        {"path": ["a.jpg"], "labels": ["cat;dog"]},
        {"path": pa.array([], pa.string())},
    ],
)
@pytest.mark.parametrize("compression", ["snappy", "zstd", "none"])
def test_what_people_have_is_read(columns: dict[str, Any], compression: str, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns), path, compression=compression)
    assert unpacks_to_too_much(pq.read_metadata(path), path.stat().st_size) is None
    delta = dict.fromkeys(("path", "labels") if "labels" in columns else ("path",), "DELTA_BYTE_ARRAY")
    pq.write_table(pa.table(columns), path, compression=compression, use_dictionary=False, column_encoding=delta)
    assert unpacks_to_too_much(pq.read_metadata(path), path.stat().st_size) is None


@pytest.mark.parametrize(
    "table",
    [
        {"path": repeated("a.jpg", pa.string(), ROWS), "labels": repeated("cat", pa.string(), ROWS)},
        {"path": ["a.jpg"], "labels": [[1] * ROWS]},
        {"path": ["a" * 10_000_000], "labels": ["cat"]},
    ],
    ids=["rows", "one long list", "one long text"],
)
def test_a_bomb_is_known_by_its_header(table: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(table), path, compression="zstd")
    assert path.stat().st_size < 20_000
    assert unpacks_to_too_much(pq.read_metadata(path), path.stat().st_size) is not None


@pytest.mark.parametrize("door", ["index", "annotations", "tags", "table"])
def test_every_door_refuses_it(door: str, tmp_path: Path) -> None:
    none = Incidence.empty(1)
    made = (LabelSet.of(["cat"]), np.ones(1, dtype=bool), ("a.jpg",), np.array(["test"]), none, none)
    write_annotations(tmp_path, Annotations(tmp_path, *made, complete=True, dataset="table"), {})
    doors: dict[str, tuple[str, Callable[[Path], object]]] = {
        "index": ("index.parquet", read_index),
        "annotations": ("annotations.parquet", lambda path: read_annotations(path.parent)),
        "tags": ("tags.parquet", lambda path: list(open_tags(path).__enter__().images)),
        "table": ("table.parquet", lambda path: prepare(PrepareOptions("table", path, tmp_path / "a"))),
    }
    name, read = doors[door]
    pq.write_table(pa.table({"path": repeated("a.jpg", pa.string(), ROWS)}), tmp_path / name, compression="zstd")
    with pytest.raises(InputError) as caught:
        read(tmp_path / name)
    assert " in " in str(caught.value) and " bytes" in str(caught.value), caught.value
