"""Whether huggingface_hub may use the network: never but in `fetch`, and set for the time of a call alone."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

_VARIABLE = "HF_HUB_OFFLINE"
#: The switch is the process's, so that calls that set it wait for each other.
_one_at_a_time = RLock()


@contextmanager
def hub(*, offline: bool) -> Iterator[None]:
    """Keep the hub's client off the network inside the block, or let it in."""
    from huggingface_hub import constants

    with _one_at_a_time:
        before = os.environ.get(_VARIABLE), constants.HF_HUB_OFFLINE
        os.environ[_VARIABLE], constants.HF_HUB_OFFLINE = str(int(offline)), offline
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE = before[1]
            if before[0] is None:
                del os.environ[_VARIABLE]
            else:
                os.environ[_VARIABLE] = before[0]
