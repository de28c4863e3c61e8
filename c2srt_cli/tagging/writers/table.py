"""A table for people, on the terminal or through a pipe."""

import re
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, TextIO

from c2srt_cli.errors import percent
from c2srt_cli.tagging.record import FailedImage, TaggedImage
from c2srt_cli.tagging.writers.context import WriteContext
from c2srt_cli.tagging.writers.escape import terminal_text

if TYPE_CHECKING:
    from rich.table import Table

#: Images a block: enough to line columns up, few enough that the first ones show while the rest are tagged.
BLOCK = 200


def write_table(rows: Iterable[TaggedImage], stream: TextIO, context: WriteContext) -> list[FailedImage]:  # noqa: ARG001
    """Print image, label, score, probability (where there is one) and share of the image, a line a tag.

    Colour and width follow the stream: a pipe gets plain text, 80 columns wide unless COLUMNS says otherwise.
    """
    from rich.console import Console

    console = Console(file=stream, markup=False, emoji=False, highlight=False)
    remaining = iter(rows)
    while block := list(islice(remaining, BLOCK)):
        console.print(_table(block, console.width * 2 // 5))
    return []


def _table(block: list[TaggedImage], path_width: int) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    calibrated = any(tag.probability is not None for row in block for tag in row.tags)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("image", style="bold", overflow="fold", max_width=path_width)
    table.add_column("label", overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    if calibrated:
        table.add_column("probability", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    for row in block:
        path = _fold(terminal_text(row.path), path_width)
        if not row.tags:
            table.add_row(Text(path), Text("(no label)", style="dim"))
        for number, tag in enumerate(row.tags):
            cells: list[Text | str] = [Text("" if number else path), Text(terminal_text(tag.label)), f"{tag.score:.3f}"]
            if calibrated:
                cells.append("" if tag.probability is None else f"{tag.probability:.2f}")
            table.add_row(*cells, _percent(tag.share))
    return table


def _fold(path: str, width: int) -> str:
    """The path on as many lines as it needs, broken after slashes: names stay whole where they fit."""
    from rich.cells import cell_len

    lines = [""]
    for part in re.findall("[^/]*/|[^/]+", path):
        if lines[-1] and cell_len(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    if share is None:
        return "whole"
    return "< 1 %" if share < 0.01 else percent(share)
