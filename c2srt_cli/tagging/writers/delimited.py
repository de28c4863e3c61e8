"""CSV after RFC 4180: one row an image."""

import csv
import io
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TextIO

from c2srt_cli.tagging.record import FailedImage, KeptImage, TaggedImage
from c2srt_cli.tagging.writers.context import COLUMNS, KeptRows, WriteContext, score_columns
from c2srt_cli.tagging.writers.escape import spreadsheet_cell
from c2srt_cli.tagging.writers.lines import text_rows


def write_csv(rows: Iterable[TaggedImage | KeptImage], stream: TextIO, context: WriteContext) -> list[FailedImage]:
    r"""Write columns path, labels, scores, probabilities, shares and, on request, one score column a label.

    The lists are joined by ``;``. Inside a label ``;`` is written ``\;`` and ``\`` is written ``\\``. Paths, labels and
    headings that a spreadsheet would take for a formula carry a leading single quote (`escape.spreadsheet_cell`).
    Numbers have 6 decimals; a list of which nothing is known is empty.
    """
    table = csv.writer(stream)
    names = score_columns(context.labels) if context.all_scores else []
    table.writerow([*COLUMNS, *map(spreadsheet_cell, names)])
    for row in rows:
        if isinstance(row, KeptImage):
            stream.write(row.text)
            continue
        cells = [
            spreadsheet_cell(row.path),
            # each label is guarded, not the cell alone: where lists are split at ";" every one of them starts a cell
            ";".join(spreadsheet_cell(tag.label.replace("\\", "\\\\").replace(";", "\\;")) for tag in row.tags),
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

    def start(name: str) -> str:
        text = io.StringIO()
        csv.writer(text).writerow([spreadsheet_cell(name), ""])
        return text.getvalue().removesuffix("\r\n")

    return text_rows(path, names, start, table=True)


def _numbers(values: Sequence[float | None]) -> str:
    if all(value is None for value in values):
        return ""
    return ";".join("" if value is None else f"{value:.6f}" for value in values)
