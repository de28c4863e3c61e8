"""One part of tags, from where an earlier run left it: the unit of work of every process."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from c2srt_cli.artifacts import LOCK, MANIFEST, Stamp, atomic_write, disk_errors, lock, remove_leftovers
from c2srt_cli.errors import Interrupted
from c2srt_cli.parts.folder import part_path
from c2srt_cli.parts.index import Row, rows_of, table_of
from c2srt_cli.progress import Progress
from c2srt_cli.tagging.journal import Journal
from c2srt_cli.tagging.parts.job import TagCount, TagPartsJob
from c2srt_cli.tagging.parts.part import JOURNAL, TAGS, assigned, publish
from c2srt_cli.tagging.record import FailedImage, TaggedImage
from c2srt_cli.tagging.sources import Item
from c2srt_cli.tagging.summary import Summary
from c2srt_cli.tagging.tagger import tag_images
from c2srt_cli.tagging.writers import WriteContext
from c2srt_cli.tagging.writers.parquet import write_parquet


def tag_part(job: TagPartsJob, number: int, count: TagCount, progress: Progress, *, wait: float = 0) -> None:
    """Tag what is left of a part, and publish it; count it alone where that is done.

    Args:
        job: Whose part.
        number: Of the part.
        count: Of this run.
        progress: Takes counts.
        wait: Seconds for another process that writes it.

    Raises:
        InputError: the disk is full, or embeddings are damaged.
        Interrupted: the user stopped it; a rerun goes on from there.
        UsageError: another process is writing it.
    """
    folder = part_path(job.out, number)
    with lock(folder / LOCK, wait=wait), disk_errors(folder):
        index = assigned(folder)
        if not (folder / MANIFEST).exists():  # published by another process, or by one that was lost before it said so
            remove_leftovers(folder)
            index = _work(job, number, index, count, progress)
            publish(folder, index, job.made)
            (folder / JOURNAL).unlink()
    count.live += pc.sum(pc.not_equal(index["status"], "removed")).as_py() or 0
    failed = rows_of(index.filter(pc.equal(index["status"], "failed")))
    count.failures += [FailedImage(row.path, row.reason, row.detail) for row in failed]


def _work(job: TagPartsJob, number: int, index: pa.Table, count: TagCount, progress: Progress) -> pa.Table:
    """Write the tags of a part; its index, as it is to be published."""
    folder, tagging = part_path(job.out, number), job.tagging
    wanted = index["path"].filter(pc.not_equal(index["status"], "removed"))
    items = list(tagging.source.some(wanted.combine_chunks().cast(pa.large_string())))
    rows: dict[str, Row] = {}
    with Journal(folder / JOURNAL, job.options, tagging.labels.names) as journal:
        stamps = _tag(job, journal, items, count, progress)
        context = WriteContext(tagging.source.root, tagging.labels.names, tagging.all_scores)
        with atomic_write(folder / TAGS) as temporary:
            write_parquet(_results(journal, stamps, rows, count.summary), temporary, context)
    return _index(index, rows)


def _tag(
    job: TagPartsJob, journal: Journal, items: Sequence[Item], count: TagCount, progress: Progress
) -> dict[str, Stamp]:
    """Tag what is not in the journal; the versions of all images, in their order."""
    stamps = journal.standing(items, job.tagging.source.root)
    remaining = [item for item in items if item.name not in stamps]
    count.resumed += len(stamps)
    count.done += len(stamps)
    quiet = replace(progress, advance=lambda _done, _total: None, stopped=lambda: False)
    with closing(tag_images(job.tagging, remaining, quiet)) as batches:
        for batch in batches:
            journal.append(batch)
            stamps.update((item.name, item.stamp) for item, _ in batch)
            count.done += len(batch)
            progress.advance(count.done, count.total)
            if progress.stopped() and count.done < count.total:
                raise Interrupted(f"{count.done:,} of {count.total:,} images are tagged", where=str(job.out))
    return {item.name: stamps[item.name] for item in items}


def _results(
    journal: Journal, stamps: Mapping[str, Stamp], rows: dict[str, Row], summary: Summary
) -> Iterator[TaggedImage]:
    """Results of a part for its file, in their order; what the index is to say of each is put into ``rows``."""
    done = 0
    for name, (size, mtime, ctime, sha256) in stamps.items():
        result = journal[name]
        if isinstance(result, FailedImage):
            rows[name] = Row(
                name, size, mtime, sha256, 0, 0, -1, -1, "failed", result.reason, result.detail, ctime_ns=ctime
            )
        else:
            rows[name] = Row(name, size, mtime, sha256, 0, 0, 0, done, "ok", ctime_ns=ctime)
            done += 1
            summary.add(result)
            yield result


def _index(assigned: pa.Table, rows: dict[str, Row]) -> pa.Table:
    """The index of a part that is done; embeddings may have given up images since they were assigned."""
    table = []
    for row in rows_of(assigned):
        if row.status != "removed" and row.path not in rows:
            rows[row.path] = Row.unread(row.path, "missing", "it is no longer embedded")
        table.append(rows.get(row.path, row))
    return table_of(table)
