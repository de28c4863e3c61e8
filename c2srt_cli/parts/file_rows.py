"""Rows that speak of files: which of them still do."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from c2srt_cli.artifacts import Stamp, buckets, file_stamp, in_bucket, still_holds
from c2srt_cli.images import ImageFile, extra_reads
from c2srt_cli.parts.index import Row, rows_of

#: Why images failed that may be read at last though their files are the same.
_CURABLE = ("unreadable", "unsupported")


def stamps(root: Path, names: Sequence[str]) -> np.ndarray:
    """Size, mtime and ctime of files, ``(n, 3)`` int64; -1 where there is none."""
    if in_bucket(root):
        return np.array(buckets.versions(root, names), np.int64).reshape(-1, 3)
    base, found = os.path.join(root, ""), []  # noqa: PTH118 - pathlib takes thrice as long
    for name in names:
        try:
            stat = os.stat(base + name)  # noqa: PTH116
        except OSError:
            found.append((-1, -1, -1))
        else:
            found.append((stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return np.array(found, np.int64).reshape(-1, 3)


def rows_hold(table: pa.Table, root: Path) -> tuple[np.ndarray, np.ndarray]:
    """Which rows speak of the files that are there now.

    Returns:
        ``(n,)`` bool, and the mtime and ctime to record from now on, ``(n, 2)`` int64.
    """
    then = np.stack([table[name].to_numpy() for name in ("size", "mtime_ns", "ctime_ns")], 1)  # (n, 3)
    now = stamps(root, table["path"].to_pylist())
    same = (now == then).all(1) & (now[:, 2] != -1)
    same &= ~pc.is_in(table["reason"], pa.array(_CURABLE)).to_numpy()
    for place in np.flatnonzero(~same).tolist():
        (row,) = rows_of(table.slice(place, 1))
        later = held_row(ImageFile(root / row.path, row.path), row)
        if later is not None:
            same[place] = True
            then[place, 1:] = later.mtime_ns, later.ctime_ns
    return same, then[:, 1:]


def held_row(file: ImageFile, row: Row) -> Row | None:
    """The row, with the times to record from now on; None where it no longer speaks of the file."""
    now, then = file_stamp(file.path), Stamp(row.size, row.mtime_ns, row.ctime_ns, row.sha256)
    if row.reason == "unreadable" and _may_be_read(file.path, now):
        return None
    if row.reason == "unsupported" and now.size >= 0 and extra_reads(file.path):  # an extra was installed
        return None
    if now.size == then.size == -1:  # missing, as before
        return row
    stamp = still_holds(file.path, now, then)
    return None if stamp is None else replace(row, mtime_ns=stamp.mtime_ns, ctime_ns=stamp.ctime_ns)


def _may_be_read(path: Path, now: Stamp) -> bool:
    return now.size >= 0 if in_bucket(path) else path.is_file() and os.access(path, os.R_OK)
