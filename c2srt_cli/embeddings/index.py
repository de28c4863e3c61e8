"""``index.parquet``: one line an image, as the shards' headers have it too."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ConfigDict

from c2srt_cli.artifacts import atomic_write
from c2srt_cli.artifacts.parquet import unpacks_to_too_much
from c2srt_cli.artifacts.records import Text, relative_path
from c2srt_cli.errors import InputError

INDEX = "index.parquet"
AGAIN = "run the same c2srt embed again: it makes what is missing or cannot be read"
#: Most rows that are read.
MAX_ROWS = 50_000_000
#: The last fields, which an index of an earlier version has not.
LATER = ("ctime_ns",)


@dataclass(frozen=True, slots=True)
class Row:
    """One image in the index.

    Attributes:
        path: Relative to the root.
        size: Bytes of the file.
        mtime_ns: Its modification time, which programs may set.
        sha256: Of its bytes; empty where they could not be read.
        width: Of the upright picture, in pixels.
        height: Likewise.
        shard: Number of the shard that holds it; -1 for a failure that none does.
        row: Its row there; -1 for a failure.
        status: ``ok`` or ``failed``.
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
    status: Literal["ok", "failed"]
    reason: Text = ""
    detail: Text = ""
    ctime_ns: int = -1


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
        if row.status == "ok" or (row.path != "." and row.reason != "bad-name"):  # the root, or what it is said of
            relative_path(row.path)
    except ValueError as error:
        return f"its path {error}"
    if row.status == "ok":
        if len(row.sha256) != 64 or not set(row.sha256) <= set("0123456789abcdef"):
            return f"its sha256 is {row.sha256!r}"
        if not (0 <= row.shard < 2**31 and 0 <= row.row < 2**31):
            return f"there is no row {row.row} of shard {row.shard}"
    elif row.row != -1 or not -1 <= row.shard < 2**31:
        return f"it failed, and is said to be row {row.row} of shard {row.shard}"
    return None


def write_index(folder: Path, rows: Iterable[Row]) -> None:
    """Write ``index.parquet``."""
    columns = {field.name: pa.int64() if field.type is int else pa.string() for field in fields(Row)}
    table = pa.Table.from_pylist([asdict(row) for row in rows], pa.schema(columns))
    # open files, not paths: pyarrow takes these for text, and for addresses
    with atomic_write(folder / INDEX) as temporary, temporary.open("wb") as file:
        pq.write_table(table, file)


def read_index(folder: Path) -> list[Row]:
    """Read ``index.parquet``.

    Raises:
        InputError: it is missing or damaged, or rows of it cannot be: each is named.
    """
    path = folder / INDEX
    try:
        with path.open("rb") as stream, pq.ParquetFile(stream) as file:
            names = [field.name for field in fields(Row) if field.name in file.schema_arrow.names]
            problems = _columns(file.schema_arrow)
            size = path.stat().st_size
            if file.metadata.num_rows > min(MAX_ROWS, size):  # no two rows are alike: each takes a byte at the least
                problems.append(f"{file.metadata.num_rows:,} rows in {size:,} bytes")
            elif (fault := unpacks_to_too_much(file.metadata, size)) is not None:
                problems.append(fault)
            table = None if problems else file.read(columns=names)
        if table is not None:
            problems = [f"column {name!r} has empty cells" for name in names if table[name].null_count]
            strange = set(table["status"].unique().to_pylist()) - {"ok", "failed", None}
            problems += [f"column 'status' holds {one!r}" for one in sorted(strange)]
    except FileNotFoundError:
        raise InputError("no such file", where=str(path), hint=AGAIN) from None
    except (OSError, ValueError, TypeError, KeyError, pa.ArrowException) as error:
        raise InputError(f"the index cannot be read ({error})", where=str(path), hint=AGAIN) from None
    rows: list[Row] = []
    if table is not None and not problems:
        columns = (table[name].to_pylist() for name in names)  # in the order of the fields, of which the last may lack
        rows = [Row(*cells) for cells in zip(*columns, strict=True)]
        problems = row_problems(rows)
    if problems:
        raise InputError("the index cannot be used", where=str(path), problems=problems, hint=AGAIN)
    return rows


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
