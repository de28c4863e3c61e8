"""The calibration that a method's scores have: a run's own, or the backbone's."""

from typing import Any

import numpy as np
from torch import Tensor

from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.methods.registry import METHODS
from c2srt_cli.scoring.calibration import Calibration, RunCalibration
from c2srt_cli.scoring.frequency import FREQUENCY, LabelFrequency
from c2srt_cli.training.run import Run


def calibration_of(run: Run) -> RunCalibration | None:
    """A run's calibration; none for a method whose scores mean something else with every vocabulary."""
    return run.calibration if METHODS[run.options.method].can_calibrate else None


def calibration_of_backbone(backbone: Backbone, options: Any, text: Tensor) -> Calibration | None:
    """The backbone's calibration for some labels, if it holds for this scoring.

    Of a model trained with a sigmoid, that itself.

    Args:
        backbone: Whose scores they are.
        options: Of the method that makes them.
        text: Embeddings of the labels, ``(L, D)``.

    Raises:
        InputError: the calibration or its table of words is missing or damaged.
    """
    path = backbone.calibration_path
    if path is None:
        bias = backbone.logit_bias
        return None if bias is None else Calibration(backbone.logit_scale, bias, {})
    calibration, patches = Calibration.read(path), options.patches.model_dump()
    scoring = {"pool": patches["kind"], "alpha": patches.get("alpha"), "cap": patches.get("max_patches")}
    if any(scoring.get(key) != value for key, value in calibration.scoring.items()):
        return None
    if calibration.frequency is None:
        return calibration
    frequency = LabelFrequency.read(path.with_name(FREQUENCY), calibration.frequency, backbone.dim)
    return calibration.of_labels(frequency(text.float().cpu().numpy()))


def order_of(calibration: Calibration | RunCalibration | None, ranking: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """By which the labels of one image are ordered, ``(..., L)``: their scores, or what is known of their odds.

    Args:
        calibration: Of the labels.
        ranking: `Scores.ranking`.
        logits: `Scores.logit`.
    """
    known = calibration if isinstance(calibration, Calibration) else None
    return ranking if known is None or known.offsets is None else known.log_odds(logits)
