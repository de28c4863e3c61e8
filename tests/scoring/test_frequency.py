"""How often labels occur, against the sum as it is written."""

import math
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from c2srt_cli.artifacts import file_sha256
from c2srt_cli.errors import InputError
from c2srt_cli.scoring.calibration import FrequencyOptions
from c2srt_cli.scoring.frequency import LabelFrequency

WORDS, DIM = 7, 5


def table(path: Path, **changed: np.ndarray) -> FrequencyOptions:
    random = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {
        "text": random.normal(size=(WORDS, DIM)).astype(np.float16),
        "log_frequency": random.uniform(-9, -1, WORDS).astype(np.float32),
    }
    save_file(arrays | changed, path)
    return FrequencyOptions(weight=0.5, sharpness=4.0, smoothing=0.25, floor=-8.0, sha256=file_sha256(path))


def test_it_is_the_mean_of_the_words_by_likeness(tmp_path: Path) -> None:
    options = table(tmp_path / "f")
    frequency = LabelFrequency.read(tmp_path / "f", options, DIM)
    labels = np.random.default_rng(1).normal(size=(3, DIM))
    for label, found in zip(labels, frequency(labels), strict=True):
        above, below = 0.25 * -8.0, 0.25
        for word, value in zip(frequency.text.tolist(), frequency.log_frequency.tolist(), strict=True):
            cosine = sum(a * b for a, b in zip(label, word, strict=True)) / math.hypot(*label) / math.hypot(*word)
            above += math.exp(4 * (cosine - 1)) * value
            below += math.exp(4 * (cosine - 1))
        assert found == pytest.approx(above / below, abs=6e-5)


def test_a_label_s_does_not_depend_on_the_others(tmp_path: Path) -> None:
    frequency = LabelFrequency.read(tmp_path / "f", table(tmp_path / "f"), DIM)
    labels = np.random.default_rng(2).normal(size=(2500, DIM))
    every = frequency(labels)
    assert every.shape == (2500,)
    np.testing.assert_array_equal(
        every[[0, 1200, 2499]], np.concatenate([frequency(labels[[i]]) for i in (0, 1200, 2499)])
    )
    assert frequency(labels[:0]).shape == (0,)


def test_it_is_near_a_word_s_own_where_the_label_is_that_word(tmp_path: Path) -> None:
    options = table(tmp_path / "f").model_copy(update={"sharpness": 500.0, "smoothing": 1e-6})
    frequency = LabelFrequency.read(tmp_path / "f", options, DIM)
    np.testing.assert_allclose(frequency(3 * frequency.text), frequency.log_frequency, atol=1e-3)
    np.testing.assert_allclose(frequency(-frequency.text[:1] - 9), options.floor, atol=1e-3)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"text": np.zeros((WORDS, DIM + 1), np.float16)}, "no frequencies"),
        ({"log_frequency": np.zeros(WORDS - 1, np.float32)}, "no frequencies"),
        ({"log_frequency": np.full(WORDS, np.nan, np.float32)}, "no frequencies"),
        ({"text": np.full((WORDS, DIM), np.inf, np.float16)}, "no frequencies"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, changed: dict[str, np.ndarray], said: str) -> None:
    options = table(tmp_path / "f", **changed)
    with pytest.raises(InputError, match=said):
        LabelFrequency.read(tmp_path / "f", options, DIM)


def test_a_table_that_is_missing_another_or_broken_is_refused(tmp_path: Path) -> None:
    options = table(tmp_path / "f")
    with pytest.raises(InputError, match="cannot be read"):
        LabelFrequency.read(tmp_path / "g", options, DIM)
    with pytest.raises(InputError, match="not the one"):
        LabelFrequency.read(tmp_path / "f", options.model_copy(update={"sha256": "0" * 64}), DIM)
    (tmp_path / "f").write_bytes(b"nonsense")
    broken = options.model_copy(update={"sha256": file_sha256(tmp_path / "f")})
    with pytest.raises(InputError, match="cannot be read"):
        LabelFrequency.read(tmp_path / "f", broken, DIM)
