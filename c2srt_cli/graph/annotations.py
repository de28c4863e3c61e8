"""What annotated photographs show, as far as it is about given labels and may be learnt from."""

import csv
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from c2srt_cli.datasets import annotations as prepared
from c2srt_cli.datasets.naming import finder
from c2srt_cli.errors import InputError
from c2srt_cli.labels import LabelSet


def read_annotations(path: Path, labels: LabelSet) -> list[frozenset[int]]:
    """The indices of the labels of each photograph that may be learnt from.

    A folder is one that ``c2srt prepare`` wrote: its training split counts, and its seen labels. A file is a CSV with
    the columns ``path`` and ``labels`` (names or ids, separated by ``;``); where it has a column ``split``, only the
    rows of ``train`` count. Other labels than the given ones are passed over.

    Raises:
        InputError: it cannot be read, none of the labels is in it, or a name in it is that of several labels.
    """
    images = _of_folder(path, labels) if path.is_dir() else _of_csv(path, labels)
    if not any(images):
        raise InputError("no photograph has one of the labels", where=str(path), hint="check --labels")
    return images


def _of_folder(path: Path, labels: LabelSet) -> list[frozenset[int]]:
    known, find = prepared.read_annotations(path), finder(labels)
    meant = [find(label.id) or find(label.name) for label in known.labels]
    owners: dict[int, list[str]] = defaultdict(list)
    for name, found in zip(known.labels.names, meant, strict=True):
        for number in found:
            owners[number].append(name)
    problems = [
        f"{label.name!r} is the name of {len(found)} of the labels"
        for label, found in zip(known.labels, meant, strict=True)
        if len(found) > 1
    ]
    problems += [
        f"{labels.names[number]!r} may be {' or '.join(names)}" for number, names in owners.items() if len(names) > 1
    ]
    _refuse(path, problems)
    numbers = [found[0] if found and seen else None for found, seen in zip(meant, known.seen, strict=True)]
    train = known.positive.select(known.rows("train"))
    images = ((numbers[label] for label in train.row(i).tolist()) for i in range(len(train)))
    return [frozenset(number for number in image if number is not None) for image in images]


def _of_csv(path: Path, labels: LabelSet) -> list[frozenset[int]]:
    find, images, ambiguous = finder(labels), [], dict[str, int]()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for words in _rows(path, csv.DictReader(file)):
                found = [find(word) for word in words]
                ambiguous |= {word: len(one) for word, one in zip(words, found, strict=True) if len(one) > 1}
                images.append(frozenset(number for one in found for number in one))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"the annotations cannot be read ({reason})", where=str(path)) from None
    _refuse(path, [f"{word.strip()!r} is the name of {count} of the labels" for word, count in ambiguous.items()])
    return images


def _rows(path: Path, reader: "csv.DictReader[str]") -> Iterator[list[str]]:
    missing = {"path", "labels"}.difference(reader.fieldnames or ())
    if missing:
        raise InputError(
            f"has no column {' and no column '.join(sorted(missing))}",
            where=str(path),
            hint="write a CSV with the header path,labels, and cat;dog as labels",
        )
    for row in reader:
        if (row.get("split") or "train") == "train":
            yield (row["labels"] or "").split(";")


def _refuse(path: Path, problems: list[str]) -> None:
    if problems:
        raise InputError(
            "these annotations do not say which labels they mean",
            where=str(path),
            problems=problems[:20],
            hint="give the labels ids, and name them by these",
        )
