"""What a command line that runs in this process leaves."""

from collections.abc import Callable

#: ``run(argument, …, stdin=b"")``.
Run = Callable[..., "Done"]


class Done:
    """Exit code, stdout, stderr."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err
