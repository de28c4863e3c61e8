"""A cluster that is none: its workers are in this process."""

import pickle
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from c2srt_cli.cluster import Cluster

R = TypeVar("R")


class Here(Cluster):
    """Workers in this process, which share nothing but what can be sent; the last item is tried twice."""

    def call(self, work: Callable[[], R]) -> R:
        result: R = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(work))()))
        return result

    def each(
        self, make: Callable[[], Callable[[int], R]], items: Sequence[int], *, stopped: Callable[[], bool]
    ) -> Generator[tuple[int, R], None, None]:
        work = pickle.loads(pickle.dumps(make))()
        for item in reversed(items):
            if stopped():
                return
            result = work(item)
            result = work(item) if item == items[-1] else result
            yield item, pickle.loads(pickle.dumps(result))


HERE = Here("auto", 1, 0, 2)
HERE = Here("auto", 1, 0, 2)
