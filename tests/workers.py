"""A cluster that is none: its workers are in this process."""

import pickle
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from c2srt_cli.cluster import Cluster

R = TypeVar("R")


@dataclass(frozen=True)
class Here(Cluster):
    """Workers in this process, which share nothing but what can be sent.

    Attributes:
        lost: Whether one is lost when it has done the last item, before it says so.
    """

    lost: bool = True

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
            result = work(item) if self.lost and item == items[-1] else result
            yield item, pickle.loads(pickle.dumps(result))


HERE = Here("auto", 1, 0, 2)
HERE = Here("auto", 1, 0, 2)
