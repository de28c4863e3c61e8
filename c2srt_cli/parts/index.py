"""``index.parquet``: one line an image of a part: which version of it was looked at, and what became of it."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ConfigDict

from c2srt_cli.artifacts import atomic_write
from c2srt_cli.artifacts.parquet import unpacks_to_too_much
from c2srt_cli.artifacts.records import Text, relative_path
from c2srt_cli.errors import InputError

INDEX = "index.parquet"
AGAIN = "run the command that wrote it again: it makes what is missing or cannot be read"
#: Most rows that are read.
MAX_ROWS = 50_000_000
#: The last fields, which an index of an earlier version has not.
LATER = ("ctime_ns",)
Status = Literal["ok", "failed", "open", "removed"]


@dataclass(frozen=True, slots=True)
class Row:
    """One image in the index.

    Attributes:
        path: Relative to the root.
        size: Bytes of the file.
        mtime_ns: Its modification time, which programs may set.
        sha256: Of its bytes; empty where they could not be read.
        width: Of the upright picture, in pixels; 0 where that is not kept.
        height: Likewise.
        shard: Number of the file that holds it, 0 where a part has one; -1 for a failure that none does.
        row: Its row there; -1 for a failure.
        status: ``ok``, ``failed``, ``open`` (assigned to the part, and not tried yet) or ``removed`` (it has gone, or
            has changed and stands in a later part).
        reason: Why it failed, a code of `errors.ImageError`.
        detail: The same in one line for people.
        ctime_ns: When the system last saw the file change, which no program sets; -1 where that is not known.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    path: Text
    size: int
    mtime_ns: int
    sha256: Text
    width: int
    height: int
    shard: int
    row: int
    status: Status
    reason: Text = ""
    detail: Text = ""
    ctime_ns: int = -1

    @classmethod
    def unread(cls, path: str, reason: str, detail: str) -> "Row":
        """Of what failed before anything of its file was known."""
        return cls(path, -1, -1, "", 0, 0, -1, -1, "failed", reason, detail)


_SCHEMA = pa.schema({field.name: pa.int64() if field.type is int else pa.string() for field in fields(Row)})
#: Paths that `relative_path` may refuse, and a few that it does not.
_ODD_PATH = r"(^|[/\\])\.{0,2}([/\\]|$)|^[A-Za-z]:|\x00"
_HEX = "0123456789abcdef"


def table_of(rows: Iterable[Row]) -> pa.Table:
    """Rows as a table."""
    return pa.Table.from_pylist([asdict(row) for row in rows], _SCHEMA)


def rows_of(table: pa.Table) -> list[Row]:
    """The rows of a table as objects, which take some 400 bytes each."""
    columns = (table[name].to_pylist() for name in _SCHEMA.names)
    return [Row(*cells) for cells in zip(*columns, strict=True)]


def assignment(paths: pa.Array | pa.ChunkedArray) -> pa.Table:
    """The index of a part of which nothing is done yet."""
    count = len(paths)
    unknown = {"size", "mtime_ns", "shard", "row", "ctime_ns"}
    columns = {
        name: pa.array(np.full(count, -1 if name in unknown else 0))
        if kind == pa.int64()
        else pa.repeat("open" if name == "status" else "", count)
        for name, kind in zip(_SCHEMA.names, _SCHEMA.types, strict=True)
    }
    return pa.table(columns | {"path": paths}, _SCHEMA)


def row_problems(rows: Sequence[Row]) -> list[str]:
    """What is wrong with rows that are of the right types, each with the row that it is found in."""
    problems: list[str] = []
    seen: dict[str, int] = {}
    for number, row in enumerate(rows):
        if (fault := _fault(row)) is None and row.path in seen:
            fault = f"stands in row {seen[row.path]} too"
        if fault is not None:
            problems.append(f"row {number}, {row.path!r}: {fault}")
        seen[row.path] = number
    return problems


def _fault(row: Row) -> str | None:
    try:
        if row.status != "failed" or (row.path != "." and row.reason != "bad-name"):  # the root, or what it is said of
            relative_path(row.path)
    except ValueError as error:
        return f"its path {error}"
    if row.status == "ok":
        if len(row.sha256) != 64 or not set(row.sha256) <= set(_HEX):
            return f"its sha256 is {row.sha256!r}"
        if not (0 <= row.shard < 2**31 and 0 <= row.row < 2**31):
            return f"there is no row {row.row} of shard {row.shard}"
    elif not (-1 <= row.shard < 2**31 and -1 <= row.row < 2**31) or (row.row != -1 and row.status != "removed"):
        said = {"failed": "it failed", "open": "it is not done", "removed": "it is removed"}[row.status]
        return f"{said}, and is said to be row {row.row} of shard {row.shard}"
    return None


def _table_problems(table: pa.Table) -> list[str]:
    """`row_problems` of a table, whose rows are only looked at one by one where something is odd about them."""
    good = pc.equal(table["status"], "ok")
    places = np.stack([table["shard"].to_numpy(), table["row"].to_numpy()])
    held = places[:, good.to_numpy()]
    odd = (
        pc.any(pc.match_substring_regex(table["path"], _ODD_PATH)).as_py()
        or not _are_digests(table["sha256"].filter(good))
        or (len(table) and not (places.min() >= -1 and places.max() < 2**31))
        or bool((held < 0).any())
        or bool((table["row"].filter(pc.is_in(table["status"], pa.array(["failed", "open"]))).to_numpy() != -1).any())
        or not _are_distinct(table["path"].combine_chunks())
    )
    return row_problems(rows_of(table)) if odd else []


def _are_digests(column: pa.ChunkedArray) -> bool:
    """Whether nothing but 64 hexadecimal digits stands there: a third of the time of a regular expression."""
    long, rest = pc.equal(pc.binary_length(column), 64), pc.ascii_trim(column, _HEX)
    return bool(pc.all(pc.and_(long, pc.equal(rest, ""))).as_py())


def _are_distinct(paths: pa.StringArray) -> bool:
    """Whether nothing stands there twice; most are sorted, which is seen at once."""
    ascending = pc.all(pc.less(paths[:-1], paths[1:])).as_py()
    return bool(ascending) or pc.count_distinct(paths).as_py() == len(paths)


def write_index(path: Path, table: pa.Table) -> None:
    """Write an index."""
    # open files, not paths: pyarrow takes these for text, and for addresses
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        pq.write_table(table, file)


def read_index(path: Path) -> pa.Table:
    """Read an index.

    Raises:
        InputError: it is missing or damaged, or rows of it cannot be: each is named.
    """
    try:
        with path.open("rb") as stream, pq.ParquetFile(stream) as file:
            names = [name for name in _SCHEMA.names if name in file.schema_arrow.names]
            problems = _columns(file.schema_arrow)
            size = path.stat().st_size
            if file.metadata.num_rows > min(MAX_ROWS, size):  # no two rows are alike: each takes a byte at the least
                problems.append(f"{file.metadata.num_rows:,} rows in {size:,} bytes")
            elif (fault := unpacks_to_too_much(file.metadata, size)) is not None:
                problems.append(fault)
            table = None if problems else file.read(columns=names)
        if table is not None:
            problems = [f"column {name!r} has empty cells" for name in names if table[name].null_count]
            strange = set(table["status"].unique().to_pylist()) - {*Status.__args__, None}  # type: ignore[attr-defined]
            problems += [f"column 'status' holds {one!r}" for one in sorted(strange)]
        if table is not None and not problems:
            table = _whole(table)
            problems = _table_problems(table)
    except FileNotFoundError:
        raise InputError("no such file", where=str(path), hint=AGAIN) from None
    except (OSError, ValueError, TypeError, KeyError, pa.ArrowException) as error:
        raise InputError(f"the index cannot be read ({error})", where=str(path), hint=AGAIN) from None
    if problems or table is None:
        raise InputError("the index cannot be used", where=str(path), problems=problems, hint=AGAIN)
    return table


def _whole(table: pa.Table) -> pa.Table:
    """All columns, as they are written."""
    for name in LATER:
        if name not in table.column_names:
            table = table.append_column(name, pa.array(np.full(len(table), -1)))
    return table.select(_SCHEMA.names).cast(_SCHEMA)


def _columns(schema: pa.Schema) -> list[str]:
    problems = []
    for field in fields(Row):
        number, columns = field.type is int, schema.names.count(field.name)
        if columns != 1:
            if columns or field.name not in LATER:
                problems.append(f"has {'two columns' if columns else 'no column'} {field.name!r}")
            continue
        there = schema.field(field.name).type
        if there != pa.int64() if number else there not in (pa.string(), pa.large_string()):
            problems.append(f"column {field.name!r} is {there}, it must be {'int64' if number else 'text'}")
    return problems
