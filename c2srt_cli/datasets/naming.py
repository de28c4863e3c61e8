"""Which label a user means by a word."""

from collections.abc import Callable

from c2srt_cli.labels import LabelSet, normalise


def finder(labels: LabelSet) -> Callable[[str], tuple[int, ...]]:
    """From a word to the indices of the labels that it may mean.

    An id means one label. A name, in whatever case, may be several labels' that have ids; where it is, ids have to
    be given.
    """
    ids = {label.id: (number,) for number, label in enumerate(labels) if label.id}
    names: dict[str, tuple[int, ...]] = {}
    for number, label in enumerate(labels):
        key = label.name.casefold()
        names[key] = (*names.get(key, ()), number)

    def find(word: str) -> tuple[int, ...]:
        word = normalise(word)
        return ids.get(word) or names.get(word.casefold(), ())

    return find
