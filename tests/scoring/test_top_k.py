"""F1@K against a hand-worked example and a plain reading of the published code."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from c2srt_cli.scoring.top_k import AtK, harmonic_mean, hits_at, top_labels


def test_a_hand_worked_example() -> None:
    scores = np.array([[0.9, 0.5, 0.1], [0.2, 0.2, 0.3]])
    present = np.array([[True, False, True], [False, True, True]])
    # image 1 is given labels 1 and 2, of which 1 is right; image 2 labels 3 and 1 (before its equal, 2): 3 is right
    assert top_labels(scores, 2).tolist() == [[0, 1], [2, 0]]
    assert hits_at(scores, present, (1, 2, 3)).tolist() == [2, 2, 4]
    at = AtK.of(2, 2, images=2, positives=4)
    assert (at.precision, at.recall, at.f1) == (0.5, 0.5, 0.5)
    assert at.positives_per_image == 2.0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=5), st.integers(1, 6))
def test_the_best_are_those_of_a_stable_sort(rows: list[list[int]], k: int) -> None:
    scores = np.array(rows, np.float32)
    wanted = [sorted(range(6), key=lambda i, row=row: (-row[i], i))[:k] for row in rows]  # type: ignore[misc]
    assert top_labels(scores, k).tolist() == wanted


def test_precision_recall_and_f1_are_scikit_learns_micro_averages() -> None:
    generator = np.random.default_rng(0)
    scores, present = generator.random((400, 30)), generator.random((400, 30)) < 0.1
    ks = (3, 5, 10)
    blocks = sum(hits_at(scores[i : i + 128], present[i : i + 128], ks) for i in range(0, 400, 128))
    for k, hits in zip(ks, np.asarray(blocks).tolist(), strict=True):
        given_labels = np.zeros_like(present)
        np.put_along_axis(given_labels, np.argsort(-scores, axis=1)[:, :k], values=True, axis=1)
        wanted = precision_recall_fscore_support(present, given_labels, average="micro", zero_division=0)[:3]
        at = AtK.of(k, hits, 400, int(present.sum()))
        np.testing.assert_allclose([at.precision, at.recall, at.f1], wanted, rtol=1e-12)
        assert at.positives_per_image == pytest.approx(present.sum(1).mean(), rel=1e-12)


def test_nothing_right_and_nothing_there() -> None:
    wrong = AtK.of(3, 0, images=10, positives=4)
    assert (wrong.precision, wrong.recall, wrong.f1) == (0, 0, 0)
    assert math.isnan(wrong.positives_per_image)
    assert AtK.of(3, 0, images=0, positives=0).f1 == 0
    assert harmonic_mean(0.2, 0.6) == pytest.approx(0.3)
    assert math.isnan(harmonic_mean(float("nan"), 0.5))


def test_what_cannot_be_ranked_is_refused() -> None:
    with pytest.raises(ValueError, match="best 4 of 3"):
        top_labels(np.zeros((2, 3)), 4)
    with pytest.raises(ValueError, match="NaN"):
        top_labels(np.array([[0.1, np.nan, 0.3]]), 2)
