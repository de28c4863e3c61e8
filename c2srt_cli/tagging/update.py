"""Files that are brought up to date: which results stand there, and how the new ones join them."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from c2srt_cli.artifacts import Stamp, manifest
from c2srt_cli.errors import UsageError
from c2srt_cli.progress import Progress
from c2srt_cli.tagging import targets
from c2srt_cli.tagging.explanation import explained
from c2srt_cli.tagging.job import TagJob
from c2srt_cli.tagging.journal import Journal
from c2srt_cli.tagging.previous import Previous, check_root, previous
from c2srt_cli.tagging.record import FailedImage, KeptImage, TaggedImage
from c2srt_cli.tagging.summary import Summary
from c2srt_cli.tagging.tagger import tag_images
from c2srt_cli.tagging.writers import KeptRows, WriteContext, Writer
from c2srt_cli.tagging.writers.jsonl import jsonl_rows


@dataclass(frozen=True, slots=True)
class TagResult:
    """What a run of the tagger did.

    Attributes:
        tagged: Images that have a result.
        failures: Images that could not be tagged or whose result could not be stored.
        summary: Of those that were tagged now, or in the interrupted run that this one went on with.
        unchanged: How many of the tagged ones had their result from an earlier, finished run.
        gone: Rows that have left, because their images have, or are left out now.
        resumed: How many images an earlier, interrupted run had done.
        failures_path: What lists all failures, where results go to files: a file, or the folder of parts.
        open: Parts that are left to other processes.
    """

    tagged: int
    failures: tuple[FailedImage, ...]
    summary: Summary
    unchanged: int = 0
    gone: int = 0
    resumed: int = 0
    failures_path: Path | None = None
    open: int = 0


@dataclass
class Update:
    """One run over a file, or over the sidecars below a folder.

    Attributes:
        job: What to do.
        writer: The format.
        out: File or folder.
        context: For the writer.
        before: What finished files hold, by the option that names them.
    """

    job: TagJob
    writer: Writer
    out: Path
    context: WriteContext
    before: dict[str, Previous] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        """Of the results."""
        return self.job.options | {"format": self.writer.name}

    def standing(self, *, fresh: bool) -> dict[str, Stamp]:
        """Versions of the images that need not be tagged: every file that is asked for has their result.

        Args:
            fresh: Whatever is there may go, and nothing of it stands.

        Raises:
            InputError: a file is the user's, or holds the tags of other labels or photographs.
            UsageError: it is an input.
        """
        job, writer, out = self.job, self.writer, self.out
        held = []
        if writer.kind == "sidecar":
            now = {item.name: item.stamp for item in job.source.items}
            held.append(writer.current(now, out, self.context) if writer.current else {})
        else:
            there = targets.check_target(out, "--out", job.files, replace=fresh)
            stamps = self._compare(there, "--out", self.options, fresh=fresh)
            held.append(stamps if writer.rows else {})
        if job.explain is not None:
            there = check_explain(job, out, fresh=fresh)
            held.append(self._compare(there, "--explain", job.options, fresh=fresh))
        if fresh:
            return {}
        return {name: stamp for name, stamp in held[0].items() if all(name in other for other in held)}

    def _compare(
        self, there: targets.Finished | None, option: str, options: Mapping[str, Any], *, fresh: bool
    ) -> dict[str, Stamp]:
        if there is None or fresh:
            return {}
        self.before[option] = found = previous(there, self.job, options, option=option)
        if found.changed:
            self.context.note(f"made with other options ({'; '.join(found.changed)}): every image is tagged again")
        return found.stamps

    def run(self, journal: Journal, kept: dict[str, Stamp], progress: Progress) -> TagResult:
        """Tag what is neither kept nor in the journal, and write everything.

        Args:
            journal: Of this run.
            kept: Versions of the images whose earlier results stand.
            progress: Of the tagging.

        Raises:
            InputError: the journal is of other photographs.
            Interrupted: the user stopped it.
        """
        job, root = self.job, self.job.source.root
        done = journal.standing(job.source.items, root)
        for name in done:
            kept.pop(name, None)
        if self.writer.kind != "sidecar":
            check_root(journal.path, journal.root, root, held=len(done), total=len(journal.entries), option="--out")
        resumed = len(done)
        if resumed:
            progress.note(f"resuming: {resumed:,} of {len(job.source.items):,} images are already tagged")
        remaining = [item for item in job.source.items if item.name not in done and item.name not in kept]
        new = resumed
        with closing(tag_images(job, remaining, progress)) as batches:
            for batch in batches:
                journal.append(batch)
                done.update((item.name, item.stamp) for item, _ in batch)
                new += sum(isinstance(result, TaggedImage) for _, result in batch)
        failures = list(job.source.problems)
        summary = Summary(job.labels.names, found_from=job.found_from)
        results = summary.watch(self._results(journal, kept, failures))
        self._write(results, kept | done, failures, unchanged=not new and self._is(kept))
        failures_path = targets.failures_of(self.writer, self.out)
        targets.write_failures(failures_path, failures)
        return TagResult(
            len(job.source.items) + len(job.source.problems) - len(failures),
            tuple(failures),
            summary,
            unchanged=len(kept),
            gone=max((found.gone for found in self.before.values()), default=0),
            resumed=resumed,
            failures_path=failures_path,
        )

    def _stands(self, option: str) -> bool:
        """Whether rows of an earlier file are carried over; one made with other options may be of another format."""
        return option in self.before and not self.before[option].changed

    def _is(self, kept: dict[str, Stamp]) -> bool:
        """Whether the files that are asked for hold these rows and no others, as this run would record them."""
        asked = {"--out": self.options} if self.writer.kind != "sidecar" else {}
        asked |= {} if self.job.explain is None else {"--explain": self.job.options}
        return all(
            option in self.before
            and self.before[option].there.options == options
            and list(self.before[option].there.images.items()) == list(kept.items())
            for option, options in asked.items()
        )

    def _results(
        self, journal: Journal, kept: dict[str, Stamp], failures: list[FailedImage]
    ) -> Iterator[TaggedImage | KeptImage]:
        """Every image's result, in their order; those that failed are put aside."""
        for item in self.job.source.items:
            result = KeptImage(item.name, "") if item.name in kept else journal[item.name]
            if isinstance(result, FailedImage):
                failures.append(result)
            else:
                yield result

    def _write(
        self,
        results: Iterator[TaggedImage | KeptImage],
        stamps: dict[str, Stamp],
        failures: list[FailedImage],
        *,
        unchanged: bool,
    ) -> None:
        """Write results, those that stand as they stand; what writing adds to the failures is appended."""
        if unchanged:
            for _ in results:
                pass
            return
        job, writer, out = self.job, self.writer, self.out
        context = replace(self.context, stamps=stamps)
        with ExitStack() as open_files:
            rows = lines = None
            if self._stands("--out") and writer.rows:
                names = list(self.before["--out"].there.images)
                rows = open_files.enter_context(writer.rows(out, names, context))
            if self._stands("--explain"):
                there = self.before["--explain"].there
                lines = open_files.enter_context(jsonl_rows(there.path, list(there.images), context))
            written: dict[str, Stamp] = {}

            def joined() -> Generator[TaggedImage | KeptImage, None, None]:
                for result in results:
                    written[result.path] = stamps[result.path]
                    yield rows(result.path) if rows and isinstance(result, KeptImage) else result

            with explaining(job, joined(), written, lines) as passed:
                if writer.kind == "sidecar":
                    tagged = (row for row in passed if isinstance(row, TaggedImage))
                    failures += writer.write(tagged, out, context)
                    return
                with targets.finished_file(out, lambda: (self._manifest(), written)) as temporary:
                    if writer.kind == "file":
                        failures += writer.write(passed, temporary, context)
                    else:
                        with temporary.open("w", encoding="utf-8", newline="") as stream:
                            failures += writer.write(passed, stream, context)

    def _manifest(self) -> dict[str, Any]:
        return manifest(targets.TAGS, targets.SCHEMA, self.options, self.job.inputs)


@contextmanager
def explaining(
    job: TagJob,
    rows: Iterable[TaggedImage | KeptImage],
    written: Mapping[str, Stamp],
    kept: KeptRows | None = None,
) -> Iterator[Iterable[TaggedImage | KeptImage]]:
    """Pass rows on, and write why each has its tags, where that is asked for; the file is there after the block.

    Args:
        job: Which images, and where to.
        rows: Their results.
        written: Versions of the images that have passed, once all have.
        kept: See `explained`.
    """
    if job.explain is None:
        yield rows
        return
    made = manifest(targets.EXPLANATIONS, targets.SCHEMA, job.options, job.inputs)
    with (
        targets.finished_file(job.explain, lambda: (made, written)) as temporary,
        temporary.open("w", encoding="utf-8") as stream,
    ):
        yield explained(rows, stream, job.grid, kept)


def check_explain(job: TagJob, out: Path | None = None, *, fresh: bool) -> targets.Finished | None:
    """The same care for the second file, which is not to be the first one."""
    if job.explain is None:
        return None
    if out is not None and job.explain.resolve() == out.resolve():
        raise UsageError("is the file of the tags", where=f"--explain {job.explain}", hint="name another --explain")
    return targets.check_target(job.explain, "--explain", job.files, replace=fresh)
