"""Random numbers of the process, which are the caller's."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def keeps_random_state(stage: Callable[P, T]) -> Callable[P, T]:
    """A stage after which torch draws the numbers that it would have drawn without it."""

    @wraps(stage)
    def kept(*args: P.args, **kwargs: P.kwargs) -> T:
        import torch

        with torch.random.fork_rng(range(torch.cuda.device_count())):
            return stage(*args, **kwargs)

    return kept
