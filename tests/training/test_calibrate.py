"""Maps and thresholds against scikit-learn, and the second training behind them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from c2srt_cli.graph.category_graph import CategoryGraph, Edge
from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.training.calibrate import best_threshold, logistic, shrunk_threshold
from c2srt_cli.training.config import resolve
from c2srt_cli.training.data import TrainingData
from c2srt_cli.training.run import vocabulary_of


def scored(seed: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = np.where(random.random(shape) < 0.2, 1, -1).astype(np.int8)
    scores = (0.2 + 0.04 * truth + random.normal(0, 0.05, shape)).astype(np.float32)
    truth[random.random(shape) < 0.1] = 0
    return scores, truth


def test_the_logistic_map_is_that_of_scikit_learn() -> None:
    scores, truth = scored(0, (60, 7))
    got = logistic(scores, truth)
    x, y = scores[truth != 0].astype(np.float64), truth[truth != 0] > 0
    target = np.where(y, (y.sum() + 1) / (y.sum() + 2), 1 / ((~y).sum() + 2))
    # soft targets as weighted pairs
    peer = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000, solver="newton-cholesky").fit(
        np.concatenate([x, x])[:, None], np.repeat([1, 0], len(x)), np.concatenate([target, 1 - target])
    )
    np.testing.assert_allclose([got.slope, got.intercept], [peer.coef_[0, 0], peer.intercept_[0]], rtol=1e-4)


def test_scores_that_mean_the_opposite_give_a_flat_map() -> None:
    scores, truth = scored(1, (60, 7))
    assert logistic(-scores, truth).slope == 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_no_other_threshold_has_a_better_f1(seed: int) -> None:
    scores, truth = scored(seed, (80,))
    values = np.round(scores.astype(np.float64), 2)  # with ties
    known = truth != 0
    own = f1_score(truth[known] > 0, values[known] >= best_threshold(values, truth))
    others = [f1_score(truth[known] > 0, values[known] >= t) for t in np.unique(values)]
    assert own == pytest.approx(max(others))


def test_thresholds_without_a_positive_give_nothing() -> None:
    assert best_threshold(np.array([0.2, 0.9]), np.array([-1, 0])) == 1.0


def test_a_threshold_is_shrunk_by_the_number_of_positives() -> None:
    values, truth = np.array([0.8, 0.6, 0.1]), np.array([1, 1, -1])
    assert best_threshold(values, truth) == pytest.approx(0.35)
    assert shrunk_threshold(values, truth, 0.5) == pytest.approx((2 * 0.35 + 10 * 0.5) / 12)


@pytest.mark.parametrize(
    ("method", "wanted"),
    [
        ("c2srt", {(1, 0), (0, 1), (0, 3), (1, 3)}),  # sources that are seen, and targets
        ("label-propagation", {(0, 2), (1, 2), (0, 3), (1, 3)}),  # of these, targets that are not seen
    ],
)
def test_hidden_labels_speak_for_nobody(method: str, wanted: set[tuple[int, int]]) -> None:
    """Label 2 is hidden, 3 is unseen."""
    pairs = [(1, 0), (2, 0), (3, 0), (0, 1), (2, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
    wanted = wanted | ({(0, 2), (1, 2)} if method == "c2srt" else set())
    graph = CategoryGraph(
        LabelSet(tuple(Label(name) for name in "abcd")),
        tuple(Edge(source, target, "similar", 0.1 + 0.05 * source, "llm") for source, target in pairs),
    )
    own = vocabulary_of(resolve(method, {}), torch.eye(4), graph, np.array([True, True, True, False]))
    data = TrainingData(
        annotations=None,  # type: ignore[arg-type]
        train=None,  # type: ignore[arg-type]
        validation=None,  # type: ignore[arg-type]
        labels=np.array([0, 1, 2]),
        vocabulary=own,
        split_stage=0,
        autocast=False,
        checkpoint=Path("c"),
    )
    got = data.without(np.array([2]))
    assert got.labels.tolist() == [0, 1]
    assert got.vocabulary.unseen.tolist() == [False, False, True, True]
    rows = got.vocabulary.neighbours
    assert rows is not None
    heard = {
        (int(rows.index[node, place]), node): float(rows.attr[node, place, -1])
        for node in range(4)
        for place in range(1, rows.mask.shape[1])
        if rows.mask[node, place]
    }
    assert heard == {(source, target): pytest.approx(0.1 + 0.05 * source) for source, target in wanted}
