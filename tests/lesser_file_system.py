"""File systems that do less, played by answering the system's calls as theirs are answered."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

#: Calls, and what each of these file systems answers to them.
FAULTS: dict[str, dict[str, int]] = {
    "folders-inval": {"fsync-folder": errno.EINVAL},
    "folders-io": {"fsync-folder": errno.EIO},
    "folders-notsup": {"fsync-folder": errno.ENOTSUP},
    "folders-not-opened": {"open-folder": errno.EACCES},
    "no-fsync": {"fsync-folder": errno.EINVAL, "fsync-file": errno.EINVAL},
    "fsync-nosys": {"fsync-folder": errno.ENOSYS, "fsync-file": errno.ENOSYS},
    "no-locks": {"flock": errno.ENOLCK},
    "locks-notsup": {"flock": errno.EOPNOTSUPP},
    "locks-nosys": {"flock": errno.ENOSYS},
    "locks-io": {"flock": errno.EIO},
    "no-locks-no-links": {"flock": errno.ENOLCK, "link": errno.EPERM, "symlink": errno.EPERM},
    "no-modes": {"chmod": errno.EPERM, "fchmod": errno.EPERM},
    "modes-notsup": {"chmod": errno.ENOTSUP, "fchmod": errno.ENOTSUP},
    "no-times": {"utime": errno.EPERM},
    "no-replacing": {"replace": errno.EEXIST},
    "files-mounted": {"replace": errno.EBUSY},
}


def play(monkeypatch: pytest.MonkeyPatch, root: Path, name: str) -> None:
    """Let everything below ``root`` lie on one of the file systems of `FAULTS`."""
    import fcntl

    faults, below = FAULTS[name], str(root.resolve())

    def lies_below(path: object) -> bool:
        if isinstance(path, int):
            return str(Path(f"/proc/self/fd/{path}").readlink()).startswith(below)
        return os.path.realpath(os.fspath(path)).startswith(below)  # type: ignore[call-overload, no-any-return]

    def lesser(
        module: Any, call: str, fault: str, *, where: int = 0, when: Callable[[Any], bool] | None = None
    ) -> None:
        real = getattr(module, call)

        def play_it(*arguments: Any, **options: Any) -> Any:
            subject = arguments[where]
            if options.get("dir_fd") is None and lies_below(subject) and (when is None or when(subject)):
                raise OSError(faults[fault], os.strerror(faults[fault]), None if isinstance(subject, int) else subject)
            return real(*arguments, **options)

        monkeypatch.setattr(module, call, play_it)

    def is_folder(subject: Any) -> bool:
        return Path(f"/proc/self/fd/{subject}" if isinstance(subject, int) else subject).is_dir()

    if "fsync-folder" in faults:
        lesser(os, "fsync", "fsync-folder", when=is_folder)
    if "fsync-file" in faults:
        lesser(os, "fsync", "fsync-file")
    if "open-folder" in faults:
        lesser(os, "open", "open-folder", when=is_folder)
    if "replace" in faults:
        lesser(os, "replace", "replace", where=1, when=lambda path: Path(path).exists())
    if "flock" in faults:
        lesser(fcntl, "flock", "flock")
    for call in ("link", "symlink"):
        if call in faults:
            lesser(os, call, call, where=1)
    for call in ("chmod", "fchmod", "utime"):
        if call in faults:
            lesser(os, call, call)
