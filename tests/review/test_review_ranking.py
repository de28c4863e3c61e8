import numpy as np
import pytest

from c2srt_cli.errors import InputError
from c2srt_cli.review import ranking
from c2srt_cli.review.ranking import Ranking
from c2srt_cli.tagging.record import Tag, TaggedImage


def image(number: int, scores: dict[str, float], given: set[str], *, kept: bool = True) -> TaggedImage:
    tags = tuple(Tag(label, scores[label], None, None) for label in scores if label in given)
    return TaggedImage(f"{number}.jpg", tags, tuple(scores.values()) if kept else None)


def test_by_score_and_the_nearest_below(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a plain sort, over several blocks, with equal scores."""
    monkeypatch.setattr(ranking, "_BLOCK", 7)
    monkeypatch.setattr(ranking, "OTHERS", 5)
    rng, labels = np.random.default_rng(0), ("x", "y", "z")
    values = rng.integers(-8, 8, (40, 3)) / 8
    given = rng.random((40, 3)) < 0.3
    made = Ranking(("z", "new", "x", "y"), labels)
    for row in range(40):
        chosen = {label for place, label in enumerate(labels) if given[row, place]}
        made.add(row, image(row, dict(zip(labels, values[row].tolist(), strict=True)), chosen))
    names, above, below = made.lists()
    assert names == ["z", "new", "x", "y"]
    assert (above[1], below[1]) == ([], [])
    for place, column in ((0, 2), (2, 0), (3, 1)):
        order = np.argsort(-values[:, column], kind="stable").tolist()
        assert [number for number, _ in above[place]] == [row for row in order if given[row, column]]
        others = [(row, values[row, column]) for row in order if not given[row, column]][:5]
        assert below[place] == others


def test_without_a_list_labels_are_those_given() -> None:
    made = Ranking(None, ())
    made.add(0, image(0, {"b": 0.5, "A": 0.25}, {"b", "A"}, kept=False))
    made.add(1, image(1, {"a": 0.5, "b": 0.75}, {"a", "b"}, kept=False))
    names, above, below = made.lists()
    assert names == ["A", "a", "b"]
    assert [[number for number, _ in one] for one in above] == [[0], [1], [1, 0]]
    assert below == [[], [], []]


def test_other_labels_are_refused() -> None:
    with pytest.raises(InputError, match="'b', which is none of them"):
        Ranking(("a",), ()).add(0, image(0, {"b": 0.5}, {"b"}, kept=False))
