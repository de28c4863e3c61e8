"""Which labels an image is given."""

import math
from dataclasses import dataclass

import numpy as np

from c2srt_cli.errors import UsageError
from c2srt_cli.labels import LabelSet

#: The relative rule keeps labels whose odds, at the model's own temperature, are this share of the best one's or more.
RELATIVE_ODDS = 0.1
#: And never more labels than this.
RELATIVE_MOST = 10


@dataclass(frozen=True, slots=True)
class Rule:
    """How labels are chosen from scores.

    With neither threshold nor ``top_k`` the rule is relative: a label is kept when ``exp(logit_scale * score)`` is at
    least a tenth of the best label's, at most ten labels. The model was trained to compare captions at that
    temperature, so the rule needs no tuning, gives every image at least one label, and does not change its mind about a
    label when the vocabulary grows by labels that fit the image less. A label's own threshold goes before any of these.

    A calibrated run knows a threshold for every label, and these take the place of the relative rule. One that is not
    calibrated keeps it, at the backbone's temperature, also where scores were transferred and are no cosines any more:
    on Corel5k the bar that this sets is about the best one.

    Attributes:
        threshold: Probability from which a label is given.
        top_k: Most labels to give, those with thresholds of their own included.
    """

    threshold: float | None = None
    top_k: int | None = None

    @property
    def relative(self) -> bool:
        """Whether the rule is relative."""
        return self.threshold is None and self.top_k is None

    def check(self, labels: LabelSet, *, calibrated: bool) -> None:
        """Refuse thresholds where there are no probabilities.

        Raises:
            UsageError: a threshold is asked for and nothing is calibrated.
        """
        if calibrated:
            return
        why = "scores under these options are not calibrated, so there is no probability to compare with"
        if self.threshold is not None:
            raise UsageError(why, where="--threshold", hint="use --top-k, or neither for the relative rule")
        if self.top_k is None and any(label.threshold is not None for label in labels):
            raise UsageError(why, where="column 'threshold' of the labels", hint="use --top-k, or remove the column")

    def choose(  # noqa: PLR0917
        self,
        scores: np.ndarray,
        probabilities: np.ndarray | None,
        thresholds: np.ndarray,
        logit_scale: float,
        logits: np.ndarray | None = None,
        learned: np.ndarray | None = None,
        verdicts: np.ndarray | None = None,
    ) -> np.ndarray:
        """Indices of the labels of one image, best first.

        Args:
            scores: By which labels are ranked, ``(L,)``.
            probabilities: ``(L,)``, or None.
            thresholds: ``(L,)`` the labels' own, NaN where there is none.
            logit_scale: The model's, as a factor.
            logits: At which the relative rule looks, ``(L,)``, where scores are softmaxes; the scores where None.
            learned: What a profile decides, ``(L,)``: 1 given, -1 not, 0 nothing. It goes before the relative rule.
            verdicts: What somebody has said of this image, likewise; it goes before everything.
        """
        if verdicts is not None and (verdicts < 0).any():  # as if they had not been asked for
            logits = np.where(verdicts < 0, -np.inf, scores if logits is None else logits)
            scores = np.where(verdicts < 0, -np.inf, scores)
        if self.threshold is not None:
            assert probabilities is not None
            keep = probabilities >= self.threshold
        elif self.top_k is not None:
            keep = np.ones(len(scores), bool)
        else:
            logits = scores if logits is None else logits
            close = np.flatnonzero(logits >= logits.max() + math.log(RELATIVE_ODDS) / logit_scale)
            keep = np.zeros(len(scores), bool)
            keep[_best(close, scores, RELATIVE_MOST)] = True
        if learned is not None and self.relative:
            keep = np.where(learned == 0, keep, learned > 0)
        if probabilities is not None:
            keep = np.where(np.isnan(thresholds), keep, probabilities >= thresholds)
        if verdicts is not None:
            keep = np.where(verdicts == 0, keep, verdicts > 0)
        return _best(np.flatnonzero(keep), scores, self.top_k)


def _best(indices: np.ndarray, scores: np.ndarray, most: int | None) -> np.ndarray:
    """Up to ``most`` of the indices, best score first, equal scores by index."""
    values = scores[indices]
    if most is not None and len(indices) > 4 * most:  # only the best are ever ordered
        indices = indices[values >= np.partition(values, -most)[-most]]
        values = scores[indices]
    return indices[np.argsort(-values, kind="stable")][:most]
