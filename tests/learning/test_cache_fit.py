"""The fit of one label, against scipy's optimisers, scikit-learn, and loops that spell it out."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.metrics import precision_score, recall_score

from c2srt_cli.learning import cache_fit
from c2srt_cli.learning.cache_fit import Examples, Start

START = Start(slope=17.0, intercept=-3.6, given=0.4)


def made(yes: list[bool], *, photographs: int = 40, seed: int = 0) -> Examples:
    """Judged photographs, the first of a collection, whose embeddings lie on a sphere."""
    random = np.random.default_rng(seed)
    embeddings = random.normal(size=(photographs, 6))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    rows = random.permutation(photographs)[: len(yes)]
    likeness = np.exp(-5.5 * (1 - embeddings[rows] @ embeddings.T))
    return Examples(np.array(yes, bool), rows, random.normal(0.2, 0.05, photographs), likeness)


def said_by_loops(examples: Examples, of: int, without: set[int]) -> float:
    """Mean likeness of a photograph with those that show the label, less that with the others."""
    sides: dict[bool, list[float]] = {True: [], False: []}
    for number, yes in enumerate(examples.yes.tolist()):
        if number not in without:
            sides[yes].append(float(examples.likeness[number, of]))
    return sum(sign * sum(side) / len(side) for sign, side in ((1, sides[True]), (-1, sides[False])) if side)


def fit_by_loops(examples: Examples, start: Start, without: set[int]) -> Any:
    """What is added to the score of a photograph, as the module's docstring writes it."""
    judged = [n for n in range(len(examples.yes)) if n not in without]
    everywhere = [said_by_loops(examples, i, without) for i in range(len(examples.scores))]
    gain = len(judged) / (len(judged) + 10) * np.std(examples.scores) / np.std(everywhere)
    center = np.mean(everywhere)
    odds = [
        start.slope * (examples.scores[row] + gain * (said_by_loops(examples, row, without | {n}) - center))
        + start.intercept
        for n, row in ((n, examples.rows[n]) for n in judged)
    ]

    def unlikely(shift: float) -> float:
        signs = np.array([-1 if examples.yes[n] else 1 for n in judged])
        return float(np.logaddexp(0, (np.array(odds) + shift) * signs).sum() + shift**2 / 2)

    shift = minimize_scalar(unlikely, bounds=(-30, 30), method="bounded", options={"xatol": 1e-10}).x / start.slope
    return lambda row: gain * (said_by_loops(examples, row, without) - center) + shift


@pytest.mark.parametrize(
    "yes", [[True], [False], [True, True], [True, False, False], [n % 3 == 0 for n in range(25)]], ids=str
)
def test_a_label_is_fitted_as_it_is_written_down(yes: list[bool]) -> None:
    examples = made(yes)
    found = cache_fit.fit(examples, START).added(cache_fit.said(examples.likeness, examples.yes))
    expected = fit_by_loops(examples, START, set())
    np.testing.assert_allclose(found, [expected(row) for row in range(40)], atol=1e-6)


def test_few_verdicts_count_little() -> None:
    gains = []
    for count in (2, 10, 40):
        examples = made([True, False] * (count // 2), photographs=60)
        spread = cache_fit.said(examples.likeness, examples.yes).std()
        gains.append(cache_fit.fit(examples, START).gain * spread / examples.scores.std())
    np.testing.assert_allclose(gains, [2 / 12, 10 / 20, 40 / 50])


def test_photographs_that_are_all_alike_say_nothing() -> None:
    examples = Examples(np.array([True, False]), np.arange(2), np.full(5, 0.3), np.ones((2, 5)))
    assert cache_fit.fit(examples, START).gain == 0.0


@pytest.mark.parametrize("yes", [[True, True, True, False, False], [n % 4 == 0 for n in range(30)], [True]], ids=str)
def test_cross_validation_never_sees_what_it_judges(yes: list[bool]) -> None:
    examples = made(yes, seed=3)
    places = {side: [n for n, one in enumerate(yes) if one is side] for side in (True, False)}
    given = []
    for n, one in enumerate(yes):
        part = places[one].index(n) % 10
        out = {m for side in places.values() for k, m in enumerate(side) if k % 10 == part}
        score = examples.scores[examples.rows[n]]
        added = fit_by_loops(examples, START, out)(examples.rows[n]) if len(out) < len(yes) else 0.0
        given.append(1 / (1 + np.exp(-START.slope * (score + added) - START.intercept)) >= START.given)
    np.testing.assert_array_equal(cache_fit.cross_validated(examples, START), given)


def test_precision_and_recall_are_scikit_learns() -> None:
    random = np.random.default_rng(0)
    yes, given = random.random(50) < 0.4, random.random(50) < 0.5
    expected = precision_score(yes, given), recall_score(yes, given)
    assert cache_fit.precision_recall(given, yes) == pytest.approx(expected)


def test_what_cannot_be_told_is_not() -> None:
    yes = np.array([True, True, False, False, False])
    assert cache_fit.precision_recall(np.ones(5, bool), yes) == (None, None)
    yes = np.array([True] * 3 + [False] * 3)
    assert cache_fit.precision_recall(np.zeros(6, bool), yes) == (None, 0.0)
