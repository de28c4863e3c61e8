from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from c2srt_cli.datasets.annotations import Annotations, Incidence
from c2srt_cli.datasets.unseen import unseen_by_draw, unseen_from_file
from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.labels import Label, LabelSet

LABELS = LabelSet((Label("Cat"), Label("dog"), Label("crane", id="/m/1"), Label("crane", id="/m/2")))


def test_by_name_or_id(tmp_path: Path) -> None:
    path = tmp_path / "unseen.txt"
    path.write_text("cat\n/m/2\n")
    assert unseen_from_file(LABELS, path).tolist() == [False, True, True, False]
    table = tmp_path / "unseen.csv"
    table.write_text("label,id\ncrane,/m/1\n")
    assert unseen_from_file(LABELS, table).tolist() == [True, True, False, True]


def test_every_fault_is_named(tmp_path: Path) -> None:
    path = tmp_path / "unseen.txt"
    path.write_text("crane\ndogs\nzebra\n")
    with pytest.raises(InputError) as refused:
        unseen_from_file(LABELS, path)
    assert refused.value.problems == (
        "'crane' is the name of 2 labels: give their ids",
        "'dogs' is no label, did you mean 'dog'?",
        "'zebra' is no label",
    )
    path.write_text("cat\ndog\n/m/1\n/m/2\n")
    with pytest.raises(InputError) as refused:
        unseen_from_file(LABELS, path)
    assert "all labels are unseen" in refused.value.problems[0]


def drawn_from(counts: list[int]) -> Annotations:
    """Label ``i`` has ``counts[i]`` training images, and many for testing, which must not matter."""
    lists = [[label] for label, count in enumerate(counts) for _ in range(count)]
    tests = [[label] for label in range(len(counts)) for _ in range(3 * len(counts) - label)]
    split = np.array(["train"] * len(lists) + ["test"] * len(tests))
    return Annotations(
        Path("/"),
        LabelSet(tuple(Label(f"label {i}") for i in range(len(counts)))),
        np.ones(len(counts), dtype=bool),
        tuple(str(i) for i in range(len(split))),
        split,
        Incidence.from_lists(lists + tests),
        Incidence.empty(len(split)),
        complete=True,
        dataset="drawn",
    )


def test_a_draw_takes_one_of_each_stratum() -> None:
    annotations = drawn_from([3, 14, 1, 5, 9, 2, 6, 8, 7, 20])
    by_frequency = [2, 5, 0, 3, 6, 8, 7, 4, 1, 9]
    found = set()
    for seed in range(60):
        unseen = set(np.flatnonzero(~unseen_by_draw(annotations, 0.2, seed)).tolist())
        assert len(unseen & set(by_frequency[:5])) == 1
        assert len(unseen & set(by_frequency[5:])) == 1
        found |= unseen
        again = replace(annotations, seen=np.zeros(10, dtype=bool))
        assert set(np.flatnonzero(~unseen_by_draw(again, 0.2, seed)).tolist()) == unseen
    assert len(found) == 10


@pytest.mark.parametrize("share", [0.0, 0.01, 1.0, -1.0])
def test_a_draw_of_none_or_all(share: float) -> None:
    with pytest.raises(UsageError, match="some must be unseen"):
        unseen_by_draw(drawn_from([1, 2, 3]), share, 0)
