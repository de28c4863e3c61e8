"""One writer at a time."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from c2srt_cli.artifacts.files import disk_errors
from c2srt_cli.artifacts.limits import lack
from c2srt_cli.errors import UsageError

LOCK = ".lock"
#: What flock answers where a file system has no locks, as some network and virtual ones.
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EIO, errno.ENOTTY)
#: Where a file stands for a lock: seconds without a sign of life after which its holder counts as gone.
LEASE = 20.0


@contextmanager
def lock(path: Path, *, wait: float = 0) -> Iterator[None]:
    """Hold the lock file ``path`` against a second writer. The system releases it when its holder dies.

    Where the file system has no locks, a second file stands for one: it names its process, which on the same machine is
    seen to have ended, and its holder shows by the second that it is alive.

    Args:
        path: The file.
        wait: Seconds to wait for another process.

    Raises:
        InputError: its folder cannot be written to.
        UsageError: another process holds it.
    """
    from filelock import FileLock, SoftFileLease, Timeout

    held: FileLock | SoftFileLease = FileLock(path, fallback_to_soft=False)
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            try:
                held.acquire(timeout=wait)
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
                lack("lock files", path.parent, "start no second c2srt there")
                held = SoftFileLease(path.with_name(f"{path.name}.lease"), lease_duration=LEASE)
                held.acquire(timeout=max(wait, 1.2 * LEASE))
        except Timeout:
            raise UsageError(
                "another c2srt is writing here", where=str(path.parent), hint="wait for it, or name another --out"
            ) from None
    try:
        yield
    finally:
        # while it is held: whoever waits for it sees that it is gone, and starts over
        with suppress(PermissionError):  # Windows deletes it when it is released
            path.unlink(missing_ok=True)
        held.release()
