"""The stage behind ``c2srt tag``: images → scores → the labels each is given."""

import json
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

from c2srt_cli.artifacts import (
    atomic_write,
    disk_errors,
    file_sha256,
    lock,
    manifest,
    remove_leftovers,
    write_json,
)
from c2srt_cli.embeddings.encoder import Encoder
from c2srt_cli.errors import InputError, Interrupted, UsageError
from c2srt_cli.labels import LabelSet
from c2srt_cli.methods.zero_shot import Pooling, score
from c2srt_cli.progress import Progress
from c2srt_cli.scoring.calibration import Calibration
from c2srt_cli.tagging.decision import Rule
from c2srt_cli.tagging.journal import Journal
from c2srt_cli.tagging.record import FailedImage, Tag, TaggedImage
from c2srt_cli.tagging.sources import Item, Source, SourceBatch
from c2srt_cli.tagging.writers import WriteContext, Writer, check_sidecars

KIND = "tags"
SCHEMA = 1
#: Journal and failures of formats that write one file an image, in the folder they are written to.
SIDECAR_JOURNAL = ".c2srt-tag.journal"
SIDECAR_FAILURES = "c2srt-failures.jsonl"


@dataclass(frozen=True)
class TagJob:
    """Everything tagging needs, resolved.

    Attributes:
        source: The images.
        encoder: Backbone, runtime and cut.
        labels: What to look for.
        templates: Prompts around the labels.
        text: Their embeddings ``(L, D)``.
        pooling: How patches become the local score.
        rule: How labels are chosen.
        calibration: Turns scores into probabilities, where there is one for this scoring.
        all_scores: Keep every label's score.
        pixels: How pictures were prepared, for the record.
        written_down: Files of the user that decide the tags, such as the labels; never written to.
    """

    source: Source
    encoder: Encoder
    labels: LabelSet
    templates: tuple[str, ...]
    text: Tensor
    pooling: Pooling
    rule: Rule
    calibration: Calibration | None
    all_scores: bool
    pixels: dict[str, Any]
    written_down: tuple[Path, ...] = ()

    @cached_property
    def options(self) -> dict[str, Any]:
        """What decides the tags, for the manifest and the journal."""
        encoder = self.encoder
        return {
            "root": str(self.source.root),
            "method": "zero-shot",
            "backbone": encoder.backbone.id,
            "weights_sha256": encoder.backbone.weights_sha256,
            "cut": asdict(encoder.cut),
            "runtime": asdict(encoder.runtime),
            "pixels": self.pixels,
            "labels": self.labels.fingerprint,
            "templates": list(self.templates),
            "pooling": asdict(self.pooling),
            "rule": asdict(self.rule),
            "calibration": None if self.calibration is None else [self.calibration.slope, self.calibration.intercept],
            "all_scores": self.all_scores,
            "torch": torch.__version__,
        }

    @cached_property
    def provenance(self) -> dict[str, str]:
        """What sidecars record: free of dates, machines and folders, so that a rerun writes the same bytes."""
        return {"method": "zero-shot", "backbone": self.encoder.backbone.id, "labels": self.labels.fingerprint[:16]}


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
    thresholds = np.array([np.nan if label.threshold is None else label.threshold for label in job.labels])
    text = job.text.to(job.encoder.runtime.device)
    done = 0
    with closing(job.source.batches(items)) as batches:
        for batch in batches:
            yield _tag_batch(job, batch, text, thresholds)
            done += len(batch.items)
            progress.advance(done, len(items))
            if progress.stopped() and done < len(items):
                raise Interrupted(f"{done:,} of {len(items):,} images of this run are tagged")


@torch.inference_mode()
def _tag_batch(
    job: TagJob, batch: SourceBatch, text: Tensor, thresholds: np.ndarray
) -> list[TaggedImage | FailedImage]:
    good = [item for item in batch.items if item.name not in batch.failures]
    results: dict[str, TaggedImage | FailedImage] = dict(batch.failures)
    if good:
        scale = job.encoder.backbone.logit_scale
        # the padded rows are scored too: one shape for every batch, as in the forward pass
        raw, shared = score(batch.global_embedding, batch.patches, text, logit_scale=scale, pooling=job.pooling)
        scores = raw[: len(good)].cpu().numpy()  # (n, L)
        shares = None if shared is None else shared[: len(good)].cpu().numpy()
        probabilities = None if job.calibration is None else job.calibration.probability(scores)
        names = job.labels.names
        finite = np.isfinite(scores).all(1)
        for i, item in enumerate(good):
            if not finite[i]:
                results[item.name] = FailedImage(
                    item.name, "not-finite", "the backbone's numbers overflow; --precision float32 may help"
                )
                continue
            mine = None if probabilities is None else probabilities[i]
            kept = job.rule.choose(scores[i], mine, thresholds, scale)
            tags = tuple(
                Tag(
                    names[j],
                    float(scores[i, j]),
                    None if mine is None else float(mine[j]),
                    None if shares is None else float(shares[i, j]),
                )
                for j in kept
            )
            results[item.name] = TaggedImage(item.name, tags, tuple(scores[i].tolist()) if job.all_scores else None)
    return [results[item.name] for item in batch.items]


def tag_to_stream(job: TagJob, writer: Writer, stream: TextIO, progress: Progress) -> TagResult:
    """Tag and write as results come; nothing is kept for a resume.

    Raises:
        Interrupted: the user stopped it.
    """
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
        with closing(rows()) as results:
            failures += writer.write(results, stream, _context(job, "ext"))
    except Interrupted as stop:
        raise Interrupted(stop.what, hint="only with --out does a rerun go on where this one stopped") from None
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
    journal_path = journal_of(writer, out)
    if writer.kind == "sidecar":
        check_sidecars([item.name for item in job.source.items], writer.suffix, context)
        if out == job.source.root and not out.exists():
            raise InputError("the photographs are no longer there", where=str(out), hint="give --out for the sidecars")
    else:
        _check_target(job, out, journal_path, overwrite)
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

            failures += _write(writer, rows(), out, context)
        sidecars = writer.kind == "sidecar"
        failures_path = out / SIDECAR_FAILURES if sidecars else out.with_name(f"{out.name}.failures.jsonl")
        _write_failures(failures_path, failures)
        if not sidecars:
            made = manifest(KIND, SCHEMA, options, {"labels": job.labels.fingerprint} | job.source.inputs)
            write_json(manifest_path(out), made | {"sha256": file_sha256(out)})
        journal_path.unlink()
    tagged = len(stamps) + len(job.source.problems) - len(failures)
    return TagResult(tagged, resumed, tuple(failures), failures_path)


def manifest_path(out: Path) -> Path:
    """Where the manifest of a tags file lies."""
    return out.with_name(f"{out.name}.manifest.json")


def journal_of(writer: Writer, out: Path) -> Path:
    """Where the journal of an unfinished run lies."""
    return out / SIDECAR_JOURNAL if writer.kind == "sidecar" else out.with_name(f".{out.name}.journal")


def _context(job: TagJob, sidecar_name: str) -> WriteContext:
    return WriteContext(
        root=job.source.root,
        labels=job.labels.names,
        all_scores=job.all_scores,
        sidecar_name="stem" if sidecar_name == "stem" else "ext",
        provenance=job.provenance,
    )


def _check_target(job: TagJob, out: Path, journal_path: Path, overwrite: bool) -> None:
    """Only a file that a tag run wrote is replaced without being told to, and an input never."""
    if out.is_dir():
        raise InputError("is a folder; tags in this format go into one file", where=str(out), hint="name a file")
    if not out.exists():
        return
    itself = (out.stat().st_dev, out.stat().st_ino)
    for path in (*job.written_down, *job.source.files):
        try:
            stat = path.stat()
        except OSError:
            continue
        if (stat.st_dev, stat.st_ino) == itself:
            raise UsageError(
                "is what this run reads, and never written to", where=f"--out {out}", hint="name another --out"
            )
    if not (overwrite or journal_path.exists() or _is_ours(out)):
        raise InputError(
            "was not written by c2srt tag, or has been changed since",
            where=str(out),
            hint="name another --out, or give --overwrite",
        )


def _is_ours(out: Path) -> bool:
    try:
        made = json.loads(manifest_path(out).read_bytes())
        return bool(made["kind"] == KIND and made["sha256"] == file_sha256(out))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _remove_leftovers(job: TagJob, writer: Writer, out: Path, *, resumes: bool) -> None:
    """Delete what a killed run had begun to write."""
    if writer.kind != "sidecar":
        for path in (out, manifest_path(out)):
            remove_leftovers(path)
    elif resumes:
        for folder in {(out / item.name).parent for item in job.source.items}:
            remove_leftovers(folder)


def _write(writer: Writer, rows: Iterable[TaggedImage], out: Path, context: WriteContext) -> list[FailedImage]:
    if writer.kind == "sidecar":
        return writer.write(rows, out, context)
    with atomic_write(out) as temporary:
        if writer.kind == "file":
            return writer.write(rows, temporary, context)
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            return writer.write(rows, stream, context)


def _write_failures(path: Path, failures: list[FailedImage]) -> None:
    if not failures:
        path.unlink(missing_ok=True)
        return
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for failure in failures:
            file.write(json.dumps({"path": failure.path, "reason": failure.reason, "detail": failure.detail}) + "\n")
