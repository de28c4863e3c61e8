"""One pool of threads for number crunching that releases the interpreter lock."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

#: Threads of the pool.
WORKERS = min(8, os.cpu_count() or 1)


@cache
def pool() -> ThreadPoolExecutor:
    """The pool, which lives as long as the process. What runs in it must not wait for it."""
    return ThreadPoolExecutor(WORKERS, thread_name_prefix="work")
