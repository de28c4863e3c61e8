"""Where tags go: to a stream as they come, or to files that are brought up to date."""

from collections.abc import Generator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Literal, TextIO

from c2srt_cli.artifacts import Stamp, disk_errors, lock, remove_leftovers
from c2srt_cli.errors import InputError, Interrupted
from c2srt_cli.progress import Progress
from c2srt_cli.tagging import targets
from c2srt_cli.tagging.job import TagJob
from c2srt_cli.tagging.journal import Journal, read_header
from c2srt_cli.tagging.record import FailedImage, TaggedImage
from c2srt_cli.tagging.summary import Summary
from c2srt_cli.tagging.tagger import tag_images
from c2srt_cli.tagging.update import TagResult, Update, check_explain, explaining
from c2srt_cli.tagging.writers import NO_WISHES, Captions, WriteContext, Writer


def tag_to_stream(job: TagJob, writer: Writer, stream: TextIO | Path, progress: Progress) -> TagResult:
    """Tag and write as results come; nothing is kept for a resume, nor looked up from an earlier run.

    Args:
        job: What to do.
        writer: The format.
        stream: Open text; for formats that are files, a path.
        progress: Callbacks.

    Raises:
        Interrupted: the user stopped it.
    """
    check_explain(job, fresh=False)
    failures = list(job.source.problems)
    stamps: dict[str, Stamp] = {}
    summary = Summary(job.labels.names, found_from=job.found_from)

    def rows() -> Generator[TaggedImage, None, None]:
        with closing(tag_images(job, job.source.items, progress)) as batches:
            for item, result in chain.from_iterable(batches):
                if isinstance(result, FailedImage):
                    failures.append(result)
                else:
                    stamps[item.name] = item.stamp
                    summary.add(result)
                    yield result

    try:
        with closing(rows()) as results, explaining(job, results, stamps) as passed:
            failures += writer.write(passed, stream, _context(job, None, progress))
    except Interrupted as stop:
        raise Interrupted(stop.what, hint="only with --out does a rerun go on where this one stopped") from None
    return TagResult(len(stamps), tuple(failures), summary)


def tag_to_files(
    job: TagJob,
    writer: Writer,
    out: Path,
    progress: Progress,
    *,
    overwrite: bool,
    sidecar_name: Literal["ext", "stem"] | None = None,
    captions: Captions = NO_WISHES,
) -> TagResult:
    """Bring a file, or the sidecars below the folder ``out``, up to date.

    Images whose result stands there are not tagged again. The other results are journalled batch by batch beside the
    target, and put into its format once all are there.

    Raises:
        InputError: the target holds something else, or an unfinished run of other options, or cannot be written.
        Interrupted: the user stopped it; a rerun goes on from there.
        UsageError: the target is one of the inputs, or another process is writing there.
    """
    if writer.kind == "sidecar" and out == job.source.root and not out.exists():
        raise InputError("the photographs are no longer there", where=str(out), hint="give --out for the sidecars")
    journal_path = targets.journal_of(writer, out)
    with lock(journal_path.with_name(f"{journal_path.name}.lock")), disk_errors(out):
        _remove_leftovers(job, writer, out, resumes=journal_path.exists())
        if overwrite:
            journal_path.unlink(missing_ok=True)
        begun = read_header(journal_path)
        fresh = overwrite or (begun is not None and begun.fresh)
        update = Update(job, writer, out, _context(job, sidecar_name, progress, captions))
        kept = update.standing(fresh=fresh)
        options = update.options | {"explain": job.explain is not None}
        with Journal(journal_path, options, job.labels.names, fresh=fresh) as journal:
            result = update.run(journal, kept, progress)
        journal_path.unlink()
    return result


def _context(
    job: TagJob,
    sidecar_name: Literal["ext", "stem"] | None,
    progress: Progress,
    captions: Captions = NO_WISHES,
) -> WriteContext:
    return WriteContext(
        root=job.source.root,
        labels=job.labels.names,
        all_scores=job.all_scores,
        sidecar_name=sidecar_name,
        provenance=job.provenance,
        vocabulary=job.vocabulary,
        restore=job.restore,
        replace=job.replace,
        decision=job.decision,
        captions=captions,
        note=progress.note,
    )


def _remove_leftovers(job: TagJob, writer: Writer, out: Path, *, resumes: bool) -> None:
    """Delete what a killed run had begun to write."""
    if job.explain is not None:
        targets.tidy(job.explain)
    if writer.kind != "sidecar":
        targets.tidy(out)
    elif resumes:
        for folder in {(out / item.name).parent for item in job.source.items}:
            remove_leftovers(folder)
