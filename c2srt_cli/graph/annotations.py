"""What annotated images show, as far as it is about given labels and may be learnt from."""

from collections import defaultdict
from pathlib import Path

from c2srt_cli.datasets import annotations as prepared
from c2srt_cli.datasets.naming import finder
from c2srt_cli.datasets.rows import rows_of
from c2srt_cli.datasets.source import Source
from c2srt_cli.errors import InputError
from c2srt_cli.labels import LabelSet


def read_annotations(path: Path, labels: LabelSet) -> list[frozenset[int]]:
    """The indices of the labels of each image that may be learnt from.

    A folder is one that ``c2srt prepare`` wrote: its training split counts, and its seen labels. A file is a
    table or tags (see `datasets.rows.rows_of`) with names or ids as labels; where it has a column ``split``, only the
    rows of ``train`` count. Other labels than the given ones are passed over.

    Raises:
        InputError: it cannot be read, none of the labels is in it, or a name in it is that of several labels.
    """
    images = _of_folder(path, labels) if path.is_dir() else _of_table(path, labels)
    if not any(images):
        raise InputError("no image has one of the labels", where=str(path), hint="check --labels")
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


def _of_table(path: Path, labels: LabelSet) -> list[frozenset[int]]:
    find, images, ambiguous = finder(labels), [], dict[str, int]()
    for row in rows_of(Source(path), path):
        if row.split in {None, "", "train"}:
            found = [find(name) for name in row.names]
            ambiguous |= {name: len(one) for name, one in zip(row.names, found, strict=True) if len(one) > 1}
            images.append(frozenset(number for one in found for number in one))
    _refuse(path, [f"{name!r} is the name of {count} of the labels" for name, count in ambiguous.items()])
    return images


def _refuse(path: Path, problems: list[str]) -> None:
    if problems:
        raise InputError(
            "these annotations do not say which labels they mean",
            where=str(path),
            problems=problems,
            hint="give the labels ids, and name them by these",
        )
