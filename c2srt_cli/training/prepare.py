"""What the user asks ``c2srt train`` for, checked and resolved into a `TrainJob`."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from c2srt_cli.artifacts import file_sha256, fingerprint
from c2srt_cli.backbone.precision import MAX_ROWS, find_device
from c2srt_cli.datasets.annotations import Annotations, read_annotations
from c2srt_cli.embeddings import store as stores
from c2srt_cli.embeddings.text import embed_labels, read_text
from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.graph.category_graph import CategoryGraph, read_graph
from c2srt_cli.images import PixelSpec
from c2srt_cli.labels import read_templates
from c2srt_cli.methods.options import Options, TrainedOptions
from c2srt_cli.methods.prompt import Prompts
from c2srt_cli.methods.registry import METHODS
from c2srt_cli.progress import Progress
from c2srt_cli.threads import torch_threads
from c2srt_cli.training import run as runs
from c2srt_cli.training.data import TrainingData
from c2srt_cli.training.fit import build
from c2srt_cli.training.inputs import Inputs, from_images, from_tokens
from c2srt_cli.training.job import TrainJob
from c2srt_cli.training.processes import own_device, world
from c2srt_cli.training.rundir import begun

#: Images of the validation set, at most: their scores of all labels are held in memory, and more of them say no more.
MAX_VALIDATION = 20_000


@dataclass(frozen=True)
class TrainOptions:
    """What the user asks for.

    Attributes:
        embeddings: Folder with the tokens; None with images.
        annotations: Folder with the annotations.
        out: The run to write.
        options: Of the method.
        graph: File or name of a category graph; None for methods without one.
        templates: Prompts around the labels; None for those that the embeddings were made with.
        device: Where to train; None for the fastest there is.
        overwrite: Start again instead of resuming.
        images: Encode the images in every epoch, from the files.
        backbone: Which one, with images; with embeddings what theirs is called here, where that is another name.
        init: The finished run whose image side a prompt is learned for; None for methods without one.
        root: The folder that the images' paths are relative to now, where it is not the one that annotations name.
    """

    embeddings: Path | None
    annotations: Path
    out: Path
    options: Any
    graph: str | None = None
    templates: str | None = None
    device: str | None = None
    overwrite: bool = False
    images: bool = False
    backbone: str | None = None
    init: Path | None = None
    root: Path | None = None


def prepare_training(asked: TrainOptions, progress: Progress) -> TrainJob:
    """Read the inputs and check that they belong together.

    Raises:
        InputError: something is missing, stale or damaged.
        UsageError: the options contradict each other or the inputs.
    """
    if wrong := list(_contradictions(asked)):
        if len(wrong) == 1:
            raise wrong[0]
        raise UsageError("these do not go together", problems=[" ".join(str(one).split()) for one in wrong])
    annotations = read_annotations(asked.annotations, asked.root)
    started = {} if asked.overwrite else begun(asked.out)
    inputs = (
        from_images(
            asked.backbone or "auto",
            asked.options,
            annotations,
            asked.out,
            started,
            asked.device,
            progress,
        )
        if asked.embeddings is None
        else from_tokens(asked.embeddings, asked.options, annotations, asked.annotations, asked.backbone)
    )
    if missing := inputs.train.missing:
        lacking = "are missing" if asked.images else "have no tokens"
        progress.note(f"{len(missing):,} training images {lacking}, such as {missing[0]}")
    kind, backbone, made = METHODS[asked.options.method], inputs.backbone, inputs.made
    options, notes = kind.adapted(asked.options, backbone)
    for note in notes:
        progress.note(note)
    training = options.training
    device = own_device(find_device(asked.device or "auto"))
    backbone.to(device, torch.float32)
    init = None if asked.init is None else _image_side(asked.init, options, annotations, made)
    method = build(options, backbone, None if init is None else init[0])  # as a check: it is made anew under the seed
    if not method.learns():
        raise UsageError("nothing would learn", where=asked.options.method, hint="let stages of the tower learn")
    if world() > 1 and any(isinstance(module, torch.nn.BatchNorm2d) for module in method.modules()):
        raise UsageError(
            "the statistics of batch norms would differ between processes",
            where="adapters.norm = 'batch'",
            hint="take group, or train in one process",
        )
    train, validation = _split(inputs, training.validation)
    present = annotations.positive.select(train.rows).labels
    if not annotations.seen[present].any():
        raise InputError(
            "no label is seen, so there is nothing to learn"
            if not annotations.seen.any()
            else "not one image to train on has a seen label",
            where=str(asked.annotations),
            hint="run c2srt prepare with other seen labels, or another split",
        )
    templates = (options.prompt,) if kind.needs_init else _templates(asked, made)
    text = None
    if asked.embeddings is not None:
        text = read_text(asked.embeddings / stores.TEXT, annotations.labels, templates, backbone.dim)
    threads = started.get("threads")
    if type(threads) is not int or not 1 <= threads <= MAX_ROWS:  # a new run, or one that says nothing sound
        threads = torch.get_num_threads()
    if text is None:
        with torch_threads(threads):
            text = embed_labels(backbone, annotations.labels, templates, progress)
    graph = _graph(asked, annotations, progress) if kind.hops(options) else None
    vocabulary = runs.vocabulary_of(options, text.to(device), graph, annotations.seen)
    if method.prompt is not None or method.text_tokens is not None:
        vocabulary = replace(vocabulary, prompts=Prompts.of(backbone, annotations.labels, templates).to(device))
    kept = ("weights_sha256", "split_stage", "depth", "patch_attention", "streams", "grid", "width", "dim", "pixels")
    # a GPU embeds in float16, whose range gradients leave
    autocast = made["runtime"]["dtype"] == "bfloat16" or (
        made["runtime"]["dtype"] == "float16"
        and device.startswith("cuda")
        and torch.cuda.is_bf16_supported(including_emulation=False)
    )
    return TrainJob(
        out=asked.out,
        options=options,
        backbone=backbone,
        graph=graph,
        data=TrainingData(
            annotations=annotations,
            train=train,
            validation=validation,
            labels=np.flatnonzero(annotations.seen),
            vocabulary=vocabulary,
            split_stage=int(made["split_stage"]),
            autocast=autocast,
            checkpoint=asked.out / runs.CHECKPOINT,
            init=None if init is None else init[0],
        ),
        facts={
            "backbone": backbone.id,
            "config_sha256": backbone.config_sha256,
            **{name: made[name] for name in kept},
            "templates": list(templates),
            "method": options.model_dump(mode="json"),
            **({"runtime": made["runtime"]} if asked.images else {}),
            "processes": world(),
            "threads": threads,
            "bfloat16": autocast,
            "device": device,
        },
        inputs=inputs.fingerprints
        | {"annotations": annotations.fingerprint}
        | ({"graph": graph.fingerprint} if graph else {})
        | ({} if init is None else {"init": init[1]}),
        overwrite=asked.overwrite,
    )


def _contradictions(asked: TrainOptions) -> Iterator[UsageError]:
    """Everything about the command line that cannot be."""
    kind, options = METHODS[asked.options.method], asked.options
    if not isinstance(options, TrainedOptions):
        yield UsageError(f"{kind.name} has nothing to train", hint="tag or evaluate with it")
        return
    if (asked.embeddings is None) == (not asked.images):
        yield UsageError("name either --embeddings or --images", hint="c2srt train -e E -a A --graph G --out run")
    if asked.root is not None and not asked.images:
        yield UsageError("tokens are read, and no images", where=f"--root {asked.root}", hint="leave it out")
    if asked.graph is not None and not kind.hops(options):
        yield UsageError(f"{kind.name} moves nothing over a graph", where=f"--graph {asked.graph}", hint="leave it out")
    if asked.graph is None and kind.hops(options):
        yield UsageError(
            f"{kind.name} needs a category graph",
            hint="give --graph FILE, or --graph NAME of one that comes with c2srt",
        )
    if kind.needs_init and asked.init is None:
        yield UsageError(f"{kind.name} learns on the image side of a finished run", hint="name that run with --init")
    if not kind.needs_init and asked.init is not None:
        yield UsageError(
            f"{kind.name} starts from no run", where=f"--init {asked.init}", hint="leave it out, or use mkt-prompt"
        )
    if kind.needs_init and asked.templates is not None:
        yield UsageError("the prompt that learns is the template", where="--templates", hint="--set prompt=... says it")
    if options.training.batch_size < world():
        yield UsageError(f"a batch must have an image for each of {world()} processes", where="training.batch_size")


def _split(inputs: Inputs, share: float) -> tuple[Any, Any]:
    """Images to train on, and to validate with: the dataset's own validation split where it has one."""
    random = np.random.default_rng(0)  # the same images whatever the seed of the run
    train, val = inputs.train, inputs.val
    if len(val) and share:
        return train, val.take(np.sort(random.permutation(len(val))[:MAX_VALIDATION]))
    chosen = random.permutation(len(train)) < min(MAX_VALIDATION, round(share * len(train)))
    if chosen.all():
        raise UsageError(f"{len(train)} images are too few to validate with some", hint="lower training.validation")
    return train.take(np.flatnonzero(~chosen)), train.take(np.flatnonzero(chosen))


def _templates(asked: TrainOptions, made: Any) -> tuple[str, ...]:
    """Those that are asked for, else those of the embeddings."""
    if asked.templates is None and made.get("templates"):
        return tuple(made["templates"])
    return read_templates(asked.templates or "default")


def _image_side(
    folder: Path, options: Options, annotations: Annotations, made: Any
) -> tuple[dict[str, torch.Tensor], str]:
    """The trained stages of a finished run, and its fingerprint.

    Raises:
        InputError: it is no finished run, or was trained on other images or labels.
        UsageError: it is a run of another method, or of other options than these.
    """
    run = runs.Run.open(folder)
    if run.manifest["inputs"].get("annotations") != annotations.fingerprint:
        raise InputError("the run was trained with other annotations", where=f"--init {folder}")
    if (run.made.weights_sha256, run.made.pixels) != (made["weights_sha256"], PixelSpec(**made["pixels"])):
        raise InputError("the run was trained on other embeddings than these", where=f"--init {folder}")
    there, here = (
        one.model_dump(include={"trained_stages", "patch_attention", "patches"}) for one in (run.options, options)
    )
    problems = [
        f"{name}: {there.get(name)!r} there, {here[name]!r} here" for name in here if here[name] != there.get(name)
    ]
    if run.options.method != "mkt":
        problems.insert(0, f"method: {run.options.method} there, {options.method} goes on from mkt")
    if problems:
        raise UsageError(
            "the run's image side is another one",
            where=f"--init {folder}",
            problems=problems,
            hint="name a run of mkt, and its options",
        )
    learned = {name: value for name, value in run.weights().items() if name.startswith("visual.")}
    return learned, fingerprint([run.manifest, file_sha256(folder / runs.WEIGHTS)])


def _graph(asked: TrainOptions, annotations: Annotations, progress: Progress) -> CategoryGraph:
    """The user's graph over the annotations' labels, without edges from unseen ones.

    Raises:
        InputError: it shares no edge with them.
    """
    assert asked.graph is not None
    graph = read_graph(asked.graph).over(annotations.labels)
    seen = annotations.seen
    edges = tuple(edge for edge in graph.edges if seen[edge.source])
    if not edges:
        raise InputError(
            "has not one edge from a seen label of the annotations to another of their labels",
            where=f"--graph {asked.graph}",
            hint=f"make one over these labels: c2srt build-graph --labels {asked.annotations}/labels.csv",
        )
    pruned = replace(graph, edges=edges).prune(asked.options.neighbours)
    alone = len(annotations.labels) - len({edge.target for edge in pruned.edges})
    progress.note(
        f"{len(pruned.edges):,} edges from seen labels; {alone:,} of {len(annotations.labels):,} labels have none"
    )
    return pruned
