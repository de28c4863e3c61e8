"""A label, and an ordered set of them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from c2srt_cli.artifacts import fingerprint


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

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[Label]:
        return iter(self.labels)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The labels as written, in order; names that repeat carry their ids: ``crane (/m/0dl9q)``."""
        counts = Counter(label.name for label in self.labels)
        return tuple(label.name if counts[label.name] == 1 else f"{label.name} ({label.id})" for label in self.labels)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over everything that decides the labels' embeddings and decisions."""
        return fingerprint([[label.name, label.synonyms, label.threshold, label.id] for label in self.labels])
