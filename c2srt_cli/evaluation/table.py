"""Tables of figures, for the terminal and as CSV, JSON and Markdown."""

import csv
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.table import Table as RichTable

#: Text, a count, a share (which people see in percent), or nothing known.
Cell = str | int | float | None
#: Makes text from outside safe for where it goes to.
Escape = Callable[[str], str]
#: On a narrow terminal: the share of it that text may have, characters of a heading's word, and those between columns.
TEXT, HEADING, BETWEEN = 4, 12, 3


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        key: Its name in CSV and JSON, which stays the same.
        heading: Its name for people.
    """

    key: str
    heading: str


@dataclass(frozen=True)
class Table:
    """Rows under columns.

    Attributes:
        title: What it is, with how many of how many images were there.
        columns: Left to right.
        rows: As many cells each.
        notes: What to know before comparing figures.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


def write_csv(table: Table, stream: TextIO, escape: Escape) -> None:
    """Write the keys of the columns and the rows (RFC 4180), shares unrounded; what is not known is empty.

    Args:
        table: The table; title and notes are left out.
        stream: Opened with ``newline=""``.
        escape: Applied to text, against formulas in spreadsheets.
    """
    writer = csv.writer(stream)
    writer.writerow([column.key for column in table.columns])
    writer.writerows([escape(cell) if isinstance(cell, str) else _known(cell) for cell in row] for row in table.rows)


def write_json(tables: Sequence[Table], stream: TextIO) -> None:
    """Write a list of tables; their rows are objects by the keys of columns, shares unrounded, the unknown null."""
    value = [
        {
            "title": table.title,
            "rows": [
                {column.key: _known(cell) for column, cell in zip(table.columns, row, strict=True)}
                for row in table.rows
            ],
            "notes": list(table.notes),
        }
        for table in tables
    ]
    stream.write(json.dumps(value, indent=1, allow_nan=False) + "\n")


def write_markdown(table: Table, stream: TextIO, escape: Escape) -> None:
    """Write a table of GitHub's Markdown with its title above and its notes below, without empty columns.

    Args:
        table: The table.
        stream: Where to.
        escape: Applied to all text, against control characters; what Markdown and HTML mean by it is escaped here.
    """

    def text(cell: Cell) -> str:
        return _markdown(escape(shown(cell)))

    table = _filled(table)
    lines = [
        f"**{text(table.title)}**",
        "",
        _line([text(column.heading) for column in table.columns]),
        _line(["--:" if number else ":--" for number in _numeric(table)]),
        *(_line([text(cell) for cell in row]) for row in table.rows),
    ]
    lines += ["", *(f"- {text(note)}" for note in table.notes)] if table.notes else []
    stream.write("\n".join(lines) + "\n")


def print_table(table: Table, stream: TextIO, escape: Escape) -> None:
    """Print for people, without empty columns; colour follows the stream.

    Where the terminal is too narrow for all columns they come in blocks, each with the columns of text that the table
    begins with.

    Args:
        table: The table.
        stream: Where to.
        escape: Applied to all text, against control characters.
    """
    from rich.console import Console
    from rich.text import Text

    table = _escaped(_filled(table), escape)
    console = Console(file=stream, markup=False, emoji=False, highlight=False)
    console.print(Text(table.title, "bold"))
    whole = _rich(table, None)
    if console.measure(whole, options=console.options.update(width=10_000)).maximum <= console.width:
        console.print(whole)
    else:
        widths = _widths(table, console.width)
        blocks = _blocks(table, widths, console.width)
        if len(blocks) == 1:  # there may be more room for text
            widths = [width if number else None for width, number in zip(widths, _numeric(table), strict=True)]
        for number, places in enumerate(blocks):
            if number:
                console.print()
            console.print(_rich(_columns(table, places), [widths[place] for place in places]))
    for note in table.notes:
        console.print(Text(note, "dim"))


def _rich(table: Table, widths: Sequence[int | None] | None) -> "RichTable":
    """The table for rich: with no line broken, or with columns of these widths, or of what is left where None."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    made = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for place, (column, number) in enumerate(zip(table.columns, _numeric(table), strict=True)):
        made.add_column(
            Text(column.heading),
            justify="right" if number else "left",
            no_wrap=widths is None,
            overflow="fold",
            width=widths[place] if widths else None,
        )
    for row in table.rows:
        made.add_row(*(Text(shown(cell)) for cell in row))
    return made


def _widths(table: Table, width: int) -> list[int | None]:
    """What each column needs: numbers are shown whole, headings and text have their lines broken."""
    from rich.cells import cell_len

    widths: list[int | None] = []
    for place, (column, number) in enumerate(zip(table.columns, _numeric(table), strict=True)):
        cells = max((cell_len(shown(row[place])) for row in table.rows), default=0)
        word = max(cell_len(word) for word in column.heading.split() or [""])
        widths.append(max(cells if number else min(cells, width // TEXT), min(word, HEADING), 1))
    return widths


def _blocks(table: Table, widths: Sequence[int | None], width: int) -> list[list[int]]:
    """The columns that stand beside each other, by their places; each block begins with the same columns of text."""
    numeric = _numeric(table)
    keys = list(range(numeric.index(True) if True in numeric else 1))
    blocks = [list(keys)]
    for place in range(len(keys), len(widths)):
        if blocks[-1] != keys and sum((widths[one] or 0) + BETWEEN for one in [*blocks[-1], place]) - BETWEEN > width:
            blocks.append(list(keys))
        blocks[-1].append(place)
    return blocks


def _columns(table: Table, places: Sequence[int]) -> Table:
    """Some of its columns."""
    rows = tuple(tuple(row[place] for place in places) for row in table.rows)
    return replace(table, columns=tuple(table.columns[place] for place in places), rows=rows)


def _escaped(table: Table, escape: Escape) -> Table:
    """With all text made safe."""
    columns = tuple(replace(column, heading=escape(column.heading)) for column in table.columns)
    rows = tuple(tuple(escape(cell) if isinstance(cell, str) else cell for cell in row) for row in table.rows)
    return Table(escape(table.title), columns, rows, tuple(map(escape, table.notes)))


def shown(cell: Cell) -> str:
    """A cell as people read it: shares in percent with one decimal, counts with their thousands apart."""
    cell = _known(cell)
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{100 * cell:.1f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def _known(cell: Cell) -> Cell:
    return None if isinstance(cell, float) and math.isnan(cell) else cell


def _filled(table: Table) -> Table:
    """Without the columns that nothing is known in."""
    filled = [i for i in range(len(table.columns)) if any(_known(row[i]) is not None for row in table.rows)]
    return _columns(table, filled)


def _numeric(table: Table) -> list[bool]:
    """Which columns hold no text."""
    return [not any(isinstance(row[place], str) for row in table.rows) for place in range(len(table.columns))]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown(text: str) -> str:
    """Text that stays in its cell and means nothing in Markdown or HTML."""
    text = " ".join(text.split())
    for character in "\\`*_[]|<>":
        text = text.replace(character, f"\\{character}")
    return text.replace("&", "&amp;")
