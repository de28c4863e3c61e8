"""Scores → probabilities, by the logistic map that a backbone or a run carries in ``calibration.json``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, JsonValue

from c2srt_cli.artifacts.records import Probability, Record, parse, read_bytes


class _Map(Record):
    # beyond these no score has a probability that is not 0 or 1, and products leave the range of numbers
    slope: Annotated[float, Field(gt=0, le=1e9)]
    intercept: Annotated[float, Field(ge=-1e9, le=1e9)]


class _Logistic(_Map):
    method: Literal["logistic"]
    scoring: dict[str, JsonValue]


class _BySeen(Record):
    method: Literal["logistic by seen"]
    seen: _Map
    unseen: _Map
    threshold: Probability
    unseen_threshold: Probability
    thresholds: dict[str, Probability]


@dataclass(frozen=True)
class Calibration:
    """``probability = 1 / (1 + exp(-(slope * score + intercept)))`` (Platt 1999), with the scoring it was fitted for.

    Attributes:
        slope: Per unit of score.
        intercept: Log-odds at score 0.
        scoring: The scoring options under which it holds, such as ``{"pool": "isr", "alpha": 0.5}``.
    """

    slope: float
    intercept: float
    scoring: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not np.isfinite([self.slope, self.intercept]).all() or self.slope <= 0:
            raise ValueError("slope and intercept must be finite, the slope above 0")

    @classmethod
    def read(cls, path: Path) -> "Calibration":
        """Read ``calibration.json``: ``{"method": "logistic", "slope": …, "intercept": …, "scoring": {…}}``.

        Raises:
            InputError: it is not such a file.
        """
        found = parse(_Logistic, read_bytes(path), path, what="is no calibration")
        return cls(found.slope, found.intercept, found.scoring)

    def probability(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities of scores of any shape, float64 in (0, 1)."""
        log_odds = self.slope * scores.astype(np.float64) + self.intercept
        return np.exp(-np.logaddexp(0.0, -log_odds))


@dataclass(frozen=True)
class RunCalibration:
    """Probabilities and thresholds of a run's labels: one map for seen labels, one for all others.

    Attributes:
        seen: Of the labels that the run was trained on.
        unseen: Of all others, fitted on labels that a training beside the run was not shown.
        threshold: Probability from which a seen label is given.
        unseen_threshold: The same for others.
        thresholds: Seen labels' own, by their keys.
    """

    seen: Calibration
    unseen: Calibration
    threshold: float
    unseen_threshold: float
    thresholds: Mapping[str, float]

    @classmethod
    def read(cls, path: Path) -> "RunCalibration":
        """Read a run's ``calibration.json``, as `record` gives it.

        Raises:
            InputError: it is not such a file.
        """
        found = parse(_BySeen, read_bytes(path), path, what="is no calibration of a run")
        seen, unseen = (Calibration(one.slope, one.intercept, {}) for one in (found.seen, found.unseen))
        return cls(seen, unseen, found.threshold, found.unseen_threshold, found.thresholds)

    def record(self) -> dict[str, Any]:
        """As JSON."""
        maps = {
            name: {"slope": one.slope, "intercept": one.intercept}
            for name, one in (("seen", self.seen), ("unseen", self.unseen))
        }
        rest = {"threshold": self.threshold, "unseen_threshold": self.unseen_threshold}
        return {"method": "logistic by seen", **maps, **rest, "thresholds": dict(self.thresholds)}

    def probability(self, scores: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Probabilities of scores ``(..., L)``, where ``seen`` ``(L,)`` tells which map holds for a label."""
        return np.where(seen, self.seen.probability(scores), self.unseen.probability(scores))

    def thresholds_of(self, keys: Sequence[str], seen: np.ndarray) -> np.ndarray:
        """The probability from which each label is given, ``(L,)``."""
        common = np.where(seen, self.threshold, self.unseen_threshold)
        return np.array([self.thresholds.get(key, fallback) for key, fallback in zip(keys, common, strict=True)])
