"""One part of embeddings, encoded from where an earlier run left it: the unit of work of every process."""

from contextlib import closing
from dataclasses import dataclass, field

import pyarrow.compute as pc

from c2srt_cli.artifacts import LOCK, MANIFEST, disk_errors, lock, remove_leftovers
from c2srt_cli.embeddings import shards
from c2srt_cli.embeddings.job import EmbedJob
from c2srt_cli.embeddings.manifest import EmbeddingOptions
from c2srt_cli.embeddings.part import assigned, known_rows, publish
from c2srt_cli.embeddings.pipeline import encode
from c2srt_cli.embeddings.plan import plan_work
from c2srt_cli.embeddings.shard_writer import ShardWriter
from c2srt_cli.errors import Interrupted
from c2srt_cli.images import ImageFile, ImageFiles
from c2srt_cli.parts.folder import part_path
from c2srt_cli.parts.index import Row, rows_of, table_of
from c2srt_cli.progress import Progress


@dataclass(eq=False)
class Count:
    """What a run has done so far.

    Attributes:
        total: Images to encode.
        encoded: Of these.
        live: Images of the parts that were done.
        failures: Those of them that failed.
    """

    total: int
    encoded: int = 0
    live: int = 0
    failures: list[Row] = field(default_factory=list)


def embed_part(
    job: EmbedJob, made: EmbeddingOptions, number: int, count: Count, progress: Progress, *, wait: float = 0
) -> None:
    """Encode what is left of a part, and publish it; count it alone where that is done.

    Args:
        job: What the parts are those of.
        made: What they are made with.
        number: Of the part.
        count: Of this run.
        progress: Takes counts.
        wait: Seconds for another process that writes it.

    Raises:
        InputError: the disk is full, or a shard of it is damaged.
        Interrupted: the user stopped it; a rerun goes on from there.
        UsageError: another process is writing it.
    """
    folder = part_path(job.out, number)
    with lock(folder / LOCK, wait=wait), disk_errors(folder):
        index = assigned(folder, made)
        if (folder / MANIFEST).exists():  # published by another process, or by one that was lost before it said so
            rows = rows_of(index)
        else:
            remove_leftovers(folder)
            wanted = index.filter(pc.not_equal(index["status"], "removed"))
            files = ImageFiles.of(job.root, wanted["path"].to_pylist())
            current, plan = plan_work(files, known_rows(folder, made))
            if plan:
                _encode(job, made, number, plan, current, count, progress)
            rows = [row if row.status == "removed" else current[row.path] for row in rows_of(index)]
            publish(folder, table_of(rows), made)
    count.live += sum(row.status != "removed" for row in rows)
    count.failures += [row for row in rows if row.status == "failed"]


def _encode(  # noqa: PLR0917
    job: EmbedJob,
    made: EmbeddingOptions,
    number: int,
    plan: list[ImageFile],
    current: dict[str, Row],
    count: Count,
    progress: Progress,
) -> None:
    """Encode what is planned into shards, and put its rows into ``current``."""
    left = len(plan)
    with (
        ShardWriter(part_path(job.out, number), current, made) as writer,
        closing(
            encode(plan, job.encoder, job.pixels, chunk=shards.SHARD, workers=job.workers, done=writer.count)
        ) as batches,
    ):
        for batch in batches:
            rows = writer.add(batch)
            current.update((row.path, row) for row in rows)
            left -= len(rows)
            count.encoded += len(rows)
            progress.advance(count.encoded, count.total)
            if writer.count == shards.SHARD or not left:
                writer.write(complete=True)
            if progress.stopped() and count.encoded < count.total:
                writer.write(complete=False)
                writer.wait()
                raise Interrupted(
                    f"{count.encoded:,} of {count.total:,} images are encoded and saved", where=str(job.out)
                )
