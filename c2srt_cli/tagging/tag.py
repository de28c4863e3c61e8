"""What ``c2srt tag`` is asked for, resolved into a job for the tagger."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from torch import Tensor

from c2srt_cli.artifacts import address, check_writable, fingerprint, in_bucket, peek_manifest
from c2srt_cli.backbone.precision import Runtime, recorded_runtime
from c2srt_cli.embeddings.encoder import Encoder, make_encoder
from c2srt_cli.embeddings.known_words import note_hardly_known
from c2srt_cli.embeddings.store import TEXT, Store
from c2srt_cli.embeddings.text import embed_labels, read_text, token_counter
from c2srt_cli.errors import UsageError, counted
from c2srt_cli.graph.category_graph import CategoryGraph
from c2srt_cli.images import Found, ImageFiles, PixelSpec, find_images
from c2srt_cli.labels import LabelSet, LabelSource, open_labels, vocabulary_name
from c2srt_cli.parts.folder import open_parts
from c2srt_cli.predict.attach import Attached
from c2srt_cli.predict.predictor import Predictor
from c2srt_cli.predict.profile import Profile, basis_of
from c2srt_cli.progress import Progress
from c2srt_cli.tagging.job import TagJob
from c2srt_cli.tagging.journal import read_header
from c2srt_cli.tagging.model import check_rule, open_embeddings, open_run, trained_model, untrained_model
from c2srt_cli.tagging.options import TagOptions
from c2srt_cli.tagging.sources import EmbeddingSource, ImageSource, Source
from c2srt_cli.tagging.targets import finished_options, journal_of
from c2srt_cli.training.run import Run

__all__ = ["TagOptions", "load_tagger", "prepare_tagging"]


def prepare_tagging(options: TagOptions, progress: Progress) -> TagJob:
    """Find the images, load the backbone, read and embed the labels.

    Raises:
        InputError: photographs, labels, embeddings, the run or weights are missing or unusable.
        UsageError: the options contradict each other, the run or the embeddings.
    """
    named = open_labels(options.labels)  # before anything slow is loaded
    run, graph = open_run(options)
    check_rule(run, options.rule)
    store = open_embeddings(options)
    if store is not None:
        opened, writer = store, options.writer
        beside = writer is not None and writer.kind == "sidecar" and options.out is None
        root = None if options.root is None else options.root.absolute()
        source = partial(EmbeddingSource, opened, root=root, beside=beside)
        job = load_tagger(options, named, run, graph, progress, lambda encoder, _: source(encoder), opened)
        return replace(job, assigned=_shares_open_parts(options))
    found = _assigned(options)
    assigned = found is not None
    if found is None:
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
    if options.writer is not None and options.writer.kind == "sidecar":
        if in_bucket(found.root):
            what = f"{options.writer.name} goes beside the photographs, and nothing is written beside those of a bucket"
            raise UsageError(what, where="--format", hint="use jsonl, csv, parquet or parts")
        if options.out is None:
            check_writable(found.root, folder=True)
    if options.picture is not None and in_bucket(found.root):
        what = "the page shows photographs that are in folders"
        raise UsageError(what, where=address(found.root), hint="use jsonl, csv, parquet or parts")
    threads, begun = options.machine.decode_threads, _begun_runtime(options, found.root)
    job = load_tagger(
        options,
        named,
        run,
        graph,
        progress,
        lambda encoder, pixels: ImageSource(
            found.root,
            found.files,
            found.problems,
            encoder,
            pixels,
            threads,
            found.passes_over,
            options.picture or (lambda file: file),
        ),
        begun=begun,
    )
    return replace(job, assigned=assigned)


def load_tagger(  # noqa: PLR0917
    options: TagOptions,
    named: LabelSource,
    run: Run | None,
    graph: CategoryGraph | None,
    progress: Progress,
    source_of: Callable[[Encoder, PixelSpec], Source],
    store: Store | None = None,
    begun: Runtime | None = None,
) -> TagJob:
    """Load the backbone, read and embed the labels.

    Args:
        options: What is asked for; its inputs are not looked at.
        named: Its labels.
        run: See `open_run`.
        graph: Likewise.
        progress: Takes notes.
        source_of: Makes the source of the images.
        store: The embeddings that are tagged, or None.
        begun: The runtime of what this goes on with, or None.

    Raises:
        InputError: labels or weights are missing or unusable.
        UsageError: the options contradict each other, the run or the embeddings.
    """
    model = untrained_model(options, store, progress) if run is None else trained_model(options, run, store)
    method, backbone = model.method, model.method.backbone
    encoder = make_encoder(backbone, model.split, options.machine, store.options.runtime if store else begun)
    method.move(encoder.runtime.device)
    labels = named.labels(model.templates, token_counter(backbone))
    note_hardly_known(backbone, labels, progress)

    def embed(some: LabelSet) -> Tensor:
        text = None
        if run is None and store is not None and encoder.runtime == store.options.runtime:
            text = read_text(store.folder / TEXT, some, model.templates, backbone.dim)
        return embed_labels(method, some, model.templates, progress) if text is None else text

    if run is None:
        predictor = Predictor.untrained(options.method, backbone, labels, embed, model.split, graph, progress)
    else:
        predictor = Predictor.of_run(run, method, labels, embed, model.split, graph)
    basis = basis_of(
        backbone.id,
        backbone.weights_sha256,
        model.split.patch_attention,
        replace(model.pixels, tiles=False).record,
        model.templates,
        predictor.scoring,
        None if run is None else fingerprint(run.manifest),
        None if graph is None else graph.fingerprint,
    )
    profile = None if options.profile is None else Profile.open(options.profile)
    if profile is not None:
        predictor = predictor.with_profile(profile, labels, basis)
        _note_profile(profile, labels, progress)
    options.rule.check(labels, calibrated=predictor.calibration is not None)
    encoder = replace(encoder, head=predictor.embed)
    source = source_of(encoder, model.pixels)
    counts = f"{counted(len(source.items), 'image')}, {counted(len(labels), 'label')}"
    progress.note(f"{counts}, {encoder.describe()}")
    if predictor.attached is not None and run is not None:
        _note_attached(predictor.attached, run, progress)
    files = [] if named.path is None else [named.path]
    files += [] if options.graph is None else [Path(options.graph)]
    return TagJob(
        source=source,
        encoder=encoder,
        labels=labels,
        templates=model.templates,
        predictor=predictor,
        rule=options.rule,
        all_scores=options.all_scores,
        vocabulary=options.vocabulary or vocabulary_name(options.labels),
        restore=options.restore,
        replace=options.replace,
        pixels=model.pixels.record,
        basis=basis,
        explain=options.explain,
        written_down=(
            *files,
            Path(options.templates or ""),
            *(() if run is None else sorted(run.folder.iterdir())),
            *(() if profile is None else sorted(profile.folder.iterdir())),
        ),
    )


def _note_attached(attached: Attached, run: Run, progress: Progress) -> None:
    """Which labels the run knows, and how the others were attached."""
    total, unseen = len(attached.columns), int((~attached.seen).sum()) - attached.new
    parts = [f"{int(attached.seen.sum()):,} of {total:,} labels are seen ones of the run"]
    parts += [f"{unseen:,} are its unseen ones"] if unseen else []
    if attached.new:
        given = attached.new - attached.by_text if run.graph is not None else 0
        ways = [f"{given:,} by the graph"] if given else []
        ways += [f"{attached.by_text:,} by their texts"] if attached.by_text else []
        parts.append(f"{attached.new:,} are new to it" + (f", attached {' and '.join(ways)}" if ways else ""))
    progress.note("; ".join(parts))
    if attached.other_wordings:
        progress.note(
            f"synonyms of {attached.other_wordings:,} labels that the run was trained on are not used: it has learned "
            "their own words"
        )


def _note_profile(profile: Profile, labels: LabelSet, progress: Progress) -> None:
    """What a profile knows of the labels."""
    known = sum(place >= 0 for place in profile.labels.match(labels))
    if not known:
        raise UsageError(
            "has learned nothing of these labels",
            where=f"--profile {profile.folder}",
            hint="leave it out, or learn on labels of this list: c2srt learn",
        )
    progress.note(f"{known:,} of {len(labels):,} labels are in the profile")
    if others := profile.reworded(labels):
        progress.note(f"learned with other synonyms: {', '.join(others[:5])}; learn again with --labels")


def _shares_open_parts(options: TagOptions) -> bool:
    """Whether this is one of several processes, and images are assigned to parts that are not done."""
    return options.share is not None and options.out is not None and bool(open_parts(options.out))


def _assigned(options: TagOptions) -> Found | None:
    """Where images are that are assigned to parts, and need not be looked for; None where they are to be."""
    begun = peek_manifest(options.out) if _shares_open_parts(options) and options.out is not None else None
    if begun is None:  # or what there was has gone since
        return None
    root = Path(str(begun["options"].get("root", "")))
    return Found(root, ImageFiles.of(root, ()), [])


def _begun_runtime(options: TagOptions, root: Path) -> Runtime | None:
    """The runtime of the run that this one goes on with, or brings up to date."""
    writer = options.writer
    if writer is None or (options.out is None and writer.kind != "sidecar"):
        return None
    out = root if options.out is None else options.out
    if writer.kind == "parts":
        there = peek_manifest(out)
        return None if there is None else recorded_runtime(there["options"].get("runtime"))
    begun = read_header(journal_of(writer, out))
    made = begun.options if begun is not None else None if writer.kind == "sidecar" else finished_options(out)
    return None if made is None else recorded_runtime(made.get("runtime"))
