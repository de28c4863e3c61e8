"""The bootstrap over images: how far a mean average precision would move with other test images.

A replicate draws N of the N test images with replacement, which is a weight for each of them. A drawn copy is ranked
against the other images only, not against further copies of itself: those would share its score and its truth, and
lift the precision of a rare class wherever it is drawn twice.
"""

from dataclasses import dataclass

import numpy as np

from c2srt_cli.scoring.average_precision import expected_precision, known

#: Replicates that are worked on at once; memory is about this times the images, in bytes.
REPLICATES = 128


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval.

    Attributes:
        estimate: On the test images as they are.
        low: Lower end; NaN where there are no replicates.
        high: Upper end.
        confidence: Such as 0.95.
    """

    estimate: float
    low: float
    high: float
    confidence: float

    @classmethod
    def of(cls, estimate: float, replicates: np.ndarray, confidence: float = 0.95) -> "Interval":
        """By the percentiles of the replicates ``(R,)``; NaN among them are left out."""
        tail = (1 - confidence) / 2
        there = replicates[~np.isnan(replicates)]
        low, high = np.quantile(there, [tail, 1 - tail]) if len(there) else (np.nan, np.nan)
        return cls(estimate, float(low), float(high), confidence)

    @property
    def excludes_zero(self) -> bool:
        """Of a difference: it counts (DESIGN 7)."""
        return self.low > 0 or self.high < 0


def draw_weights(images: int, replicates: int, seed: int) -> np.ndarray:
    """How often each replicate draws each image: ``(N, R)`` uint8. The first replicates do not depend on their number.

    Raises:
        ValueError: there are no images.
    """
    if images < 1:
        raise ValueError("there are no images to draw from")
    generator = np.random.default_rng(seed)
    weights = np.empty((images, replicates), dtype=np.uint8)
    for column in range(replicates):
        weights[:, column] = np.bincount(generator.integers(images, size=images), minlength=images)
    return weights


def resampled_average_precision(scores: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average precision of one class in each replicate; with weights of 1 it is `average_precision`.

    Args:
        scores: ``(N,)``.
        truth: ``(N,)``; 1 present, -1 absent, 0 unknown.
        weights: ``(N, R)`` from `draw_weights`.

    Returns:
        ``(R,)`` float64; NaN where a replicate draws no positive.

    Raises:
        ValueError: a score that takes part is NaN.
    """
    if truth.dtype != bool and not truth.all():
        weights = weights[truth != 0]
    scores, present = known(scores, truth)
    order = np.argsort(-scores)
    scores, present = scores[order], present[order]
    positives = np.flatnonzero(present)
    # of each positive: where the entries with its score start and end in the ranking, and among the positives
    low, high = (
        np.searchsorted(-scores, -scores[positives], "left"),
        np.searchsorted(-scores, -scores[positives], "right"),
    )
    first = np.searchsorted(positives, low)
    last = np.searchsorted(positives, high)
    cuts = np.unique(np.concatenate([[0], low, high]))  # the ranking in pieces, summed one by one
    out = np.full(weights.shape[1], np.nan)
    if not len(positives):
        return out
    for start in range(0, weights.shape[1], REPLICATES):
        block = slice(start, start + REPLICATES)
        drawn = weights[order, block]  # (n, r)
        upto = _prefix(np.add.reduceat(drawn, cuts[cuts < len(order)], axis=0, dtype=np.int32))  # (pieces + 1, r)
        above, end = upto[np.searchsorted(cuts, low)], upto[np.searchsorted(cuts, high)]  # (P, r)
        own = drawn[positives].astype(np.int32)  # (P, r)
        hits = _prefix(own)  # (P + 1, r)
        precision = expected_precision(above, hits[first], end - above - own, hits[last] - hits[first] - own)
        total = hits[-1]
        np.divide((own * precision).sum(0), total, out=out[block], where=total > 0)
    return out


def _prefix(parts: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, 2 … rows: ``(n, r)`` → ``(n + 1, r)``."""
    return np.concatenate([np.zeros_like(parts[:1]), np.cumsum(parts, axis=0, dtype=parts.dtype)])


def mean_over_classes(replicates: np.ndarray) -> np.ndarray:
    """Mean over the classes that a replicate has positives of: ``(C, R)`` → ``(R,)``, NaN where it has none.

    The other mean, with zeros, has no bootstrap: a class with one positive is not drawn in 37 % of all replicates.
    """
    there = ~np.isnan(replicates)
    count = there.sum(0)
    total = np.where(there, replicates, 0.0).sum(0)
    mean: np.ndarray = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return mean
