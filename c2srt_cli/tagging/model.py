"""What tags the images: a backbone as it is, or a run, and how images are brought to it."""

from dataclasses import dataclass, replace
from pathlib import Path

from c2srt_cli.artifacts import artifact_kind
from c2srt_cli.backbone.registry import Backbone, load_backbone, resolve
from c2srt_cli.embeddings.encoder import Cut, pixel_spec, resolve_cut
from c2srt_cli.embeddings.index import INDEX
from c2srt_cli.embeddings.store import KIND as EMBEDDINGS
from c2srt_cli.embeddings.store import Store
from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.graph.category_graph import CategoryGraph, read_graph
from c2srt_cli.images import PixelSpec
from c2srt_cli.labels import read_templates
from c2srt_cli.progress import Progress
from c2srt_cli.tagging.options import TagOptions
from c2srt_cli.training.run import KIND as RUN
from c2srt_cli.training.run import Run


@dataclass(frozen=True)
class Model:
    """What turns photographs into embeddings, and labels into text.

    Attributes:
        backbone: In float32.
        cut: Where tokens enter; for photographs, from where the tail runs.
        pixels: How photographs are prepared.
        templates: Prompts around the labels.
    """

    backbone: Backbone
    cut: Cut
    pixels: PixelSpec
    templates: tuple[str, ...]


def plain_model(options: TagOptions, store: Store | None, progress: Progress) -> Model:
    """The backbone that is asked for, or that the embeddings were made with.

    Raises:
        InputError: its weights are missing, damaged, or not those of the embeddings.
        UsageError: there is no such backbone.
    """
    templates = read_templates(options.templates or "default")
    if store is None:
        spec, note = resolve(options.backbone or "auto")
        progress.note(note)
        backbone = load_backbone(spec)
        cut = resolve_cut(backbone, method="zero-shot", cut=None, streams=None, dense=options.dense)
        return Model(backbone, cut, pixel_spec(backbone, fit=options.fit, draft=options.draft), templates)
    made = store.manifest["options"]
    backbone = load_backbone(made["backbone"])
    if backbone.weights_sha256 != made["weights_sha256"]:
        raise InputError(
            f"were made with other weights of {backbone.id} than those on disk",
            where=str(store.folder),
            hint="embed the photographs again with --overwrite",
        )
    cut = Cut(made["cut"], made["dense"], made["streams"])
    if cut.dense is None and backbone.tower.supports_local:
        progress.note("these embeddings hold no value-value stream: patches come from the global one")
    return Model(backbone, cut, PixelSpec(**made["pixels"]), templates)


def trained_model(options: TagOptions, run: Run, backbone: Backbone, store: Store | None) -> Model:
    """The run's own backbone, whose last stages it has trained on the global stream.

    Raises:
        InputError: the embeddings are not such that the run can go on from them.
    """
    made, depth = run.manifest["options"], backbone.tower.depth
    pixels, templates = PixelSpec(**made["pixels"]), tuple(made["templates"])
    latest = depth - run.config.touched  # from here on the frozen tail goes another way
    dense = run.config.parts.dense_of(backbone.tower)
    streams = "both" if dense else "global"
    if store is None:
        return Model(
            backbone,
            Cut(latest, dense, streams),
            replace(pixels, draft=pixels.draft and options.draft),
            templates,
        )
    own = store.manifest["options"]
    problems = []
    if own["weights_sha256"] != made["weights_sha256"]:
        there, here = (f"{some['backbone']} ({some['weights_sha256'][:12]})" for some in (own, made))
        problems.append(f"backbone: {there} there, {here} in the run")
    if own["pixels"] != made["pixels"]:
        problems.append(f"pixels: {own['pixels']} there, {made['pixels']} in the run")
    if own["streams"] == "local":
        problems.append("streams: the local one alone, the run goes on from the global one")
    if own["cut"] > latest:
        problems.append(f"cut: {own['cut']} of {depth} stages, the run trained those from {latest} on")
    if dense is not None and own["dense"] != dense:
        problems.append(f"dense: {own['dense'] or 'none'} there, {dense} in the run")
    if problems:
        raise InputError(
            "the run cannot go on from these embeddings",
            where=str(store.folder),
            problems=problems,
            hint=f"tag the photographs themselves, or embed them with --backbone {made['backbone']} --cut {latest} "
            f"{f'--streams both --dense {dense}' if dense else '--streams global'} --fit {made['pixels']['fit']}",
        )
    return Model(backbone, Cut(own["cut"], dense, streams), pixels, templates)


def open_run(options: TagOptions) -> tuple[Run | None, CategoryGraph | None]:
    """The run to tag with, and the graph that new labels are attached by.

    Raises:
        InputError: it is no finished run, or the graph cannot be read.
        UsageError: options are given that the run has decided.
    """
    if options.run is None:
        if options.graph is not None:
            raise UsageError(
                "a graph attaches labels to a run, and there is none", where="--graph", hint="give --run, or no --graph"
            )
        return None, None
    decided = {
        "--backbone": options.backbone,
        "--templates": options.templates,
        "--pool, --alpha and --cap": options.pooling,
        "--dense": options.dense,
        "--fit": options.fit,
    }
    if given := [name for name, value in decided.items() if value is not None]:
        raise UsageError(
            "these are decided by the run", where=f"--run {options.run}", problems=given, hint="leave them out"
        )
    if artifact_kind(options.run) != RUN:
        raise InputError("is not a run", where=str(options.run), hint="make one: c2srt train")
    run = Run.open(options.run)
    if not run.config.parts.calibrates and options.rule.top_k is None:
        raise UsageError(
            "MKT scales its scores over the vocabulary, so that neither a threshold nor the relative rule fits them",
            where=f"--run {options.run}",
            hint="give --top-k",
        )
    if options.graph is not None and run.graph is None:
        raise UsageError(
            "this run moves nothing over a graph", where=f"--graph {options.graph}", hint="leave --graph out"
        )
    return run, None if options.graph is None else read_graph(options.graph)


def open_embeddings(options: TagOptions) -> Store | None:
    """The embeddings that are to be tagged, where the input is such a folder.

    Raises:
        InputError: they are unfinished or damaged.
        UsageError: there are other inputs, or they were made with other options.
    """
    folders = [text for text in options.inputs if text != "-" and _holds_embeddings(Path(text))]
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


def _holds_embeddings(folder: Path) -> bool:
    """Whether a folder is one of embeddings, also where its manifest cannot be read: no photographs are in it."""
    return artifact_kind(folder) == EMBEDDINGS or (folder / INDEX).is_file()


def _name(backbone: str | None) -> str | None:
    return None if backbone in (None, "auto") else resolve(backbone)[0]
