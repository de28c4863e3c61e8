"""Is one method better than another? A paired bootstrap over test images, pooled over seeds (DESIGN 7)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from c2srt_cli.datasets.annotations import Annotations
from c2srt_cli.errors import InputError
from c2srt_cli.evaluation.protocol import Protocol
from c2srt_cli.evaluation.score_file import ScoreFile
from c2srt_cli.evaluation.selection import Selection, select
from c2srt_cli.scoring.average_precision import MeanAP, average_precision
from c2srt_cli.scoring.bootstrap import Interval, draw_weights, mean_over_classes, resampled_average_precision


@dataclass(frozen=True)
class Comparison:
    """Two methods in one setting; mean AP over labels with positives, mean over seeds.

    Attributes:
        setting: ``ZSL`` or ``GZSL``.
        images: Images that were ranked.
        wanted: Images that the protocol names.
        first: Mean AP of each seed of the first method.
        second: Of the second.
        difference: First minus second; it counts where the interval excludes zero.
    """

    setting: str
    images: int
    wanted: int
    first: tuple[float, ...]
    second: tuple[float, ...]
    difference: Interval


def compare(
    annotations: Annotations,
    protocol: Protocol,
    setting: str,
    first: Sequence[ScoreFile],
    second: Sequence[ScoreFile],
    *,
    replicates: int = 1000,
    seed: int = 0,
    allow_missing: bool = False,
) -> Comparison:
    """Compare two methods on the same images: each replicate draws the same ones for every file.

    Args:
        annotations: What is true.
        protocol: What counts.
        setting: ``ZSL`` or ``GZSL``.
        first: Score files of one method, one a seed.
        second: Of the other; the numbers of seeds may differ.
        replicates: Draws of the test images.
        seed: Of the draws.
        allow_missing: Go on where images are missing, as long as all files lack the same.

    Raises:
        InputError: a file does not belong to the annotations, lacks labels or images, or lacks others than the rest.
    """
    sides = [
        [select(annotations, protocol, setting, file, allow_missing=allow_missing) for file in files]
        for files in (first, second)
    ]
    rows = sides[0][0].rows
    for selection in (one for side in sides for one in side):
        if not np.array_equal(np.sort(selection.rows), np.sort(rows)):
            raise InputError("these scores are of other images than the rest", where=str(selection.scores.path))
    means = [[_mean_ap(selection) for selection in side] for side in sides]
    drawn = [np.mean([resampled_maps(selection, replicates, seed) for selection in side], axis=0) for side in sides]
    return Comparison(
        setting,
        len(rows),
        sides[0][0].wanted,
        tuple(means[0]),
        tuple(means[1]),
        Interval.of(float(np.mean(means[0]) - np.mean(means[1])), drawn[0] - drawn[1]),
    )


def resampled_maps(selection: Selection, replicates: int, seed: int) -> np.ndarray:
    """Mean AP over labels with positives in each replicate: ``(R,)``.

    An image has the weights of its place among the images in ascending order, whatever their order in the file.
    """
    weights = draw_weights(len(selection.kept), replicates, seed)
    weights = weights[np.argsort(np.argsort(selection.rows))]

    def classes(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
        return np.stack([resampled_average_precision(*one, weights) for one in zip(scores, truth, strict=True)])

    return mean_over_classes(np.concatenate(list(selection.by_labels(classes))))


def _mean_ap(selection: Selection) -> float:
    return MeanAP.of(np.concatenate(list(selection.by_labels(average_precision)))).left_out
