"""``annotations.parquet`` and ``labels.csv``: which images have which labels, and what is known to be absent."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue

from c2srt_cli.artifacts import (
    LOCK,
    MANIFEST,
    UNFINISHED,
    atomic_write,
    check_same,
    disk_errors,
    fingerprint,
    in_bucket,
    lock,
    manifest,
    previous_manifest,
    read_manifest,
    remove_leftovers,
    write_json,
)
from c2srt_cli.artifacts.parquet import unpacks_to_too_much
from c2srt_cli.artifacts.records import Record, Sha256, Text, checked, relative_path
from c2srt_cli.datasets.incidence import Incidence
from c2srt_cli.datasets.label_table import read_label_table, write_label_table
from c2srt_cli.errors import InputError
from c2srt_cli.labels import LabelSet

__all__ = ["Annotations", "Incidence", "read_annotations", "read_label_table", "write_annotations", "write_label_table"]

KIND = "annotations"
SCHEMA = 1
ANNOTATIONS = "annotations.parquet"
LABELS = "labels.csv"
SPLITS = ("train", "val", "test")
AGAIN = "run c2srt prepare again, with --overwrite"


@dataclass(frozen=True, eq=False)
class Annotations:
    """N images and what is known of their L labels.

    Attributes:
        root: The folder that paths are relative to.
        labels: The labels.
        seen: ``(L,)`` bool: the label may be trained on.
        paths: The N images, ``/`` between the parts of a path.
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
        """Numbers of the images of a split, ascending."""
        return np.flatnonzero(self.split == split)

    def truth(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """What is known: ``(len(rows), len(columns))`` int8; 1 present, -1 absent, 0 unknown."""
        present = self.positive.select(rows).dense(columns)
        absent = ~present if self.complete else self.negative.select(rows).dense(columns) & ~present
        return present.astype(np.int8) - absent.astype(np.int8)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over everything but the root and the notes: images may move, and keep their embeddings."""
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
        previous = previous_manifest(folder, KIND, overwrite=overwrite)
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


def read_annotations(folder: Path, root: Path | None = None) -> Annotations:
    """Read what `write_annotations` wrote.

    Args:
        folder: Where they lie.
        root: The folder that paths are relative to now; None for the one that they were relative to.

    Raises:
        InputError: there are none, they are unfinished, of another layout, damaged, or changed since.
    """
    made = checked(_Made, read_manifest(folder, KIND, SCHEMA), folder / MANIFEST, AGAIN)
    labels, seen = read_label_table(folder / LABELS)
    path = folder / ANNOTATIONS
    try:
        paths, split, lists = _read_table(path)
    except FileNotFoundError:
        raise InputError("no such file", where=str(path), hint=AGAIN) from None
    except (OSError, ValueError, TypeError, KeyError, NotImplementedError) as error:  # Arrow's are of these
        raise InputError(f"the annotations are damaged ({error})", where=str(path), hint=AGAIN) from None
    problems = [*_path_problems(paths), *(f"there is no split {one!r}" for one in sorted(set(split) - set(SPLITS)))]
    for name, incidence in lists.items():
        problems += [f"column {name!r}: {fault}" for fault in incidence.faults(len(labels))]
    if made.complete and len(lists["negative"].labels):
        problems.append("column 'negative': there is nothing in it where what is not positive is absent")
    if problems:
        raise InputError("the annotations are damaged", where=str(path), problems=problems, hint=AGAIN)
    annotations = Annotations(
        Path(made.root) if root is None else root if in_bucket(root) else root.absolute(),
        labels,
        seen,
        paths,
        np.array(split, dtype="U5"),
        lists["positive"],
        lists["negative"],
        made.complete,
        made.dataset,
        made.notes,
    )
    if annotations.fingerprint != made.fingerprint:
        raise InputError(
            "the annotations are not the ones that were written: their fingerprint differs",
            where=str(folder),
            hint=AGAIN,
        )
    return annotations


class _Made(Record):
    root: Text
    dataset: Text
    complete: bool
    notes: dict[str, JsonValue]
    fingerprint: Sha256


def _path_problems(paths: Sequence[str]) -> list[str]:
    """What is wrong with paths: those that are not below the root, those that stand twice."""
    problems, seen = [], dict[str, int]()
    for number, path in enumerate(paths):
        try:
            relative_path(path)
        except ValueError as error:
            problems.append(f"row {number}, {path!r}: its path {error}")
        if seen.setdefault(path, number) != number:
            problems.append(f"row {number}, {path!r}: stands in row {seen[path]} too")
    return problems


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
    # open files, not paths: pyarrow takes these for text, and for addresses
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        pq.write_table(pa.table(columns), file, compression="zstd")


def _read_table(path: Path) -> tuple[tuple[str, ...], list[str], dict[str, Incidence]]:
    """The columns, once they are of the right types: a ValueError says which is not."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        if (fault := unpacks_to_too_much(file.metadata, path.stat().st_size)) is not None:
            raise ValueError(fault)
        table = file.read(columns=["path", "split", "positive", "negative"])
    lists = {}
    for name in ("positive", "negative"):
        column = table[name].combine_chunks()
        is_list = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
        if not is_list or not pa.types.is_integer(column.type.value_type):
            raise ValueError(f"column {name!r} is {column.type}, it must be a list of whole numbers")
        ids = column.flatten()
        if column.null_count or ids.null_count:
            raise ValueError(f"column {name!r} has empty cells")
        starts = np.concatenate([[0], np.cumsum(column.value_lengths().to_numpy())]).astype(np.int64)
        lists[name] = Incidence(starts, ids.cast(pa.int32()).to_numpy())
    for name in ("path", "split"):
        if table[name].type not in (pa.string(), pa.large_string()) or table[name].null_count:
            raise ValueError(f"column {name!r} is {table[name].type}, it must be text without empty cells")
    return tuple(table["path"].to_pylist()), table["split"].to_pylist(), lists
