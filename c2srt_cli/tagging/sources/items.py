"""The images of a source: in columns, each an object only while it is looked at."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, overload

import numpy as np
import pyarrow as pa

from c2srt_cli.artifacts import Stamp

#: Images that are Python objects at a time.
CHUNK = 1 << 14


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a source.

    Attributes:
        name: Its key, relative to the root.
        stamp: Its version.
    """

    name: str
    stamp: Stamp


class Versions(NamedTuple):
    """Stamps of N images in columns.

    Attributes:
        numbers: Size, mtime and ctime, ``(N, 3)`` int64.
        sha256: Of their bytes; None where they have not been read.
    """

    numbers: np.ndarray
    sha256: pa.ChunkedArray | None = None


class Items(Sequence[Item]):
    """Images by their names.

    Args:
        names: Theirs.
        look: Gives their versions, once they are asked for.
    """

    def __init__(self, names: pa.LargeStringArray, look: Callable[[], Versions]) -> None:
        self.names, self._look = names, look

    @cached_property
    def _versions(self) -> Versions:
        return self._look()

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Item]:
        for start in range(0, len(self), CHUNK):
            yield from self[start : start + CHUNK]

    @overload
    def __getitem__(self, place: int) -> Item: ...
    @overload
    def __getitem__(self, place: slice) -> list[Item]: ...
    def __getitem__(self, place: int | slice) -> Item | list[Item]:
        if not isinstance(place, slice):
            place = range(len(self))[place]
            return self[place : place + 1][0]
        numbers, sha256 = self._versions
        names = self.names[place].to_pylist()
        digests = [""] * len(names) if sha256 is None else sha256[place].to_pylist()
        rows = zip(names, *numbers[place].T.tolist(), digests, strict=True)
        return [Item(name, Stamp(size, mtime, ctime, digest)) for name, size, mtime, ctime, digest in rows]
