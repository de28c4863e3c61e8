"""Buckets for tests: one in this process's memory, and one behind a server that speaks S3."""

from pathlib import Path
from typing import Any

from c2srt_cli.artifacts import buckets


def upload(system: Any, folder: Path, key: str) -> None:
    """Put every file below a folder into a bucket."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            system.pipe_file(f"{key}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def downloaded(system: Any, key: str) -> dict[str, bytes]:
    """Every object below a key with its bytes, as `photos.content` gives files."""
    found = {name.lstrip("/")[len(key) + 1 :]: system.cat_file(name) for name in system.find(key)}
    return dict(sorted(found.items()))


def forget() -> None:
    """What a new process would not know."""
    buckets._objects.clear()
    buckets._listed.clear()
