"""Tags in a folder of parts, written or brought up to date, by one process or by several."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from c2srt_cli.artifacts import (
    MANIFEST,
    UNFINISHED,
    check_same,
    manifest,
    previous_manifest,
    remove_leftovers,
    write_json,
)
from c2srt_cli.errors import InputError
from c2srt_cli.parts.assign import assign
from c2srt_cli.parts.comparison import Comparison, compare
from c2srt_cli.parts.folder import delete_parts, own_parts, part_numbers, part_path
from c2srt_cli.parts.index import Row
from c2srt_cli.parts.problems import write_problems
from c2srt_cli.parts.run import run_parts
from c2srt_cli.progress import Progress
from c2srt_cli.tagging.job import what_decides
from c2srt_cli.tagging.parts.dataset import TagParts
from c2srt_cli.tagging.parts.job import TagCount, TagPartsJob
from c2srt_cli.tagging.parts.on_cluster import tag_on
from c2srt_cli.tagging.parts.part import JOURNAL, KIND, SCHEMA, assigned
from c2srt_cli.tagging.parts.tag_part import tag_part
from c2srt_cli.tagging.previous import check_named, check_root
from c2srt_cli.tagging.record import FailedImage
from c2srt_cli.tagging.summary import Summary
from c2srt_cli.tagging.update import TagResult


def tag_parts(job: TagPartsJob, progress: Progress) -> TagResult:
    """Write tags in parts, or bring them up to date, as `run_parts` does it.

    No part that is done is written again for what is new: that goes into new parts. What has gone is marked in the
    index of its part, and so is what has changed, which is tagged anew in a new part.

    Raises:
        InputError: something else is there, or tags that were given otherwise or to other photographs.
        Interrupted: the user stopped it; a rerun goes on from there.
        UsageError: another process is writing there.
    """
    begun, left = run_parts(
        job.out,
        job.share,
        lambda: _begin(job),
        lambda run, numbers: _tag(job, run, numbers, progress),
        lambda _: _finish(job),
    )
    count = begun.count
    return TagResult(
        count.live - len(count.failures),
        (*begun.problems, *count.failures),
        count.summary,
        unchanged=begun.unchanged,
        gone=begun.gone,
        resumed=count.resumed,
        failures_path=job.out,
        open=left,
    )


@dataclass(frozen=True, slots=True)
class _Begun:
    """A run whose images are assigned: what was named and is none, whose tags stand, how many have gone."""

    count: TagCount
    problems: list[FailedImage]
    unchanged: int = 0
    gone: int = 0


def _begin(job: TagPartsJob) -> _Begun:
    """Assign images to parts."""
    out, source = job.out, job.tagging.source
    summary = Summary(job.tagging.labels.names, found_from=job.tagging.found_from)
    previous = _previous(job)
    if job.tagging.assigned:
        return _Begun(TagCount(_left(job), summary), [])
    remove_leftovers(out)
    parts = TagParts(job)
    found = Comparison.of_none(source.names) if job.overwrite else compare(parts, source.names)
    if previous is not None:
        total, before = found.live + found.removed, Path(str(previous.get("root", "")))
        check_root(out, before, source.root, held=found.live, total=total, option="--out")
        gone = (name for names in found.gone for name in names.to_pylist())
        check_named(out, gone, source, "--out")
    if job.overwrite:
        delete_parts(out)
    # first this, then that: a folder with parts is never without what they are made with
    write_json(out / UNFINISHED, manifest(KIND, SCHEMA, job.options, job.tagging.inputs))
    (out / MANIFEST).unlink(missing_ok=True)
    assign(out, parts, found)
    problems = source.problems
    write_problems(out, [Row.unread(bad.path, bad.reason, bad.detail) for bad in problems])
    failures = [FailedImage(row.path, row.reason, row.detail) for row in found.failures]
    total = found.left if job.share is None else _left(job)
    count = TagCount(total, summary, live=found.live, failures=failures)
    return _Begun(count, list(problems), found.live - len(failures), found.removed)


def _tag(job: TagPartsJob, run: _Begun, numbers: Sequence[int], progress: Progress) -> None:
    """Tag parts, here or on a cluster."""
    if job.cluster is not None and job.asked is not None:
        tag_on(job.cluster, job.asked, job, numbers, run.count, progress)
    else:
        for number in numbers:
            tag_part(job, number, run.count, progress)


def _previous(job: TagPartsJob) -> dict[str, object] | None:
    """The options of the tags that this run goes on with; None where it begins.

    Raises:
        InputError: there is something else, or they are of other labels or options.
    """
    found = previous_manifest(job.out, KIND, overwrite=job.overwrite)
    if found is None or job.overwrite:
        return None
    if found.get("schema") != SCHEMA:
        what = f"holds tags of layout {found.get('schema')}; this version writes layout {SCHEMA}"
        raise InputError(what, where=str(job.out), hint="name another --out")
    check_same(job.out, what_decides(found["options"]), job.made)
    options: dict[str, object] = found["options"]
    return options


def _left(job: TagPartsJob) -> int:
    """Images that one of several processes is to tag."""
    return sum(len(assigned(part_path(job.out, number))) for number in own_parts(job.out, job.share))


def _finish(job: TagPartsJob) -> None:
    """Write the manifest, once nothing is left of what a kill may have left of a part that was just done."""
    out = job.out
    numbers = part_numbers(out)
    for number in numbers:
        (part_path(out, number) / JOURNAL).unlink(missing_ok=True)
    write_json(out / MANIFEST, manifest(KIND, SCHEMA, job.options, job.tagging.inputs) | {"parts": len(numbers)})
    (out / UNFINISHED).unlink(missing_ok=True)
