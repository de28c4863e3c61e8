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
from safetensors import SafetensorError, safe_open

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
            with safe_open(path, "np") as file:  # it checks that the tensors fill the file, one after the other
                layout = {name: (part.get_dtype(), part.get_shape()) for name, part in _slices(file)}
                problems = _layout_problems(layout)
                rows, columns = (np.empty(0) if problems else file.get_tensor(name) for name in ("rows", "columns"))
                facts = file.metadata() or {}
            with path.open("rb") as opened:
                length = int.from_bytes(opened.read(8), "little")
                header = json.loads(opened.read(length))
        except FileNotFoundError:
            raise InputError("no such file", where=str(path)) from None
        except (OSError, SafetensorError, ValueError) as error:
            raise InputError(f"is no score file ({error})", where=str(path)) from None
        for name, numbers in (("rows", rows), ("columns", columns)):
            if len(numbers) and numbers.min() < 0:
                problems.append(f"{name}: {numbers.min()} is the number of nothing")
            if len(np.unique(numbers)) < len(numbers):
                problems.append(f"{name}: some stand twice")
        if problems:
            raise InputError("is no score file", where=str(path), problems=problems, hint="evaluate again")
        return cls(path, rows, columns, facts, 8 + length + header["scores"]["data_offsets"][0])

    def read(self, places: np.ndarray, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Scores ``(len(places), stop - start)`` float32 of some labels on a range of images.

        Args:
            places: Where the labels stand in `columns`.
            start: First image.
            stop: The image after the last one; all of them unless given.

        Raises:
            InputError: the file is shorter than it was, or a score in it is no number.
        """
        count = len(self.rows)
        stop = count if stop is None else min(stop, count)
        out = np.empty((len(places), stop - start), dtype=np.float32)
        with self.path.open("rb", buffering=0) as file:
            for row, place in zip(out, places.tolist(), strict=True):
                file.seek(self.offset + 4 * (place * count + start))
                if file.readinto(row.data) != row.nbytes:
                    raise InputError("the file ends too early", where=str(self.path), hint="evaluate again")
        if np.isnan(out).any():
            raise InputError(
                "a score is NaN, which has no place in a ranking", where=str(self.path), hint="evaluate again"
            )
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
            InputError: a score is NaN.
            ValueError: the shape is not that of the file.
        """
        if scores.ndim != 2 or scores.shape[1] != self._labels or self.done + self._held + len(scores) > self._count:
            raise ValueError(f"scores {scores.shape} do not fit into {self._count} images by {self._labels} labels")
        if np.isnan(scores).any():
            raise InputError(
                "a score is NaN, which has no place in a ranking",
                hint="the tokens may have left the range of their numbers: embed with --precision float32",
            )
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


def _slices(file: Any) -> Iterator[tuple[str, Any]]:
    return ((name, file.get_slice(name)) for name in file.keys())  # noqa: SIM118 - not a mapping


def _layout_problems(layout: Mapping[str, tuple[str, list[int]]]) -> list[str]:
    """What is wrong with the tensors of a file, by their types and shapes."""
    if layout.keys() != {"rows", "columns", "scores"}:
        return [f"it holds {', '.join(sorted(layout)) or 'nothing'} instead of columns, rows, scores"]
    sizes = {name: layout[name][1] for name in ("columns", "rows")}
    problems = [
        f"{name}: {layout[name][0]} of shape {shape} are no numbers of labels or images"
        for name, shape in sizes.items()
        if layout[name][0] != "I64" or len(shape) != 1 or not shape[0]
    ]
    if layout["scores"] != ("F32", [*sizes["columns"], *sizes["rows"]]):
        problems.append(f"scores: {layout['scores'][0]} of shape {layout['scores'][1]}")
    return problems
