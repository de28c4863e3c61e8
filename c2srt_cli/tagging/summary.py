"""A run by label: how often each was given, how sure, and which photographs to look at."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from c2srt_cli.tagging.record import KeptImage, Tag, TaggedImage

#: Photographs up to which every tag is worth a line.
FEW = 20
#: Share of the photographs from which a label that is not sure is given suspiciously often, and its mean probability.
OFTEN, SURE = 0.1, 0.55
#: The share where nothing says how sure it is.
OFTEN_AT_ALL = 1 / 3


@dataclass
class Given:
    """What one label was given.

    Attributes:
        label: The label.
        count: Photographs.
        total: Sum of what says how sure it is, see `sure`.
        best: The photograph that it fits best.
        doubtful: The one of those that are given it that it fits worst.
    """

    label: str
    count: int = 0
    total: float = 0.0
    best: str = ""
    doubtful: str = ""
    _most: float = float("-inf")
    _least: float = float("inf")

    def add(self, path: str, tag: Tag) -> None:
        """Count a tag; of equal ones the first is the best, and the last the most doubtful."""
        sure = tag.score if tag.probability is None else tag.probability
        self.count += 1
        self.total += sure
        if sure > self._most:
            self.best, self._most = path, sure
        if sure <= self._least:
            self.doubtful, self._least = path, sure

    def join(self, later: "Given") -> None:
        """Count the tags of photographs that come after."""
        self.count += later.count
        self.total += later.total
        if later._most > self._most:
            self.best, self._most = later.best, later._most
        if later._least <= self._least:
            self.doubtful, self._least = later.doubtful, later._least

    @property
    def most(self) -> float:
        """What says how sure it is of the photograph that it fits best."""
        return self._most

    @property
    def sure(self) -> float:
        """Mean probability of its tags; of a method that is not calibrated the mean score."""
        return self.total / self.count


@dataclass
class Summary:
    """Counts the tags that pass.

    Attributes:
        labels: That were asked for.
        photographs: That were tagged now; those whose earlier result stands are not read again.
        tags: Of these.
        untagged: Those of them without a label.
        calibrated: Whether `Given.sure` is a probability.
        found_from: The probability that the best photograph of a label must have for the label to be found; None where
            every label that is given is.
    """

    labels: Sequence[str]
    photographs: int = 0
    tags: int = 0
    untagged: int = 0
    calibrated: bool = False
    found_from: float | None = None
    _given: dict[str, Given] = field(default_factory=dict)

    def watch(self, rows: Iterable[TaggedImage | KeptImage]) -> Iterator[TaggedImage | KeptImage]:
        """Pass images on, and count them."""
        for row in rows:
            if isinstance(row, TaggedImage):
                self.add(row)
            yield row

    def add(self, image: TaggedImage) -> None:
        """Count an image."""
        self.photographs += 1
        self.tags += len(image.tags)
        self.untagged += not image.tags
        for tag in image.tags:
            self.calibrated = self.calibrated or tag.probability is not None
            self._given.setdefault(tag.label, Given(tag.label)).add(image.path, tag)

    def join(self, later: "Summary") -> None:
        """Count the photographs of another one, which come after."""
        self.photographs += later.photographs
        self.tags += later.tags
        self.untagged += later.untagged
        self.calibrated = self.calibrated or later.calibrated
        for label, given in later._given.items():
            self._given.setdefault(label, Given(label)).join(given)

    @property
    def given(self) -> list[Given]:
        """Labels that were given, the most frequent first, equal ones as they were asked for."""
        place = {label: number for number, label in enumerate(self.labels)}
        return sorted(self._given.values(), key=lambda one: (-one.count, place.get(one.label, len(place))))

    @property
    def not_found(self) -> list[str]:
        """Labels that fit no photograph, in their order; a tag that one may have, under a lower bar, stays."""
        least = -math.inf if self.found_from is None or not self.calibrated else self.found_from
        found = {name for name, one in self._given.items() if one.most >= least}
        return [label for label in self.labels if label not in found]

    @property
    def suspicious(self) -> list[Given]:
        """Labels that many photographs were given, and few for sure."""
        least = (OFTEN if self.calibrated else OFTEN_AT_ALL) * self.photographs
        return [one for one in self.given if one.count >= least and (not self.calibrated or one.sure < SURE)]
