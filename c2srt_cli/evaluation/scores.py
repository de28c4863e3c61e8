"""The scores of a method on a test set, in a file that is written by images and read by images or by labels.

A safetensors file with ``scores`` ``(L, N)`` float32, a row a label, ``rows`` ``(N,)`` and ``columns`` ``(L,)`` int64:
which images and which labels of the annotations they are of. It is read in pieces and never mapped: a set of
125,436 images and 7,586 labels is 3.8 GB.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from c2srt_cli.artifacts import atomic_write
from c2srt_cli.errors import InputError

#: Bytes of scores that are held back until they are written as pieces of rows.
BUFFER = 64 << 20


@dataclass(frozen=True, eq=False)
class ScoreFile:
    """A finished score file, which is opened anew for every read: several threads may read it.

    Attributes:
        path: The file.
        rows: ``(N,)`` images, by their number in the annotations.
        columns: ``(L,)`` labels, by their id.
        facts: What its writer said of it, such as ``method`` and ``annotations``, their fingerprint.
        offset: Where the scores start in the file, in bytes.
    """

    path: Path
    rows: np.ndarray
    columns: np.ndarray
    facts: Mapping[str, str]
    offset: int

    @classmethod
    def open(cls, path: Path) -> "ScoreFile":
        """Open what `write_scores` wrote.

        Raises:
            InputError: it is missing or is no such file.
        """
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(length)) if length < path.stat().st_size else {}
                facts = header.pop("__metadata__", {})
                found = {name: _tensor(file, header[name], 8 + length) for name in ("rows", "columns")}
                layout, shape = header["scores"], (len(found["columns"]), len(found["rows"]))
                start, end = layout["data_offsets"]
                if (
                    layout["dtype"] != "F32"
                    or tuple(layout["shape"]) != shape
                    or end - start != 4 * shape[0] * shape[1]
                ):
                    raise ValueError(f"scores of {layout['dtype']} {layout['shape']}")
                if path.stat().st_size < 8 + length + end:
                    raise ValueError("it ends too early")
        except FileNotFoundError:
            raise InputError("no such file", where=str(path)) from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"is no score file ({error})", where=str(path)) from None
        return cls(path, found["rows"], found["columns"], facts, 8 + length + start)

    def read(self, places: np.ndarray, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Scores ``(len(places), stop - start)`` float32 of some labels on a range of images.

        Args:
            places: Where the labels stand in `columns`.
            start: First image.
            stop: The image after the last one; all of them unless given.

        Raises:
            InputError: the file is shorter than it was.
        """
        count = len(self.rows)
        stop = count if stop is None else min(stop, count)
        out = np.empty((len(places), stop - start), dtype=np.float32)
        with self.path.open("rb", buffering=0) as file:
            for row, place in zip(out, places.tolist(), strict=True):
                file.seek(self.offset + 4 * (place * count + start))
                if file.readinto(row.data) != row.nbytes:
                    raise InputError("the file ends too early", where=str(self.path), hint="evaluate again")
        return out


class ScoreWriter:
    """Takes scores image by image and writes them label by label."""

    def __init__(self, file: BinaryIO, offset: int, count: int, labels: int) -> None:
        self._file, self._offset, self._count, self._labels = file, offset, count, labels
        self._blocks: list[np.ndarray] = []
        self._held = 0
        self.done = 0

    def add(self, scores: np.ndarray) -> None:
        """Take the scores ``(n, L)`` of the next n images.

        Raises:
            ValueError: the shape is not that of the file, or a score is NaN.
        """
        if scores.ndim != 2 or scores.shape[1] != self._labels or self.done + self._held + len(scores) > self._count:
            raise ValueError(f"scores {scores.shape} do not fit into {self._count} images by {self._labels} labels")
        if np.isnan(scores).any():
            raise ValueError("a score is NaN, which has no place in a ranking")
        self._blocks.append(np.array(scores, dtype=np.float32))
        self._held += len(scores)
        if self._held * self._labels * 4 >= BUFFER:
            self.flush()

    def flush(self) -> None:
        """Write what is held back."""
        if self._held:
            scores = np.ascontiguousarray(np.concatenate(self._blocks).T)  # (L, n)
            for label, row in enumerate(scores):
                self._file.seek(self._offset + 4 * (label * self._count + self.done))
                self._file.write(row.data)
            self.done += self._held
            self._blocks, self._held = [], 0


@contextmanager
def write_scores(path: Path, rows: np.ndarray, columns: np.ndarray, facts: Mapping[str, str]) -> Iterator[ScoreWriter]:
    """A writer for the scores of some images and labels; the file is there once all of them have come.

    Args:
        path: The file; it is replaced at the end.
        rows: ``(N,)`` images, by their number in the annotations, in the order in which their scores will come.
        columns: ``(L,)`` labels, by their id, in the order of the scores of an image.
        facts: What to say of it.

    Raises:
        ValueError: fewer images came than were announced.
    """
    sizes = {"rows": 8 * len(rows), "columns": 8 * len(columns), "scores": 4 * len(rows) * len(columns)}
    shapes = {"rows": [len(rows)], "columns": [len(columns)], "scores": [len(columns), len(rows)]}
    header: dict[str, Any] = {"__metadata__": dict(facts)}
    end = 0
    for name, size in sizes.items():
        header[name] = {
            "dtype": "F32" if name == "scores" else "I64",
            "shape": shapes[name],
            "data_offsets": [end, end + size],
        }
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with atomic_write(path) as temporary:
        with temporary.open("wb", buffering=0) as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.write(rows.astype("<i8").tobytes() + columns.astype("<i8").tobytes())
            file.truncate(8 + len(text) + end)
            writer = ScoreWriter(file, 8 + len(text) + end - sizes["scores"], len(rows), len(columns))
            yield writer
            writer.flush()
        if writer.done != len(rows):
            raise ValueError(f"scores of {writer.done} images came, {len(rows)} were announced")


def _tensor(file: BinaryIO, layout: Mapping[str, Any], base: int) -> np.ndarray:
    """A vector of int64."""
    start, end = layout["data_offsets"]
    if layout["dtype"] != "I64" or [8 * n for n in layout["shape"]] != [end - start]:
        raise ValueError(f"a vector of {layout['dtype']} {layout['shape']}")
    file.seek(base + start)
    return np.frombuffer(file.read(end - start), dtype="<i8")
