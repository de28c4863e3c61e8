"""The index against pyarrow's own reader, and what stands in none."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stored import row

from c2srt_cli.errors import InputError
from c2srt_cli.parts import index
from c2srt_cli.parts.index import INDEX, Row, rows_of, table_of


def write_index(folder: Path, rows: list[Row]) -> None:
    index.write_index(folder / INDEX, table_of(rows))


def read_index(folder: Path) -> list[Row]:
    return rows_of(index.read_index(folder / INDEX))


ROWS = [
    row("plain.jpg", 0, 0),
    row('=1+1,"\n\t é 写真 📷.jpg', 0, 1, width=0),
    row("odd/..dots../a\\b:c.jpg", 0, 2),
    Row("NaN", -1, -1, "", 0, 0, -1, -1, "failed", "missing", "no such file"),
    Row(".", -1, -1, "", 0, 0, -1, -1, "failed", "unreadable", "the folder cannot be listed"),
    Row("None", 2**40, 2**62, "", 0, 0, 3, -1, "failed", "", ""),
]


def test_round_trip(tmp_path: Path) -> None:
    write_index(tmp_path, ROWS)
    found = read_index(tmp_path)
    assert found == ROWS
    assert {type(value) for one in found for value in (one.path, one.sha256, one.detail)} == {str}
    assert {type(value) for one in found for value in (one.size, one.mtime_ns, one.shard)} == {int}
    table = pq.read_table(tmp_path / "index.parquet")
    assert table["path"].to_pylist() == [one.path for one in ROWS]
    assert table.schema.field("row").type == pa.int64()
    write_index(tmp_path, [])
    assert read_index(tmp_path) == []


def test_an_index_of_before_the_last_field(tmp_path: Path) -> None:
    write_index(tmp_path, [row("a.jpg", 0, 0, ctime_ns=5)])
    table = pq.read_table(tmp_path / "index.parquet")
    pq.write_table(table.drop_columns(["ctime_ns"]), tmp_path / "index.parquet")
    assert read_index(tmp_path) == [row("a.jpg", 0, 0)]


PATHS = {
    "../a.jpg": "leads out of the folder",
    "a/../../b.jpg": "leads out of the folder",
    "a/..": "leads out of the folder",
    "..\\a.jpg": "leads out of the folder",
    "a\\..\\..\\b.jpg": "leads out of the folder",
    "/etc/passwd": "is an absolute path",
    "\\\\server\\share\\a.jpg": "is an absolute path",
    "C:\\a.jpg": "is an absolute path",
    "c:/a.jpg": "is an absolute path",
    "a\0.jpg": "holds a zero byte",
    "": "is not the plain path of a file",
    ".": "is not the plain path of a file",
    "./a.jpg": "is not the plain path of a file",
    "a//b.jpg": "is not the plain path of a file",
    "a/": "is not the plain path of a file",
}


@pytest.mark.parametrize(("path", "match"), PATHS.items(), ids=map(repr, PATHS))
def test_paths_that_are_not_below_the_root(path: str, match: str, tmp_path: Path) -> None:
    write_index(tmp_path, [row("a.jpg", 0, 0), row(path, 0, 1)])
    with pytest.raises(InputError) as error:
        read_index(tmp_path)
    assert error.value.problems == (f"row 1, {path!r}: its path {match}",)


Columns = dict[str, pa.Array]
WRONG: dict[str, tuple[Callable[[Columns], object], str]] = {
    "no column": (lambda columns: columns.pop("row"), "has no column 'row'"),
    "text": (lambda columns: columns.update(shard=pa.array(["0"] * 6)), "column 'shard' is string, it must be int64"),
    "fractions": (lambda columns: columns.update(row=pa.array([0.5] * 6)), "column 'row' is double, it must be int64"),
    "numbers": (lambda columns: columns.update(path=pa.array(range(6))), "column 'path' is int64, it must be text"),
    "holes": (lambda columns: columns.update(path=pa.array(["a", None] * 3)), "column 'path' has empty cells"),
    "lists": (lambda columns: columns.update(path=pa.array([["a"]] * 6)), "column 'path' is list<"),
    "negative": (lambda columns: columns.update(row=pa.array([-5] * 6)), "row 0, 'plain.jpg': there is no row -5"),
    "huge": (lambda columns: columns.update(row=pa.array([2**62] * 6)), "there is no row 4611686018427387904"),
    "twice": (lambda columns: columns.update(path=pa.array(["a"] * 6)), "row 1, 'a': stands in row 0 too"),
    "status": (lambda columns: columns.update(status=pa.array(["fine"] * 6)), "column 'status' holds 'fine'"),
    "twice, apart": (lambda columns: columns.update(path=pa.array([*"badcea"])), "row 5, 'a': stands in row 1 too"),
    "no hash": (lambda columns: columns.update(sha256=pa.array(["x"] * 6)), "its sha256 is 'x'"),
    "short hash": (lambda columns: columns.update(hashed("a" * 63)), "row 0, 'a': its sha256 is 'aaa"),
    "long hash": (lambda columns: columns.update(hashed("a" * 65)), "row 0, 'a': its sha256 is 'aaa"),
    "odd hash": (lambda columns: columns.update(hashed(f"a{'G' * 62}a")), "row 0, 'a': its sha256 is 'aGG"),
}


def hashed(sha256: str) -> Columns:
    """Columns of which nothing else is odd, so that rows are looked at for this alone."""
    return {"path": pa.array([*"abcdef"]), "sha256": pa.array([sha256] * 6)}


def test_more_rows_than_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_index(tmp_path, ROWS)
    monkeypatch.setattr(index, "MAX_ROWS", len(ROWS))
    assert read_index(tmp_path) == ROWS
    monkeypatch.setattr(index, "MAX_ROWS", len(ROWS) - 1)
    with pytest.raises(InputError, match="6 rows in "):
        read_index(tmp_path)


@pytest.mark.parametrize(("change", "match"), WRONG.values(), ids=WRONG)
def test_what_no_index_can_be(change: Callable[[Columns], object], match: str, tmp_path: Path) -> None:
    write_index(tmp_path, ROWS)
    table = pq.read_table(tmp_path / "index.parquet")
    columns = {name: table[name] for name in table.column_names}
    change(columns)
    pq.write_table(pa.table(columns), tmp_path / "index.parquet")
    with pytest.raises(InputError) as error:
        read_index(tmp_path)
    assert match in str(error.value)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 30, None], ids=["empty", "short", "wrong", "missing"])
def test_what_is_no_parquet(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "index.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"no such file|the index cannot be read"):
        read_index(tmp_path)
    (tmp_path / "index.parquet").unlink(missing_ok=True)
    (tmp_path / "index.parquet").mkdir()
    with pytest.raises(InputError, match="the index cannot be read"):
        read_index(tmp_path)
