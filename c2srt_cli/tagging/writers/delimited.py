"""CSV after RFC 4180: one row an image."""

import csv
import io
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TextIO

from c2srt_cli.tagging.record import FailedImage, KeptImage, TaggedImage
from c2srt_cli.tagging.writers.context import COLUMNS, KeptRows, WriteContext, score_columns
from c2srt_cli.tagging.writers.lines import text_rows
from c2srt_cli.text import join_list, spreadsheet_cell


def write_csv(rows: Iterable[TaggedImage | KeptImage], stream: TextIO, context: WriteContext) -> list[FailedImage]:
    """Write columns path, labels, scores, probabilities, shares and, on request, one score column a label.

    Lists, and guards against formulas, are those of `text.cells`. Numbers have 6 decimals; a list of which nothing is
    known is empty.
    """
    return write_table_of(rows, stream, context)


def write_table_of(
    rows: Iterable[TaggedImage | KeptImage], stream: TextIO, context: WriteContext, *, delimiter: str = ","
) -> list[FailedImage]:
    """`write_csv` with something else between the cells."""
    table = csv.writer(stream, delimiter=delimiter)
    names = score_columns(context.labels) if context.all_scores else []
    table.writerow([*COLUMNS, *map(spreadsheet_cell, names)])
    for row in rows:
        if isinstance(row, KeptImage):
            stream.write(row.text)
            continue
        cells = [
            spreadsheet_cell(row.path),
            join_list(tag.label for tag in row.tags),
            _numbers([tag.score for tag in row.tags]),
            _numbers([tag.probability for tag in row.tags]),
            _numbers([tag.share for tag in row.tags]),
        ]
        if context.all_scores and row.scores is not None:
            cells += [f"{score:.6f}" for score in row.scores]
        table.writerow(cells)
    return []


def csv_rows(path: Path, names: Sequence[str], context: WriteContext) -> AbstractContextManager[KeptRows]:  # noqa: ARG001
    """The records of a file that `write_csv` wrote."""
    return text_rows(path, names, first_cells, table=True)


def first_cells(name: str, delimiter: str = ",") -> str:
    """The record of an image up to its labels."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerow([spreadsheet_cell(name), ""])
    return text.getvalue().removesuffix("\r\n")


def _numbers(values: Sequence[float | None]) -> str:
    if all(value is None for value in values):
        return ""
    return ";".join("" if value is None else f"{value:.6f}" for value in values)
