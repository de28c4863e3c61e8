"""How much a label's judged images count, where its threshold lies, and what is to be expected of both.

A label's score ``s`` becomes ``s + gain (c - center) + shift``. ``c`` is what the judged images say, see
`predict.cache_model`; ``center`` and the spread that ``gain`` brings to that of the score are measured on the user's
own photographs. With N verdicts the gain counts ``N / (N + SHRINKAGE)``: of a review, which shows what scores highest,
one or two verdicts say little, and taken at their word they make a label worse. ``shift`` moves the label's log-odds
to where its verdicts are likeliest, each seen without itself, under a standard normal prior.
"""

from dataclasses import dataclass

import numpy as np

#: Verdicts at which what they say counts half. Chosen, as `GIVEN`, on one half of Corel5k's training photographs.
SHRINKAGE = 10.0
#: Probability from which a label is given, where nobody has a threshold for it.
GIVEN = 0.4
#: Parts of the cross-validation where there are so many verdicts.
FOLDS = 10
#: Verdicts of either kind that precision and recall can be told from.
LEAST = 3
_STEPS = 50


@dataclass(frozen=True, eq=False)
class Start:
    """How a label stands before anything is learned of it.

    Attributes:
        slope: Of its log-odds, per unit of score.
        intercept: Log-odds at score 0.
        given: Probability from which it is given.
    """

    slope: float
    intercept: float
    given: float

    @property
    def threshold(self) -> float:
        """The score from which it is given."""
        return (float(np.log(self.given / (1 - self.given))) - self.intercept) / self.slope


@dataclass(frozen=True, eq=False)
class Fit:
    """What is added to a label's score: ``gain (c - center) + shift``."""

    gain: float
    center: float
    shift: float

    def added(self, said: np.ndarray) -> np.ndarray:
        """Of what the judged images say, of any shape."""
        found: np.ndarray = self.gain * (said - self.center) + self.shift
        return found


def said(likeness: np.ndarray, yes: np.ndarray) -> np.ndarray:
    """What n judged images say of m others: the mean likeness of those that show it, less that of those that do not.

    Args:
        likeness: ``(n, m)``.
        yes: ``(n,)`` bool.
    """
    found = np.zeros(likeness.shape[1])
    found += likeness[yes].mean(0) if yes.any() else 0
    found -= likeness[~yes].mean(0) if (~yes).any() else 0
    return found


def said_of_themselves(likeness: np.ndarray, yes: np.ndarray) -> np.ndarray:
    """What n judged images say of each of themselves, each left out where it is spoken of: ``(n, n)`` → ``(n,)``."""
    others = likeness * (1 - np.eye(len(yes)))
    found = np.zeros(len(yes))
    for side, sign in ((yes, 1), (~yes, -1)):
        count = side.sum() - side
        found += sign * np.divide(others[side].sum(0), count, out=np.zeros(len(yes)), where=count > 0)
    return found


@dataclass(frozen=True, eq=False)
class Examples:
    """What is known of one label.

    Attributes:
        yes: Which of n judged images show it, ``(n,)`` bool.
        rows: Places of these among N photographs, which stand for the user's collection, ``(n,)``.
        scores: Of the label on all of them, ``(N,)``.
        likeness: Of the judged images with all of them, ``(n, N)``.
    """

    yes: np.ndarray
    rows: np.ndarray
    scores: np.ndarray
    likeness: np.ndarray

    def of(self, places: np.ndarray) -> "Examples":
        """With some of the judged images, ``(n,)`` bool."""
        return Examples(self.yes[places], self.rows[places], self.scores, self.likeness[places])


def fit(examples: Examples, start: Start) -> Fit:
    """Learn one label."""
    everywhere = said(examples.likeness, examples.yes)
    spread, count = everywhere.std(), len(examples.yes)
    gain = count / (count + SHRINKAGE) * examples.scores.std() / spread if spread > 0 else 0.0
    center = float(everywhere.mean())
    alone = said_of_themselves(examples.likeness[:, examples.rows], examples.yes)
    log_odds = start.slope * (examples.scores[examples.rows] + gain * (alone - center)) + start.intercept
    return Fit(float(gain), center, _shift(log_odds, examples.yes) / start.slope)


def _shift(log_odds: np.ndarray, yes: np.ndarray) -> float:
    """The shift of log-odds ``(n,)`` that the verdicts make likeliest, under a standard normal prior; by Newton."""
    shift = 0.0
    for _ in range(_STEPS):
        probability = 1 / (1 + np.exp(-np.clip(log_odds + shift, -500, 500)))
        slope = float((yes - probability).sum() - shift)
        # the likelihood is concave, and the prior bounds its curvature: a step never overshoots by much
        step = slope / float((probability * (1 - probability)).sum() + 1)
        shift += float(np.clip(step, -1, 1))
        if abs(step) < 1e-9:
            break
    return shift


def cross_validated(examples: Examples, start: Start) -> np.ndarray:
    """Which judged images are given the label by what the others say: `fit` without each part in turn, ``(n,)``."""
    yes = examples.yes
    parts = np.empty(len(yes), int)
    for side in (yes, ~yes):  # as many of either kind in each
        parts[side] = np.arange(side.sum()) % FOLDS
    given = np.zeros(len(yes), bool)
    for part in np.unique(parts):
        out, rest = parts == part, examples.of(parts != part)
        scores = examples.scores[examples.rows[out]]
        if len(rest.yes):
            scores = scores + fit(rest, start).added(said(rest.likeness[:, examples.rows[out]], rest.yes))
        given[out] = scores >= start.threshold
    return given


def precision_recall(given: np.ndarray, yes: np.ndarray) -> tuple[float | None, float | None]:
    """Precision and recall of what is given, ``(n,)`` bool both; None where nothing is given, or nothing is there.

    Both are None with fewer than `LEAST` images of either kind.
    """
    if min(yes.sum(), (~yes).sum()) < LEAST:
        return None, None
    hits = float((given & yes).sum())
    return hits / float(given.sum()) if given.any() else None, hits / float(yes.sum())
