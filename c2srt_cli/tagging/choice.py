"""Which labels images are given, of what a predictor says of them."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from c2srt_cli.methods.scores import Scores
from c2srt_cli.predict.calibration import order_of
from c2srt_cli.tagging.job import TagJob


@dataclass(frozen=True, eq=False)
class Choice:
    """Scores of n images, of all L labels, and what the rule of a job makes of them.

    Attributes:
        job: Whose rule and thresholds count.
        scores: By which labels are ranked, ``(n, L)``.
        logits: What probabilities are made from, ``(n, L)``.
        probabilities: ``(n, L)``; None where nothing is calibrated.
        order: By which the labels of an image are ordered, ``(n, L)``.
        relative: At which the relative rule looks, ``(n, L)``.
        standard: Standard deviations above the background, ``(n, L)``; None where it was not asked.
    """

    job: TagJob
    scores: np.ndarray
    logits: np.ndarray
    probabilities: np.ndarray | None
    order: np.ndarray
    relative: np.ndarray
    standard: np.ndarray | None

    @classmethod
    def of(cls, job: TagJob, found: Scores, count: int) -> "Choice":
        """Of the first ``count`` images of a batch; the others fill it up."""
        scores, logits = _array(found.ranking, count), _array(found.logit, count)
        return cls(
            job,
            scores,
            logits,
            job.predictor.probability(logits),
            order_of(job.predictor.calibration, scores, logits),
            logits if found.relative is None else _array(found.relative, count),
            None if found.standard is None else _array(found.standard, count),
        )

    def labels(self, image: int, learned: np.ndarray | None = None, verdicts: np.ndarray | None = None) -> np.ndarray:
        """Indices of the labels of one image, best first; see `Rule.choose`."""
        return self.job.rule.choose(
            self.order[image],
            None if self.probabilities is None else self.probabilities[image],
            self.job.thresholds,
            self.job.encoder.backbone.logit_scale,
            self.relative[image],
            learned,
            verdicts,
            self.job.bar,
            None if self.standard is None else self.standard[image],
        )


def _array(scores: Tensor, count: int) -> np.ndarray:
    found: np.ndarray = scores[:count].float().cpu().numpy()
    return found
