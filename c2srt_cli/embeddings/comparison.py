"""What earlier runs of `embed` assigned to parts, compared with the files that are found: in columns, part by part."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from c2srt_cli.artifacts import MANIFEST
from c2srt_cli.embeddings.index import INDEX, Row, rows_of
from c2srt_cli.embeddings.manifest import EmbeddingOptions
from c2srt_cli.embeddings.part import Part, assigned, known_rows, part_numbers, part_path
from c2srt_cli.embeddings.plan import held_row
from c2srt_cli.embeddings.shards import shard_numbers
from c2srt_cli.errors import InputError
from c2srt_cli.images import Found, ImageFile

STATUSES = ("ok", "failed", "open", "removed")
OK, FAILED, _, REMOVED = range(4)
#: Why images failed that may be read at last though their files are the same.
_CURABLE = pa.array(["unreadable", "unsupported"])


@dataclass(frozen=True, eq=False)
class Marks:
    """What changes in a part's index.

    Attributes:
        done: Whether the part is; one that was and is damaged is no longer.
        status: Of each row, a place in `STATUSES`.
        mtime_ns: Likewise, a time.
        ctime_ns: Likewise.
    """

    done: bool
    status: np.ndarray
    mtime_ns: np.ndarray
    ctime_ns: np.ndarray

    def applied(self, table: pa.Table) -> pa.Table:
        """The index with them."""
        status = pa.array(STATUSES).take(pa.array(self.status))
        columns = {"status": status, "mtime_ns": pa.array(self.mtime_ns), "ctime_ns": pa.array(self.ctime_ns)}
        for name, column in columns.items():
            table = table.set_column(table.column_names.index(name), name, column)
        return table


@dataclass(eq=False)
class Comparison:
    """What a run of `embed` finds before it writes anything.

    Attributes:
        new: Names that no part has.
        removed: Images whose files have gone.
        live: Images of parts that are done.
        failures: Those of them that failed.
        to_encode: Images that are to be encoded, in open parts and new ones.
        known: Whether any image is embedded.
        held: Whether any that is, is found.
        marks: By part, of those that change.
    """

    new: pa.LargeStringArray
    removed: int = 0
    live: int = 0
    failures: list[Row] = field(default_factory=list)
    to_encode: int = 0
    known: bool = False
    held: bool = False
    marks: dict[int, Marks] = field(default_factory=dict)


def compare(out: Path, found: Found, options: EmbeddingOptions) -> Comparison:
    """Compare parts with files: names by name, files by their stamps. A path is in one part."""
    names = found.files.names
    keys = _keys(names)
    order = np.argsort(keys)
    keys, claimed = keys[order], np.zeros(len(names), bool)
    result = Comparison(names)
    for number, folder in reversed(part_folders(out)):
        damaged = (folder / MANIFEST).exists() and folder != out
        table, part = read_part(folder, options)
        done = part is not None
        own = _keys(table["path"])
        place = order[np.minimum(np.searchsorted(keys, own), len(keys) - 1)]
        paths = table["path"].combine_chunks().cast(pa.large_string())
        there = pc.equal(names.take(pa.array(place)), paths).to_numpy(False)
        free = there & ~claimed[place]
        before = pc.index_in(table["status"], pa.array(STATUSES)).to_numpy()
        marks = _held(table, before, free, found.root) if done else _assigned(table, before, free)
        live = marks.status != REMOVED
        claimed[place[live]] = True
        result.removed += int(((before != REMOVED) & ~there).sum())
        result.known |= bool((before == OK).any())
        result.held |= bool((marks.status == OK).any()) or (not done and bool(live.any()))
        if done:
            result.live += int(live.sum())
            result.failures[:0] = rows_of(marks.applied(table).filter(pa.array(marks.status == FAILED)))
        else:
            result.to_encode += max(0, int(live.sum()) - len(known_rows(folder, options)))
        whole = part.tidy(table) if part is not None else not damaged
        if not whole or not marks.applied(table).equals(table):
            result.marks[number] = marks
    result.new = names.filter(pa.array(~claimed))
    result.to_encode += len(result.new)
    return result


def part_folders(out: Path) -> list[tuple[int, Path]]:
    """Parts by number; embeddings of before there were any are the only one."""
    if holds_old_layout(out):
        return [(0, out)]
    return [(number, part_path(out, number)) for number in part_numbers(out)]


def holds_old_layout(out: Path) -> bool:
    """Whether shards or their index lie in the folder itself."""
    return (out / INDEX).exists() or bool(shard_numbers(out))


def read_part(folder: Path, options: EmbeddingOptions) -> tuple[pa.Table, Part | None]:
    """The index of a part, and the part where it is done and whole."""
    try:
        part = Part.open(folder, options)
        if part.intact():
            return part.index(), part
    except InputError:
        pass
    return assigned(folder, options), None


def stamps(root: Path, names: Sequence[str]) -> np.ndarray:
    """Size, mtime and ctime of files, ``(n, 3)`` int64; -1 where there is none."""
    base, found = os.path.join(root, ""), []  # noqa: PTH118 - pathlib takes thrice as long
    for name in names:
        try:
            stat = os.stat(base + name)  # noqa: PTH116
        except OSError:
            found.append((-1, -1, -1))
        else:
            found.append((stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return np.array(found, np.int64).reshape(-1, 3)


def _keys(paths: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """A number for each path, the same for equal ones within this process, ``(n,)``."""
    keys = np.empty(len(paths), np.int64)
    for start in range(0, len(paths), 1 << 16):
        some = paths[start : start + (1 << 16)].to_pylist()
        keys[start : start + len(some)] = np.fromiter(map(hash, some), np.int64, len(some))
    return keys


def _assigned(table: pa.Table, before: np.ndarray, free: np.ndarray) -> Marks:
    """Of an open part: it is to hold what it was to hold, as far as that is there."""
    status = np.where(free, before, REMOVED)
    return Marks(False, status, table["mtime_ns"].to_numpy(), table["ctime_ns"].to_numpy())


def _held(table: pa.Table, before: np.ndarray, free: np.ndarray, root: Path) -> Marks:
    """Of a part that is done: rows hold as far as they still speak of their files, removed ones again."""
    remembered = (table["row"].to_numpy() >= 0) | (pc.utf8_length(table["reason"]).to_numpy() > 0)
    held = free & ((before != REMOVED) | remembered)
    then = np.stack([table[name].to_numpy() for name in ("size", "mtime_ns", "ctime_ns")], 1)  # (n, 3)
    now = stamps(root, table["path"].filter(pa.array(held)).to_pylist())
    same = (now == then[held]).all(1) & (now[:, 2] != -1)
    same &= ~pc.is_in(table["reason"].filter(pa.array(held)), _CURABLE).to_numpy()
    for place in np.flatnonzero(held)[~same].tolist():
        (row,) = rows_of(table.slice(place, 1))
        later = held_row(ImageFile(root / row.path, row.path), row)
        held[place] = later is not None
        if later is not None:
            then[place, 1:] = later.mtime_ns, later.ctime_ns
    status = np.where(held, np.where(table["row"].to_numpy() >= 0, OK, FAILED), REMOVED)
    return Marks(True, status, then[:, 1], then[:, 2])
