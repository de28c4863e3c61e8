"""The stage behind ``c2srt tag``: images → scores → the labels each is given."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from torch import Tensor

from c2srt_cli.artifacts import atomic_write, disk_errors, lock, remove_leftovers
from c2srt_cli.embeddings.encoder import Encoder
from c2srt_cli.errors import InputError, Interrupted, UsageError
from c2srt_cli.labels import LabelSet
from c2srt_cli.progress import Progress
from c2srt_cli.tagging import targets
from c2srt_cli.tagging.decision import Rule
from c2srt_cli.tagging.explanation import explain, explained
from c2srt_cli.tagging.journal import Journal
from c2srt_cli.tagging.record import FailedImage, Tag, TaggedImage
from c2srt_cli.tagging.scoring import Scoring
from c2srt_cli.tagging.sources import Item, Source, SourceBatch
from c2srt_cli.tagging.writers import WriteContext, Writer, check_sidecars


@dataclass(frozen=True)
class TagJob:
    """Everything tagging needs, resolved.

    Attributes:
        source: The images.
        encoder: Backbone, runtime and cut.
        labels: What to look for.
        templates: Prompts around the labels.
        scoring: How images are scored.
        rule: How labels are chosen.
        all_scores: Keep every label's score.
        pixels: How pictures were prepared, for the record.
        explain: File for the reasons of every tag, or None.
        written_down: Files of the user that decide the tags, such as the labels; never written to.
    """

    source: Source
    encoder: Encoder
    labels: LabelSet
    templates: tuple[str, ...]
    scoring: Scoring
    rule: Rule
    all_scores: bool
    pixels: dict[str, Any]
    explain: Path | None = None
    written_down: tuple[Path, ...] = ()

    @property
    def text(self) -> Tensor:
        """Label embeddings, ``(L, D)``."""
        return self.scoring.text

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the map of patches."""
        tower = self.encoder.backbone.tower
        return tower.grid(tower.depth)

    @cached_property
    def options(self) -> dict[str, Any]:
        """What decides the tags, for the manifest and the journal."""
        encoder = self.encoder
        return {
            "root": str(self.source.root),
            "method": self.scoring.method,
            "backbone": encoder.backbone.id,
            "weights_sha256": encoder.backbone.weights_sha256,
            "cut": asdict(encoder.cut),
            "runtime": asdict(encoder.runtime),
            "pixels": self.pixels,
            "labels": self.labels.fingerprint,
            "templates": list(self.templates),
            **self.scoring.options,
            "rule": asdict(self.rule),
            "all_scores": self.all_scores,
            "explain": None if self.explain is None else str(self.explain),
            "torch": torch.__version__,
        }

    @cached_property
    def provenance(self) -> dict[str, str]:
        """What sidecars record: free of dates, machines and folders, so that a rerun writes the same bytes."""
        made = {"method": self.scoring.method, "backbone": self.encoder.backbone.id}
        run = {"run": self.options["run"][:16]} if "run" in self.options else {}
        return made | run | {"labels": self.labels.fingerprint[:16]}

    @cached_property
    def inputs(self) -> dict[str, str]:
        """Fingerprints, for the manifest."""
        run = {"run": self.options["run"]} if "run" in self.options else {}
        return {"labels": self.labels.fingerprint} | run | self.source.inputs

    @cached_property
    def thresholds(self) -> np.ndarray:
        """The probability from which a label is given whatever the rule says, ``(L,)``, NaN where there is none.

        These are the user's own for single labels, and, unless a rule is asked for, those of a run.
        """
        own = np.array([np.nan if label.threshold is None else label.threshold for label in self.labels])
        learned = self.scoring.thresholds
        return own if learned is None or not self.rule.relative else np.where(np.isnan(own), learned, own)


@dataclass(frozen=True, slots=True)
class TagResult:
    """What a run of the tagger did.

    Attributes:
        tagged: Images that have a result.
        resumed: How many of them an earlier, interrupted run had done.
        failures: Images that could not be tagged or whose result could not be stored.
        failures_path: The file that lists them all, where results go to files.
    """

    tagged: int
    resumed: int
    failures: tuple[FailedImage, ...]
    failures_path: Path | None = None


def tag_images(
    job: TagJob, items: list[Item], progress: Progress
) -> Generator[list[TaggedImage | FailedImage], None, None]:
    """Tag images in their order; one list per batch.

    Raises:
        Interrupted: the user stopped it.
    """
    done = 0
    with closing(job.source.batches(items)) as batches:
        for batch in batches:
            yield _tag_batch(job, batch)
            done += len(batch.items)
            progress.advance(done, len(items))
            if progress.stopped() and done < len(items):
                raise Interrupted(f"{done:,} of {len(items):,} images of this run are tagged")
    if said := job.scoring.doubt():
        progress.note(said)


@torch.inference_mode()
def _tag_batch(job: TagJob, batch: SourceBatch) -> list[TaggedImage | FailedImage]:
    good = [item for item in batch.items if item.name not in batch.failures]
    results: dict[str, TaggedImage | FailedImage] = dict(batch.failures)
    if good:
        # the padded rows are scored too: one shape for every batch, as in the forward pass
        found = job.scoring.score(batch.global_embedding, batch.patches)
        scores = found.scores[: len(good)].cpu().numpy()  # (n, L)
        shares = None if found.share is None else found.share[: len(good)].cpu().numpy()
        probabilities = job.scoring.probability(scores)
        names = job.labels.names
        finite = np.isfinite(scores).all(1)
        for i, item in enumerate(good):
            if not finite[i]:
                results[item.name] = FailedImage(
                    item.name, "not-finite", "the backbone's numbers overflow; --precision float32 may help"
                )
                continue
            mine = None if probabilities is None else probabilities[i]
            kept = job.rule.choose(scores[i], mine, job.thresholds, job.encoder.backbone.logit_scale)
            tags = tuple(
                Tag(
                    names[j],
                    float(scores[i, j]),
                    None if mine is None else float(mine[j]),
                    None if shares is None else float(shares[i, j]),
                )
                for j in kept
            )
            results[item.name] = TaggedImage(
                item.name,
                tags,
                tuple(scores[i].tolist()) if job.all_scores else None,
                None
                if job.explain is None
                else explain(job.scoring, found, i, batch.patches[i], kept=kept, grid=job.grid),
            )
    return [results[item.name] for item in batch.items]


def tag_to_stream(job: TagJob, writer: Writer, stream: TextIO, progress: Progress) -> TagResult:
    """Tag and write as results come; nothing is kept for a resume.

    Raises:
        Interrupted: the user stopped it.
    """
    _check_explain(job, None, replace=False)
    failures = list(job.source.problems)
    count = 0

    def rows() -> Generator[TaggedImage, None, None]:
        nonlocal count
        with closing(tag_images(job, job.source.items, progress)) as batches:
            for result in chain.from_iterable(batches):
                if isinstance(result, FailedImage):
                    failures.append(result)
                else:
                    count += 1
                    yield result

    try:
        with closing(rows()) as results, explained(results, job.explain, job.grid) as passed:
            failures += writer.write(passed, stream, _context(job, "ext"))
    except Interrupted as stop:
        raise Interrupted(stop.what, hint="only with --out does a rerun go on where this one stopped") from None
    if job.explain is not None:
        targets.write_manifest(job.explain, targets.EXPLANATIONS, job.options | {"format": writer.name}, job.inputs)
    return TagResult(count, 0, tuple(failures))


def tag_to_files(
    job: TagJob, writer: Writer, out: Path, progress: Progress, *, overwrite: bool, sidecar_name: str = "ext"
) -> TagResult:
    """Tag into a file, or into one sidecar an image below the folder ``out``.

    Results are journalled batch by batch beside the target, and put into the target's format once all are there.

    Raises:
        InputError: the target holds something else, or an unfinished run of other options, or cannot be written.
        Interrupted: the user stopped it; a rerun goes on from there.
        UsageError: the target is one of the inputs, or another process is writing there.
    """
    context = _context(job, sidecar_name)
    journal_path = targets.journal_of(writer, out)
    replace = overwrite or journal_path.exists()
    if writer.kind == "sidecar":
        check_sidecars([item.name for item in job.source.items], writer.suffix, context)
        if out == job.source.root and not out.exists():
            raise InputError("the photographs are no longer there", where=str(out), hint="give --out for the sidecars")
    else:
        targets.check_target(out, "--out", chain(job.written_down, job.source.files), replace=replace)
    _check_explain(job, out, replace=replace)
    options = job.options | {"format": writer.name}
    with lock(journal_path.with_name(f"{journal_path.name}.lock")), disk_errors(out):
        _remove_leftovers(job, writer, out, resumes=journal_path.exists())
        if overwrite:
            journal_path.unlink(missing_ok=True)
        with Journal(journal_path, options, job.labels.names) as journal:
            stamps = {item.name: item.stamp for item in job.source.items}
            remaining = [
                item
                for item in job.source.items
                if item.name not in journal.entries or journal.entries[item.name].stamp != item.stamp
            ]
            resumed = len(stamps) - len(remaining)
            if resumed:
                progress.note(f"resuming: {resumed:,} of {len(stamps):,} images are already tagged")
            with closing(tag_images(job, remaining, progress)) as batches:
                for batch in batches:
                    journal.append([(result, stamps[result.path]) for result in batch])
            failures = list(job.source.problems)

            def rows() -> Iterator[TaggedImage]:
                for result in journal.read(list(stamps)):
                    if isinstance(result, FailedImage):
                        failures.append(result)
                    else:
                        yield result

            with explained(rows(), job.explain, job.grid) as passed:
                failures += _write(writer, passed, out, context)
        failures_path = targets.failures_of(writer, out)
        targets.write_failures(failures_path, failures)
        if job.explain is not None:
            targets.write_manifest(job.explain, targets.EXPLANATIONS, options, job.inputs)
        if writer.kind != "sidecar":
            targets.write_manifest(out, targets.TAGS, options, job.inputs)
        journal_path.unlink()
    tagged = len(stamps) + len(job.source.problems) - len(failures)
    return TagResult(tagged, resumed, tuple(failures), failures_path)


def _context(job: TagJob, sidecar_name: str) -> WriteContext:
    return WriteContext(
        root=job.source.root,
        labels=job.labels.names,
        all_scores=job.all_scores,
        sidecar_name="stem" if sidecar_name == "stem" else "ext",
        provenance=job.provenance,
    )


def _check_explain(job: TagJob, out: Path | None, *, replace: bool) -> None:
    """The same care for the second file, which is not to be the first one."""
    if job.explain is None:
        return
    if out is not None and job.explain.resolve() == out.resolve():
        raise UsageError("is the file of the tags", where=f"--explain {job.explain}", hint="name another --explain")
    targets.check_target(job.explain, "--explain", chain(job.written_down, job.source.files), replace=replace)


def _remove_leftovers(job: TagJob, writer: Writer, out: Path, *, resumes: bool) -> None:
    """Delete what a killed run had begun to write."""
    files = [] if job.explain is None else [job.explain, targets.manifest_path(job.explain)]
    if writer.kind != "sidecar":
        files += [out, targets.manifest_path(out)]
    elif resumes:
        for folder in {(out / item.name).parent for item in job.source.items}:
            remove_leftovers(folder)
    for path in files:
        remove_leftovers(path)


def _write(writer: Writer, rows: Iterable[TaggedImage], out: Path, context: WriteContext) -> list[FailedImage]:
    if writer.kind == "sidecar":
        return writer.write(rows, out, context)
    with atomic_write(out) as temporary:
        if writer.kind == "file":
            return writer.write(rows, temporary, context)
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            return writer.write(rows, stream, context)
