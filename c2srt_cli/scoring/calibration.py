"""Scores → probabilities, by the logistic map that a backbone or a run carries in ``calibration.json``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, JsonValue

from c2srt_cli.artifacts.records import Probability, Record, Sha256, parse, read_bytes
from c2srt_cli.scoring.presets import Preset


class _Map(Record):
    # beyond these no score has a probability that is not 0 or 1, and products leave the range of numbers
    slope: Annotated[float, Field(gt=0, le=1e9)]
    intercept: Annotated[float, Field(ge=-1e9, le=1e9)]


class FrequencyOptions(Record):
    """How a label's frequency counts: see `frequency.LabelFrequency`.

    Attributes:
        weight: Log-odds per unit of log frequency.
        sharpness: Of the kernel between texts.
        smoothing: Words' worth of the floor that every label hears.
        floor: Log frequency of a label that is like no word.
        sha256: Of the file of words.
    """

    weight: Annotated[float, Field(ge=0, le=10)]
    sharpness: Annotated[float, Field(gt=0, le=1e4)]
    smoothing: Annotated[float, Field(gt=0, le=1e4)]
    floor: Annotated[float, Field(ge=-50, le=0)]
    sha256: Sha256


class _Logistic(_Map):
    method: Literal["logistic"]
    scoring: dict[str, JsonValue]
    frequency: FrequencyOptions | None = None
    presets: dict[Preset, Probability] = Field(default_factory=dict)


class _BySeen(Record):
    method: Literal["logistic by seen"]
    seen: _Map
    unseen: _Map
    threshold: Probability
    unseen_threshold: Probability
    thresholds: dict[str, Probability]


@dataclass(frozen=True)
class Calibration:
    """``probability = 1 / (1 + exp(-(slope * score + intercept + offset)))`` (Platt 1999), and for which scoring.

    Attributes:
        slope: Per unit of score.
        intercept: Log-odds at score 0.
        scoring: The scoring options under which it holds, such as ``{"pool": "isr", "alpha": 0.5}``.
        frequency: How often labels occur counts too, like this; None where it does not.
        presets: The probability from which labels are given, by preset; none where that is not known.
        offsets: What labels' frequencies add, ``(L,)``: see `of_labels`.
    """

    slope: float
    intercept: float
    scoring: Mapping[str, Any]
    frequency: FrequencyOptions | None = None
    presets: Mapping[Preset, float] = field(default_factory=dict)
    offsets: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not np.isfinite([self.slope, self.intercept]).all() or self.slope <= 0:
            raise ValueError("slope and intercept must be finite, the slope above 0")

    @classmethod
    def read(cls, path: Path) -> "Calibration":
        """Read ``calibration.json``: ``{"method": "logistic", "slope": …, "intercept": …, "scoring": {…}}``.

        It may have ``frequency`` and ``presets`` besides.

        Raises:
            InputError: it is not such a file.
        """
        found = parse(_Logistic, read_bytes(path), path, what="is no calibration")
        return cls(found.slope, found.intercept, found.scoring, found.frequency, found.presets)

    def of_labels(self, log_frequencies: np.ndarray) -> "Calibration":
        """The map of labels with these log frequencies, ``(L,)``."""
        assert self.frequency is not None
        return replace(self, offsets=self.frequency.weight * log_frequencies.astype(np.float64))

    def of_columns(self, columns: np.ndarray) -> "Calibration":
        """The map of some of the labels."""
        return self if self.offsets is None else replace(self, offsets=self.offsets[columns])

    @property
    def record(self) -> list[Any]:
        """What decides its probabilities, beside the labels, and what is given by them, as JSON."""
        known = self.frequency is not None or self.presets
        more = [None if self.frequency is None else self.frequency.model_dump(), dict(self.presets)] if known else []
        return [self.slope, self.intercept, *more]

    def log_odds(self, scores: np.ndarray) -> np.ndarray:
        """Log-odds of scores ``(..., L)``, float64; of any shape where no frequencies count."""
        found: np.ndarray = self.slope * scores.astype(np.float64) + self.intercept
        return found if self.offsets is None else found + self.offsets

    def probability(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities of scores, likewise, in (0, 1)."""
        probabilities: np.ndarray = np.exp(-np.logaddexp(0.0, -self.log_odds(scores)))
        return probabilities


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
