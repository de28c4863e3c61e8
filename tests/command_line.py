"""What a command line that runs in this process leaves."""

from collections.abc import Callable
from typing import NamedTuple


class Done(NamedTuple):
    """Exit code, stdout, stderr."""

    code: int
    out: str
    err: str


#: ``run(argument, …, stdin=b"")``.
Run = Callable[..., Done]
