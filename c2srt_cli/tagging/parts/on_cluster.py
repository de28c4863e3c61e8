"""Parts of tags that the workers of a cluster give."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from c2srt_cli.artifacts import check_same
from c2srt_cli.cluster import Cluster
from c2srt_cli.errors import InputError
from c2srt_cli.parts.on_cluster import PATIENCE, check_there, results
from c2srt_cli.progress import Progress
from c2srt_cli.tagging.options import TagOptions
from c2srt_cli.tagging.parts.job import TagCount, TagPartsJob
from c2srt_cli.tagging.parts.tag_part import tag_part
from c2srt_cli.tagging.summary import Summary
from c2srt_cli.tagging.tag import prepare_tagging


def tag_on(  # noqa: PLR0917
    cluster: Cluster,
    asked: TagOptions,
    job: TagPartsJob,
    numbers: Sequence[int],
    count: TagCount,
    progress: Progress,
) -> None:
    """Have parts tagged and published by the workers.

    Raises:
        C2srtError: a worker failed; the parts that were done by then are.
        Interrupted: the user stopped it; a rerun goes on from there.
    """
    make = partial(part_tagger, Path.cwd(), asked, job.part_size, job.made, cluster.cores)

    def seen(done: TagCount) -> None:
        count.done += done.done
        count.resumed += done.resumed
        count.live += done.live
        progress.advance(count.done, count.total)

    for done in results(cluster, make, job.out, numbers, progress, seen):
        count.failures += done.failures
        count.summary.join(done.summary)


def part_tagger(
    folder: Path, asked: TagOptions, size: int, made: dict[str, Any], cores: int
) -> Callable[[int], TagCount]:
    """What tags parts by their number, in a process of its own that has ``cores`` cores.

    Args:
        folder: That relative paths start from.
        asked: As the user has; the parts are assigned.
        size: Images of a part.
        made: What decides the tags.
        cores: Of this process.

    Raises:
        InputError: something that is needed is not on this machine, or other tags would come of it.
    """
    torch.set_num_threads(cores)
    if not folder.is_dir():
        raise InputError("is not on this machine", where=str(folder), hint="run the command in a folder that all see")
    os.chdir(folder)
    assert asked.out is not None
    job = TagPartsJob(prepare_tagging(replace(asked, share=(0, 1)), Progress()), asked.out, size)
    check_same(asked.out, made, job.made)
    root, labels, least = job.tagging.source.root, job.tagging.labels.names, job.tagging.found_from

    def tagged(number: int) -> TagCount:
        check_there(root, job.out, number)
        count = TagCount(0, Summary(labels, found_from=least))
        tag_part(job, number, count, Progress(), wait=PATIENCE)
        return count

    return tagged
