"""Which labels an image is given."""

import math
from dataclasses import dataclass

import numpy as np

from c2srt_cli.errors import UsageError
from c2srt_cli.labels import LabelSet
from c2srt_cli.scoring.presets import PRESETS, Preset

#: The relative rule keeps labels whose odds, at the model's own temperature, are this share of the best one's or more.
RELATIVE_ODDS: dict[Preset, float] = {"strict": 0.3, "balanced": 0.1, "generous": 0.03}
#: ... and that lie this many standard deviations above what a background label scores on the same image.
ABOVE_BACKGROUND: dict[Preset, float] = {"strict": 2.5, "balanced": 1.5, "generous": 1.0}
#: No preset gives more labels than this.
MOST = 10


@dataclass(frozen=True, slots=True)
class Rule:
    """How labels are chosen from scores.

    With neither threshold nor ``top_k`` the preset decides. A backbone whose calibration knows how often labels occur
    has a probability for each preset, from which labels are given: a photograph that fits none gets none, and other
    labels change nothing of one. Where nothing is known of probabilities the rule is relative: a label is kept when
    ``exp(logit_scale * score)`` is at least a share of the best label's, a tenth in ``balanced``. The model was trained
    to compare captions at that temperature, so this needs no tuning; it does not change its mind about a label when
    the vocabulary grows by labels that fit the image less. So that no image is forced to bear the best of labels that
    all fit it badly, those are passed over that do not stand out of 400 background labels. Neither gives more than
    ten. A label's own threshold goes before any of these.

    A calibrated run knows a threshold for every label, and these take the place of the preset. One that is not
    calibrated keeps the relative rule, at the backbone's temperature, also where scores were transferred and are no
    cosines any more: on Corel5k the bar that this sets is about the best one.

    Attributes:
        threshold: Probability from which a label is given.
        top_k: Most labels to give, those with thresholds of their own included.
        preset: How readily labels are given where neither is asked for.
    """

    threshold: float | None = None
    top_k: int | None = None
    preset: Preset = "balanced"

    @classmethod
    def asked(cls, preset: Preset | None, threshold: float | None = None, top_k: int | None = None) -> "Rule":
        """What the user asks for.

        Raises:
            UsageError: a preset, and something else that says how labels are chosen.
        """
        if preset is None:
            return cls(threshold, top_k)
        if threshold is not None or top_k is not None:
            other = "--top-k" if threshold is None else "--threshold"
            raise UsageError(
                f"says how labels are chosen, as {other} does", where=f"--preset {preset}", hint="give one"
            )
        if preset not in PRESETS:
            raise UsageError("there is no such preset", where=f"--preset {preset}", hint=f"use {', '.join(PRESETS)}")
        return cls(preset=preset)

    @property
    def by_preset(self) -> bool:
        """Whether the preset decides."""
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
            raise UsageError(why, where="--threshold", hint="use --top-k, or --preset")
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
        bar: float | None = None,
        standard: np.ndarray | None = None,
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
            bar: The probability of the preset; the rule is relative where None.
            standard: Standard deviations above the background, ``(L,)``, by which the relative rule passes labels over;
                none where None.
        """
        if verdicts is not None and (verdicts < 0).any():  # as if they had not been asked for
            logits = np.where(verdicts < 0, -np.inf, scores if logits is None else logits)
            scores = np.where(verdicts < 0, -np.inf, scores)
        if self.by_preset:
            if bar is not None:
                assert probabilities is not None
                close = probabilities >= bar
            else:
                logits = scores if logits is None else logits
                if standard is not None:
                    logits = np.where(standard >= ABOVE_BACKGROUND[self.preset], logits, -np.inf)
                close = logits >= logits.max() + math.log(RELATIVE_ODDS[self.preset]) / logit_scale
                close &= np.isfinite(logits)
            keep = np.zeros(len(scores), bool)
            keep[_best(np.flatnonzero(close), scores, MOST)] = True
            keep = keep if learned is None else np.where(learned == 0, keep, learned > 0)
        elif self.threshold is not None:
            assert probabilities is not None
            keep = probabilities >= self.threshold
        else:
            keep = np.ones(len(scores), bool)
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
