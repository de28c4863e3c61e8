import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from c2srt_cli.errors import InputError
from c2srt_cli.scoring.calibration import Calibration, RunCalibration


def test_probability_is_the_logistic_of_the_score(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps({"method": "logistic", "slope": 80.0, "intercept": -20.0, "scoring": {"pool": "isr"}}))
    scores = np.array([[-1.0, 0.0, 0.25], [0.3, 0.5, 1.0]], np.float32)
    calibration = Calibration.read(path)
    np.testing.assert_allclose(calibration.probability(scores), expit(80.0 * scores.astype(float) - 20.0), rtol=1e-12)
    assert calibration.scoring == {"pool": "isr"}


def refusal(kind: type[Calibration | RunCalibration], folder: Path, value: dict[str, object], what: str) -> str:
    path = folder / "calibration.json"
    path.write_text(json.dumps(value))
    with pytest.raises(InputError, match=what) as refused:
        kind.read(path)
    return str(refused.value)


FREQUENCY = {"weight": 0.5, "sharpness": 20.0, "smoothing": 0.3, "floor": -8.0, "sha256": "0" * 64}
FULL = {"method": "logistic", "slope": 18.0, "intercept": -2.0, "scoring": {}, "frequency": FREQUENCY}


def test_how_often_labels_occur_is_added_to_their_log_odds(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps({**FULL, "presets": {"strict": 0.5, "generous": 0.125}}))
    calibration = Calibration.read(path)
    assert calibration.presets == {"strict": 0.5, "generous": 0.125}
    labels = calibration.of_labels(np.array([-1.0, -3.0, -8.0]))
    scores = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], np.float32)
    expected = 18.0 * scores.astype(float) - 2.0 + np.array([-0.5, -1.5, -4.0])
    np.testing.assert_allclose(labels.log_odds(scores), expected, rtol=1e-12)
    np.testing.assert_allclose(labels.probability(scores), expit(expected), rtol=1e-12)
    some = labels.of_columns(np.array([2, 0]))
    np.testing.assert_array_equal(some.probability(scores[:, [2, 0]]), labels.probability(scores)[:, [2, 0]])
    assert calibration.of_columns(np.array([2])) is calibration, "there is nothing of single labels in it"
    plain = Calibration(18.0, -2.0, {})
    assert plain.record == [18.0, -2.0]
    assert calibration.record != plain.record
    json.dumps(labels.record)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"presets": {"loose": 0.1}}, "presets"),
        ({"presets": {"strict": 1.5}}, "presets.strict"),
        ({"frequency": {**FREQUENCY, "weight": -1}}, "frequency.weight"),
        ({"frequency": {**FREQUENCY, "sharpness": 0}}, "frequency.sharpness"),
        ({"frequency": {**FREQUENCY, "floor": 1}}, "frequency.floor"),
        ({"frequency": {**FREQUENCY, "sha256": "0"}}, "frequency.sha256"),
        ({"frequency": {"weight": 1.0}}, "frequency"),
    ],
)
def test_frequencies_and_presets_are_checked(tmp_path: Path, change: dict[str, object], said: str) -> None:
    assert said in refusal(Calibration, tmp_path, {**FULL, **change}, "is no calibration")


@pytest.mark.parametrize(
    "value",
    [
        "nonsense",
        json.dumps({"method": "beta", "slope": 1, "intercept": 0, "scoring": {}}),
        json.dumps({"method": "logistic", "slope": -1, "intercept": 0, "scoring": {}}),
        json.dumps({"method": "logistic", "slope": "1", "intercept": 0, "scoring": {}}),
        json.dumps({"method": "logistic", "slope": True, "intercept": 0, "scoring": {}}),
        json.dumps({"method": "logistic", "slope": 10**400, "intercept": 0, "scoring": {}}),
        '{"method": "logistic", "slope": 1e999, "intercept": 0, "scoring": {}}',
        '{"method": "logistic", "slope": 1, "intercept": NaN, "scoring": {}}',
        json.dumps({"method": "logistic", "slope": 0, "intercept": 0, "scoring": {}}),
        json.dumps({"method": "logistic", "slope": 2e9, "intercept": 0, "scoring": {}}),
        json.dumps({"method": "logistic", "slope": 1, "intercept": 2e9, "scoring": {}}),
        json.dumps({"method": "logistic", "slope": 1, "intercept": -1e300, "scoring": {}}),
        json.dumps({"method": "logistic", "slope": 1, "intercept": 0, "scoring": []}),
        json.dumps({"method": "logistic", "slope": 1}),
        json.dumps([1]),
    ],
)
def test_what_is_no_calibration_is_refused(tmp_path: Path, value: str) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(value)
    with pytest.raises(InputError, match=r"calibration\.json"):
        Calibration.read(path)


RUN = {
    "method": "logistic by seen",
    "seen": {"slope": 2.0, "intercept": 1},
    "unseen": {"slope": 0.5, "intercept": -1.0},
    "threshold": 0.25,
    "unseen_threshold": 1,
    "thresholds": {"cat": 0.125},
}


def test_a_run_s_record_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(RUN))
    found = RunCalibration.read(path)
    assert found.record() == RUN
    seen = np.array([True, False, True])
    np.testing.assert_array_equal(found.thresholds_of(["cat", "dog", "cow"], seen), [0.125, 1.0, 0.25])
    scores = np.array([[0.5, 0.5, -1.0]])
    np.testing.assert_allclose(found.probability(scores, seen), expit([[2.0, -0.75, -1.0]]), rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seen": {"slope": 0, "intercept": 0}}, "seen.slope: must be greater than 0, is 0"),
        ({"seen": []}, "seen: must be an object"),
        ({"unseen": {"slope": 1e300, "intercept": 0}}, "unseen.slope: must be less than"),
        ({"threshold": 1.5}, "threshold: must be less than or equal to 1, is 1.5"),
        ({"threshold": "0.5"}, "threshold: must be a number"),
        ({"thresholds": {"cat": -0.1}}, "thresholds.cat: must be greater than or equal to 0"),
        ({"thresholds": {"cat": None}}, "thresholds.cat: must be a number"),
        ({"thresholds": [0.5]}, "thresholds: must be an object"),
        ({"method": "logistic"}, "method: must be 'logistic by seen'"),
    ],
)
def test_what_no_run_s_calibration_can_be(tmp_path: Path, change: dict[str, object], said: str) -> None:
    assert said in refusal(RunCalibration, tmp_path, {**RUN, **change}, "is no calibration of a run")
