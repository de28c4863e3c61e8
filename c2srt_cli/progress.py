"""What a running stage tells its caller, and how the caller asks it to stop."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Callbacks of one stage; each does nothing unless given.

    Attributes:
        note: Takes one line for people.
        advance: Takes the items done and their total.
        stopped: True once the user wants the stage to finish its batch, save and raise `Interrupted`.
    """

    note: Callable[[str], None] = lambda _: None
    advance: Callable[[int, int], None] = lambda _done, _total: None
    stopped: Callable[[], bool] = lambda: False
