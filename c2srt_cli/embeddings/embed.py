"""The stage behind ``c2srt embed``: images → ``embeddings/``, resumable and incremental, by any number of processes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from c2srt_cli.artifacts import MANIFEST, UNFINISHED, manifest, remove_leftovers, write_json
from c2srt_cli.backbone.registry import load_backbone, resolve
from c2srt_cli.backbone.tower import ImageTower
from c2srt_cli.cluster import Cluster
from c2srt_cli.datasets.annotations import read_annotations
from c2srt_cli.embeddings.dataset import EmbeddingParts, adopt, holds_old_layout
from c2srt_cli.embeddings.embed_part import Count, embed_part
from c2srt_cli.embeddings.encoder import Machine, make_encoder, pixel_spec
from c2srt_cli.embeddings.job import EmbedJob, check_space, resolved_options
from c2srt_cli.embeddings.known_words import note_hardly_known
from c2srt_cli.embeddings.manifest import EmbeddingOptions
from c2srt_cli.embeddings.on_cluster import embed_parts, remote_encoder
from c2srt_cli.embeddings.part import assigned, known_rows
from c2srt_cli.embeddings.plan import annotated_images
from c2srt_cli.embeddings.previous import check_moved, check_options, discard, previous_options
from c2srt_cli.embeddings.split import Split, resolve_split
from c2srt_cli.embeddings.store import KIND, SCHEMA, TEXT
from c2srt_cli.embeddings.text import embed_labels, read_text, save_text, text_labels, token_counter
from c2srt_cli.errors import UsageError
from c2srt_cli.images import Found, find_images
from c2srt_cli.labels import LabelSpec, open_labels, read_templates
from c2srt_cli.parts.assign import assign
from c2srt_cli.parts.comparison import Comparison, compare
from c2srt_cli.parts.folder import PART, open_parts, own_parts, part_numbers, part_path
from c2srt_cli.parts.index import Row
from c2srt_cli.parts.problems import write_problems
from c2srt_cli.parts.run import check_share, run_parts
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
        part_size: Images of a new part.
        share: Which of how many processes this is, ``(i, n)``: it does the parts ``i``, ``i + n``, …; all where None.
        cluster: Whose workers encode; this process where None.
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
    part_size: int = PART
    share: tuple[int, int] | None = None
    cluster: Cluster | None = None


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
    check_share(options.out, options.share, overwrite=options.overwrite, cluster=options.cluster is not None)
    annotations = None if options.annotations is None else read_annotations(options.annotations, options.root)
    if annotations is not None:
        found = annotated_images(annotations)
    elif options.share is not None and open_parts(options.out):
        found = None
    else:
        found = _find(options, progress)
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
    if found is None and previous is None:  # what there was has gone since
        found = _find(options, progress)
    stored = previous.runtime if previous else None
    if options.cluster is not None:
        progress.note(options.cluster.describe())
        encoder = remote_encoder(options.cluster, backbone, split, options.machine, stored)
    else:
        encoder = make_encoder(backbone, split, options.machine, stored)
    if encoder.probed:
        progress.note(encoder.describe())
    labels = None if annotations is None else annotations.labels
    if named is not None:
        labels = named.labels(templates, token_counter(backbone))
    if labels is not None:
        note_hardly_known(backbone, labels, progress)
    return EmbedJob(
        found=found,
        root=found.root if found is not None else Path(previous.root if previous is not None else "."),
        out=options.out,
        encoder=encoder,
        pixels=pixel_spec(backbone, fit=options.fit, draft=options.draft),
        labels=labels,
        templates=templates,
        workers=options.machine.decode_threads,
        machine=options.machine,
        overwrite=options.overwrite,
        part_size=options.part_size,
        share=options.share,
        cluster=options.cluster,
    )


def _find(options: EmbedOptions, progress: Progress) -> Found:
    found = find_images(
        options.inputs,
        stdin=options.stdin,
        recursive=options.recursive,
        exclude=options.exclude,
        root=options.root,
        buckets=True,
    )
    if found.left_out:
        progress.note(found.left_out)
    return found


@dataclass(frozen=True, slots=True)
class EmbedResult:
    """What one run of `embed` did.

    Attributes:
        total: Images in the index, as far as this process knows it.
        encoded: Encoded in this run.
        removed: Images given up because their files vanished.
        failures: Rows of images that could not be used.
        open: Parts that are left to other processes.
    """

    total: int
    encoded: int
    removed: int
    failures: tuple[Row, ...]
    open: int = 0


def embed(job: EmbedJob, progress: Progress) -> EmbedResult:
    """Write or bring up to date the embeddings of ``job.found`` in ``job.out``, as `run_parts` does it.

    Raises:
        InputError: something else is there, or embeddings made with other options, or the disk is too small.
        Interrupted: the user stopped it; a rerun goes on from there.
        UsageError: another process is writing there.
    """
    begun, left = run_parts(
        job.out,
        job.share,
        lambda: _begin(job, progress),
        lambda run, numbers: _encode(run, numbers, progress),
        lambda run: _finish(run.job, run.made, progress),
    )
    count = begun.count
    return EmbedResult(count.live, count.encoded, begun.removed, tuple(count.failures), left)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A run whose images are assigned: the job under the runtime of whoever came first, and how many have gone."""

    job: EmbedJob
    made: EmbeddingOptions
    removed: int
    count: Count


def _begin(job: EmbedJob, progress: Progress) -> _Begun:
    """Assign images to parts."""
    out = job.out
    previous = previous_options(out, overwrite=job.overwrite)
    if previous is not None and job.share is not None and previous.runtime != job.encoder.runtime:
        backbone = load_backbone(job.encoder.backbone.id)
        job = replace(job, encoder=make_encoder(backbone, job.encoder.split, job.machine, previous.runtime))
    options = resolved_options(job)
    made = EmbeddingOptions.of_manifest(out, {"options": options})
    if previous is not None:
        check_options(out, previous, made)
    if job.found is None:
        return _Begun(job, made, 0, Count(_left(out, made, job.share)))
    remove_leftovers(out)
    names = job.found.files.names
    parts = EmbeddingParts(out, made, job.found.root, job.part_size)
    found = Comparison.of_none(names) if job.overwrite else compare(parts, names)
    if previous is not None and previous.root != made.root:
        check_moved(out, previous.root, made.root, found, progress)
    check_space(job, found.left, progress)
    if job.overwrite:
        discard(out)
    # first this, then that: a folder with a payload is never without its options
    text = text_labels(out / TEXT)
    write_json(out / UNFINISHED, manifest(KIND, SCHEMA, options, {"labels": text} if text else {}))
    (out / MANIFEST).unlink(missing_ok=True)
    if holds_old_layout(out):
        adopt(out, made)
    assign(out, parts, found)
    failures = [Row.unread(bad.name, bad.reason, bad.detail) for bad in job.found.problems]
    write_problems(out, failures)
    total = found.left if job.share is None else _left(out, made, job.share)
    return _Begun(job, made, found.removed, Count(total, 0, found.live + len(failures), found.failures + failures))


def _encode(run: _Begun, numbers: Sequence[int], progress: Progress) -> None:
    """Encode parts, here or on a cluster."""
    if run.job.cluster is not None:
        embed_parts(run.job.cluster, run.job, run.made, numbers, run.count, progress)
    else:
        for number in numbers:
            embed_part(run.job, run.made, number, run.count, progress)


def _left(out: Path, made: EmbeddingOptions, share: tuple[int, int] | None) -> int:
    """Images that one of several processes is to encode."""
    parts = [part_path(out, number) for number in own_parts(out, share)]
    return sum(max(0, len(assigned(folder, made)) - len(known_rows(folder, made))) for folder in parts)


def _finish(job: EmbedJob, made: EmbeddingOptions, progress: Progress) -> None:
    """Write the text embeddings and the manifest."""
    out = job.out
    if job.labels is not None and read_text(out / TEXT, job.labels, job.templates, made.dim) is None:
        embedded = embed_labels(job.encoder.backbone, job.labels, job.templates, progress)
        save_text(out / TEXT, embedded, job.labels, job.templates)
    text = text_labels(out / TEXT)
    inputs = {"labels": text} if text else {}
    described = manifest(KIND, SCHEMA, resolved_options(job), inputs) | {"parts": len(part_numbers(out))}
    write_json(out / MANIFEST, described)
    (out / UNFINISHED).unlink(missing_ok=True)
