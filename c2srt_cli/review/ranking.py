"""Photographs by label: those that are given it in the order of their scores, and below them the nearest others."""

from collections.abc import Sequence

import numpy as np

from c2srt_cli.errors import InputError
from c2srt_cli.tagging.record import Tag, TaggedImage

#: Photographs of a label that are not given it, but are shown.
OTHERS = 100
#: Photographs whose scores are looked at together.
_BLOCK = 1024


class Ranking:
    """The lists of all labels, filled photograph by photograph.

    Args:
        labels: Those to show, in their order; None for those that turn out to be given, in alphabetical order.
        scored: The labels of `TaggedImage.scores`.

    Attributes:
        given: For each label the numbers of photographs that are given it and their tags, the best first.
        others: For each label the numbers of the best photographs that are not, and their scores, the best first.
    """

    def __init__(self, labels: Sequence[str] | None, scored: Sequence[str]) -> None:
        self._names = list(labels or scored)
        self._fixed = labels is not None
        self._place = {name: place for place, name in enumerate(self._names)}
        self._scored = [self._place.get(name, -1) for name in scored]
        self._given: list[list[tuple[int, Tag]]] = [[] for _ in self._names]
        self._best = np.full((0, len(scored)), -np.inf, np.float32)  # (OTHERS, L)
        self._whose = np.zeros((0, len(scored)), np.int64)
        self._block: list[tuple[int, tuple[float, ...], list[int]]] = []

    def add(self, number: int, image: TaggedImage) -> None:
        """Take a photograph.

        Raises:
            InputError: it is given a label that is none of those to show.
        """
        for tag in image.tags:
            if tag.label not in self._place:
                if self._fixed:
                    raise InputError(
                        f"{image.path!r} is given {tag.label!r}, which is none of them",
                        where="--labels",
                        hint="name the labels that it was tagged with, or leave --labels out",
                    )
                self._place[tag.label] = len(self._names)
                self._names.append(tag.label)
                self._given.append([])
            self._given[self._place[tag.label]].append((number, tag))
        if image.scores is not None:
            has = {tag.label for tag in image.tags}
            mine = [column for column, place in enumerate(self._scored) if place >= 0 and self._names[place] in has]
            self._block.append((number, image.scores, mine))
            if len(self._block) == _BLOCK:
                self._fold()

    def _fold(self) -> None:
        """Keep the best of what is kept and of the block."""
        if not self._block:
            return
        scores = np.array([row for _, row, _ in self._block], np.float32)  # (n, L)
        for row, (_, _, mine) in enumerate(self._block):
            scores[row, mine] = -np.inf
        numbers = np.broadcast_to(np.array([number for number, _, _ in self._block])[:, None], scores.shape)
        scores, numbers = np.concatenate([self._best, scores]), np.concatenate([self._whose, numbers])
        order = np.argsort(-scores, axis=0, kind="stable")[:OTHERS]
        self._best, self._whose = np.take_along_axis(scores, order, 0), np.take_along_axis(numbers, order, 0)
        self._block = []

    def lists(self) -> tuple[list[str], list[list[tuple[int, Tag]]], list[list[tuple[int, float]]]]:
        """Labels; for each the photographs that are given it, with their tags; the others, with their scores."""
        self._fold()
        order = list(range(len(self._names)))
        if not self._fixed and not self._scored:
            order = sorted(order, key=lambda place: (self._names[place].casefold(), self._names[place]))
        others: dict[int, list[tuple[int, float]]] = {}
        for column, place in enumerate(self._scored):
            some = zip(self._whose[:, column].tolist(), self._best[:, column].tolist(), strict=True)
            others[place] = [(number, score) for number, score in some if np.isfinite(score)]
        given = [sorted(self._given[place], key=lambda one: (-one[1].score, one[0])) for place in order]
        return [self._names[place] for place in order], given, [others.get(place, []) for place in order]
