"""What tags the images: a backbone as it is, or a run, and how images are brought to it."""

from dataclasses import dataclass, replace
from pathlib import Path

from c2srt_cli.artifacts import artifact_kind
from c2srt_cli.backbone.registry import load_backbone, resolve
from c2srt_cli.embeddings.encoder import pixel_spec
from c2srt_cli.embeddings.split import Split, resolve_split
from c2srt_cli.embeddings.store import KIND as EMBEDDINGS
from c2srt_cli.embeddings.store import Store
from c2srt_cli.errors import UsageError
from c2srt_cli.graph.category_graph import CategoryGraph, read_graph
from c2srt_cli.images import PixelSpec
from c2srt_cli.labels import read_templates
from c2srt_cli.methods.method import Method
from c2srt_cli.methods.registry import METHODS
from c2srt_cli.parts.index import INDEX
from c2srt_cli.predict import runs
from c2srt_cli.predict.calibration import calibration_of
from c2srt_cli.predict.profile import Profile
from c2srt_cli.predict.split import split_in
from c2srt_cli.progress import Progress
from c2srt_cli.tagging.decision import Rule
from c2srt_cli.tagging.options import TagOptions
from c2srt_cli.training.run import Run


@dataclass(frozen=True)
class Model:
    """What turns images into embeddings, and labels into text.

    Attributes:
        method: On its backbone, in float32.
        split: Where tokens enter; for images, from where the late stages run.
        pixels: How images are prepared.
        templates: Prompts around the labels.
    """

    method: Method
    split: Split
    pixels: PixelSpec
    templates: tuple[str, ...]


def untrained_model(options: TagOptions, store: Store | None, progress: Progress) -> Model:
    """The backbone that is asked for, or that the embeddings were made with.

    Raises:
        InputError: its weights are missing, damaged, or not those of the embeddings.
        UsageError: there is no such backbone.
    """
    kind = METHODS[options.method.method]
    if store is None:
        spec, note = resolve(options.backbone or "auto")
        progress.note(note)
        backbone = load_backbone(spec)
        split = resolve_split(
            backbone, Split(*kind.needs(options.method, backbone.tower)), patch_attention=options.patch_attention
        )
        pixels = pixel_spec(backbone, fit=options.fit, draft=options.draft)
        # a fit that is asked for, and published preprocessing, are taken at their word
        pixels = replace(pixels, tiles=options.fit is None and options.draft)
        return Model(kind(options.method, backbone), split, pixels, read_templates(options.templates or "default"))
    made = store.options
    backbone = made.load_backbone(store.folder, _asked(options))
    method = kind(options.method, backbone)
    split = split_in(store, method)
    if split.patch_attention is None and backbone.tower.supports_local:
        progress.note("these embeddings hold no value-value stream: patches come from the global one")
    inherited = made.templates if options.templates is None else ()
    templates = inherited or read_templates(options.templates or "default")
    return Model(method, split, made.pixels, templates)


def trained_model(options: TagOptions, run: Run, store: Store | None) -> Model:
    """A run, for images or for tokens that it can go on from.

    Raises:
        InputError: the embeddings are not such tokens.
    """
    method, pixels, templates = run.method(asked=_asked(options)), run.made.pixels, run.made.templates
    if store is None:
        return Model(method, Split(*method.need), replace(pixels, draft=pixels.draft and options.draft), templates)
    return Model(method, split_in(store, method, run), pixels, templates)


def open_run(options: TagOptions) -> tuple[Run | None, CategoryGraph | None]:
    """The run to tag with, and the graph that its new labels are attached by, or all of them are raised by.

    Raises:
        InputError: it is no finished run, or the graph cannot be read.
        UsageError: options are given that the run has decided.
    """
    folder = options.run if options.profile is None else Profile.open(options.profile).run_beside(options.run)
    if folder is None:
        if options.graph is not None and options.method.propagation.gain == "fit":
            raise UsageError(
                "there are no annotations to fit the gain on",
                where="--set propagation.gain=fit",
                hint="fit it where there are some: c2srt evaluate zero-shot --graph … --set propagation.gain=fit",
            )
        return None, None if options.graph is None else read_graph(options.graph)
    decided = {
        "--templates": options.templates,
        "--set": options.method if options.method != METHODS["zero-shot"].defaults() else None,
        "--patch-attention": options.patch_attention,
        "--fit": options.fit,
    }
    if given := [name for name, value in decided.items() if value is not None]:
        raise UsageError("these are decided by the run", where=f"--run {folder}", problems=given, hint="leave them out")
    run = runs.open_run(folder)
    if options.graph is not None and run.graph is None:
        raise UsageError(
            "this run moves nothing over a graph", where=f"--graph {options.graph}", hint="leave --graph out"
        )
    return run, None if options.graph is None else read_graph(options.graph)


def check_rule(run: Run | None, rule: Rule) -> None:
    """Refuse a rule that a run's scores do not meet.

    Raises:
        UsageError: they are scaled over the vocabulary, and something else than the best few is asked for; or the run
            has a threshold for every label, and another preset is asked for.
    """
    if run is None:
        return
    if not METHODS[run.options.method].can_calibrate and rule.top_k is None:
        raise UsageError(
            f"{run.options.method} scales its scores over the vocabulary, so that neither a threshold nor a preset "
            "fits them",
            where=f"--run {run.folder}",
            hint="give --top-k",
        )
    if rule.by_preset and rule.preset != "balanced" and calibration_of(run) is not None:
        raise UsageError(
            "the run gives each label from a threshold of its own on",
            where=f"--preset {rule.preset}",
            hint="leave it out, or say from which probability on: --threshold",
        )


def open_embeddings(options: TagOptions) -> Store | None:
    """The embeddings that are to be tagged, where the input is such a folder.

    Raises:
        InputError: they are unfinished or damaged.
        UsageError: there are other inputs, or they were made with other options.
    """
    folders = [text for text in options.inputs if text != "-" and holds_embeddings(Path(text))]
    if not folders:
        return None
    if len(options.inputs) > 1:
        raise UsageError("embeddings are tagged by themselves, one folder a run", where=folders[0])
    store = Store.open(Path(folders[0]))
    made = store.options
    asked = {
        "fit": (options.fit, made.pixels.fit),
        "patch-attention": (options.patch_attention, made.patch_attention or "none"),
        "draft": (None if options.draft else False, made.pixels.draft),
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


def holds_embeddings(folder: Path) -> bool:
    """Whether a folder is one of embeddings, also where its manifest cannot be read: no photographs are in it."""
    return artifact_kind(folder) == EMBEDDINGS or (folder / INDEX).is_file()


def _asked(options: TagOptions) -> str | None:
    """What the backbone of a run or of embeddings is called here, where the user says so."""
    return None if options.backbone == "auto" else options.backbone
