"""A label, and an ordered set of them."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from c2srt_cli.artifacts import fingerprint
from c2srt_cli.text import normalise


@dataclass(frozen=True, slots=True)
class Label:
    """A category as the user writes it.

    Attributes:
        name: The label, normalised to NFC with single spaces; ``parent|child`` names a hierarchy.
        synonyms: Other wordings; their embeddings are averaged with the label's own.
        threshold: Probability from which this label is given, where the user states one.
        id: The key where names repeat (as Open Images' MIDs); the empty string where the name is the key.
    """

    name: str
    synonyms: tuple[str, ...] = ()
    threshold: float | None = None
    id: str = ""

    @property
    def key(self) -> str:
        """What makes a label this label: its id, else its name without regard to case."""
        return self.id or self.name.casefold()

    @property
    def wordings(self) -> tuple[str, ...]:
        """What the text encoder reads: the last part of a ``parent|child`` name, and the synonyms."""
        return (self.name.rsplit("|", 1)[-1].strip(), *self.synonyms)


@dataclass(frozen=True)
class LabelSet:
    """Ordered, unique labels."""

    labels: tuple[Label, ...]

    @classmethod
    def of(cls, words: Iterable[str | Label]) -> "LabelSet":
        """Labels from a program's words: ``LabelSet.of(["cat", Label("red fox", synonyms=("fox",))])``."""
        return cls(tuple(Label(normalise(word)) if isinstance(word, str) else word for word in words))

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[Label]:
        return iter(self.labels)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The labels as written, in order; names that repeat carry their ids: ``crane (/m/0dl9q)``."""
        counts = Counter(label.name for label in self.labels)
        return tuple(label.name if counts[label.name] == 1 else f"{label.name} ({label.id})" for label in self.labels)

    def match(self, others: "LabelSet") -> list[int]:
        """Where each of other labels stands among these, -1 where it does not: the one rule for "the same label".

        It is found by its key. Unless both have ids, it is also found by its name, regardless of case, where just one
        label on either side has that name: who writes ``cat`` means the ``Cat`` that Open Images calls ``/m/01yrx``.
        """
        keys = {label.key: place for place, label in enumerate(self)}
        found = [keys.get(label.key, -1) for label in others]
        ours, theirs = (Counter(label.name.casefold() for label in some) for some in (self, others))
        names = {label.name.casefold(): place for place, label in enumerate(self)}
        for i, label in enumerate(others):
            name = label.name.casefold()
            if found[i] >= 0 or ours[name] != 1:
                continue
            place = names[name]
            if place not in found and not (label.id and (self.labels[place].id or theirs[name] > 1)):
                found[i] = place
        return found

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over everything that decides the labels' embeddings and decisions."""
        return fingerprint([[label.name, label.synonyms, label.threshold, label.id] for label in self.labels])
