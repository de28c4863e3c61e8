"""Labels as JSON: an array of strings or objects, or JSON Lines of them."""

import json
import re
from collections.abc import Iterable
from typing import Any

from c2srt_cli.labels.entries import COLUMNS, Entries, meant
from c2srt_cli.labels.label import Label
from c2srt_cli.text import fault, normalise

#: How an array or an object begins, and no keyword in brackets.
_START = re.compile(r'\s*(\[\s*(["\'{\[\]]|$)|\{\s*["\'}])')


def is_json(text: str, suffix: str) -> bool:
    """Whether a file is JSON by its beginning, or should be by its suffix."""
    return suffix in {".json", ".jsonl", ".ndjson"} or _START.match(text) is not None


def json_entries(text: str, lines: Iterable[str]) -> Entries:
    """``["cat", {"label": "dog", "synonyms": ["hound"], "threshold": 0.6, "id": "…"}]``, or one of these a line.

    Args:
        text: The whole of it.
        lines: The same, line by line.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
        if text.lstrip().startswith("[") or len(numbered) < 2:
            return Entries(problems=[_reason(error)])
        return _lines(numbered)
    if isinstance(value, dict) and "label" in value:
        value = [value]
    if not isinstance(value, list):
        return Entries(problems=['line 1: a list of labels is an array: ["cat", "dog"]'])
    entries = Entries(unit="entry")
    for number, item in enumerate(value, 1):
        _add(entries, number, item)
    return entries


def _lines(numbered: Iterable[tuple[int, str]]) -> Entries:
    entries = Entries()
    for number, line in numbered:
        try:
            item = json.loads(line)
        except (ValueError, RecursionError) as error:
            entries.problems.append(_reason(error, number))
        else:
            _add(entries, number, item)
    return entries


def _reason(error: Exception, line: int = 0) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"line {line or error.lineno}: no JSON from column {error.colno} on ({error.msg})"
    return f"line {line or 1}: no JSON that can be read (nested too deep, or a number too long)"


def _add(entries: Entries, number: int, item: Any) -> None:
    """Add a string or an object as a label, or what is wrong with it."""
    item = {"label": item} if isinstance(item, str) else item
    problems = _faults(item)
    if not problems:
        synonyms = item.get("synonyms") or ()
        synonyms = tuple(filter(None, map(normalise, synonyms.split(";") if isinstance(synonyms, str) else synonyms)))
        threshold = item.get("threshold")
        label = Label(
            normalise(item["label"]),
            synonyms,
            None if threshold is None else float(threshold),
            normalise(item.get("id") or ""),
        )
        entries.labels.append((number, label))
    entries.problems += [f"{entries.unit} {number}: {problem}" for problem in problems]


def _faults(item: Any) -> list[str]:
    if not isinstance(item, dict):
        return [f"{json.dumps(item)[:40]} is neither a label in quotes nor an object with one"]
    problems = [f"unknown key {key!r}{meant(key)}" for key in item if key not in (*COLUMNS, "seen")]
    label, synonyms, threshold = item.get("label"), item.get("synonyms"), item.get("threshold")
    if label is None:
        problems.append("no key 'label'")
    elif not isinstance(label, str):
        problems.append(f"label {json.dumps(label)[:40]} is no text: put it in quotes")
    elif not normalise(label):
        problems.append("the label is empty")
    if isinstance(synonyms, list) and not all(isinstance(synonym, str) for synonym in synonyms):
        problems.append("a synonym is no text")
    elif synonyms is not None and not isinstance(synonyms, str | list):
        problems.append("synonyms are a list of texts")
    if threshold is not None and (
        isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0.0 <= threshold <= 1.0
    ):
        problems.append(f"threshold {json.dumps(threshold)[:40]} is not a probability from 0 to 1")
    if not isinstance(item.get("id") or "", str):
        problems.append("the id is no text: put it in quotes")
    texts = [label, item.get("id"), *(synonyms if isinstance(synonyms, list) else [synonyms])]
    problems += [wrong for text in texts if isinstance(text, str) and (wrong := fault(text))]
    return problems
