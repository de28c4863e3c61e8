"""A list of keywords as Lightroom exports it, and darktable reads and writes (``src/common/tags.c`` there).

A keyword a line, below its parent by one tab more; ``{synonym}`` below its keyword; ``[keyword]`` is a heading, which
is not exported.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from c2srt_cli.labels.entries import Entries, shown, tab_behind
from c2srt_cli.labels.label import Label
from c2srt_cli.text import normalise

_BRACKETS = re.compile(r"([\[{])(.*)([\]}])", re.DOTALL)
_TAB = "\t"
_CLOSING = {"[": "]", "{": "}"}

#: Spaces that editors make of a tab; fewer than that are a slip, and tell no tree.
_TAB_WIDTH = 4


@dataclass(slots=True)
class _Keyword:
    """A keyword whose children may follow: its indentation, its name with its parents', its place among the labels."""

    indent: int
    name: str
    place: int | None
    line: str


def is_tree(lines: Sequence[str]) -> bool:
    """Whether lines are a tree of keywords: some are indented below another, or are in brackets."""
    lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    indents = {_indent(line) for line in lines} or {0}
    return max(indents) - min(indents) >= _TAB_WIDTH or any(_bracket(line.strip()) for line in lines)


def tree_entries(lines: Sequence[str]) -> Entries:
    """Labels ``parent|child`` with their synonyms; headings are only parents."""
    entries = Entries()
    above: list[_Keyword] = []
    for number, line in enumerate(lines, 1):
        text = normalise(line)
        if not text or text == "#" or text.startswith("# "):  # "#sunset" is a keyword
            continue
        indent = _indent(line)
        bracket = _bracket(text)
        name = normalise(text[1:-1] if bracket else text).removeprefix("~")  # "~" keeps the order of what is below
        while above and above[-1].indent >= indent:
            above.pop()
        if problem := _fault(line, name, bracket, above):
            entries.problems.append(f"line {number}: {problem}")
        elif bracket == "{":
            place = above[-1].place
            if place is not None:
                owner, label = entries.labels[place]
                entries.labels[place] = owner, replace(label, synonyms=(*label.synonyms, name))
        else:
            full = f"{above[-1].name}|{name}" if above else name
            above.append(_Keyword(indent, full, None if bracket else len(entries.labels), line))
            if not bracket:
                entries.labels.append((number, Label(full)))
    return entries


def _bracket(text: str) -> str:
    """``[`` or ``{`` where a keyword is wholly in such brackets."""
    found = _BRACKETS.fullmatch(text)
    return found[1] if found and _CLOSING[found[1]] == found[3] else ""


def _indent(line: str) -> int:
    """The width of the white space before a keyword."""
    line = line.expandtabs(_TAB_WIDTH)
    return len(line) - len(line.lstrip(" "))


def _fault(line: str, name: str, bracket: str, above: list[_Keyword]) -> str | None:
    text = line.strip()
    if text[0] in _CLOSING and not bracket:
        return f"{shown(name)} has no {_CLOSING[text[0]]} at its end"
    if not name:
        return f"nothing within {text}"
    if bracket == "{" and not above:
        return f"{text} is a synonym, and no keyword stands above it by one tab less"
    if _TAB in text:
        return f"{tab_behind(text)}: a keyword stands alone on its line"
    tabs, parents = (len(one) - len(one.lstrip(_TAB)) for one in (line, above[-1].line if above else ""))
    if above and tabs > parents + 1:
        return f"{shown(name)} is indented by {tabs} tabs, below a keyword with {parents}"
    return None
