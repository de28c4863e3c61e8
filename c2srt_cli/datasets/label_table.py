"""``labels.csv``: the labels of annotations or of a run, and which of them are seen."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from c2srt_cli.artifacts import atomic_write
from c2srt_cli.errors import InputError
from c2srt_cli.labels import Label, LabelSet, normalise

COLUMNS = ("label", "synonyms", "id", "seen")
RESTORE = "restore it, or run the command that wrote this folder again, with --overwrite"


def write_label_table(path: Path, labels: LabelSet, seen: np.ndarray) -> None:
    """Write ``labels.csv``, atomically."""
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for label, known in zip(labels, seen, strict=True):
            writer.writerow((label.name, ";".join(label.synonyms), label.id, int(known)))


def read_label_table(path: Path) -> tuple[LabelSet, np.ndarray]:
    """Read ``labels.csv``: the labels, and ``(L,)`` bool, whether each is seen.

    Raises:
        InputError: it is missing, or is not what `write_label_table` wrote.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            rows = [(reader.line_num, row) for row in reader]
    except FileNotFoundError:
        raise InputError("no such file", where=str(path), hint=RESTORE) from None
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"the labels are damaged ({error})", where=str(path), hint=RESTORE) from None
    problems = list(_problems(rows)) if rows else ["there is no label in the file"]
    if problems:
        raise InputError("the labels are damaged", where=str(path), problems=problems, hint=RESTORE)
    labels = [Label(row["label"], tuple(filter(None, row["synonyms"].split(";"))), id=row["id"]) for _, row in rows]
    return LabelSet(tuple(labels)), np.array([row["seen"] == "1" for _, row in rows], dtype=bool)


def _problems(rows: list[tuple[int, dict[str, Any]]]) -> Iterator[str]:
    first: dict[str, int] = {}
    for number, row in rows:
        fault, key = _fault(row), row.get("id") or str(row.get("label")).casefold()
        if fault is None and first.setdefault(key, number) != number:
            fault = f"{key!r} stands in line {first[key]} too"
        if fault is not None:
            yield f"line {number}: {fault}"


def _fault(row: Mapping[str, Any]) -> str | None:
    if set(row) != set(COLUMNS) or not all(isinstance(cell, str) for cell in row.values()):
        return f"has not the cells {', '.join(COLUMNS)}"
    if not normalise(row["label"]) or "\0" in "".join(row.values()):
        return f"{row['label']!r} is no label"
    return None if row["seen"] in ("0", "1") else f"seen must be 0 or 1, is {row['seen']!r}"
