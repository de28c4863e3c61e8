"""``annotations.parquet`` and ``labels.csv``: which photographs have which labels, and what is known to be absent."""

import csv
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from c2srt_cli.artifacts import (
    LOCK,
    MANIFEST,
    UNFINISHED,
    atomic_write,
    check_same,
    disk_errors,
    fingerprint,
    lock,
    manifest,
    peek_manifest,
    read_manifest,
    remove_leftovers,
    write_json,
)
from c2srt_cli.errors import InputError
from c2srt_cli.labels import Label, LabelSet

KIND = "annotations"
SCHEMA = 1
ANNOTATIONS = "annotations.parquet"
LABELS = "labels.csv"
SPLITS = ("train", "val", "test")
AGAIN = "run c2srt prepare again, with --overwrite"
RESTORE = "restore it, or run the command that wrote this folder again, with --overwrite"


@dataclass(frozen=True, eq=False)
class Incidence:
    """Which labels each of N photographs has, in compressed rows.

    Attributes:
        starts: ``(N + 1,)`` int64; row ``i`` is ``labels[starts[i]:starts[i + 1]]``.
        labels: int32 ids into a `LabelSet`, ascending and unique within a row.
    """

    starts: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    @classmethod
    def from_pairs(cls, rows: np.ndarray, labels: np.ndarray, count: int) -> "Incidence":
        """From pairs of a row and a label in any order, repeated or not; ``count`` is N."""
        width = int(labels.max(initial=-1)) + 1
        keys = np.unique(rows.astype(np.int64) * width + labels)
        lengths = np.bincount(keys // max(width, 1), minlength=count)
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return cls(starts, (keys % max(width, 1)).astype(np.int32))

    @classmethod
    def from_lists(cls, lists: Sequence[Iterable[int]]) -> "Incidence":
        """From one collection of label ids per photograph."""
        rows = [sorted(set(ids)) for ids in lists]
        starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        return cls(starts, np.array([label for row in rows for label in row], dtype=np.int32))

    @classmethod
    def empty(cls, count: int) -> "Incidence":
        """No label for any of ``count`` photographs."""
        return cls(np.zeros(count + 1, np.int64), np.zeros(0, np.int32))

    @property
    def lengths(self) -> np.ndarray:
        """Labels of each photograph: ``(N,)`` int64."""
        return np.diff(self.starts)

    def row(self, i: int) -> np.ndarray:
        """Label ids of photograph ``i``."""
        return self.labels[self.starts[i] : self.starts[i + 1]]

    def select(self, rows: np.ndarray) -> "Incidence":
        """Some rows, by number or by a mask of all of them, in the order that they are named in."""
        numbers = np.arange(len(self))[rows]
        lengths = self.lengths[numbers]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        where = np.arange(starts[-1]) + np.repeat(self.starts[numbers] - starts[:-1], lengths)
        return Incidence(starts, self.labels[where])

    def dense(self, columns: np.ndarray) -> np.ndarray:
        """Whether each photograph has each of some labels: ``(N, len(columns))`` bool, for distinct columns."""
        place = np.full(max(self.labels.max(initial=-1), columns.max(initial=-1)) + 1, -1)
        place[columns] = np.arange(len(columns))
        found = place[self.labels]
        dense = np.zeros((len(self), len(columns)), dtype=bool)
        dense[np.repeat(np.arange(len(self)), self.lengths)[found >= 0], found[found >= 0]] = True
        return dense


@dataclass(frozen=True, eq=False)
class Annotations:
    """N photographs and what is known of their L labels.

    Attributes:
        root: The folder that paths are relative to.
        labels: The labels.
        seen: ``(L,)`` bool: the label may be trained on.
        paths: The N photographs, ``/`` between the parts of a path.
        split: ``(N,)``, each ``train``, ``val`` or ``test``.
        positive: Labels known to be present.
        negative: Labels known to be absent; empty where ``complete``.
        complete: True: what is not positive is absent. False: it is unknown, unless it is negative.
        dataset: Name of the dataset.
        notes: What was counted, and what is worth saying.
    """

    root: Path
    labels: LabelSet
    seen: np.ndarray
    paths: tuple[str, ...]
    split: np.ndarray
    positive: Incidence
    negative: Incidence
    complete: bool
    dataset: str
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.paths)

    def with_seen(self, seen: np.ndarray) -> "Annotations":
        """The same under another division of the labels, ``(L,)`` bool."""
        return replace(self, seen=seen)

    def with_labels(self, labels: LabelSet) -> "Annotations":
        """The same with the L labels called otherwise."""
        return replace(self, labels=labels)

    def rows(self, split: str) -> np.ndarray:
        """Numbers of the photographs of a split, ascending."""
        return np.flatnonzero(self.split == split)

    def truth(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """What is known: ``(len(rows), len(columns))`` int8; 1 present, -1 absent, 0 unknown."""
        present = self.positive.select(rows).dense(columns)
        absent = ~present if self.complete else self.negative.select(rows).dense(columns) & ~present
        return present.astype(np.int8) - absent.astype(np.int8)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over everything but the root and the notes: photographs may move, and keep their embeddings."""
        arrays = (self.seen, self.positive.starts, self.positive.labels, self.negative.starts, self.negative.labels)
        digests = [hashlib.sha256(array.tobytes()).hexdigest() for array in arrays]
        digests += [hashlib.sha256("\0".join(names).encode()).hexdigest() for names in (self.paths, self.split)]
        return fingerprint([self.labels.fingerprint, self.complete, *digests])


def write_annotations(
    folder: Path,
    annotations: Annotations,
    options: Mapping[str, Any],
    *,
    inputs: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write ``annotations.parquet``, ``labels.csv`` and, last, ``manifest.json``.

    Args:
        folder: Where to; made where it is missing.
        annotations: What to write.
        options: What the user asked for, as resolved.
        inputs: Fingerprints of what they were read from.
        overwrite: Replace annotations that were made with other options.

    Raises:
        InputError: something else is in the folder, or it cannot be written to.
        UsageError: another process is writing there.
    """
    with lock(folder / LOCK), disk_errors(folder):
        remove_leftovers(folder)
        previous = peek_manifest(folder)
        there = [path.name for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
        if previous is None and there:
            raise InputError(
                f"the folder is not empty ({there[0]}, …) and holds no annotations",
                where=str(folder),
                hint="name another --out",
            )
        if previous is not None and previous["kind"] != KIND:
            raise InputError(f"holds {previous['kind']}", where=str(folder), hint="name another --out")
        made = manifest(KIND, SCHEMA, options, inputs or {})
        if previous and not overwrite:
            check_same(folder, previous["options"], made["options"])
        write_json(folder / UNFINISHED, made)
        (folder / MANIFEST).unlink(missing_ok=True)
        _write_table(folder / ANNOTATIONS, annotations)
        write_label_table(folder / LABELS, annotations.labels, annotations.seen)
        facts = {
            "root": str(annotations.root),
            "dataset": annotations.dataset,
            "complete": annotations.complete,
            "notes": dict(annotations.notes),
            "fingerprint": annotations.fingerprint,
        }
        write_json(folder / MANIFEST, made | facts)
        (folder / UNFINISHED).unlink()


def read_annotations(folder: Path) -> Annotations:
    """Read what `write_annotations` wrote.

    Raises:
        InputError: there are none, they are unfinished, of another layout, damaged, or changed since.
    """
    made = read_manifest(folder, KIND, SCHEMA)
    try:
        labels, seen = read_label_table(folder / LABELS)
        paths, split, positive, negative = _read_table(folder / ANNOTATIONS)
        annotations = Annotations(
            Path(made["root"]),
            labels,
            seen,
            paths,
            split,
            positive,
            negative,
            made["complete"],
            made["dataset"],
            made["notes"],
        )
        unchanged = annotations.fingerprint == made["fingerprint"]
    except FileNotFoundError as error:
        raise InputError("no such file", where=str(error.filename or folder), hint=AGAIN) from None
    except (OSError, KeyError, ValueError, TypeError, AttributeError, csv.Error) as error:  # Arrow's are ValueErrors
        raise InputError(f"the annotations are damaged ({error})", where=str(folder), hint=AGAIN) from None
    if not unchanged:
        raise InputError(
            "the annotations are not the ones that were written: their fingerprint differs",
            where=str(folder),
            hint=AGAIN,
        )
    return annotations


def _write_table(path: Path, annotations: Annotations) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "path": pa.array(annotations.paths, pa.string()),
        "positive": pa.ListArray.from_arrays(
            pa.array(annotations.positive.starts, pa.int32()), annotations.positive.labels
        ),
        "negative": pa.ListArray.from_arrays(
            pa.array(annotations.negative.starts, pa.int32()), annotations.negative.labels
        ),
        "split": pa.array(annotations.split.tolist(), pa.string()),
    }
    with atomic_write(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")


def _read_table(path: Path) -> tuple[tuple[str, ...], np.ndarray, Incidence, Incidence]:
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["path", "positive", "negative", "split"], partitioning=None)
    found = []
    for name in ("positive", "negative"):
        column = table[name].combine_chunks()
        starts = np.concatenate([[0], np.cumsum(column.value_lengths().to_numpy())]).astype(np.int64)
        found.append(Incidence(starts, column.flatten().to_numpy().astype(np.int32)))
    split = np.array(table["split"].to_pylist(), dtype="U5")
    return tuple(table["path"].to_pylist()), split, found[0], found[1]


def write_label_table(path: Path, labels: LabelSet, seen: np.ndarray) -> None:
    """Write ``labels.csv``, atomically."""
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("label", "synonyms", "id", "seen"))
        for label, known in zip(labels, seen, strict=True):
            writer.writerow((label.name, ";".join(label.synonyms), label.id, int(known)))


def read_label_table(path: Path) -> tuple[LabelSet, np.ndarray]:
    """Read ``labels.csv``: the labels, and ``(L,)`` bool, whether each is seen.

    Raises:
        InputError: it is missing, or is not what `write_label_table` wrote.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
        if not rows:
            raise ValueError("there is no label in the file")
        labels = [Label(row["label"], tuple(filter(None, row["synonyms"].split(";"))), id=row["id"]) for row in rows]
        seen = np.array([bool(int(row["seen"])) for row in rows], dtype=bool)
    except FileNotFoundError:
        raise InputError("no such file", where=str(path), hint=RESTORE) from None
    except (OSError, KeyError, ValueError, TypeError, AttributeError, csv.Error) as error:
        raise InputError(f"the labels are damaged ({error})", where=str(path), hint=RESTORE) from None
    return LabelSet(tuple(labels)), seen
