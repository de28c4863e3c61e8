"""Precision, recall and F1 of the K best labels of each image, over a whole test set (METHODS 6.2)."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class AtK:
    """Precision, recall and F1 at K, micro: counted once over all images, not averaged over images or classes.

    Attributes:
        k: Labels given to each image.
        precision: ``true positives / (N * K)``. A label of which nothing is known counts as wrong.
        recall: ``true positives / positives``.
        f1: Their harmonic mean.
    """

    k: int
    precision: float
    recall: float
    f1: float

    @classmethod
    def of(cls, k: int, true_positives: int, images: int, positives: int) -> "AtK":
        """From counts; a fraction of nothing is 0."""
        precision = true_positives / (images * k) if images else 0.0
        recall = true_positives / positives if positives else 0.0
        return cls(k, precision, recall, harmonic_mean(precision, recall))

    @property
    def positives_per_image(self) -> float:
        """``P@K * K / R@K``, which is the same for every model on a test set (METHODS 6.4); NaN where recall is 0."""
        return self.precision * self.k / self.recall if self.recall else float("nan")


def harmonic_mean(a: float, b: float) -> float:
    """``2ab / (a + b)``; 0 where both are 0, NaN where one is."""
    return 2 * a * b / (a + b) if a + b else 0.0


def top_labels(scores: np.ndarray, k: int) -> np.ndarray:
    """The k best labels of each image, best first; of equal scores the one of the earlier label is better.

    Args:
        scores: ``(N, L)``.
        k: At most L.

    Returns:
        ``(N, k)`` columns.

    Raises:
        ValueError: there are fewer than k labels, or a score is NaN.
    """
    count = scores.shape[1]
    if not 0 < k <= count:
        raise ValueError(f"the best {k} of {count} labels were asked for")
    # the k-th best value of each row; NaN sorts above everything, so it would show in the kept part
    kept = np.partition(scores, count - k, axis=1)[:, count - k :]  # (N, k)
    if np.isnan(kept).any():
        raise ValueError("a score is NaN, which has no place in a ranking")
    rows, columns = np.nonzero(scores >= kept[:, :1])  # k a row, more where the k-th best is tied
    order = np.lexsort((columns, -scores[rows, columns], rows))
    starts = np.searchsorted(rows, np.arange(len(scores)))
    best: np.ndarray = columns[order][starts[:, None] + np.arange(k)]  # (N, k)
    return best


def hits_at(scores: np.ndarray, present: np.ndarray, ks: tuple[int, ...]) -> np.ndarray:
    """How many of the K best labels of some images are present: ``(len(ks),)`` int64, to be added up over blocks.

    Args:
        scores: ``(N, L)``.
        present: ``(N, L)`` bool.
        ks: Each at most L.
    """
    right = np.take_along_axis(present, top_labels(scores, max(ks)), axis=1).sum(0)  # (max(ks),)
    hits: np.ndarray = np.cumsum(right)[np.array(ks) - 1]
    return hits
