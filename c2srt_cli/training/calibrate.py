"""Scores of a run → probabilities: fitted on the validation set, for unseen labels on a second training.

What a run says of labels it never saw cannot be calibrated on labels it did see: their scores are higher and better
separated. So a second training leaves out a seeded share of the seen labels, and its scores of those stand in for them.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from c2srt_cli.methods.method import Method
from c2srt_cli.progress import Progress
from c2srt_cli.scoring.calibration import Calibration, RunCalibration
from c2srt_cli.training.data import TrainingData
from c2srt_cli.training.fit import Diverged, fit
from c2srt_cli.training.validation import predict

#: Share of the seen labels that the second training is not shown.
PSEUDO_UNSEEN = 0.15
#: Positives at which a label's own threshold counts as much as the common one.
SHRINKAGE = 10.0
#: Fewer pseudo-unseen labels than this say nothing.
LEAST = 3


def pseudo_unseen(data: TrainingData, seed: int) -> np.ndarray:
    """Ids of the labels to leave out: drawn among those that the validation set has; none if they are too few."""
    truth = data.annotations.truth(data.validation.readable, data.labels)
    there = data.labels[(truth > 0).any(0)]
    count = round(PSEUDO_UNSEEN * len(data.labels))
    if len(data.labels) >= 3 * LEAST:
        count = max(count, LEAST)
    if count < LEAST or len(there) < count:
        return there[:0]
    drawn: np.ndarray = np.sort(np.random.default_rng((seed, 1)).permutation(there)[:count])
    return drawn


def calibrate(
    method: Method,
    data: TrainingData,
    hidden: np.ndarray,
    progress: Progress,
) -> RunCalibration:
    """Fit a run's calibration.

    Args:
        method: The run's, trained on ``data``.
        data: With a validation set.
        hidden: What `pseudo_unseen` gives.
        progress: Called after every step of the second training.

    Raises:
        Diverged: the loss of the second training is no number.
        Interrupted: the user stopped the second training; a rerun goes on with it.
    """
    every = [label.key for label in data.annotations.labels]
    keys = [every[label] for label in data.labels]
    scores, truth = predict(method, data, data.labels, logit=True)
    seen = logistic(scores, truth)
    probabilities = seen.probability(scores)
    common = best_threshold(probabilities.ravel(), truth.ravel())
    own = {
        key: shrunk_threshold(probabilities[:, i], truth[:, i], common)
        for i, key in enumerate(keys)
        if (truth[:, i] > 0).any()
    }
    progress.note(f"a second training, without {len(hidden)} of {len(keys)} seen labels, for the calibration of others")
    less = replace(data.without(hidden), checkpoint=data.checkpoint / "calibration")
    again = fit(less, method.backbone, method.options, progress)
    if again.diverged:
        raise Diverged("the loss is no number any more")
    # gain and center were fitted with the hidden labels seen: the map is a little optimistic, by one scalar each
    for mine, its in zip(again.method.fitted, method.fitted, strict=True):
        mine.copy_(its)
    scores, truth = predict(again.method, less, hidden, logit=True)
    unseen = logistic(scores, truth)
    threshold = best_threshold(unseen.probability(scores).ravel(), truth.ravel())
    return RunCalibration(seen, unseen, rounded(common), rounded(threshold), own)


def logistic(scores: np.ndarray, truth: np.ndarray) -> Calibration:
    """The logistic map of scores to probabilities of the greatest likelihood (Platt 1999, with his smoothed targets).

    Args:
        scores: Of any shape.
        truth: The same shape: 1 present, -1 absent, 0 unknown and ignored.
    """
    known = truth != 0
    x = torch.from_numpy(scores[known].astype(np.float64))
    present = torch.from_numpy(truth[known] > 0)
    positives, negatives = int(present.sum()), int((~present).sum())
    target = torch.where(present, (positives + 1) / (positives + 2), 1 / (negatives + 2)).double()
    center, scale = x.mean(), x.std().clamp_min(1e-12)
    x = (x - center) / scale
    slope, intercept = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    weights = [slope.requires_grad_(), intercept.requires_grad_()]
    optimizer = torch.optim.LBFGS(weights, max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def loss() -> Any:
        optimizer.zero_grad()
        value = binary_cross_entropy_with_logits(slope * x + intercept, target)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    a = max(float(slope.detach() / scale), 1e-6)  # scores that say nothing must not become a falling map
    return Calibration(a, float(intercept.detach()) - a * float(center), {})


def best_threshold(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """The probability from which giving the label has the best F1, halfway to the next lower one; 1-d inputs."""
    known = truth != 0
    order = np.argsort(-probabilities[known], kind="stable")
    values, hits = probabilities[known][order], np.cumsum(truth[known][order] > 0)
    if not len(hits) or hits[-1] == 0:
        return 1.0
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + hits[-1])
    ends = np.append(values[1:] < values[:-1], True)  # equal values stand or fall together
    last = int(np.argmax(np.where(ends, f1, -1.0)))
    following = values[last + 1] if last + 1 < len(values) else 0.0
    return float((values[last] + following) / 2)


def shrunk_threshold(probabilities: np.ndarray, truth: np.ndarray, common: float) -> float:
    """A label's best threshold, drawn towards the common one the more, the fewer positives it has."""
    positives = int((truth > 0).sum())
    own = positives / (positives + SHRINKAGE)
    return rounded(own * best_threshold(probabilities, truth) + (1 - own) * common)


def rounded(threshold: float) -> float:
    """To six significant digits: a tiny threshold must not become 0, which every image reaches."""
    return float(f"{threshold:.6g}")
