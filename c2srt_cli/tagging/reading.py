"""Tags read back as what was written: JSON Lines, CSV, Excel's CSV, Parquet, parts, and the reasons of `explain`."""

import codecs
import csv
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from c2srt_cli.artifacts.parquet import unpacks_to_too_much
from c2srt_cli.artifacts.records import Count, Record, RelativePath, Text, checked, parse
from c2srt_cli.errors import C2srtError, InputError
from c2srt_cli.tagging.parts.part import TagDataset
from c2srt_cli.tagging.record import Tag, TaggedImage
from c2srt_cli.tagging.writers.context import COLUMNS, score_label
from c2srt_cli.text import plain_cell, split_list

_AGAIN = "name what c2srt tag --out wrote"
_AGAIN_WHY = "name the file that c2srt tag --explain wrote"
#: Rows of Parquet that are taken at once.
_ROWS = 1024


class _Tag(Record):
    label: Text
    score: float
    probability: float | None = None
    share: float | None = None


class _Row(Record):
    path: RelativePath
    tags: list[_Tag]
    scores: dict[Text, float] | None = None


class _Patch(Record):
    row: Count
    col: Count


class _Source(Record):
    label: Text
    relation: Text
    attention: float


class _Reason(Record):
    label: Text
    patches: list[_Patch]
    sources: list[_Source]


class _Reasons(Record):
    path: RelativePath
    grid: tuple[Count, Count]
    labels: list[_Reason]


#: Rows, each with where it stands.
_Rows = Generator[tuple[str, _Row], None, None]


@dataclass(frozen=True)
class Tags:
    """An open file of tags.

    Attributes:
        scored: Labels of `TaggedImage.scores`, in their order; none where not every score was kept.
        images: Read as they are asked for.
    """

    scored: tuple[str, ...]
    images: Iterator[TaggedImage]


@contextmanager
def open_tags(path: Path) -> Iterator[Tags]:
    """Open a file of tags, or a folder of parts; its images are read within the block.

    Raises:
        InputError: it cannot be read, or is no such file: the first row that is none is named.
    """
    read = _parts if path.is_dir() else _FORMATS.get(path.suffix.lower())
    if read is None:
        what = f"is no file of tags, whose names end in {', '.join(_FORMATS)}"
        raise InputError(what, where=str(path), hint=_AGAIN)
    rows = read(path)
    try:
        first = next(rows, None)
        scored = () if first is None else tuple(first[1].scores or ())
        yield Tags(scored, iter(()) if first is None else _images(path, first, rows, scored))
    except C2srtError:
        raise
    except FileNotFoundError:
        raise InputError("no such file", where=str(path), hint=_AGAIN) from None
    except (OSError, ValueError, csv.Error) as error:  # Arrow's, too, are ValueErrors
        said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"cannot be read ({said})", where=str(path), hint=_AGAIN) from None
    finally:
        rows.close()


def read_reasons(path: Path) -> tuple[tuple[int, int], dict[str, list[dict[str, Any]]]]:
    """What `tag --explain` wrote: height and width of the map of patches, and by path an entry for each label.

    Raises:
        InputError: it is no such file: the first line that is none is named.
    """
    grid, found = (0, 0), {}
    try:
        with path.open(encoding="utf-8", newline="\n") as stream:
            for number, line in enumerate(stream, 1):
                one = parse(_Reasons, line, f"{path}, line {number}", _AGAIN_WHY)
                grid, found[one.path] = one.grid, one.model_dump()["labels"]
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"cannot be read ({said})", where=str(path), hint=_AGAIN_WHY) from None
    return grid, found


def _images(
    path: Path, first: tuple[str, _Row], rows: Iterator[tuple[str, _Row]], scored: Sequence[str]
) -> Iterator[TaggedImage]:
    seen: set[str] = set()

    def image(where: str, row: _Row) -> TaggedImage:
        problem = "stands there twice" if row.path in seen else ""
        if tuple(row.scores or ()) != tuple(scored):
            problem = "has scores of other labels than the rows before it"
        if problem:
            raise InputError(f"the row of {row.path!r} {problem}", where=f"{path}, {where}", hint=_AGAIN)
        seen.add(row.path)
        tags = tuple(Tag(tag.label, tag.score, tag.probability, tag.share) for tag in row.tags)
        return TaggedImage(row.path, tags, tuple(row.scores.values()) if row.scores else None)

    yield image(*first)
    for one in rows:
        yield image(*one)


def _jsonl(path: Path) -> _Rows:
    with path.open(encoding="utf-8", newline="\n") as stream:
        for number, line in enumerate(stream, 1):
            yield f"line {number}", parse(_Row, line, f"{path}, line {number}", _AGAIN)


def _csv(path: Path) -> _Rows:
    with path.open("rb") as file:
        excel = file.read(2) == codecs.BOM_UTF16_LE
    with path.open(encoding="utf-16" if excel else "utf-8-sig", newline="") as stream:
        table = csv.reader(stream, delimiter="\t" if excel else ",", strict=True)
        columns = _score_columns(path, next(table, []))
        for cells in table:
            where = f"line {table.line_num}"
            if len(cells) != len(COLUMNS) + len(columns):
                raise _apart(path, where)
            name, labels, *lists = cells[: len(COLUMNS)]
            texts = split_list(labels)
            numbers = [[_number(one) for one in cell.split(";")] if cell else [None] * len(texts) for cell in lists]
            scores = [_number(cell) for cell in cells[len(COLUMNS) :]]
            yield where, _row(path, where, plain_cell(name), [texts, *numbers], columns, scores)


def _parquet(path: Path) -> _Rows:
    import pyarrow.parquet as pq

    with path.open("rb") as stream, pq.ParquetFile(stream) as file:
        if (fault := unpacks_to_too_much(file.metadata, path.stat().st_size)) is not None:
            raise InputError(f"cannot be read ({fault})", where=str(path), hint=_AGAIN)
        columns, number = _score_columns(path, file.schema_arrow.names), 0
        for batch in file.iter_batches(_ROWS):
            for cells in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                name, texts, *lists = cells[: len(COLUMNS)]
                number += 1
                parts = [texts, *([None] * len(texts) if one is None else one for one in lists)]
                where = f"row {number}"
                yield where, _row(path, where, name, parts, columns, cells[len(COLUMNS) :])


def _parts(path: Path) -> _Rows:
    for part in TagDataset.open(path).parts:
        for live, (where, row) in zip(part.live().tolist(), _parquet(part.path), strict=True):
            if live:
                yield f"{part.folder.name}, {where}", row


def _score_columns(path: Path, names: Sequence[str]) -> list[str]:
    """Labels of the columns behind those that every table has."""
    if tuple(names[: len(COLUMNS)]) != COLUMNS:
        problems = [f"its columns are {', '.join(names[: len(COLUMNS)]) or 'none'}", f"those are {', '.join(COLUMNS)}"]
        raise InputError("does not have the columns of tags", where=str(path), problems=problems, hint=_AGAIN)
    return [score_label(plain_cell(name)) for name in names[len(COLUMNS) :]]


def _row(  # noqa: PLR0917
    path: Path, where: str, name: str, parts: Sequence[Sequence[Any]], columns: Sequence[str], scores: Sequence[Any]
) -> _Row:
    if len({len(part) for part in parts}) != 1 or len(scores) != len(columns):
        raise _apart(path, where)
    tags = [dict(zip(_Tag.model_fields, one, strict=True)) for one in zip(*parts, strict=True)]
    value = {"path": name, "tags": tags, "scores": dict(zip(columns, scores, strict=True)) or None}
    return checked(_Row, value, f"{path}, {where}", _AGAIN)


def _apart(path: Path, where: str) -> InputError:
    return InputError("the cells do not belong together", where=f"{path}, {where}", hint=_AGAIN)


def _number(cell: str) -> float | None:
    return float(cell) if cell else None


_FORMATS: dict[str, Callable[[Path], _Rows]] = {".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}
