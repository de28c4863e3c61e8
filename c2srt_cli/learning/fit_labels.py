"""All labels that something is known of: what is added to their scores, and what is expected of them."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from c2srt_cli.labels import LabelSet
from c2srt_cli.learning import cache_fit
from c2srt_cli.learning.cache_fit import Start
from c2srt_cli.learning.examples import Scored
from c2srt_cli.predict.cache_model import CacheModel, kernel
from c2srt_cli.predict.profile import Learned
from c2srt_cli.scoring.calibration import RunCalibration
from c2srt_cli.tagging.job import TagJob

#: Of a backbone without a calibration: its log-odds rise with the score as its softmax does, but for this factor, which
#: is that of the embedded backbone's calibration.
SOFTER = 0.6


@dataclass(frozen=True, eq=False)
class Judged:
    """Of one label the images that it was judged of: which show it, ``(n,)`` bool, and which are given it.

    Attributes:
        yes: Which show it.
        after: Which are given it by what the others say.
        before: Which are given it as things stand; None where that is not looked at.
    """

    yes: np.ndarray
    after: np.ndarray
    before: np.ndarray | None = None

    @classmethod
    def joined(cls, parts: Iterable["Judged"]) -> "Judged":
        """Of several labels, as if they were one."""
        parts, none = list(parts), [np.zeros(0, bool)]
        before = [one.before for one in parts if one.before is not None]
        yes, after = (np.concatenate(none + [getattr(one, name) for one in parts]) for name in ("yes", "after"))
        return cls(yes, after, np.concatenate(none + before) if len(before) == len(parts) else None)

    def expected(self, name: str, synonyms: tuple[str, ...] = (), key: str = "") -> Learned:
        """Precision and recall by cross-validation."""
        now = cache_fit.precision_recall(self.after, self.yes)
        then = (None, None) if self.before is None else cache_fit.precision_recall(self.before, self.yes)
        return Learned(
            name=name,
            synonyms=synonyms,
            id=key,
            yes=int(self.yes.sum()),
            no=int((~self.yes).sum()),
            precision=now[0],
            recall=now[1],
            precision_before=then[0],
            recall_before=then[1],
        )


def fit_labels(
    labels: LabelSet, starts: list[Start], found: Scored, mine: np.ndarray, truth: np.ndarray
) -> tuple[list[Learned], Learned, CacheModel]:
    """Learn every label that somebody has judged.

    Args:
        labels: L of them.
        starts: How they stand.
        found: What is said of N photographs, which stand for the collection.
        mine: Rows of those that were judged, ``(n,)``.
        truth: ``(n, L)`` int8: 1 shows it, -1 does not, 0 was not judged.

    Returns:
        What is expected of the labels that were judged, of all of them together, and what is added to their scores.
    """
    examples = found.embeddings[mine]
    likeness = kernel(examples, found.embeddings).numpy().astype(np.float64)  # (n, N)
    weights = np.zeros(truth.shape, np.float32)
    offsets, thresholds = np.zeros(len(labels), np.float32), np.full(len(labels), np.nan, np.float32)
    columns, judged, learned = [], [], []
    for column, (label, start) in enumerate(zip(labels, starts, strict=True)):
        rows = np.flatnonzero(truth[:, column])
        if not len(rows):
            continue
        yes, scores = truth[rows, column] > 0, found.logits[:, column].astype(np.float64)
        known = cache_fit.Examples(yes, mine[rows], scores, likeness[rows])
        one = cache_fit.fit(known, start)
        for side, sign in ((yes, 1), (~yes, -1)):
            weights[rows[side], column] = sign * one.gain / max(1, side.sum())
        offsets[column], thresholds[column] = one.shift - one.gain * one.center, start.threshold
        columns.append(column)
        judged.append(Judged(yes, cache_fit.cross_validated(known, start), found.given[mine[rows], column]))
        learned.append(judged[-1].expected(label.name, label.synonyms, label.id))
    tensors = (torch.from_numpy(array) for array in (weights, offsets, thresholds))
    model = CacheModel(examples.clone(), *tensors).of(torch.tensor(columns, dtype=torch.long))
    return learned, Judged.joined(judged).expected("all"), model


def starts_of(job: TagJob, found: Scored) -> list[Start]:
    """How labels stand: by the calibration of their scores, else so that they are given as often as they were."""
    calibration, own = job.predictor.calibration, job.predictor.thresholds
    if isinstance(calibration, RunCalibration):
        maps = [calibration.seen if seen else calibration.unseen for seen in job.predictor.seen]
        given = [cache_fit.GIVEN] * len(maps) if own is None else np.clip(own, 1e-6, 1 - 1e-6).tolist()
        return [Start(one.slope, one.intercept, at) for one, at in zip(maps, given, strict=True)]
    if calibration is not None:
        offsets = np.zeros(len(job.labels)) if calibration.offsets is None else calibration.offsets
        intercepts = (calibration.intercept + offsets).tolist()
        at = calibration.presets.get("balanced", cache_fit.GIVEN)  # as tags are given before anything is learned
        return [Start(calibration.slope, intercept, at) for intercept in intercepts]
    slope, starts = SOFTER * job.encoder.backbone.logit_scale, []
    for scores, given in zip(found.logits.T, found.given.T, strict=True):
        rate = max(float(given.mean()), 1 / len(given))
        wanted = float(np.quantile(scores, 1 - rate))
        unmoved = Start(slope, 0.0, cache_fit.GIVEN)
        starts.append(Start(slope, slope * (unmoved.threshold - wanted), cache_fit.GIVEN))
    return starts
