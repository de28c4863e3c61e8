"""Which label a user means by a word."""

import difflib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from c2srt_cli.errors import InputError
from c2srt_cli.labels import LabelSet, normalise, read_labels


def finder(labels: LabelSet) -> Callable[[str], tuple[int, ...]]:
    """From a word to the indices of the labels that it may mean.

    An id means one label, and so does a name with its id, as tags have it. A name, in whatever case, may be several
    labels' that have ids; where it is, ids have to be given.
    """
    ids = {name: (number,) for number, name in enumerate(labels.names) if name != labels.labels[number].name}
    ids |= {label.id: (number,) for number, label in enumerate(labels) if label.id}
    names: dict[str, tuple[int, ...]] = {}
    for number, label in enumerate(labels):
        key = label.name.casefold()
        names[key] = (*names.get(key, ()), number)

    def find(word: str) -> tuple[int, ...]:
        word = normalise(word)
        return ids.get(word) or names.get(word.casefold(), ())

    return find


def named_labels(labels: LabelSet, spec: Path | str, what: str) -> np.ndarray:
    """``(L,)`` bool: True for labels in a file or among words, each named by its id or its name.

    Args:
        labels: All labels.
        spec: The file, or the words.
        what: What the labels in it are to be, for the message: ``unseen``.

    Raises:
        InputError: the file is missing, or names what is no label, or what several labels are called.
    """
    find, words = finder(labels), [word for label in labels for word in (label.key, label.name.casefold())]
    inside, problems = np.zeros(len(labels), dtype=bool), []
    for label in read_labels(spec):
        found = find(label.id) or find(label.name)
        if len(found) == 1:
            inside[found[0]] = True
        elif found:
            problems.append(f"{label.name!r} is the name of {len(found)} labels: give their ids")
        else:
            close = difflib.get_close_matches(label.name.casefold(), words, 1)
            problems.append(f"{label.name!r} is no label" + (f", did you mean {close[0]!r}?" if close else ""))
    if problems:
        raise InputError(f"these labels cannot be {what}", where=str(spec), problems=problems)
    return inside
