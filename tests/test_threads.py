"""Work side by side."""

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from c2srt_cli.threads import side_by_side


def test_results_come_in_the_order_of_the_items_and_no_more_items_are_taken_than_there_are_lanes_and_one() -> None:
    taken: list[int] = []
    others = threading.Event()

    def items() -> Iterator[int]:
        for item in range(6):
            taken.append(item)
            yield item

    def work(item: int) -> int:
        if item == 0:
            assert others.wait(10)  # the second is done before the first
        others.set()
        return 10 * item

    with closing(side_by_side(work, items(), 2, "test")) as results:
        assert next(results) == 0
        assert taken == [0, 1, 2]
        assert list(results) == [10, 20, 30, 40, 50]


def test_an_error_is_raised_in_the_place_of_its_result_and_closing_waits_for_the_threads() -> None:
    def work(item: int) -> float:
        return 1 / (2 - item)

    with closing(side_by_side(work, range(100), 3, "lane-of-this-test")) as results:
        assert [next(results), next(results)] == [0.5, 1.0]
        with pytest.raises(ZeroDivisionError):
            next(results)
    assert not [one for one in threading.enumerate() if one.name.startswith("lane-of-this-test")]
