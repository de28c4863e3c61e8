"""Which images belong to which part: marks in the parts there are, and parts for what is new."""

from itertools import count, filterfalse
from pathlib import Path

from c2srt_cli.artifacts import LOCK, MANIFEST, lock
from c2srt_cli.embeddings.comparison import Comparison, holds_old_layout, read_part
from c2srt_cli.embeddings.index import INDEX, assignment, write_index
from c2srt_cli.embeddings.manifest import EmbeddingOptions
from c2srt_cli.embeddings.part import assigned, delete_part, part_files, part_numbers, part_path, publish


def assign(out: Path, wanted: Comparison, options: EmbeddingOptions, size: int) -> None:
    """Record what has changed in the parts there are, and make parts of up to ``size`` images for what is new.

    Raises:
        UsageError: another process is writing one of them.
    """
    if holds_old_layout(out):
        adopt(out, options)
    for number, marks in sorted(wanted.marks.items()):
        folder = part_path(out, number)
        with lock(folder / LOCK):
            table, part = read_part(folder, options)
            if marks.done:
                publish(folder, marks.applied(table), options)
            elif part is None:  # not done by another process since it was compared
                (folder / MANIFEST).unlink(missing_ok=True)
                write_index(folder / INDEX, marks.applied(table))
    for number in part_numbers(out):
        if not part_files(part_path(out, number)):  # a run was killed that was about to fill it
            delete_part(part_path(out, number))
    free = filterfalse(set(part_numbers(out)).__contains__, count())
    for number, start in zip(free, range(0, len(wanted.new), size), strict=False):
        write_index(part_path(out, number) / INDEX, assignment(wanted.new[start : start + size]))


def adopt(out: Path, options: EmbeddingOptions) -> None:
    """Make embeddings of before there were parts the first one, still to be published.

    A kill leaves some of the files where they were, for the next run to move.
    """
    folder = part_path(out, 0)
    table = assigned(out, options)
    folder.mkdir(exist_ok=True)
    for path in reversed(part_files(out)):  # the index last
        path.replace(folder / path.name)
    if not (folder / INDEX).exists():
        write_index(folder / INDEX, table)
