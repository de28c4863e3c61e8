"""Average precision per class, and its two means over classes.

The average precision of published code (METHODS 6.1) is ``sum_i precision@i * rel_i / positives`` over a descending
sort, which lets the order of rows decide between equal scores. Here equal scores count with the expectation over all
their orders, so that the order of rows does not matter; without equal scores the two are the same.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np


def average_precision(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Average precision of each class over the images for which its truth is known.

    Args:
        scores: ``(C, N)``: a row a class.
        truth: ``(C, N)``; 1 present, -1 absent, 0 unknown: such entries take no part. Boolean: False is absent.

    Returns:
        ``(C,)`` float64; NaN for classes without positives.

    Raises:
        ValueError: a score that takes part is NaN, or the shapes differ.
    """
    if scores.shape != truth.shape:
        raise ValueError(f"scores are {scores.shape}, their truth is {truth.shape}")
    return np.array([_of_class(*known(row, facts)) for row, facts in zip(scores, truth, strict=True)], dtype=np.float64)


def known(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The scores of one class that take part and whether each is of a positive: ``(n,)`` and ``(n,)`` bool.

    Raises:
        ValueError: one of them is NaN.
    """
    if truth.dtype != bool:
        if not truth.all():
            scores, truth = scores[truth != 0], truth[truth != 0]
        truth = truth > 0
    if np.isnan(scores).any():
        raise ValueError("a score is NaN, which has no place in a ranking")
    return scores, truth


def _of_class(scores: np.ndarray, present: np.ndarray) -> float:
    # only where the positives come in the ranking matters, so values are sorted, not their indices
    values, hits = np.unique(scores[present], return_counts=True)  # ascending; tied positives are one value
    if not len(values):
        return float("nan")
    ranking = np.sort(scores)
    low, high = np.searchsorted(ranking, values, "left"), np.searchsorted(ranking, values, "right")
    found = hits.sum() - np.cumsum(hits)  # positives above each value
    expected = expected_precision(len(ranking) - high, found, high - low - 1, hits - 1)
    return float((hits * expected).sum() / hits.sum())


def expected_precision(above: np.ndarray, found: np.ndarray, beside: np.ndarray, hits: np.ndarray) -> np.ndarray:
    """Precision at the place of a positive, expected over the orders of the entries with its score.

    With ``j`` of the entries beside it before it, which all ``beside + 1`` values of ``j`` are equally likely to be,
    the precision is ``(found + 1 + j * hits / beside) / (above + 1 + j)``; the sum over ``j`` has a closed form in
    harmonic numbers.

    Args:
        above: Entries with higher scores, of any shape; integers.
        found: How many of those are positives.
        beside: Other entries with the same score.
        hits: How many of those are positives.
    """
    share = hits / np.maximum(beside, 1)
    harmonic = _harmonic(int((above + beside).max(initial=0)) + 1)
    between = harmonic[above + beside + 1] - harmonic[above]
    mean: np.ndarray = share + (found + 1 - share * (above + 1)) * between / (beside + 1)
    return np.where(beside == 0, (found + 1) / (above + 1), mean)  # the difference of two sums would cost digits


def _harmonic(count: int) -> np.ndarray:
    """Harmonic numbers 0 to ``count`` at least."""
    return _harmonic_table(1 << count.bit_length())


@lru_cache(maxsize=4)
def _harmonic_table(count: int) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(1 / np.arange(1, count + 1))])


@dataclass(frozen=True)
class MeanAP:
    """Mean over classes, both ways; they differ where classes have no positives.

    Attributes:
        with_zeros: Classes without positives count as 0, as in published code. NaN where there are no classes.
        left_out: They are left out. NaN where no class has positives.
        classes: Classes that have any known entry, with or without positives.
        without_positives: How many of them have no positives.
    """

    with_zeros: float
    left_out: float
    classes: int
    without_positives: int

    @classmethod
    def of(cls, ap: np.ndarray, annotated: np.ndarray | None = None) -> "MeanAP":
        """Means of what `average_precision` gives.

        Args:
            ap: ``(C,)``, NaN without positives.
            annotated: ``(C,)`` bool: the class has any known entry; those that have none are no classes of the test
                (METHODS 6.1, Open Images). All of them unless given.
        """
        ap = ap if annotated is None else ap[annotated]
        present = ap[~np.isnan(ap)]
        total = float(present.sum())
        return cls(
            total / len(ap) if len(ap) else float("nan"),
            total / len(present) if len(present) else float("nan"),
            len(ap),
            len(ap) - len(present),
        )
