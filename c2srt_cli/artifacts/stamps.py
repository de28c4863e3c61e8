"""Which version of a file a result was made from."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from c2srt_cli.artifacts import buckets


class Stamp(NamedTuple):
    """One version of a file.

    Attributes:
        size: In bytes; -1 where there is no file.
        mtime_ns: When its content was last written, in nanoseconds, as programs may set it.
        ctime_ns: When the system last saw it change, which no program sets; -1 where that is not known.
        sha256: Of its bytes, hex; empty where they have not been read.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    sha256: str = ""


def file_sha256(path: Path) -> str:
    """sha256 (hex) over the bytes of a file."""
    if buckets.in_bucket(path):
        return hashlib.sha256(buckets.read_object(path)).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_stamp(path: Path) -> Stamp:
    """The stamp of a file as it is, without reading it; of one in a bucket as it was listed."""
    if buckets.in_bucket(path):
        return Stamp(*buckets.version(path))
    try:
        stat = path.stat()
    except OSError:
        return Stamp(-1, -1, -1)
    return Stamp(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def still_holds(path: Path, now: Stamp, then: Stamp) -> Stamp | None:
    """Whether a result made from version ``then`` of a file holds for version ``now``.

    Equal times say that it does, another size that it does not. In between (touched, copied, or rewritten by a program
    that keeps size and times) the bytes decide.

    Args:
        path: The file; read only where its bytes decide.
        now: As it is.
        then: As it was.

    Returns:
        The stamp to record from now on; None where the file has changed.
    """
    if now.sha256 and then.sha256:
        return now if now.sha256 == then.sha256 else None
    if now[:3] == then[:3] and now.ctime_ns != -1:
        return then
    if now.size != then.size or not then.sha256:
        return None
    try:
        return now._replace(sha256=then.sha256) if file_sha256(path) == then.sha256 else None
    except OSError:
        return None
