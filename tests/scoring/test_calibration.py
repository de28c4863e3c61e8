import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from c2srt_cli.errors import InputError
from c2srt_cli.scoring.calibration import Calibration


def test_probability_is_the_logistic_of_the_score(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps({"method": "logistic", "slope": 80.0, "intercept": -20.0, "scoring": {"pool": "isr"}}))
    scores = np.array([[-1.0, 0.0, 0.25], [0.3, 0.5, 1.0]], np.float32)
    calibration = Calibration.read(path)
    np.testing.assert_allclose(calibration.probability(scores), expit(80.0 * scores.astype(float) - 20.0), rtol=1e-12)
    assert calibration.scoring == {"pool": "isr"}


@pytest.mark.parametrize(
    "value",
    [
        "nonsense",
        json.dumps({"method": "beta", "slope": 1, "intercept": 0, "scoring": {}}),
        json.dumps({"method": "logistic", "slope": -1, "intercept": 0, "scoring": {}}),
        json.dumps({"method": "logistic", "slope": 1}),
        json.dumps([1]),
    ],
)
def test_what_is_no_calibration_is_refused(tmp_path: Path, value: str) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(value)
    with pytest.raises(InputError, match=r"calibration\.json"):
        Calibration.read(path)
