"""Batches of one process among several, read ahead.

Neither `DistributedSampler` nor `DataLoader`. The first repeats images until every process has as many, so that an
epoch of two processes is not one of one. The second reads ahead in a process of its own, begun anew for each epoch:
4,500 images of ``mini`` cost 1.0 to 1.4 s of processor time so and the first batch was there after 0.3 to 0.8 s; in a
thread 0.7 to 1.1 s and, once checksums are compared, 0.01 to 0.07 s. Images it could decode, not encode: that is done
by the pipeline of ``embed``, which reads ahead in threads too.
"""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from c2srt_cli.backbone.tower import Tokens
from c2srt_cli.training.processes import rank, shares, world

Item = TypeVar("Item")


class Batches(Protocol):
    """A `TokenSet` or an `ImageSet`."""

    def batches(self, places: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, Tokens, Tensor]]:
        """Images ``size`` at a time: their numbers, tokens, and frozen global embeddings."""


def own_share(
    images: Batches, order: np.ndarray, size: int
) -> Generator[tuple[list[int], np.ndarray, tuple[Tokens, Tensor]], None, None]:
    """Batches of this process, and how many images of each every process has: together they see each image once.

    Args:
        images: Of all processes.
        order: Places among them.
        size: Of a batch, all processes together.
    """
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    own = np.concatenate([batch[rank() :: world()] for batch in batches])
    read = images.batches(own, size // world())
    for batch in batches:
        none = np.empty(0, dtype=np.int64), Tokens(None), torch.empty(0)  # of a last batch that is too small
        numbers, tokens, target = next(read, none)
        yield shares(len(batch)), numbers, (tokens, target)


def ahead(batches: Iterator[Item], depth: int = 2) -> Generator[Item, None, None]:
    """The same, read in another thread up to ``depth`` ahead of who takes them."""
    done = object()
    with ThreadPoolExecutor(1, thread_name_prefix="tokens") as pool:
        waiting = deque(pool.submit(next, batches, done) for _ in range(depth))
        while (found := waiting.popleft().result()) is not done:
            waiting.append(pool.submit(next, batches, done))
            yield found  # type: ignore[misc] # what is not the end is one of them
