"""Files that are there whole or not at all: written under a temporary name, flushed, renamed."""

import errno
import os
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from c2srt_cli.artifacts.buckets import address
from c2srt_cli.artifacts.devices import follow, is_stream, open_stream
from c2srt_cli.artifacts.limits import flush, keep_mode, lack, sync_folder
from c2srt_cli.errors import InputError, UsageError

if sys.platform != "win32":
    import fcntl

#: What a renaming onto a file answers where it is mounted by itself, as containers do, or where none is replaced.
_NO_REPLACING = (errno.EBUSY, errno.EXDEV, errno.EEXIST, errno.EACCES, errno.EPERM)
#: How temporary names end.
TEMPORARY = ".c2srt-tmp"
#: How names end that nobody gives to a folder.
_OF_FILES = (".csv", ".html", ".json", ".jsonl", ".parquet", ".safetensors", ".toml", ".txt", ".xlsx", ".xmp", ".zip")


@contextmanager
def atomic_write(path: Path, *, guard: Callable[[], None] | None = None) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``; on success it is flushed to the disk and renamed to ``path``.

    After a crash either the old file or the new one is there, whole, and maybe a temporary one, for `remove_leftovers`.
    A link stays, and its file is replaced. A device, pipe or open descriptor is written to once all is there.

    Args:
        path: The file.
        guard: Called last before the renaming; what it raises leaves the old file as it is.

    Raises:
        OSError: it cannot be written.
    """
    if is_stream(path):
        with tempfile.TemporaryDirectory(prefix="c2srt-") as folder:
            yield (temporary := Path(folder) / "stream")
            with temporary.open("rb") as file, open_stream(path) as stream:
                shutil.copyfileobj(file, stream)
        return
    path = follow(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{_short(path)}.{secrets.token_hex(4)}{TEMPORARY}")
    # opened, not made by tempfile: the file gets the mode that any new file would; and held: it is in use
    with temporary.open("xb") as held:
        try:
            _hold(held.fileno())
            yield temporary
            with temporary.open("rb+") as file:
                flush(file.fileno(), path.parent)
            keep_mode(temporary, path)
            if guard is not None:
                guard()
            if sys.platform == "win32":
                held.close()  # an open file is not renamed there
            put(temporary, path)
            sync_folder(path.parent)
        except BaseException:
            held.close()
            temporary.unlink(missing_ok=True)
            raise


def put(temporary: Path, path: Path) -> None:
    """Rename; where a file cannot be replaced, fill it instead.

    Raises:
        OSError: it can be neither.
    """
    try:
        temporary.replace(path)
    except OSError as error:
        if error.errno not in _NO_REPLACING or not path.is_file():
            raise
        lack("replace files", path, "if a run is killed run it again")
        with temporary.open("rb") as source, path.open("rb+") as target:
            shutil.copyfileobj(source, target)
            target.truncate()
            target.flush()
            flush(target.fileno(), path)
        temporary.unlink()


@contextmanager
def output_file(path: Path, option: str = "--out") -> Iterator[Path]:
    """`atomic_write` for the one file that a command writes, without what a killed run of it has left.

    Args:
        path: The file.
        option: That named it.

    Raises:
        InputError: it cannot be written.
    """
    with disk_errors(path, option, resumes=False):
        remove_leftovers(path)
        with atomic_write(path) as temporary:
            yield temporary


def check_writable(path: Path, option: str = "--out", *, folder: bool = False) -> None:
    """Find out, before anything slow, whether a file can be written, or a folder made and filled.

    Args:
        path: What is to be written.
        option: That named it.
        folder: Whether it is a folder.

    Raises:
        InputError: it cannot.
        UsageError: a folder is to be made under the name of a file.
    """
    if is_stream(path) and not folder:
        return
    if re.match("[a-z][a-z0-9+.-]+:/", path.as_posix()) and not os.path.lexists(path):
        what = "is an address; only embeddings and tags in parts are written into a bucket, by s3:// or gs://"
        raise UsageError(what, where=f"{option} {address(path)}", hint="name a file or folder")
    if folder and path.suffix.lower() in _OF_FILES and not os.path.lexists(path):
        what = f"is the name of a {path.suffix} file; this goes into a folder"
        raise UsageError(what, where=f"{option} {path}", hint=f"name a folder: {option} {path.with_suffix('')}")
    with disk_errors(path, option):
        target = follow(path)
        if target.is_dir() and not folder:
            raise InputError("is a folder; this goes into one file", where=str(path), hint="name a file")
        if target.exists() and not target.is_dir() and folder:
            raise InputError("is a file; this goes into a folder", where=str(path), hint=f"name another {option}")
        place = target if folder else target.parent
        while not place.exists() and place != place.parent:
            place = place.parent
        probe = place / f".{secrets.token_hex(4)}{TEMPORARY}"
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        probe.unlink()


def check_folder(path: Path, option: str = "--out") -> None:
    """`check_writable` for the folder of an artifact, whose files are opened by their names as text.

    Raises:
        InputError: it cannot be made and filled, or its name is not valid UTF-8.
        UsageError: its name is that of a file.
    """
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        raise InputError("the name is not valid UTF-8", where=str(path), hint=f"name another {option}") from None
    check_writable(path, option, folder=True)


def remove_leftovers(path: Path) -> None:
    """Delete what a killed `atomic_write` of ``path`` left; of every file in it, where ``path`` is a folder.

    What another process is writing now stays where the file system says so.
    """
    folder, start = (path, ".") if path.is_dir() else (path.parent, f".{_short(path)}.")
    if is_stream(path) or not folder.is_dir():
        return
    for entry in folder.iterdir():
        if entry.name.startswith(start) and entry.name.endswith(TEMPORARY) and not _is_held(entry):
            with suppress(PermissionError):  # an open file is not deleted by Windows
                entry.unlink(missing_ok=True)


if sys.platform == "win32":

    def _hold(_descriptor: int) -> bool:
        """Nothing: the system holds a file for as long as it is open."""
        return True

    def _is_held(_path: Path) -> bool:
        """False: a file that is held is not deleted."""
        return False

else:

    def _hold(descriptor: int) -> bool:
        """Lock an open file; False where another process has it."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # no locks here
            pass
        return True

    def _is_held(path: Path) -> bool:
        """Whether a process is writing a temporary file."""
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
            try:
                return not _hold(descriptor)
            finally:
                os.close(descriptor)
        return False


def _short(path: Path) -> str:
    """Enough of a file's name to know it by; names of 255 bytes leave no room for more."""
    return os.fsencode(path.name)[:100].decode("utf-8", "ignore")


@contextmanager
def disk_errors(where: Path, option: str = "--out", *, resumes: bool = True) -> Iterator[None]:
    """Turn what the system says about the files below ``where`` into an error for the user.

    Args:
        where: What is written.
        option: That named it.
        resumes: Whether the same command goes on where it has stopped.

    Raises:
        InputError: instead of an OSError: the disk is full, the folder may not be written to, …
    """
    try:
        yield
    except BrokenPipeError:  # no fault of a disk
        raise
    except OSError as error:
        named = str(error.filename or where)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        again = "make room, then run the same command again" + (": it resumes" if resumes else "")
        raise InputError(
            f"cannot be written: {error.strerror or error}",
            where=str(where) if named.endswith(TEMPORARY) else named,
            hint=again if full else f"name {'an' if option == '--out' else 'another'} {option} that you may write to",
        ) from error
