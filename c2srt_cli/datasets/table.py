"""A user's own data: a CSV or Parquet of paths and labels, or a folder with a text file beside each photograph."""

import csv
import hashlib
import io
import math
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from c2srt_cli.datasets.annotations import SPLITS, Annotations, Incidence
from c2srt_cli.datasets.source import Source, damaged, read_lines, reading
from c2srt_cli.errors import InputError
from c2srt_cli.images import find_images
from c2srt_cli.labels import Label, LabelSet, normalise

COLUMNS = ("path", "labels", "split")
#: Where nothing says otherwise, one photograph in so many is for testing.
TEST_SHARE = 5


class Row(NamedTuple):
    """One photograph of a table: where in the table it stands, its path, its labels, its split where one is given."""

    where: str
    path: str
    names: tuple[str, ...]
    split: str | None = None


def read(source: Source, protocol: str) -> Annotations:
    """Read ``path,labels[,split]`` (CSV or Parquet; ``;`` between labels), or a folder of photographs and ``.txt``.

    The labels are in alphabetical order, all of them seen. A label that is not given is absent.

    Raises:
        InputError: the file cannot be read, or has faults: all of them are named.
    """
    del protocol
    path = source.path
    if path.is_dir():
        rows, folder = _beside(source), path
    elif path.suffix.lower() in {".csv", ".tsv", ".parquet"}:
        source.used[path.name] = path
        rows, folder = rows_of(source, path), path.parent
    else:
        raise InputError("is neither a folder nor a .csv, .tsv or .parquet", where=str(path))
    first: dict[str, str] = {}
    for row in rows:
        for name in row.names:
            first.setdefault(name.casefold(), name)
    labels = LabelSet(tuple(Label(first[key]) for key in sorted(first)))
    if not labels.labels:
        raise InputError("no photograph has a label", where=str(path))
    return gather(source, rows, labels, folder, "table")


def gather(source: Source, rows: Iterable[Row], labels: LabelSet, folder: Path, dataset: str) -> Annotations:
    """Rows of known labels → annotations in which what is not given is absent, and every label seen.

    Paths may begin with the prefix or with the root, which are stripped. Rows without a split get one from a hash of
    their path: it stays when others come and go.

    Raises:
        InputError: a path stands twice or leads out of the root, or a split or label is unknown; all such are named.
    """
    root = source.root(folder)
    numbers = {label.key: number for number, label in enumerate(labels)}
    lists: list[list[int]] = []
    paths: dict[str, str] = {}
    splits, problems = [], []
    for row in rows:
        path = _relative(row.path.removeprefix(source.prefix), root)
        if path is None:
            problems.append(
                f"{row.where}: {row.path} is not below {root}: give --root, or --prefix to strip from paths"
            )
            continue
        if path in paths:
            problems.append(f"{row.where}: {path} stands in {paths[path]} too")
        paths[path] = row.where
        if unknown := [name for name in row.names if name.casefold() not in numbers]:
            problems.append(f"{row.where}: unknown labels {', '.join(unknown)}")
        split = _drawn_split(path) if row.split is None else row.split
        if split not in SPLITS:
            problems.append(f"{row.where}: split {split!r} is none of {', '.join(SPLITS)}")
        splits.append(split)
        lists.append([numbers[name.casefold()] for name in row.names if name.casefold() in numbers])
    if not paths and not problems:
        problems.append("there is no photograph in it")
    if problems:
        raise damaged(source.path, problems)
    return Annotations(
        root,
        labels,
        np.ones(len(labels), dtype=bool),
        tuple(paths),
        np.array(splits, dtype="U5"),
        Incidence.from_lists(lists),
        Incidence.empty(len(lists)),
        complete=True,
        dataset=dataset,
    )


def rows_of(source: Source, path: Path) -> list[Row]:
    """The rows of a CSV, TSV or Parquet with the columns ``path``, ``labels`` and perhaps ``split``.

    Raises:
        InputError: it cannot be read, lacks a column, or has faults: all of them are named.
    """
    records = _parquet(path) if path.suffix.lower() == ".parquet" else _delimited(path)
    header = next(records)
    if lacking := [name for name in COLUMNS[:2] if name not in header]:
        raise damaged(path, [f"no column {name!r} among {', '.join(map(repr, header))}" for name in lacking])
    if others := [name for name in header if name not in COLUMNS]:
        source.remark(f"columns that are not read: {', '.join(others)}")
    if "split" not in header:
        source.remark(f"no column 'split': one photograph in {TEST_SHARE} is for testing, by a hash of its path")
    rows, problems = [], []
    for number, cells in enumerate(records, 2):
        if len(cells) != len(header):
            problems.append(f"row {number}: {len(cells)} cells, {len(header)} columns")
            continue
        cell = dict(zip(header, cells, strict=True))
        names = tuple(name for name in map(normalise, cell["labels"].split(";")) if name)
        split = cell["split"].strip().lower() if "split" in cell else None
        if not cell["path"].strip():
            problems.append(f"row {number}: the path is empty")
            continue
        rows.append(Row(f"row {number}", cell["path"].strip(), names, split))
    if problems:
        raise damaged(path, problems)
    return rows


def _delimited(path: Path) -> Iterator[list[str]]:
    """Header and rows of a CSV or TSV, without the empty ones."""
    with reading(path):
        text = path.read_text(encoding="utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        try:
            yield [normalise(name).lower() for name in next(reader, [])]
            yield from (cells for cells in reader if cells)
        except csv.Error as error:
            raise damaged(path, [f"line {reader.line_num}: {error}"]) from None


def _parquet(path: Path) -> Iterator[list[str]]:
    """Header and rows of a Parquet file; labels may be lists, or text with ``;`` between them.

    Whole numbers are read as their digits, and what is null as nothing.
    """
    import pyarrow.parquet as pq

    with reading(path):
        table = pq.read_table(path, partitioning=None)
        names = [name for name in table.column_names if name in COLUMNS]
        columns = [table[name].to_pylist() for name in names]
    yield names
    rows, problems = [], []
    for number, cells in enumerate(zip(*columns, strict=True), 2):
        try:
            rows.append([_text(cell) for cell in cells])
        except TypeError as error:
            problems.append(f"row {number}: {error}")
    if problems:
        raise damaged(path, problems)
    yield from rows


def _text(cell: object) -> str:
    """A cell of a Parquet as it would stand in a CSV; a TypeError says what cannot."""
    if isinstance(cell, list):
        return ";".join(map(_text, cell))
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, float) and cell.is_integer():  # what pandas makes of whole numbers beside an empty cell
        cell = int(cell)
    if isinstance(cell, bool) or not isinstance(cell, str | int):
        raise TypeError(f"{cell!r} is neither text nor a whole number")
    return str(cell)


def _beside(source: Source) -> list[Row]:
    """Photographs that have a ``.txt`` of their name beside them, ``a.txt`` or ``a.jpg.txt``, one label a line."""
    found = find_images([str(source.path)])
    rows, bare = [], 0
    for file in found.files:
        beside = (file.path.with_suffix(".txt"), file.path.with_name(file.path.name + ".txt"))
        text = next((path for path in beside if path.is_file()), None)
        if text is None:
            bare += 1
            continue
        source.used[text.relative_to(found.root).as_posix()] = text
        names = tuple(name for name in map(normalise, read_lines(text)) if name and not name.startswith("#"))
        rows.append(Row(file.name, file.name, names))
    for problem in found.problems:
        source.remark(f"left out: {problem.name}: {problem.detail}")
    source.count("photographs without a .txt beside them, left out", bare)
    source.remark(f"one photograph in {TEST_SHARE} is for testing, by a hash of its path")
    if not rows:
        raise InputError(
            "no photograph has a .txt beside it",
            where=str(source.path),
            hint="write one label a line into a.txt for a.jpg",
        )
    return rows


def _relative(path: str, root: Path) -> str | None:
    """A path below the root; None where it leads out of it or cannot be written down."""
    pure = PurePosixPath(path)
    if pure.is_absolute():
        if not pure.is_relative_to(root.as_posix()):
            return None
        pure = pure.relative_to(root.as_posix())
    if not pure.parts or ".." in pure.parts or "\0" in path:
        return None
    return str(pure)


def _drawn_split(path: str) -> str:
    return "train" if int(hashlib.sha256(path.encode()).hexdigest(), 16) % TEST_SHARE else "test"
