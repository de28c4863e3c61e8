"""Which version of a file this is."""

import hashlib
from pathlib import Path


def file_sha256(path: Path) -> str:
    """sha256 (hex) over the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_stamp(path: Path) -> tuple[int, int]:
    """Size and modification time in nanoseconds, which change when a file does; (-1, -1) where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return -1, -1
    return stat.st_size, stat.st_mtime_ns
