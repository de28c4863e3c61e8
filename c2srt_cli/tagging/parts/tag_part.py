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
from c2srt_cli.tagging.tagger import tag_images
from c2srt_cli.tagging.writers import WriteContext
from c2srt_cli.tagging.writers.parquet import write_parquet


def tag_part(job: TagPartsJob, number: int, count: TagCount, progress: Progress) -> None:
    """Tag what is left of a part, and publish it; nothing where that is done.

    Raises:
        InputError: the disk is full, or embeddings are damaged.
        Interrupted: the user stopped it; a rerun goes on from there.
        UsageError: another process is writing it.
    """
    folder, tagging = part_path(job.out, number), job.tagging
    with lock(folder / LOCK), disk_errors(folder):
        if (folder / MANIFEST).exists():
            return
        remove_leftovers(folder)
        index = assigned(folder)
        wanted = index["path"].filter(pc.not_equal(index["status"], "removed"))
        items = list(tagging.source.some(wanted.combine_chunks().cast(pa.large_string())))
        with Journal(folder / JOURNAL, job.options, tagging.labels.names) as journal:
            stamps = _tag(job, journal, items, count, progress)
            rows: dict[str, Row] = {}
            context = WriteContext(tagging.source.root, tagging.labels.names, tagging.all_scores)
            with atomic_write(folder / TAGS) as temporary:
                write_parquet(count.summary.watch(_results(journal, stamps, rows)), temporary, context)
        publish(folder, _index(index, rows), job.made)
        (folder / JOURNAL).unlink()
    count.live += len(rows)
    count.failures += [FailedImage(row.path, row.reason, row.detail) for row in rows.values() if row.status == "failed"]


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


def _results(journal: Journal, stamps: Mapping[str, Stamp], rows: dict[str, Row]) -> Iterator[TaggedImage]:
    """Results of a part for its file, in their order; what the index is to say of each is put into ``rows``."""
    done = 0
    for name, (size, mtime_ns, ctime_ns, sha256) in stamps.items():
        result = journal[name]
        if isinstance(result, FailedImage):
            why = ("failed", result.reason, result.detail, ctime_ns)
            rows[name] = Row(name, size, mtime_ns, sha256, 0, 0, -1, -1, *why)
        else:
            rows[name] = Row(name, size, mtime_ns, sha256, 0, 0, 0, done, "ok", ctime_ns=ctime_ns)
            done += 1
            yield result


def _index(assigned: pa.Table, rows: dict[str, Row]) -> pa.Table:
    """The index of a part that is done; embeddings may have given up images since they were assigned."""
    table = []
    for row in rows_of(assigned):
        if row.status != "removed" and row.path not in rows:
            rows[row.path] = Row(row.path, -1, -1, "", 0, 0, -1, -1, "failed", "missing", "it is no longer embedded")
        table.append(rows.get(row.path, row))
    return table_of(table)
