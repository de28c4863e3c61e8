"""What a file of labels may be: a list, a table, a tree of keywords, JSON. Its entries, and what is wrong with them."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from c2srt_cli.labels.label import Label
from c2srt_cli.text import Table, find_table, normalise

COLUMNS = ("label", "synonyms", "threshold", "id")

#: Columns that other commands write beside ours: prepare says in ``seen`` which labels are.
_PASSED_OVER = frozenset({"seen"})


@dataclass(slots=True)
class Entries:
    """Labels as they stand in a file.

    Attributes:
        labels: Each with the number of its line or entry.
        problems: What is wrong, a line each, beginning with where.
        unit: What the numbers count: ``line``, ``entry`` or ``word``.
    """

    labels: list[tuple[int, Label]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    unit: str = "line"


def list_entries(lines: Sequence[str]) -> Entries:
    """One label a line; lines that are empty or start with ``#`` are passed over.

    A line is unquoted where a spreadsheet has quoted it: where it needed quotes, or all lines have them. A comma or
    semicolon that ends all lines, the last one perhaps not, is no part of them.
    """
    entries = Entries()
    numbered = [(number, line.strip()) for number, line in enumerate(lines, 1)]
    numbered = [(number, line) for number, line in numbered if line and not line.startswith("#")]
    for mark in ",;":
        if len(numbered) > 2 and all(line.endswith(mark) for _, line in numbered[:-1]):
            numbered = [(number, line.rstrip(f"{mark} ")) for number, line in numbered]
    everywhere = all(_QUOTED.fullmatch(line) for _, line in numbered)
    for number, line in numbered:
        quoted = _QUOTED.fullmatch(line)
        text = quoted[1].replace('""', '"') if quoted and (everywhere or _NEEDS_QUOTES.search(quoted[1])) else line
        if "\t" in text:
            entries.problems.append(
                f"line {number}: {tab_behind(text)}: a list has one label a line, a table a header "
                f"({', '.join(COLUMNS)})"
            )
        elif name := normalise(text):
            entries.labels.append((number, Label(name)))
    if len(numbered) > 1 and all(_BULLET.match(line) for _, line in numbered):
        entries.problems.append(
            f"line {numbered[0][0]}: every line begins with {numbered[0][1][:2]!r}; write the labels alone"
        )
    if len(numbered) == 1 and (words := _words_of(numbered[0][1])):
        entries.problems.append(f"line {numbered[0][0]}: {words} on the only line; write one label a line")
    return entries


_QUOTED = re.compile('"((?:[^"]|"")*)"')
_BULLET = re.compile("[-*+\u2022\u2013] ")
_NEEDS_QUOTES = re.compile('[,;\t]|""')


def _words_of(line: str) -> str | None:
    """What looks like a list on one line, as ``3 words with commas between them``."""
    for mark, name in ((",", "commas"), (";", "semicolons"), ("\t", "tabs")):
        if (count := len([part for part in line.split(mark) if part.strip()])) > 2:
            return f"{count} words with {name} between them"
    return None


def table_of(lines: Sequence[str], suffix: str) -> Table | None:
    """The table that the lines are by their first, or that a file of this suffix should be."""
    marks = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
    table = find_table(lines, frozenset(COLUMNS), delimiter=marks.get(suffix))
    if table is None and suffix in marks and any(line.strip() for line in lines):
        first = next(number for number, line in enumerate(lines, 1) if line.strip())
        return Table(lines, (normalise(lines[first - 1]),), marks[suffix], first)
    return table


def table_entries(table: Table) -> Entries:
    """Rows with the column ``label`` and perhaps ``synonyms``, ``threshold`` and ``id``.

    Synonyms are separated by ``;`` or line breaks; a threshold may have a decimal comma.
    """
    entries = Entries()
    problems, where = entries.problems, f"line {table.start}"
    for name in table.header:
        if table.header.count(name) > 1 and f"{where}: two columns {name!r}" not in problems:
            problems.append(f"{where}: two columns {name!r}")
        if name not in COLUMNS and name not in _PASSED_OVER:
            problems.append(f"{where}: unknown column {name!r}{meant(name)}")
    if "label" not in table.header:
        problems.append(f"{where}: no column 'label' (columns are {', '.join(COLUMNS)})")
        return entries
    for number, cells in table.rows(problems):
        cell = dict(zip_longest(table.header, cells, fillvalue=""))
        if not (name := normalise(cell["label"])):
            problems.append(f"line {number}: the label is empty")
            continue
        threshold = None
        if text := cell.get("threshold", "").strip():
            threshold = _probability(text.replace(",", "."))
            if threshold is None:
                problems.append(f"line {number}: threshold {text!r} is not a probability from 0 to 1")
        synonyms = tuple(s for s in map(normalise, re.split("[;\n]", cell.get("synonyms", ""))) if s)
        entries.labels.append((number, Label(name, synonyms, threshold, normalise(cell.get("id", "")))))
    return entries


def _probability(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0.0 <= value <= 1.0 else None


def meant(name: str) -> str:
    """The column that was probably meant by another name, as the end of a message."""
    close = difflib.get_close_matches(name, COLUMNS, 1)
    return f", did you mean {close[0]!r}?" if close else ""


def tab_behind(text: str) -> str:
    """Where a tab is in a line, as the beginning of a message."""
    return f"a tab behind {shown(normalise(text.partition(chr(9))[0]))}"


def shown(text: str) -> str:
    """A text as it stands in a message: quoted, and cut where it is long."""
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
