import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2srt_cli.errors import UsageError
from c2srt_cli.labels import read_labels
from c2srt_cli.scoring.presets import PRESETS, Preset
from c2srt_cli.tagging.decision import Rule

LOGIT_SCALE = 100.0


ODDS = {"strict": 0.3, "balanced": 0.1, "generous": 0.03}
ABOVE = {"strict": 2.5, "balanced": 1.5, "generous": 1.0}


def by_the_book(  # noqa: PLR0917
    scores: list[float],
    probabilities: list[float] | None,
    own: list[float | None],
    rule: Rule,
    bar: float | None = None,
    standard: list[float] | None = None,
) -> list[int]:
    """The rule as its documentation states it, label by label."""
    best_first = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    if rule.threshold is not None:
        assert probabilities is not None
        given = {i for i in best_first if probabilities[i] >= rule.threshold}
    elif rule.top_k is not None:
        given = set(best_first)
    elif bar is not None:
        assert probabilities is not None
        given = set([i for i in best_first if probabilities[i] >= bar][:10])
    else:
        out = [i for i in best_first if standard is None or standard[i] >= ABOVE[rule.preset]]
        best = max((scores[i] for i in out), default=0.0)
        given = set([i for i in out if math.exp(LOGIT_SCALE * (scores[i] - best)) >= ODDS[rule.preset]][:10])
    if probabilities is not None:
        for i, threshold in enumerate(own):
            if threshold is not None:
                given.discard(i)
                if probabilities[i] >= threshold:
                    given.add(i)
    return [i for i in best_first if i in given][: rule.top_k]


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[float], list[float] | None, list[float | None], Rule]:
    count = draw(st.integers(1, 120))
    # thousandths: many ties, and no difference close to the bars, 0.0120, 0.0230 and 0.0351 below the best
    scores = [n / 1000 for n in draw(st.lists(st.integers(150, 300), min_size=count, max_size=count))]
    if draw(st.booleans()):
        eighths = st.integers(0, 8).map(lambda n: n / 8)
        probabilities = draw(st.lists(eighths, min_size=count, max_size=count))
        own = draw(st.lists(st.one_of(st.none(), eighths), min_size=count, max_size=count))
        threshold = draw(st.one_of(st.none(), eighths))
    else:
        probabilities, own, threshold = None, [None] * count, None
    preset: Preset = draw(st.sampled_from(PRESETS))
    return scores, probabilities, own, Rule(threshold, draw(st.one_of(st.none(), st.integers(1, 130))), preset)


@settings(max_examples=200, deadline=None)
@given(cases(), st.one_of(st.none(), st.integers(0, 8).map(lambda n: n / 8)), st.data())
def test_the_rule_as_written(
    case: tuple[list[float], list[float] | None, list[float | None], Rule], bar: float | None, data: st.DataObject
) -> None:
    scores, probabilities, own, rule = case
    quarters = st.lists(st.integers(-8, 16).map(lambda n: n / 4), min_size=len(scores), max_size=len(scores))
    standard = data.draw(st.one_of(st.none(), quarters))
    bar = None if probabilities is None else bar
    found = rule.choose(
        np.array(scores, np.float32),
        None if probabilities is None else np.array(probabilities),
        np.array([np.nan if value is None else value for value in own]),
        LOGIT_SCALE,
        bar=bar,
        standard=None if standard is None else np.array(standard, np.float32),
    )
    assert found.tolist() == by_the_book(scores, probabilities, own, rule, bar, standard)


@settings(max_examples=100, deadline=None)
@given(cases(), st.data())
def test_a_profile_decides_its_labels_and_people_theirs(
    case: tuple[list[float], list[float] | None, list[float | None], Rule], data: st.DataObject
) -> None:
    scores, probabilities, own, rule = case
    one = st.sampled_from([-1, 0, 0, 1])
    learned, said = (data.draw(st.lists(one, min_size=len(scores), max_size=len(scores))) for _ in range(2))
    found = rule.choose(
        np.array(scores, np.float32),
        None if probabilities is None else np.array(probabilities),
        np.array([np.nan if value is None else value for value in own]),
        LOGIT_SCALE,
        None,
        np.array(learned, np.int8),
        np.array(said, np.int8),
    )
    # as if what was refused had not been asked for
    asked = [i for i, verdict in enumerate(said) if verdict >= 0]
    mine = None if probabilities is None else [probabilities[i] for i in asked]
    given = (
        {asked[i] for i in by_the_book([scores[i] for i in asked], None, [], Rule(preset=rule.preset))}
        if asked
        else set()
    )
    if rule.threshold is not None and mine is not None:
        given = {i for i in asked if probabilities is not None and probabilities[i] >= rule.threshold}
    elif rule.top_k is not None:
        given = set(asked)
    else:
        given = {i for i in asked if learned[i] > 0 or (learned[i] == 0 and i in given)}
    for i in asked:
        bar = own[i]
        if probabilities is not None and bar is not None:
            given = given | {i} if probabilities[i] >= bar else given - {i}
    given |= {i for i in asked if said[i] > 0}
    assert found.tolist() == sorted(given, key=lambda i: (-scores[i], i))[: rule.top_k]


def choose(rule: Rule, scores: list[float], probabilities: list[float] | None = None) -> list[int]:
    chosen = rule.choose(
        np.array(scores, np.float32),
        None if probabilities is None else np.array(probabilities),
        np.full(len(scores), np.nan),
        LOGIT_SCALE,
    )
    return [int(index) for index in chosen]


def test_relative_by_hand() -> None:
    # a tenth of the odds is 0.02302 below the best
    assert choose(Rule(), [0.20, 0.25, 0.226, 0.2271]) == [1, 3]
    assert choose(Rule(), [0.3]) == [0]
    assert choose(Rule(), [0.25] * 30) == list(range(10)), "never more than ten, the first of equals"


def test_no_photograph_is_forced_to_bear_a_label_that_does_not_fit() -> None:
    for probabilities, expected in ([0.29], []), ([0.3], [0]), ([0.1, 0.9, 0.4], [1, 2]):
        found = Rule().choose(
            np.array(probabilities), np.array(probabilities), np.full(len(probabilities), np.nan), 1.0, bar=0.3
        )
        assert found.tolist() == expected


def test_one_thing_says_how_labels_are_chosen() -> None:
    assert Rule.asked(None, 0.5, 3) == Rule(0.5, 3)
    assert Rule.asked("strict") == Rule(preset="strict")
    for other in ({"threshold": 0.0}, {"top_k": 2}):
        with pytest.raises(UsageError, match="says how labels are chosen") as refused:
            Rule.asked("strict", **other)
        assert refused.value.exit_code == 2
    with pytest.raises(UsageError, match="no such preset"):
        Rule.asked("loose")  # type: ignore[arg-type]


def test_growing_the_vocabulary_by_worse_labels_changes_nothing() -> None:
    scores = [0.21, 0.25, 0.24]
    assert choose(Rule(), scores) == choose(Rule(), [*scores, 0.1, 0.2499 - 0.1]) == [1, 2]


def test_20_000_labels() -> None:
    scores = np.random.default_rng(0).normal(size=20_000).astype(np.float32)
    for rule, most in ((Rule(top_k=25), 25), (Rule(threshold=0.5), 20_000)):
        probabilities = 1 / (1 + np.exp(-scores.astype(np.float64)))
        found = rule.choose(scores, probabilities, np.full(20_000, np.nan), LOGIT_SCALE)
        expected = np.argsort(-scores, kind="stable")
        expected = expected[scores[expected] >= 0] if rule.threshold else expected
        assert found.tolist() == expected[:most].tolist()


def test_thresholds_need_probabilities(tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text("cat\n")
    (tmp_path / "own.csv").write_text("label,threshold\ncat,0.5\ndog,\n")
    plain, own = read_labels(tmp_path / "plain.txt"), read_labels(tmp_path / "own.csv")
    for labels in (plain, own):
        Rule(threshold=0.5).check(labels, calibrated=True)
        Rule(top_k=2).check(labels, calibrated=False)
        with pytest.raises(UsageError, match="not calibrated") as refused:
            Rule(threshold=0.5).check(labels, calibrated=False)
        assert (refused.value.where, refused.value.exit_code) == ("--threshold", 2)
    Rule().check(plain, calibrated=False)
    with pytest.raises(UsageError, match="not calibrated") as refused:
        Rule().check(own, calibrated=False)
    assert refused.value.where == "column 'threshold' of the labels"
