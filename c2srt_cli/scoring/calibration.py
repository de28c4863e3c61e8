"""Scores → probabilities, by the logistic map that a backbone or a run carries in ``calibration.json``."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from c2srt_cli.artifacts import read_json
from c2srt_cli.errors import InputError


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

    @classmethod
    def read(cls, path: Path) -> "Calibration":
        """Read ``calibration.json``: ``{"method": "logistic", "slope": …, "intercept": …, "scoring": {…}}``.

        Raises:
            InputError: it is not such a file.
        """
        value = read_json(path)
        try:
            if value["method"] != "logistic":
                raise ValueError(f"unknown method {value['method']!r}")
            calibration = cls(float(value["slope"]), float(value["intercept"]), dict(value["scoring"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"is no calibration ({error})", where=str(path)) from None
        if not np.isfinite([calibration.slope, calibration.intercept]).all() or calibration.slope <= 0:
            raise InputError(
                "is no calibration (slope and intercept must be finite, the slope above 0)", where=str(path)
            )
        return calibration

    def probability(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities of scores of any shape, float64 in (0, 1)."""
        log_odds = self.slope * scores.astype(np.float64) + self.intercept
        return np.exp(-np.logaddexp(0.0, -log_odds))
