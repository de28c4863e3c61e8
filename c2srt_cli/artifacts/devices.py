"""Targets that are no files: devices, pipes, and the descriptors that a shell hands over; and links to any of them."""

import errno
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

#: Most links in a row, as the system has it.
LINKS = 40
#: Flags that open a pipe without waiting, for ever perhaps, for somebody who reads it.
_AT_ONCE = 0
if sys.platform != "win32":
    _AT_ONCE = os.O_NOCTTY | os.O_NONBLOCK
_DESCRIPTOR = re.compile(r"/dev/fd/([0-9]+)|/proc/(?:self|thread-self|([0-9]+))/fd/([0-9]+)|/dev/std(in|out|err)")


def follow(path: Path) -> Path:
    """The file that a link leads to, whether or not it is there; any other path as it is.

    Raises:
        OSError: the links lead in a circle.
    """
    if not path.is_symlink():
        return path
    real = Path(os.path.realpath(path))
    if real.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return real


def is_stream(path: Path) -> bool:
    """Whether what is written to ``path`` goes past: there is a device, pipe or socket, or it is an open descriptor."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            if _descriptor(path) is not None:
                return True
            mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


@contextmanager
def open_stream(path: Path) -> Iterator[BinaryIO]:
    """Open a device, a pipe that is read, or the descriptor that ``path`` stands for.

    Raises:
        OSError: it cannot be written to: a socket, a disk, a pipe that nobody reads.
    """
    number = _descriptor(path)
    if number is not None:
        descriptor = os.dup(number)
    else:
        mode = path.stat().st_mode
        if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
            raise OSError(errno.ENXIO, "a disk" if stat.S_ISBLK(mode) else "a socket", str(path))
        try:
            descriptor = os.open(path, os.O_WRONLY | _AT_ONCE)
        except OSError as error:
            if stat.S_ISFIFO(mode) and error.errno == errno.ENXIO:
                raise OSError(errno.ENXIO, "a pipe that nobody reads", str(path)) from None
            raise
        if sys.platform != "win32":
            os.set_blocking(descriptor, True)
    with os.fdopen(descriptor, "wb") as stream:
        yield stream


def _descriptor(path: Path) -> int | None:
    """The open descriptor of this process that ``path`` stands for, such as 1 for ``/dev/stdout``."""
    text = os.fspath(path)
    for _ in range(LINKS):
        text = os.path.join(os.path.realpath(os.path.dirname(text) or "."), os.path.basename(text))  # noqa: PTH118, PTH119, PTH120
        found = _DESCRIPTOR.fullmatch(text)
        if found:
            number, process, other, name = found.groups()
            if process is not None and int(process) != os.getpid():
                return None
            return int(number or other) if name is None else ("in", "out", "err").index(name)
        if not os.path.islink(text):  # noqa: PTH114
            return None
        text = os.path.join(os.path.dirname(text), os.readlink(text))  # noqa: PTH115, PTH118, PTH120
    return None
