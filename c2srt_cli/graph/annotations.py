"""What annotated photographs show, as far as it is about given labels."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from c2srt_cli.errors import InputError
from c2srt_cli.labels import LabelSet, normalise


def read_annotations(path: Path, labels: LabelSet) -> list[frozenset[int]]:
    """The indices of the labels of each photograph that may be learnt from.

    The file is a CSV with the columns ``path`` and ``labels`` (names or ids, separated by ``;``); where it has a
    column ``split``, only the rows of ``train`` count. Other labels than the given ones are passed over.

    Raises:
        InputError: the file cannot be read, or none of the labels is in it.
    """
    index = {label.name.casefold(): i for i, label in enumerate(labels)}
    index |= {label.key: i for i, label in enumerate(labels)}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            images = list(_rows(path, csv.DictReader(file), index))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"the annotations cannot be read ({reason})", where=str(path)) from None
    if not any(images):
        raise InputError("no photograph has one of the labels", where=str(path), hint="check --labels")
    return images


def _rows(path: Path, reader: "csv.DictReader[str]", index: Mapping[str, int]) -> Iterator[frozenset[int]]:
    missing = {"path", "labels"}.difference(reader.fieldnames or ())
    if missing:
        raise InputError(
            f"has no column {' and no column '.join(sorted(missing))}",
            where=str(path),
            hint="write a CSV with the header path,labels, and cat;dog as labels",
        )
    for row in reader:
        if (row.get("split") or "train") == "train":
            words = map(normalise, (row["labels"] or "").split(";"))
            found = (index.get(word, index.get(word.casefold())) for word in words)
            yield frozenset(i for i in found if i is not None)
