"""Files that are there whole or not at all: written under a temporary name, fsynced, renamed."""

import errno
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from c2srt_cli.errors import InputError

#: How temporary names end.
TEMPORARY = ".c2srt-tmp"


@contextmanager
def atomic_write(path: Path, *, guard: Callable[[], None] | None = None) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``; on success it is fsynced and renamed to ``path``.

    After a crash either the old file or the new one is there, whole, and maybe a temporary one, for `remove_leftovers`.

    Args:
        path: The file.
        guard: Called last before the renaming; what it raises leaves the old file as it is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{_short(path)}.{secrets.token_hex(4)}{TEMPORARY}")
    # opened, not made by tempfile: the file gets the mode that any new file would
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        if path.exists():
            temporary.chmod(path.stat().st_mode & 0o777)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if guard is not None:
            guard()
        temporary.replace(path)
        sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _short(path: Path) -> str:
    """Enough of a file's name to know it by; names of 255 bytes leave no room for more."""
    return path.name.encode(errors="ignore")[:100].decode(errors="ignore")


def remove_leftovers(path: Path) -> None:
    """Delete what a killed `atomic_write` of ``path`` left; of every file in it, where ``path`` is a folder.

    Only while holding the lock: a temporary file may be another writer's.
    """
    folder, start = (path, ".") if path.is_dir() else (path.parent, f".{_short(path)}.")
    if folder.is_dir():
        for entry in folder.iterdir():
            if entry.name.startswith(start) and entry.name.endswith(TEMPORARY):
                entry.unlink(missing_ok=True)


@contextmanager
def disk_errors(where: Path) -> Iterator[None]:
    """Turn what the system says about the files below ``where`` into an error for the user.

    Raises:
        InputError: instead of an OSError: the disk is full, the folder may not be written to, …
    """
    try:
        yield
    except BrokenPipeError:  # no fault of a disk
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise InputError(
            f"cannot be written: {error.strerror or error}",
            where=str(error.filename or where),
            hint="make room, then run the same command again: it resumes"
            if full
            else "name an --out that you may write to",
        ) from error


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` durable (a no-op where folders cannot be opened)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
