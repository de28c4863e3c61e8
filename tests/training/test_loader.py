"""Batches of each process, and batches that are read ahead of who takes them."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from c2srt_cli.backbone.tower import Tokens
from c2srt_cli.training import loader, processes
from c2srt_cli.training.loader import ahead, own_share


class Numbers:
    """Images whose numbers are ten times their places, and whose first cannot be read."""

    def batches(self, places: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, Tokens, Tensor]]:
        for start in range(0, len(places), size):
            part = places[start : start + size]
            yield 10 * part[part > 0], Tokens(torch.zeros(0)), torch.zeros(0)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_processes_share_each_batch(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 20 images the last batch of 6 has two, fewer than three processes; each image is one process's."""
    order, found = np.random.default_rng(0).permutation(20), []
    for number in range(count):
        for module in (loader, processes):
            monkeypatch.setattr(module, "world", lambda: count)
        monkeypatch.setattr(loader, "rank", lambda number=number: number)
        found.append(list(own_share(Numbers(), order, 6)))
    assert [len(own) for own in found] == [4] * count
    for step, parts in enumerate(zip(*found, strict=True)):
        batch = order[6 * step : 6 * step + 6]
        assert sorted(np.concatenate([numbers for _, numbers, _ in parts])) == sorted(10 * batch[batch > 0])
        for number, (counts, numbers, _) in enumerate(parts):
            assert sum(counts) == len(batch)
            assert max(counts) - min(counts) <= 1
            assert len(numbers) == counts[number] - (0 in batch[number::count])


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
