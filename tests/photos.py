"""Photographs for the tests of the pipeline, and small ways to look at what it leaves."""

import hashlib
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from c2srt_cli.progress import Progress


def write_photos(folder: Path, count: int, *, seed: int = 0, start: int = 0, suffix: str = ".png") -> list[Path]:
    """Write photographs of random smooth content, of several sizes."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(start, start + count):
        content = Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8))
        size = (90 + 7 * (number % 5), 70 + 11 * (number % 3))
        paths.append(folder / f"p{number:04}{suffix}")
        content.resize(size, Image.Resampling.BICUBIC).save(paths[-1])
    return paths


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def fingerprints(folder: Path) -> dict[str, tuple[str, int]]:
    """Every regular file below a folder with the sha256 of its bytes and its modification time."""
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def stop_after(batches: int) -> Progress:
    """A user who presses Ctrl-C within a batch."""
    seen = 0

    def advance(_done: int, _total: int) -> None:
        nonlocal seen
        seen += 1

    return Progress(advance=advance, stopped=lambda: seen >= batches)


class Killed(BaseException):
    """Stands for the end of the process."""


def die_at(number: int, before: Callable[[int], None]) -> Callable[[int], None]:
    """An `os.fsync` that ends the process at its n-th call, before the file it is called for gets its name."""
    calls = 0

    def fsync(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            raise Killed
        before(descriptor)

    return fsync


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """Files cannot grow beyond ``size`` bytes: the nearest a test comes to a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def encoding_threads() -> list[str]:
    """Names of the threads that decode or encode now."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("decode", "forward"))]
