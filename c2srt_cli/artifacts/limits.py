"""What some file systems cannot do: tried, done without where it fails, and remembered to be said once."""

import errno
import os
from contextlib import suppress
from pathlib import Path

#: A disk that says so of a file has lost it, or has no room for it; whatever else a flush answers is a file system
#: that has no such thing.
_REAL = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_POWER_CUT = "after a power cut run the same command again"
_lacking: dict[str, tuple[Path, str]] = {}


def lack(what: str, where: Path, so: str) -> None:
    """Remember something that the file system of ``where`` cannot do, and what follows for the user."""
    _lacking.setdefault(what, (where if where.is_dir() else where.parent, so))


def lacking() -> str:
    """What was remembered since the last call, in one sentence; empty where there is nothing."""
    if not _lacking:
        return ""
    *parts, last = _lacking
    what = f"{', '.join(parts)} or {last}" if parts else last
    follows = dict.fromkeys(so for _, so in _lacking.values())
    where = next(iter(_lacking.values()))[0]
    _lacking.clear()
    return f"the file system of {where} cannot {what}: {', '.join(follows)}"


def flush(descriptor: int, where: Path) -> None:
    """Bring what was written to a file to the disk.

    Raises:
        OSError: it cannot be brought there.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in _REAL:
            raise
        lack("flush files to the disk", where, _POWER_CUT)


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` durable."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # a system that does not open folders
        return
    try:
        os.fsync(descriptor)
    except OSError:
        lack("flush folders to the disk", folder, _POWER_CUT)
    finally:
        os.close(descriptor)


def keep_mode(path: Path, like: Path) -> None:
    """Give a file the mode of the one that it is to replace, if that is there."""
    with suppress(FileNotFoundError):
        mode = like.stat().st_mode & 0o777
        if path.stat().st_mode & 0o777 != mode:
            try:
                path.chmod(mode)
            except OSError:
                lack("set the mode of files", like, "they have that of new ones")
