"""The bootstrap against a plain reading of its definition, and against fresh test sets drawn from the same source."""

import numpy as np
import pytest

from c2srt_cli.scoring.average_precision import average_precision
from c2srt_cli.scoring.bootstrap import (
    Interval,
    draw_weights,
    mean_over_classes,
    resampled_average_precision,
)


def plain(scores: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> float:
    """One replicate: each drawn positive against the other drawn images, ties by the mean over where it may stand."""
    total, count = 0.0, 0
    for i in np.flatnonzero((truth == 1) & (weights > 0)):
        others = (truth != 0) & (np.arange(len(truth)) != i)
        above, tied = others & (scores > scores[i]), others & (scores == scores[i])
        found, beside = weights[above & (truth == 1)].sum(), weights[tied].sum()
        share = weights[tied & (truth == 1)].sum() / beside if beside else 0.0
        places = range(int(beside) + 1)
        precision = [(found + 1 + j * share) / (weights[above].sum() + 1 + j) for j in places]
        total += weights[i] * float(np.mean(precision))
        count += int(weights[i])
    return total / count if count else float("nan")


@pytest.mark.parametrize("levels", [4, 10**6], ids=["many ties", "no ties"])
def test_a_replicate_equals_its_plain_definition(levels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("c2srt_cli.scoring.bootstrap.REPLICATES", 16)  # several blocks, the last one short
    generator = np.random.default_rng(0)
    scores = (generator.integers(0, levels, 60) / levels).astype(np.float32)
    truth = generator.choice(np.array([-1, 0, 1], np.int8), 60, p=[0.7, 0.2, 0.1])
    weights = draw_weights(60, 40, seed=1)
    wanted = [plain(scores, truth, weights[:, r].astype(int)) for r in range(40)]
    np.testing.assert_allclose(resampled_average_precision(scores, truth, weights), wanted, atol=1e-12)


@pytest.mark.parametrize("levels", [3, 10**6], ids=["many ties", "no ties"])
def test_with_weights_of_one_it_is_average_precision(levels: int) -> None:
    generator = np.random.default_rng(1)
    scores = generator.integers(0, levels, 3000).astype(np.float32)
    truth = generator.random(3000) < 0.05
    got = resampled_average_precision(scores, truth, np.ones((3000, 2), np.uint8))
    np.testing.assert_allclose(got, average_precision(scores[None], truth[None])[0], rtol=1e-12)


def test_a_class_without_positives_in_a_replicate_is_left_out_of_its_mean() -> None:
    truth = np.array([True, False, False])
    scores = np.array([0.5, 0.9, 0.1])
    weights = np.array([[0, 1, 2], [1, 1, 0], [2, 1, 1]], np.uint8)
    got = resampled_average_precision(scores, truth, weights)
    np.testing.assert_allclose(got, [np.nan, 0.5, 1.0])  # its two copies do not lift each other
    nothing = resampled_average_precision(scores, np.zeros(3, bool), weights)
    assert np.isnan(nothing).all()
    np.testing.assert_allclose(mean_over_classes(np.stack([got, got / 2, nothing])), [np.nan, 0.375, 0.75])


def test_weights_draw_as_many_images_as_there_are_and_more_replicates_begin_as_fewer() -> None:
    weights = draw_weights(200, 50, seed=3)
    assert (weights.sum(0) == 200).all()
    np.testing.assert_array_equal(weights[:, :20], draw_weights(200, 20, seed=3))
    assert not np.array_equal(weights, draw_weights(200, 50, seed=4))
    with pytest.raises(ValueError, match="no images"):
        draw_weights(0, 5, seed=0)


def test_its_spread_is_that_of_fresh_test_sets_and_it_is_centred() -> None:
    generator = np.random.default_rng(5)

    def fresh(images: int = 500, classes: int = 20) -> tuple[np.ndarray, np.ndarray]:
        truth = generator.random((classes, images)) < 0.03
        return generator.normal(size=(classes, images)) + 1.5 * truth, truth

    means, errors, shifts = [], [], []
    for number in range(60):
        scores, truth = fresh()
        means.append(float(np.nanmean(average_precision(scores, truth))))
        if number < 12:
            weights = draw_weights(500, 100, seed=number)
            rows = [resampled_average_precision(*one, weights) for one in zip(scores, truth, strict=True)]
            replicates = mean_over_classes(np.stack(rows))
            errors.append(replicates.std())
            shifts.append(replicates.mean() - means[-1])
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.3)
    assert abs(np.mean(shifts)) < 0.35 * np.mean(errors)


def test_an_interval_is_of_percentiles_and_knows_whether_it_counts() -> None:
    interval = Interval.of(0.5, np.append(np.arange(1001) / 1000, np.nan))
    assert (interval.low, interval.high) == pytest.approx((0.025, 0.975))
    assert interval.excludes_zero
    assert not Interval.of(0.0, np.linspace(-1, 1, 11)).excludes_zero
    assert Interval.of(-0.5, np.linspace(-1, -0.1, 11)).excludes_zero
    nothing = Interval.of(0.5, np.full(3, np.nan))
    assert np.isnan([nothing.low, nothing.high]).all()
    assert not nothing.excludes_zero
