"""Hollow files: of a size, with nothing in them, where the content lies elsewhere."""

from pathlib import Path

from c2srt_cli.artifacts.files import atomic_write

#: No payload begins with so many zeros.
_START = bytes(16)


def hollow(path: Path, size: int | None = None) -> None:
    """Put a hollow file in place of ``path``, of its size if no other is given; the disk keeps no room for it.

    Raises:
        OSError: it cannot be written.
    """
    size = path.stat().st_size if size is None else size
    with atomic_write(path) as temporary, temporary.open("r+b") as file:
        file.truncate(size)


def is_hollow(path: Path) -> bool:
    """Whether nothing is in a file but its size."""
    with path.open("rb") as file:
        start = file.read(len(_START))
    return bool(start) and start == _START[: len(start)]
