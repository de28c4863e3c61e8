"""Rows of images and their labels: tables of any kind, and whatever ``c2srt tag`` writes into one file."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from c2srt_cli.artifacts.parquet import unpacks_to_too_much
from c2srt_cli.datasets.source import Source, reading
from c2srt_cli.errors import InputError, counted
from c2srt_cli.labels import normalise
from c2srt_cli.text import fault, find_table, plain_cell, read_text, split_list

COLUMNS = ("path", "labels", "split")
#: Columns that `c2srt tag` writes beside: nobody need be told that they are not read.
_SCORES = frozenset({"tags", "scores", "probabilities", "shares"})
_HINT = "write a table with the header path,labels, and cat;dog as labels"
#: Names of columns that are not read, as far as they are said.
_SAID = 5


class Row(NamedTuple):
    """One image: where in its table it stands, its path, its labels, its split where one is given."""

    where: str
    path: str
    names: tuple[str, ...]
    split: str | None = None


def rows_of(source: Source, path: Path) -> list[Row]:
    """The rows of a table with the columns ``path``, ``labels`` and perhaps ``split``, or of tags.

    A table is text, whatever stands between its cells, with ``;`` between labels (see `text.cells`); Parquet; or JSON,
    an object a line or an array of them, whose labels may stand in ``tags``. What a file is its content says.

    Raises:
        InputError: it cannot be read, lacks a column, or has faults: all of them are named.
    """
    problems: list[str] = []
    text = None if _is_parquet(path) else read_text(path, "the table", _HINT, exact=True)
    if text is None:
        records = _parquet(source, path, problems)
    else:
        problems += text.problems
        whole = "".join(text.lines)
        if whole.lstrip()[:1] in {"{", "["}:
            records = _json(source, path, whole, problems)
        else:
            records = _delimited(source, path, text.lines, problems)
    rows = []
    for where, image, labels, split in records:
        names = tuple(name for name in map(normalise, labels) if name)
        problems += [f"{where}: in a label, {wrong}" for label in labels if (wrong := fault(label))]
        if not image.strip():
            problems.append(f"{where}: the path is empty")
        rows.append(Row(where, image, names, None if split is None else split.strip().lower()))
    if problems:
        raise _unusable(path, problems, text.hint if text else None)
    return rows


def _is_parquet(path: Path) -> bool:
    with reading(path), path.open("rb") as file:
        return file.read(4) == b"PAR1" or path.suffix.lower() == ".parquet"


def _unusable(path: Path, problems: Sequence[str], hint: str | None = None) -> InputError:
    return InputError(
        "this table cannot be read", where=str(path), problems=problems, hint=hint or "mend what is named above"
    )


#: Where it stands, path, labels, split.
_Record = tuple[str, str, list[str], str | None]


def _delimited(source: Source, path: Path, lines: tuple[str, ...], problems: list[str]) -> Iterator[_Record]:
    marks = {".csv": ",", ".tsv": "\t"}
    table = find_table(lines, frozenset(COLUMNS), delimiter=marks.get(path.suffix.lower()))
    if table is None:
        first = next((line.strip() for line in lines if line.strip()), "")
        lacking = f"no column 'path' and no column 'labels' in its first line, {first[:60]!r}"
        raise InputError("this table cannot be read", where=str(path), problems=[*problems, lacking], hint=_HINT)
    _check_columns(source, path, table.header)
    for number, cells in table.rows(problems, exact=True):
        if len(cells) < len(table.header):
            problems.append(f"line {number}: {counted(len(cells), 'cell')}, {counted(len(table.header), 'column')}")
            continue
        cell = {name: cells[table.header.index(name)] for name in COLUMNS if name in table.header}
        yield f"line {number}", plain_cell(cell["path"]), split_list(cell["labels"]), cell.get("split")


def _check_columns(source: Source, path: Path, header: tuple[str, ...]) -> None:
    if lacking := [name for name in COLUMNS[:2] if name not in header]:
        missing = [f"no column {name!r} among {', '.join(map(repr, header[:20]))}" for name in lacking]
        raise InputError("this table cannot be read", where=str(path), problems=missing, hint=_HINT)
    if twice := [name for name in COLUMNS if header.count(name) > 1]:
        raise _unusable(path, [f"two columns {name!r}" for name in twice])
    others = [name for name in header if name not in COLUMNS]
    if others and not _SCORES.issuperset(others[:1]):
        more = f" and {len(others) - _SAID:,} more" if len(others) > _SAID else ""
        source.remark(f"columns that are not read: {', '.join(others[:_SAID])}{more}")


def _json(source: Source, path: Path, text: str, problems: list[str]) -> Iterator[_Record]:
    values: Iterable[tuple[str, Any]]
    if text.lstrip().startswith("["):
        with reading(path):
            values = [(f"entry {number}", value) for number, value in enumerate(json.loads(text), 1)]
    else:
        values = _json_lines(text, problems)
    said = False
    for where, value in values:
        if not isinstance(value, dict):
            problems.append(f"{where}: is no object with the keys path and labels")
            continue
        if not said:
            _check_columns(source, path, tuple("labels" if key == "tags" else key for key in value))
            said = True
        try:
            yield where, *_json_record(value)
        except TypeError as error:
            problems.append(f"{where}: {error}")


def _json_lines(text: str, problems: list[str]) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                problems.append(f"line {number}: is no JSON that can be read")
            else:
                yield f"line {number}", value


def _json_record(value: dict[str, Any]) -> tuple[str, list[str], str | None]:
    """Path, labels and split of an object; a TypeError says what is wrong with it."""
    path, labels, split = value.get("path"), value.get("tags", value.get("labels")), value.get("split")
    if not isinstance(path, str) or "\0" in path:
        raise TypeError("the path is no text" if "path" in value else "no key 'path'")
    if "tags" in value and isinstance(labels, list):
        labels = [tag.get("label") if isinstance(tag, dict) else tag for tag in labels]
    if isinstance(labels, str):
        labels = split_list(labels)
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise TypeError("the labels are no list of texts" if labels is not None else "no key 'labels' or 'tags'")
    if split is not None and not isinstance(split, str):
        raise TypeError("the split is no text")
    return path, labels, split


def _parquet(source: Source, path: Path, problems: list[str]) -> Iterator[_Record]:
    """Labels may be lists, or text with ``;`` between them; whole numbers are read as their digits, null as nothing."""
    import pyarrow.parquet as pq

    with reading(path):
        metadata = pq.read_metadata(path)
        if (fault := unpacks_to_too_much(metadata, path.stat().st_size)) is not None:
            raise ValueError(fault)
        header = tuple(metadata.schema.to_arrow_schema().names)
        _check_columns(source, path, header)
        table = pq.read_table(path, columns=[name for name in COLUMNS if name in header], partitioning=None)
        columns = {name: table[name].to_pylist() for name in table.column_names}
    for number, cells in enumerate(zip(*columns.values(), strict=True), 2):
        cell = dict(zip(columns, cells, strict=True))
        labels, where = cell["labels"], f"row {number}"
        try:
            names = [_text(item) for item in labels] if isinstance(labels, list) else split_list(_text(labels))
            yield where, _text(cell["path"]), names, _text(cell["split"]) if "split" in cell else None
        except TypeError as error:
            problems.append(f"{where}: {error}")


def _text(cell: object) -> str:
    """A cell of a Parquet as it would stand in a CSV; a TypeError says what cannot."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, float) and cell.is_integer():  # what pandas makes of whole numbers beside an empty cell
        cell = int(cell)
    if isinstance(cell, bool) or not isinstance(cell, str | int):
        raise TypeError(f"{cell!r} is neither text nor a whole number")
    return str(cell)
