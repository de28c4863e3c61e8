"""What ``c2srt tag`` is asked for, resolved into a job for the tagger."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from c2srt_cli.artifacts import artifact_kind
from c2srt_cli.backbone.registry import Backbone, load_backbone, resolve
from c2srt_cli.embeddings.encoder import Cut, Machine, make_encoder, pixel_spec, resolve_cut
from c2srt_cli.embeddings.store import KIND as EMBEDDINGS
from c2srt_cli.embeddings.store import TEXT, Store
from c2srt_cli.embeddings.text import embed_labels, read_text, token_counter
from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.images import find_images
from c2srt_cli.labels import read_labels, read_templates
from c2srt_cli.methods.zero_shot import Pooling
from c2srt_cli.progress import Progress
from c2srt_cli.scoring.calibration import Calibration
from c2srt_cli.tagging.decision import Rule
from c2srt_cli.tagging.journal import begun_options
from c2srt_cli.tagging.sources import EmbeddingSource, PhotoSource, Source
from c2srt_cli.tagging.tagger import TagJob, journal_of
from c2srt_cli.tagging.writers import Writer


@dataclass(frozen=True)
class TagOptions:
    """What the user asks for; None means the default, which embeddings inherit from how they were made.

    Attributes:
        inputs: Folders, files, globs, ``-`` for a list on standard input, or one folder of embeddings.
        stdin: Its lines, where ``-`` is among the inputs.
        labels: The labels file.
        backbone: Which backbone; ``auto`` where None.
        templates: ``default``, ``clip`` or a file.
        pooling: How patches become the local score.
        dense: ``vv``, ``vv-all``, ``none`` or None.
        fit: ``crop``, ``squash``, ``pad`` or None.
        draft: Decode JPEGs at a reduced size where that is enough.
        rule: How labels are chosen.
        all_scores: Keep every label's score.
        machine: Device, precision, batch shape, threads.
        writer: The format of the results, where they go to files: the runtime of an unfinished run is reused.
        out: Their file or folder; None for the photographs' own folder, where sidecars are written.
    """

    inputs: tuple[str, ...]
    labels: Path
    stdin: tuple[str, ...] | None = None
    backbone: str | None = None
    templates: str = "default"
    pooling: Pooling = Pooling()
    dense: str | None = None
    fit: str | None = None
    draft: bool = True
    rule: Rule = Rule()
    all_scores: bool = False
    machine: Machine = Machine()
    writer: Writer | None = None
    out: Path | None = None


def prepare_tagging(options: TagOptions, progress: Progress) -> TagJob:
    """Find the images, load the backbone, read and embed the labels.

    Raises:
        InputError: photographs, labels, embeddings or weights are missing or unusable.
        UsageError: the options contradict each other or the embeddings.
    """
    if not options.labels.is_file():
        read_labels(options.labels)  # says what is wrong before anything slow is loaded
    templates = read_templates(options.templates)
    store = _embeddings(options)
    source: Source
    if store is None:
        found = find_images(options.inputs, stdin=options.stdin)
        spec, note = resolve(options.backbone or "auto")
        progress.note(note)
        backbone = load_backbone(spec)
        cut = resolve_cut(backbone, method="zero-shot", cut=None, streams=None, dense=options.dense)
        encoder = make_encoder(backbone, cut, options.machine, _begun_runtime(options, found.root))
        prepared = pixel_spec(backbone, fit=options.fit, draft=options.draft)
        pixels = asdict(prepared)
        source = PhotoSource(found, encoder, prepared, options.machine.decode_threads)
    else:
        made = store.manifest["options"]
        backbone = load_backbone(made["backbone"])
        if backbone.weights_sha256 != made["weights_sha256"]:
            raise InputError(
                f"were made with other weights of {backbone.id} than those on disk",
                where=str(store.folder),
                hint="embed the photographs again with --overwrite",
            )
        cut = Cut(made["cut"], made["dense"], made["streams"])
        encoder = make_encoder(backbone, cut, options.machine, made["runtime"])
        pixels = made["pixels"]
        if cut.dense is None and backbone.tower.supports_local:
            progress.note("these embeddings hold no value-value stream: patches come from the global one")
        source = EmbeddingSource(store, encoder)
    labels = read_labels(options.labels, templates=templates, count_tokens=token_counter(backbone))
    calibration = _calibration(backbone, options.pooling)
    options.rule.check(labels, calibrated=calibration is not None)
    progress.note(f"{len(source.items):,} images, {len(labels):,} labels, {encoder.describe()}")
    text = None
    if store is not None and asdict(encoder.runtime) == store.manifest["options"]["runtime"]:
        text = read_text(store.folder / TEXT, labels, templates)
    if text is None:
        text = embed_labels(backbone, labels, templates, progress)
    return TagJob(
        source=source,
        encoder=encoder,
        labels=labels,
        templates=templates,
        text=text,
        pooling=options.pooling,
        rule=options.rule,
        calibration=calibration,
        all_scores=options.all_scores,
        pixels=pixels,
        written_down=(options.labels, Path(options.templates)),
    )


def _begun_runtime(options: TagOptions, root: Path) -> dict[str, Any] | None:
    """The runtime of the unfinished run that this one goes on with."""
    if options.writer is None or (options.out is None and options.writer.kind != "sidecar"):
        return None
    begun = begun_options(journal_of(options.writer, root if options.out is None else options.out))
    return None if begun is None else begun.get("runtime")


def _embeddings(options: TagOptions) -> Store | None:
    """The embeddings that are to be tagged, where the input is such a folder."""
    folders = [text for text in options.inputs if text != "-" and artifact_kind(Path(text)) == EMBEDDINGS]
    if not folders:
        return None
    if len(options.inputs) > 1:
        raise UsageError("embeddings are tagged by themselves, one folder a run", where=folders[0])
    store = Store.open(Path(folders[0]))
    made = store.manifest["options"]
    asked = {
        "backbone": (_name(options.backbone), made["backbone"]),
        "fit": (options.fit, made["pixels"]["fit"]),
        "dense": (options.dense, made["dense"] or "none"),
        "draft": (None if options.draft else False, made["pixels"]["draft"]),
    }
    differing = [
        f"--{name}: {wanted} asked, {there} there"
        for name, (wanted, there) in asked.items()
        if wanted not in (None, there)
    ]
    if differing:
        raise UsageError(
            "these embeddings were made with other options",
            where=folders[0],
            problems=differing,
            hint="leave the options out, or embed the photographs with them",
        )
    return store


def _name(backbone: str | None) -> str | None:
    return None if backbone in (None, "auto") else resolve(backbone)[0]


def _calibration(backbone: Backbone, pooling: Pooling) -> Calibration | None:
    """The backbone's calibration, if it holds for this scoring."""
    if backbone.calibration_path is None:
        return None
    calibration = Calibration.read(backbone.calibration_path)
    scoring = asdict(pooling)
    return calibration if all(scoring.get(key) == value for key, value in calibration.scoring.items()) else None
