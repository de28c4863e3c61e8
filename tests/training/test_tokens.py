"""Batches that are read ahead of who takes them."""

import threading
from collections.abc import Iterator

import pytest

from c2srt_cli.training.tokens import ahead


def test_all_in_their_order_and_no_further_ahead_than_asked() -> None:
    read: list[int] = []

    def batches() -> Iterator[int]:
        for i in range(20):
            read.append(i)
            yield i

    taken = []
    for i in ahead(batches(), 3):
        taken.append(i)
        assert max(read) <= i + 3
    assert taken == read == list(range(20))
    assert list(ahead(iter(()))) == []


def test_what_goes_wrong_is_told_where_it_is_taken() -> None:
    def batches() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    found = ahead(batches())
    assert next(found) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(found)


def test_who_stops_leaves_no_thread_behind() -> None:
    found = ahead(iter(range(10)))
    assert next(found) == 0
    found.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tokens")]
