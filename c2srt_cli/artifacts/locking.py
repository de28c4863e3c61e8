"""One writer at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from c2srt_cli.artifacts.files import disk_errors
from c2srt_cli.errors import UsageError

LOCK = ".lock"


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` against a second writer. The system releases it when its holder dies.

    Raises:
        InputError: its folder cannot be written to.
        UsageError: another process holds it.
    """
    from filelock import FileLock, Timeout

    held = FileLock(path)
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            held.acquire(timeout=0)
        except Timeout:
            raise UsageError(
                "another c2srt is writing here", where=str(path.parent), hint="wait for it, or name another --out"
            ) from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: whoever waits for it sees that it is gone, and starts over
        held.release()
