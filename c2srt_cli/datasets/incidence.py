"""Which labels each of many images has, in compressed rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Incidence:
    """Which labels each of N images has, in compressed rows.

    Attributes:
        starts: ``(N + 1,)`` int64; row ``i`` is ``labels[starts[i]:starts[i + 1]]``.
        labels: int32 ids into a `LabelSet`, ascending and unique within a row.
    """

    starts: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    @classmethod
    def from_pairs(cls, rows: np.ndarray, labels: np.ndarray, count: int) -> "Incidence":
        """From pairs of a row and a label in any order, repeated or not; ``count`` is N."""
        width = int(labels.max(initial=-1)) + 1
        keys = np.unique(rows.astype(np.int64) * width + labels)
        lengths = np.bincount(keys // max(width, 1), minlength=count)
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return cls(starts, (keys % max(width, 1)).astype(np.int32))

    @classmethod
    def from_lists(cls, lists: Sequence[Iterable[int]]) -> "Incidence":
        """From one collection of label ids per image."""
        rows = [sorted(set(ids)) for ids in lists]
        starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        return cls(starts, np.array([label for row in rows for label in row], dtype=np.int32))

    @classmethod
    def empty(cls, count: int) -> "Incidence":
        """No label for any of ``count`` images."""
        return cls(np.zeros(count + 1, np.int64), np.zeros(0, np.int32))

    def faults(self, count: int) -> list[str]:
        """What is wrong with what was read as such, where there are ``count`` labels."""
        inside = np.ones(len(self.labels), dtype=bool)  # not the first of a row
        inside[self.starts[:-1][self.lengths > 0]] = False
        wrong = (self.labels < 0) | (self.labels >= count)
        twice = np.flatnonzero(inside[1:] & (np.diff(self.labels) <= 0)) + 1
        owners = np.repeat(np.arange(len(self)), self.lengths)
        faults = [f"row {owners[i]}: there is no label {self.labels[i]}" for i in np.flatnonzero(wrong)[:20].tolist()]
        return faults + [f"row {owners[i]}: labels do not ascend" for i in twice[:20].tolist()]

    @property
    def lengths(self) -> np.ndarray:
        """Labels of each image: ``(N,)`` int64."""
        return np.diff(self.starts)

    def row(self, i: int) -> np.ndarray:
        """Label ids of image ``i``."""
        return self.labels[self.starts[i] : self.starts[i + 1]]

    def select(self, rows: np.ndarray) -> "Incidence":
        """Some rows, by number or by a mask of all of them, in the order that they are named in."""
        numbers = np.arange(len(self))[rows]
        lengths = self.lengths[numbers]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        where = np.arange(starts[-1]) + np.repeat(self.starts[numbers] - starts[:-1], lengths)
        return Incidence(starts, self.labels[where])

    def dense(self, columns: np.ndarray) -> np.ndarray:
        """Whether each image has each of some labels: ``(N, len(columns))`` bool, for distinct columns."""
        place = np.full(max(self.labels.max(initial=-1), columns.max(initial=-1)) + 1, -1)
        place[columns] = np.arange(len(columns))
        found = place[self.labels]
        dense = np.zeros((len(self), len(columns)), dtype=bool)
        dense[np.repeat(np.arange(len(self)), self.lengths)[found >= 0], found[found >= 0]] = True
        return dense
