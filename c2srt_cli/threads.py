"""Threads for number crunching: one pool that releases the interpreter lock, and how many torch takes."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

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
