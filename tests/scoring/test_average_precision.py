"""Average precision against scikit-learn, the published formula, hand-worked numbers and every order of ties."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from c2srt_cli.scoring.average_precision import MeanAP, average_precision


def published_ap(scores: np.ndarray, truth: np.ndarray) -> float:
    """METHODS 6.1 to the letter: known entries only, a descending sort, the sum of precision@i * rel_i over n_pos."""
    scores, truth = scores[np.abs(truth) == 1], truth[np.abs(truth) == 1]
    hits, total = 0, 0.0
    for place, i in enumerate(sorted(range(len(scores)), key=lambda i: -scores[i]), 1):
        if truth[i] == 1:
            hits += 1
            total += hits / place
    return total / hits if hits else 0.0


def test_a_hand_worked_example_with_ties_an_absent_class_and_masked_entries() -> None:
    scores = np.array([[0.9, 0.8, 0.8, 0.1], [0.1, 0.2, 0.3, 0.4], [0.9, 0.8, 0.7, 0.6]])
    truth = np.array([[-1, 1, -1, 1], [-1, -1, -1, -1], [0, -1, 1, 0]])
    # the tied positive stands at place 2 (1/2) or 3 (1/3), each half of the time; the other at place 4 (2/4)
    first = (Fraction(1, 2) + Fraction(1, 3)) / 2
    wanted = (first + Fraction(1, 2)) / 2
    got = average_precision(scores, truth)
    assert got[0] == pytest.approx(float(wanted), abs=1e-15)
    assert math.isnan(got[1])
    assert got[2] == 0.5  # of two known entries the positive is the second
    mean = MeanAP.of(got, (truth != 0).any(1))
    assert (mean.classes, mean.without_positives) == (3, 1)
    assert mean.with_zeros == pytest.approx((float(wanted) + 0.5) / 3)
    assert mean.left_out == pytest.approx((float(wanted) + 0.5) / 2)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from([-1, 0, 1])), min_size=1, max_size=6))
def test_ties_count_with_the_mean_over_all_their_orders(entries: list[tuple[int, int]]) -> None:
    scores, truth = (np.array(column, dtype=float) for column in zip(*entries, strict=True))
    orders = [list(order) for order in itertools.permutations(range(len(entries)))]
    # a stable sort keeps tied entries as the permutation has them: every order of them is as frequent
    wanted = np.mean([published_ap(scores[order], truth[order]) for order in orders])
    got = average_precision(scores[None], truth[None].astype(np.int8))[0]
    assert got == pytest.approx(wanted, abs=1e-12) if (truth == 1).any() else math.isnan(got)


def test_without_ties_it_is_scikit_learn_and_the_published_formula() -> None:
    generator = np.random.default_rng(0)
    truth = generator.choice(np.array([-1, 0, 1], np.int8), (12, 20000), p=[0.6, 0.3, 0.1])
    truth[3] = np.where(generator.random(20000) < 0.0002, 1, -1)
    scores = generator.random(truth.shape) + 0.15 * truth
    got = average_precision(scores, truth)
    for value, row, facts in zip(got, scores, truth, strict=True):
        assert value == pytest.approx(average_precision_score(facts[facts != 0] == 1, row[facts != 0]), abs=1e-9)
        assert value == pytest.approx(published_ap(row, facts), abs=1e-12)


def test_boolean_truth_is_complete() -> None:
    generator = np.random.default_rng(1)
    truth = generator.random((4, 300)) < 0.1
    scores = generator.random((4, 300))
    np.testing.assert_array_equal(
        average_precision(scores, truth), average_precision(scores, np.where(truth, 1, -1).astype(np.int8))
    )


def test_a_ranking_that_says_nothing_has_the_expectation_of_a_random_one() -> None:
    count, hits = 100_000, 7
    truth = np.zeros((1, count), bool)
    truth[0, :hits] = True
    wanted = math.fsum((1 + j * (hits - 1) / (count - 1)) / (j + 1) for j in range(count)) / count
    got = average_precision(np.zeros((1, count), np.float32), truth)
    assert got[0] == pytest.approx(wanted, rel=1e-9)


def test_the_order_of_rows_does_not_matter() -> None:
    generator = np.random.default_rng(2)
    scores, truth = generator.integers(0, 5, (3, 500)) / 5, generator.random((3, 500)) < 0.2
    order = generator.permutation(500)
    np.testing.assert_array_equal(
        average_precision(scores, truth), average_precision(scores[:, order], truth[:, order])
    )


def test_what_cannot_be_ranked_is_refused() -> None:
    scores = np.array([[0.1, np.nan]])
    with pytest.raises(ValueError, match="NaN"):
        average_precision(scores, np.array([[True, False]]))
    assert average_precision(scores, np.array([[1, 0]]))[0] == 1.0  # it takes no part
    with pytest.raises(ValueError, match="their truth is"):
        average_precision(scores, np.ones((2, 1), bool))


def test_means_of_nothing_are_unknown() -> None:
    nothing = MeanAP.of(np.array([np.nan, np.nan]), np.array([False, False]))
    assert math.isnan(nothing.with_zeros)
    assert math.isnan(nothing.left_out)
    assert nothing.classes == 0
    empty = MeanAP.of(np.array([np.nan, np.nan]))
    assert empty.with_zeros == 0.0
    assert math.isnan(empty.left_out)
