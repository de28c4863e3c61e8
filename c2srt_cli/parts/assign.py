"""Which images belong to which part: marks in the parts there are, and parts for what is new."""

from collections.abc import Iterable
from itertools import count, filterfalse
from pathlib import Path

import numpy as np
import pyarrow as pa

from c2srt_cli.artifacts import LOCK, MANIFEST, lock
from c2srt_cli.parts.comparison import Comparison, Dataset
from c2srt_cli.parts.folder import delete_part, part_numbers, part_path
from c2srt_cli.parts.index import INDEX, assignment, write_index


def assign(out: Path, dataset: Dataset, wanted: Comparison) -> None:
    """Record what has changed in the parts there are, and make parts for what is new.

    Raises:
        UsageError: another process is writing one of them.
    """
    for number, marks in sorted(wanted.marks.items()):
        folder = part_path(out, number)
        with lock(folder / LOCK):
            known = dataset.read(folder)
            if marks.done:
                dataset.publish(folder, marks.applied(known.index))
            elif not known.done:  # by another process since it was compared
                (folder / MANIFEST).unlink(missing_ok=True)
                write_index(folder / INDEX, marks.applied(known.index))
    for number in part_numbers(out):
        if all(path.name.startswith(".") for path in part_path(out, number).iterdir()):
            delete_part(part_path(out, number))  # a run was killed that was about to fill it
    free = filterfalse(set(part_numbers(out)).__contains__, count())
    for number, span in zip(free, dataset.spans(wanted.new), strict=False):
        names = wanted.names.take(pa.array(wanted.new[span]))
        write_index(part_path(out, number) / INDEX, assignment(names))


def evenly(new: np.ndarray, size: int) -> Iterable[slice]:
    """Parts of ``size`` images."""
    return (slice(start, start + size) for start in range(0, len(new), size))
