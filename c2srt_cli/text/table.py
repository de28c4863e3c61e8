"""A table in text, recognised by its header: commas, semicolons, tabs or bars between its cells, as it comes."""

import csv
import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from c2srt_cli.text.characters import normalise

#: Between cells, the more frequent ones first; where a header fits several, the first is taken.
DELIMITERS = (",", ";", "\t", "|")

#: Stands in no text that was let in, so a table of one column has no delimiter.
NONE = "\x1f"

#: The first line by which Excel is told what stands between the cells.
_SEP = re.compile(r'"?sep=(.)"?,*;*', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Table:
    """Lines that are a table.

    Attributes:
        lines: All of them, as they stood in the file.
        header: The names of the columns, in lower case.
        delimiter: What stands between cells.
        start: Number of lines up to the header and with it.
    """

    lines: Sequence[str]
    header: tuple[str, ...]
    delimiter: str
    start: int

    def rows(self, problems: list[str], *, exact: bool = False) -> Iterator[tuple[int, list[str]]]:
        """The line where each row begins, and its cells, at most as many as there are columns.

        Rows without text are left out, and so is the header where it comes again: two tables joined have it twice.

        Args:
            problems: Gets one for each row that has more cells than columns, and one where quotes are not closed.
            exact: Keep spaces behind a delimiter, which may be part of a path; otherwise quotes may follow them.
        """
        lines = (line if line.endswith(("\r", "\n")) else f"{line}\n" for line in self.lines[self.start :])
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True, skipinitialspace=not exact)
        width, number = len(self.header), self.start + 1
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells[width:]):
                    what = _NAMES.get(self.delimiter, "it")
                    problems.append(f"line {number}: more cells than columns; put quotes around a cell with {what}")
                elif any(cell.strip() for cell in cells) and not self._is_header(cells):
                    yield number, cells[:width]
                number = self.start + reader.line_num + 1
        except csv.Error as error:
            problems.append(f"line {number}: {_reason(error)}")

    def _is_header(self, cells: Sequence[str]) -> bool:
        return len(self.header) > 1 and _columns(cells[:1]) == self.header[:1] and _columns(cells) == self.header


_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", NONE: "line ends"}


def find_table(lines: Sequence[str], columns: AbstractSet[str], *, delimiter: str | None = None) -> Table | None:
    """The table that the lines are; None where none of these columns is in their first.

    Lines before it that are empty or start with ``#`` are passed over, and Excel's ``sep=;`` is followed.

    Args:
        lines: Of the file.
        columns: Names of columns of which the header has one at least, in lower case.
        delimiter: What stands between the cells where the header does not show it.
    """
    declared = None
    for number, line in enumerate(lines, 1):
        if found := _SEP.fullmatch(line.rstrip("\r\n")) if declared is None else None:
            declared = found[1]
        elif line.strip() and not line.lstrip().startswith("#"):
            return _table(lines, number, columns, declared, delimiter)
    return None


def _table(
    lines: Sequence[str], number: int, columns: AbstractSet[str], declared: str | None, otherwise: str | None
) -> Table | None:
    best: tuple[int, int, str, tuple[str, ...]] | None = None
    for mark in (declared,) if declared else DELIMITERS:
        header = _cells(lines[number - 1], mark)
        known = len(columns & set(header)) if mark != "|" or columns >= set(header) else 0  # "|" makes hierarchies too
        if known and (best is None or (known, len(header)) > best[:2]):
            best = known, len(header), mark, header
    if best is None:
        return None
    _, width, mark, header = best
    return Table(lines, header, mark if width > 1 or declared else otherwise or NONE, number)


def _cells(line: str, delimiter: str) -> tuple[str, ...]:
    """The names of columns in a header; the empty cells that Excel adds on the right are left off."""
    try:
        return _columns(next(csv.reader([line], delimiter=delimiter, strict=True, skipinitialspace=True), []))
    except csv.Error:
        return ()


def _columns(cells: Sequence[str]) -> tuple[str, ...]:
    names = [normalise(cell).lower() for cell in cells]
    while names and not names[-1]:
        names.pop()
    return tuple(names)


def _reason(error: csv.Error) -> str:
    """What is wrong with the quotes of a row, in plain words."""
    if "field larger" in str(error):
        return f"{error}: is a quote not closed?"
    if "unexpected end" in str(error):
        return "a cell begins with a quote that is not closed"
    if "expected after" in str(error):
        return "text behind a closing quote; within quotes, write a quote twice"
    return str(error)
