"""A file that other programs write too, changed without losing what they save meanwhile."""

import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from c2srt_cli.artifacts import atomic_write, remove_leftovers

#: How often a change is worked out anew when the file has changed under it.
TRIES = 20
#: Seconds between two looks at a file that another program has locked.
_PAUSE = 0.05


class _ChangedError(Exception):
    """Somebody has written the file since it was read."""


def update(path: Path, change: Callable[[bytes], bytes], *, keep_empty: bool = False) -> bool:
    """Replace what a file holds by what ``change`` makes of it.

    The file is locked where programs lock files, and read again before it is replaced: where it is not what it was, the
    change is worked out anew. A link is followed.

    Args:
        path: The file; where there is none, ``change`` is given no bytes.
        change: Returns the new bytes; none where there is to be no file.
        keep_empty: A file without bytes is one.

    Returns:
        Whether anything was written; a file that would stay as it is is not touched.

    Raises:
        OSError: it cannot be read or written, is no regular file, or others keep writing it.
    """
    real = Path(os.path.realpath(path))
    linked, path = path.is_symlink(), real
    for _ in range(TRIES):
        try:
            with _locked(path):
                if linked:  # its folder is none of those that a rerun tidies
                    remove_leftovers(path)
                return _try(path, change, keep_empty=keep_empty)
        except _ChangedError:
            continue
    raise OSError("other programs keep writing it")


def _try(path: Path, change: Callable[[bytes], bytes], *, keep_empty: bool) -> bool:
    old = read(path)
    new = change(old or b"")
    if new == (old or b"") and not (keep_empty and old is None):
        return False

    def unchanged() -> None:
        if read(path) != old:
            raise _ChangedError

    if new or keep_empty:
        with atomic_write(path, guard=unchanged) as temporary:
            temporary.write_bytes(new)
    else:
        unchanged()
        path.unlink(missing_ok=True)
    return True


def read(path: Path) -> bytes | None:
    """The bytes of a regular file; None where nothing is there.

    Raises:
        OSError: it cannot be read, or is a folder, a device or a pipe.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise OSError("it is no regular file")
        return path.read_bytes()
    except FileNotFoundError:
        return None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the file locked, where there is one and the system can.

    Raises:
        OSError: another program holds it for long.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    try:
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")  # a pipe would wait for a writer
    except OSError:
        yield  # what is wrong is said when it is read
        return
    with file:
        for _ in range(TRIES):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(_PAUSE)
            except OSError:  # no locks on this file system
                break
        else:
            raise OSError("another program keeps it locked")
        if not _is(path, file.fileno()):
            raise _ChangedError  # whoever had it locked has put another in its place
        yield


def _is(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False
