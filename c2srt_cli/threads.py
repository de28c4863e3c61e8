"""Threads for number crunching: one pool that releases the interpreter lock, and how many torch takes."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

#: Threads of the pool.
WORKERS = min(8, os.cpu_count() or 1)


@cache
def pool() -> ThreadPoolExecutor:
    """The pool, which lives as long as the process. What runs in it must not wait for it."""
    return ThreadPoolExecutor(WORKERS, thread_name_prefix="work")


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let operations of torch use ``count`` threads inside the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def side_by_side(work: Callable[[T], R], items: Iterable[T], lanes: int, name: str) -> Generator[R, None, None]:
    """Results of ``work`` in the order of the items, ``lanes`` of which are worked on at once and one more waits.

    Close it (`contextlib.closing`): left to the garbage collector, it would join its threads from whichever thread
    the collector runs in, and wait for ever where that one is just starting or ending another thread.
    """
    with ThreadPoolExecutor(lanes, thread_name_prefix=name) as threads:
        running: deque[Future[R]] = deque()
        try:
            for item in items:
                running.append(threads.submit(work, item))
                if len(running) > lanes:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for later in running:
                later.cancel()
