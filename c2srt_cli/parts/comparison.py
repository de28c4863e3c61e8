"""What earlier runs assigned to parts, compared with the images that there are: in columns, part by part."""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from c2srt_cli.parts.index import Row, rows_of
from c2srt_cli.threads import WORKERS, side_by_side

STATUSES = ("ok", "failed", "open", "removed")
OK, FAILED, _, REMOVED = range(4)


@dataclass(frozen=True, eq=False)
class Known:
    """What lies in the folder of a part.

    Attributes:
        index: Of its images.
        done: Whether it is published, and whole.
        tidy: Whether all that is there belongs to it; one that is not done may have been damaged.
    """

    index: pa.Table
    done: bool
    tidy: bool


class Dataset(Protocol):
    """What is in parts, beside their indexes."""

    def folders(self) -> list[tuple[int, Path]]:
        """Parts by number, ascending."""
        ...

    def read(self, folder: Path) -> Known:
        """A part as it is."""
        ...

    def tried(self, folder: Path) -> int:
        """How many images of a part that is not done need no more work."""
        ...

    def hold(self, table: pa.Table, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which rows of a part that is done speak of the images at these places among those that there are.

        Returns:
            ``(n,)`` bool, and the mtime and ctime to record from now on, ``(n, 2)`` int64.
        """
        ...

    def spans(self, new: np.ndarray) -> Iterable[slice]:
        """How new images, given by their places, are put together into parts."""
        ...

    def publish(self, folder: Path, table: pa.Table) -> None:
        """Write index and manifest of a part that is done."""
        ...


@dataclass(frozen=True, eq=False)
class Marks:
    """What changes in a part's index.

    Attributes:
        done: Whether the part is; one that was and is damaged is no longer.
        status: Of each row, a place in `STATUSES`.
        times: Its mtime and ctime, ``(n, 2)``.
    """

    done: bool
    status: np.ndarray
    times: np.ndarray

    def applied(self, table: pa.Table) -> pa.Table:
        """The index with them."""
        status = pa.array(STATUSES).take(pa.array(self.status))
        columns = {"status": status, "mtime_ns": pa.array(self.times[:, 0]), "ctime_ns": pa.array(self.times[:, 1])}
        for name, column in columns.items():
            table = table.set_column(table.column_names.index(name), name, column)
        return table


@dataclass(eq=False)
class Comparison:
    """What a run finds before it writes anything.

    Attributes:
        names: Of the images that there are.
        new: Places of those that no part has.
        gone: Names of the images that parts have, and that are not there any more.
        live: Images of parts that are done.
        failures: Those of them that failed.
        left: Images that are left to work on, in open parts and new ones.
        known: Whether any image is done.
        held: Whether any that is, is found.
        marks: By part, of those that change.
    """

    names: pa.LargeStringArray
    new: np.ndarray
    gone: list[pa.ChunkedArray] = field(default_factory=list)
    live: int = 0
    failures: list[Row] = field(default_factory=list)
    left: int = 0
    known: bool = False
    held: bool = False
    marks: dict[int, Marks] = field(default_factory=dict)

    @classmethod
    def of_none(cls, names: pa.LargeStringArray) -> "Comparison":
        """Where nothing is there yet."""
        return cls(names, np.arange(len(names)), left=len(names))

    @property
    def removed(self) -> int:
        """How many images have gone."""
        return sum(map(len, self.gone))


def compare(dataset: Dataset, names: pa.LargeStringArray) -> Comparison:
    """Compare parts with images: names by name, rows as the dataset does. An image is in one part."""
    keys = _keys(names)
    order = np.argsort(keys)
    keys, claimed = keys[order], np.zeros(len(names), bool)
    result = Comparison(names, order[:0])
    parts = dataset.folders()[::-1]
    with closing(side_by_side(lambda part: dataset.read(part[1]), parts, WORKERS, "read")) as read:
        for (number, folder), known in zip(parts, read, strict=True):
            table, done = known.index, known.done
            place = order[_places(keys, _keys(table["path"]))]
            paths = table["path"].combine_chunks().cast(pa.large_string())
            there = pc.equal(names.take(pa.array(place)), paths).to_numpy(False)
            free = there & ~claimed[place]
            before = pc.index_in(table["status"], pa.array(STATUSES)).to_numpy()
            marks = _held(dataset, table, before, free, place) if done else _assigned(table, before, free)
            live = marks.status != REMOVED
            claimed[place[live]] = True
            if len(gone := table["path"].filter(pa.array((before != REMOVED) & ~there))):
                result.gone.insert(0, gone)
            result.known |= bool((before == OK).any())
            result.held |= bool((marks.status == OK).any()) or (not done and bool(live.any()))
            if done:
                result.live += int(live.sum())
                result.failures[:0] = rows_of(marks.applied(table).filter(pa.array(marks.status == FAILED)))
            else:
                result.left += max(0, int(live.sum()) - dataset.tried(folder))
            if not known.tidy or not marks.applied(table).equals(table):
                result.marks[number] = marks
    result.new = np.flatnonzero(~claimed)
    result.left += len(result.new)
    return result


def _keys(paths: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """A number for each path, the same for equal ones within this process, ``(n,)``."""
    keys = np.empty(len(paths), np.int64)
    for start in range(0, len(paths), 1 << 16):
        some = paths[start : start + (1 << 16)].to_pylist()
        keys[start : start + len(some)] = np.fromiter(map(hash, some), np.int64, len(some))
    return keys


def _places(keys: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Where each of its own keys may stand among all, which are sorted, ``(n,)``."""
    ascending, places = np.argsort(own), np.empty(len(own), np.int64)
    places[ascending] = np.searchsorted(keys, own[ascending])  # a third of the time that keys in no order take
    return np.minimum(places, len(keys) - 1)


def _times(table: pa.Table) -> np.ndarray:
    return np.stack([table["mtime_ns"].to_numpy(), table["ctime_ns"].to_numpy()], 1)  # (n, 2)


def _assigned(table: pa.Table, before: np.ndarray, free: np.ndarray) -> Marks:
    """Of an open part: it is to hold what it was to hold, as far as that is there."""
    return Marks(False, np.where(free, before, REMOVED), _times(table))


def _held(dataset: Dataset, table: pa.Table, before: np.ndarray, free: np.ndarray, places: np.ndarray) -> Marks:
    """Of a part that is done: rows hold as far as they still speak of their images, removed ones again."""
    remembered = (table["row"].to_numpy() >= 0) | (pc.utf8_length(table["reason"]).to_numpy() > 0)
    asked = np.flatnonzero(free & ((before != REMOVED) | remembered))
    same, now = dataset.hold(table.take(pa.array(asked)), places[asked])
    times, status = _times(table), np.full(len(table), REMOVED)
    times[asked[same]] = now[same]
    status[asked[same]] = np.where(table["row"].to_numpy()[asked[same]] >= 0, OK, FAILED)
    return Marks(True, status, times)
