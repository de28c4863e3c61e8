r"""What stands in a cell or a line that a program reads again: lists, guarded against formulas, and JSON.

A list is joined by ``;``. Within its items ``;`` is written ``\;`` and ``\`` is written ``\\``. An item that a
spreadsheet would take for a formula carries a leading single quote.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

#: What starts a formula in a spreadsheet, full-width forms included, also behind quotes that look like our guard.
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")

_ESCAPED = re.compile(r"\\([\\;])")
_ITEM = re.compile(r"(?:\\[\\;]|[^;])*")

#: What JSON may hold as it is, and other programs take for line ends, commands to a terminal, or half a character.
_HIDDEN = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def spreadsheet_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: one single quote goes before anything that looks like one."""
    return f"'{text}" if _FORMULA.match(text) else text


def plain_cell(cell: str) -> str:
    """What `spreadsheet_cell` was given."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def join_list(items: Iterable[str]) -> str:
    """Items in one cell; each is guarded, as every one starts a cell where lists are split at ``;``."""
    return ";".join(spreadsheet_cell(item.replace("\\", "\\\\").replace(";", "\\;")) for item in items)


def split_list(cell: str) -> list[str]:
    """What `join_list` was given; without white space around items, and without empty ones, which people write."""
    items, start = [], 0
    while start <= len(cell):
        found = _ITEM.match(cell, start)
        assert found is not None  # the pattern matches nothing, too
        items.append(_ESCAPED.sub(r"\1", plain_cell(found.group().strip())))
        start = found.end() + 1
    return [item for item in items if item]


def json_text(value: Any) -> str:
    """JSON on one line, readable in every script; what could be taken for a line end or a command is escaped.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return _HIDDEN.sub(lambda found: f"\\u{ord(found.group()):04x}", text)
