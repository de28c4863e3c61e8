"""The stage behind ``c2srt embed``: images → ``embeddings/``, resumable and incremental."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from c2srt_cli.artifacts import (
    LOCK,
    MANIFEST,
    UNFINISHED,
    disk_errors,
    lock,
    manifest,
    remove_leftovers,
    write_json,
)
from c2srt_cli.backbone.registry import load_backbone, resolve
from c2srt_cli.backbone.tower import ImageTower
from c2srt_cli.datasets.annotations import read_annotations
from c2srt_cli.embeddings import store
from c2srt_cli.embeddings.encoder import Machine, make_encoder, pixel_spec
from c2srt_cli.embeddings.index import write_index
from c2srt_cli.embeddings.job import EmbedJob, check_space, resolved_options
from c2srt_cli.embeddings.known_words import note_hardly_known
from c2srt_cli.embeddings.manifest import EmbeddingOptions
from c2srt_cli.embeddings.pipeline import encode
from c2srt_cli.embeddings.plan import annotated_images, plan_work
from c2srt_cli.embeddings.previous import check_moved, check_options, discard, previous_options
from c2srt_cli.embeddings.shard_writer import ShardWriter
from c2srt_cli.embeddings.shards import shard_numbers, shard_path
from c2srt_cli.embeddings.split import Split, resolve_split
from c2srt_cli.embeddings.store import KIND, SCHEMA, TEXT, Row
from c2srt_cli.embeddings.text import embed_labels, read_text, save_text, text_labels, token_counter
from c2srt_cli.errors import Interrupted, UsageError
from c2srt_cli.images import ImageFile, find_images
from c2srt_cli.labels import LabelSpec, open_labels, read_templates
from c2srt_cli.progress import Progress


@dataclass(frozen=True)
class EmbedOptions:
    """What the user asks for; None means the default, or what a resumed run began with.

    Attributes:
        inputs: Folders, files, globs, or ``-`` for a list on standard input.
        out: The folder to write.
        stdin: The paths on it, where ``-`` is among the inputs.
        recursive: Search the folders among them.
        exclude: Patterns in gitignore form of what the search leaves out.
        root: The folder that names are relative to; where None that of the inputs, or the one that annotations name.
        annotations: A folder of `prepare` whose images to read instead of inputs, or None.
        labels: A file of labels, or the words, whose text embeddings to store; the annotations' labels where None.
        backbone: Which backbone; ``auto`` where None.
        templates: ``default``, ``clip`` or a file.
        needed: The split and streams that the method which reads them asks for; from the end of the tower where None.
        split_stage: Stage before which to split, or None for the method's.
        streams: ``global``, ``local``, ``both``, or None for the method's.
        patch_attention: ``value``, ``value-all``, ``none``, or None for the method's.
        fit: ``crop``, ``squash``, ``pad``, or None for the backbone's own.
        draft: Decode JPEGs at a reduced size where that is enough.
        machine: Device, precision, batch shape, threads.
        overwrite: Start again instead of resuming.
    """

    inputs: tuple[str, ...]
    out: Path
    stdin: tuple[str, ...] | None = None
    recursive: bool = False
    exclude: tuple[str, ...] = ()
    root: Path | None = None
    annotations: Path | None = None
    labels: LabelSpec | None = None
    backbone: str | None = None
    templates: str = "default"
    needed: Callable[[ImageTower], Split] | None = None
    split_stage: int | None = None
    streams: str | None = None
    patch_attention: str | None = None
    fit: str | None = None
    draft: bool = True
    machine: Machine = Machine()
    overwrite: bool = False


def prepare_embedding(options: EmbedOptions, progress: Progress) -> EmbedJob:
    """Find the images, load the backbone, read the labels.

    Raises:
        InputError: images, labels or weights are missing or unusable.
        UsageError: the options contradict each other or the backbone.
    """
    named = None if options.labels is None else open_labels(options.labels)  # before anything slow is loaded
    templates = read_templates(options.templates)
    if (options.annotations is None) == (not options.inputs):
        raise UsageError("name either images or --annotations", hint="c2srt embed ./photos --out embeddings")
    annotations = None if options.annotations is None else read_annotations(options.annotations, options.root)
    found = (
        find_images(options.inputs, stdin=options.stdin, recursive=options.recursive, exclude=options.exclude)
        if annotations is None
        else annotated_images(annotations)
    )
    if options.root is not None and annotations is None:
        found = found.relative_to(options.root)
    if found.left_out:
        progress.note(found.left_out)
    spec, note = resolve(options.backbone or "auto")
    progress.note(note)
    backbone = load_backbone(spec)
    patch_attention = backbone.default_patch_attention  # what zero-shot reads
    needed = Split(backbone.tower.depth, patch_attention, "local" if patch_attention else "global")
    needed = needed if options.needed is None else options.needed(backbone.tower)
    split = resolve_split(
        backbone,
        needed,
        split_stage=options.split_stage,
        streams=options.streams,
        patch_attention=options.patch_attention,
    )
    previous = previous_options(options.out, overwrite=options.overwrite)
    encoder = make_encoder(backbone, split, options.machine, previous.runtime if previous else None)
    if encoder.probed:
        progress.note(encoder.describe())
    labels = None if annotations is None else annotations.labels
    if named is not None:
        labels = named.labels(templates, token_counter(backbone))
    if labels is not None:
        note_hardly_known(backbone, labels, progress)
    return EmbedJob(
        found=found,
        out=options.out,
        encoder=encoder,
        pixels=pixel_spec(backbone, fit=options.fit, draft=options.draft),
        labels=labels,
        templates=templates,
        workers=options.machine.decode_threads,
        overwrite=options.overwrite,
    )


@dataclass(frozen=True, slots=True)
class EmbedResult:
    """What one run of `embed` did.

    Attributes:
        total: Images in the index.
        encoded: Encoded in this run.
        removed: Rows dropped because their image vanished.
        failures: Rows of images that could not be used.
    """

    total: int
    encoded: int
    removed: int
    failures: tuple[Row, ...]


def embed(job: EmbedJob, progress: Progress) -> EmbedResult:
    """Write or bring up to date the embeddings of ``job.found`` in ``job.out``.

    Raises:
        InputError: something else is there, or embeddings made with other options, or the disk is too small.
        Interrupted: the user stopped it; a rerun goes on from there.
        UsageError: another process is writing there.
    """
    out, options = job.out, resolved_options(job)
    made = EmbeddingOptions.of_manifest(out, {"options": options})
    with lock(out / LOCK), disk_errors(out):
        previous = previous_options(out, overwrite=job.overwrite)
        if previous is not None:
            check_options(out, previous, made)
        remove_leftovers(out)
        known = {} if job.overwrite else store.known_rows(out, made)
        current, plan = plan_work(job.found.files, known)
        if previous is not None and previous.root != made.root:
            check_moved(out, (previous.root, made.root), known, current, progress)
        check_space(job, len(plan), progress)
        if job.overwrite:
            discard(out)
        text = text_labels(out / TEXT)
        # first this, then that: a folder with a payload is never without its options
        write_json(out / UNFINISHED, manifest(KIND, SCHEMA, options, {"labels": text} if text else {}))
        (out / MANIFEST).unlink(missing_ok=True)
        encoded = _encode_shards(job, made, plan, current, progress) if plan else 0
        if job.labels is not None and read_text(out / TEXT, job.labels, job.templates, made.dim) is None:
            embedded = embed_labels(job.encoder.backbone, job.labels, job.templates, progress)
            save_text(out / TEXT, embedded, job.labels, job.templates)
            text = job.labels.fingerprint
        rows = [current[file.name] for file in job.found.files]
        rows += [
            Row(bad.name, -1, -1, "", 0, 0, -1, -1, "failed", bad.reason, bad.detail) for bad in job.found.problems
        ]
        write_index(out, rows)
        live = {row.shard for row in rows}
        for number in shard_numbers(out):
            if number not in live:
                shard_path(out, number).unlink()
        write_json(out / MANIFEST, manifest(KIND, SCHEMA, options, {"labels": text} if text else {}))
        (out / UNFINISHED).unlink()
    return EmbedResult(
        total=len(rows),
        encoded=encoded,
        removed=len(known.keys() - current.keys()),
        failures=tuple(row for row in rows if row.status == "failed"),
    )


def _encode_shards(
    job: EmbedJob, made: EmbeddingOptions, plan: list[ImageFile], current: dict[str, Row], progress: Progress
) -> int:
    """Encode what is planned into shards, and put its rows into ``current``; how many images that were."""
    count, total = 0, len(plan)
    with (
        ShardWriter(job.out, current, made) as shards,
        closing(
            encode(plan, job.encoder, job.pixels, chunk=store.SHARD, workers=job.workers, done=shards.count)
        ) as batches,
    ):
        for batch in batches:
            rows = shards.add(batch)
            current.update((row.path, row) for row in rows)
            count += len(rows)
            progress.advance(count, total)
            if shards.count == store.SHARD or count == total:
                shards.write(complete=True)
            if progress.stopped() and count < total:
                shards.write(complete=False)
                shards.wait()
                raise Interrupted(f"{count:,} of {total:,} images are encoded and saved", where=str(job.out))
    return count
