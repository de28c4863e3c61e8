"""The calibration that a method's scores have: a run's own, or the backbone's."""

from typing import Any

from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.methods.registry import METHODS
from c2srt_cli.scoring.calibration import Calibration, RunCalibration
from c2srt_cli.training.run import Run


def calibration_of(run: Run) -> RunCalibration | None:
    """A run's calibration; none for a method whose scores mean something else with every vocabulary."""
    return run.calibration if METHODS[run.options.method].can_calibrate else None


def calibration_of_backbone(backbone: Backbone, options: Any) -> Calibration | None:
    """The backbone's calibration, if it holds for this scoring; of a model trained with a sigmoid, that itself."""
    if backbone.calibration_path is None:
        bias = backbone.logit_bias
        return None if bias is None else Calibration(backbone.logit_scale, bias, {})
    calibration, patches = Calibration.read(backbone.calibration_path), options.patches.model_dump()
    scoring = {"pool": patches["kind"], "alpha": patches.get("alpha"), "cap": patches.get("max_patches")}
    return calibration if all(scoring.get(key) == value for key, value in calibration.scoring.items()) else None
