"""The stage behind ``c2srt train``: cached tokens, annotations and a graph → ``run/``, resumable to the bit."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from c2srt_cli.artifacts import (
    LOCK,
    MANIFEST,
    UNFINISHED,
    atomic_write,
    check_same,
    disk_errors,
    file_sha256,
    file_stamp,
    fingerprint,
    lock,
    manifest,
    peek_manifest,
    previous_manifest,
    read_json,
    remove_leftovers,
    write_json,
)
from c2srt_cli.backbone.precision import find_device, recorded_runtime
from c2srt_cli.backbone.registry import Backbone, load_backbone
from c2srt_cli.backbone.registry import resolve as resolve_backbone
from c2srt_cli.backbone.vit import VitTower
from c2srt_cli.datasets.annotations import Annotations, read_annotations, write_label_table
from c2srt_cli.embeddings import store as stores
from c2srt_cli.embeddings.embed import EmbedJob, resolved_options
from c2srt_cli.embeddings.encoder import Machine, make_encoder, pixel_spec, resolve_cut
from c2srt_cli.embeddings.plan import annotated_images
from c2srt_cli.embeddings.store import Store
from c2srt_cli.embeddings.text import embed_labels, read_text, save_text
from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.graph.category_graph import CategoryGraph, read_graph, write_graph
from c2srt_cli.labels import read_templates
from c2srt_cli.methods.prompt import Prompts
from c2srt_cli.progress import Progress
from c2srt_cli.threads import torch_threads
from c2srt_cli.training import run as runs
from c2srt_cli.training.calibrate import calibrate, pseudo_unseen
from c2srt_cli.training.config import Config, as_toml
from c2srt_cli.training.images import ImageSet
from c2srt_cli.training.learner import Vocabulary
from c2srt_cli.training.loop import Diverged, Learned, Lesson, learn
from c2srt_cli.training.processes import any_of, own_device, rank, world
from c2srt_cli.training.tokens import TokenSet
from c2srt_cli.training.transfer import fit_transfer

#: Photographs to watch, at most: their scores of all labels are held in memory, and more of them say no more.
WATCHED = 20_000


@dataclass(frozen=True)
class TrainOptions:
    """What the user asks for.

    Attributes:
        embeddings: Folder with the tokens; None with images.
        annotations: Folder with the annotations.
        out: The run to write.
        config: Method and its options.
        graph: File or name of a category graph; None for methods without one.
        templates: Prompts around the labels.
        device: Where to train; None for the embeddings' own.
        overwrite: Start again instead of resuming.
        images: Encode the photographs in every epoch, from the files.
        backbone: Which one, with images.
        init: The finished run whose image side a prompt is learned for; None for methods without one.
    """

    embeddings: Path | None
    annotations: Path
    out: Path
    config: Config
    graph: str | None = None
    templates: str = "default"
    device: str | None = None
    overwrite: bool = False
    images: bool = False
    backbone: str | None = None
    init: Path | None = None


@dataclass(frozen=True, eq=False)
class TrainJob:
    """Everything `train` needs, resolved.

    Attributes:
        out: The run to write.
        config: Its options.
        annotations: What is known of the photographs.
        train: Tokens to train on.
        watched: Tokens of training photographs that are watched instead.
        backbone: In float32, where it will run.
        vocabulary: Labels and their graph.
        graph: As it is kept in the run.
        options: What the manifest says.
        inputs: Fingerprints.
        overwrite: Start again instead of resuming.
    """

    out: Path
    config: Config
    annotations: Annotations
    train: TokenSet | ImageSet
    watched: TokenSet | ImageSet
    backbone: Backbone
    vocabulary: Vocabulary
    graph: CategoryGraph | None
    options: dict[str, Any]
    inputs: dict[str, str]
    overwrite: bool


@dataclass(frozen=True)
class TrainResult:
    """What came out.

    Attributes:
        epochs: Epochs that were run, in all.
        seen_map: Best mean AP of seen labels on the watched photographs; None without any.
        images_per_second: As in `Learned`.
        diverged: The loss stopped being a number: the run holds the last good state.
    """

    epochs: int
    seen_map: float | None
    images_per_second: float | None
    diverged: bool


def prepare_training(options: TrainOptions, progress: Progress) -> TrainJob:
    """Read the inputs and check that they belong together.

    Raises:
        InputError: something is missing, stale or damaged.
        UsageError: the options contradict each other or the inputs.
    """
    if (options.embeddings is None) == (not options.images):
        raise UsageError("name either --embeddings or --images", hint="c2srt train -e E -a A --graph G --out run")
    if options.images and world() > 1:
        raise UsageError("--images takes one process", hint="store tokens with c2srt embed, and give --embeddings")
    if options.backbone is not None and not options.images:
        raise UsageError(
            "the backbone is that of the embeddings",
            where=f"--backbone {options.backbone}",
            hint="leave it out, or embed the photographs with it",
        )
    config = options.config
    if options.graph is not None and not config.parts.hops:
        raise UsageError(
            "without a transfer nothing moves over a graph",
            where=f"--graph {options.graph}",
            hint="leave it out, or give --transfer",
        )
    prompt = config.parts.prompt
    if bool(prompt) != (options.init is not None):
        raise UsageError(
            "a prompt learns on the image side of a finished run" if prompt else f"{config.method} learns no prompt",
            where="--method " + config.method if prompt else f"--init {options.init}",
            hint="name that run with --init" if prompt else "leave --init out, or give --method mkt-prompt",
        )
    if prompt and options.templates != "default":
        raise UsageError("the prompt that learns is the template", where="--templates", hint="give --prompt instead")
    annotations = read_annotations(options.annotations)
    begun = _begun(options)
    everything, backbone, made, inputs = (
        _from_images(options, annotations, begun, progress)
        if options.embeddings is None
        else _from_tokens(options, options.embeddings, annotations)
    )
    if everything.missing:
        lacking = "are missing" if options.images else "have no tokens"
        progress.note(f"{len(everything.missing):,} training photographs {lacking}, such as {everything.missing[0]}")
    if options.init is not None:
        backbone, inputs["init"] = _image_side(options.init, config, annotations, made)
    config = _fitting(config, backbone, progress)
    parts = config.parts
    if parts.transfer == "ist" and (parts.hidden or backbone.dim) % parts.heads:
        raise UsageError(
            f"a hidden width of {parts.hidden or backbone.dim} cannot be divided by {parts.heads} heads",
            where=f"--heads {parts.heads}",
        )
    if config.touched == 0 and parts.transfer != "ist" and not prompt and not parts.text_tokens:
        raise UsageError(
            "nothing would learn", where="--trained 0", hint="let stages of the tower learn, a ladder, or IST"
        )
    if world() > 1 and parts.ladder and parts.rung_norm == "batch":
        raise UsageError(
            "the statistics of batch norms would differ between processes",
            where="--rung-norm batch",
            hint="give --rung-norm group, or train in one process",
        )
    if config.optimisation.batch < world():
        raise UsageError(f"a batch must have a photograph for each of {world()} processes", where="--batch")
    random = np.random.default_rng(0)  # the same photographs are watched whatever the seed of the run
    share = min(WATCHED, round(config.optimisation.validation * len(everything)))
    watched = random.permutation(len(everything)) < share
    if watched.all():
        raise UsageError(f"{len(everything)} photographs are too few to watch some", hint="lower --validation")
    learned_from = everything.take(np.flatnonzero(~watched))
    present = annotations.positive.select(learned_from.rows).labels
    if not annotations.seen[present].any():
        raise InputError(
            "no label is seen, so there is nothing to learn"
            if not annotations.seen.any()
            else "not one photograph to train on has a seen label",
            where=str(options.annotations),
            hint="run c2srt prepare with other seen labels, or another split",
        )
    templates = (prompt,) if prompt else read_templates(options.templates)
    text = None
    if options.embeddings is not None:
        text = read_text(options.embeddings / stores.TEXT, annotations.labels, templates, backbone.dim)
    threads = int(begun.get("threads", torch.get_num_threads()))
    if text is None:
        with torch_threads(threads):
            text = embed_labels(backbone, annotations.labels, templates, progress)
    graph = _graph(options, annotations, progress) if config.parts.hops else None
    device = own_device(find_device(options.device or made["runtime"]["device"]))
    backbone.to(device, torch.float32)
    vocabulary = Vocabulary(text.to(device), graph, config.parts, annotations.seen)
    if prompt or config.parts.text_tokens:
        vocabulary = replace(vocabulary, prompts=Prompts.of(backbone, annotations.labels, templates).to(device))
    kept = ("backbone", "weights_sha256", "cut", "depth", "dense", "streams", "grid", "width", "dim", "pixels")
    return TrainJob(
        out=options.out,
        config=config,
        annotations=annotations,
        train=learned_from,
        watched=everything.take(np.flatnonzero(watched)),
        backbone=backbone,
        vocabulary=vocabulary,
        graph=graph,
        options={
            **{name: made[name] for name in kept},
            "templates": list(templates),
            **asdict(config),
            **({"runtime": made["runtime"]} if options.images else {}),
            "processes": world(),
            "threads": threads,
            # a GPU embeds in float16, whose range gradients leave
            "bfloat16": made["runtime"]["dtype"] == "bfloat16"
            or (
                made["runtime"]["dtype"] == "float16"
                and device.startswith("cuda")
                and torch.cuda.is_bf16_supported(including_emulation=False)
            ),
            "device": device,
        },
        inputs=inputs | {"annotations": annotations.fingerprint} | ({"graph": graph.fingerprint} if graph else {}),
        overwrite=options.overwrite,
    )


def _from_tokens(
    options: TrainOptions, folder: Path, annotations: Annotations
) -> tuple[TokenSet | ImageSet, Backbone, dict[str, Any], dict[str, str]]:
    """The training photographs' tokens, the backbone, how they were made, and their fingerprints."""
    touched = options.config.touched
    store = Store.open(folder)
    made = store.manifest["options"]
    backbone = load_backbone(made["backbone"])
    runs.check_backbone(backbone, made, folder)
    depth, cut = _depth(backbone, touched), int(made["cut"])
    dense = options.config.parts.dense_of(backbone.tower)
    needed = f"run c2srt embed --cut {depth - touched}" + (f" --streams both --dense {dense}" if dense else "")
    if cut > depth - touched or made["streams"] == "local":
        raise UsageError(
            f"the last {touched} stages of {backbone.id} are to learn, the tokens enter {cut} of {depth}",
            where=str(folder),
            hint=needed,
        )
    if dense is not None and made["dense"] != dense:
        raise UsageError(
            f"the tokens were stored with the local stream {made['dense'] or 'none'}, {options.config.method} reads "
            f"{dense}",
            where=str(folder),
            hint=needed,
        )
    found = TokenSet.of(store, annotations, "train")
    if len(found) == 0:
        raise InputError(
            "none of the training photographs has tokens",
            where=str(folder),
            hint=f"run c2srt embed --annotations {options.annotations}",
        )
    inputs = {
        "photographs": fingerprint([[row.path, row.sha256] for row in found.entries]),
        "embeddings": stores.store_fingerprint(store),
    }
    return found, backbone, made, inputs


def _from_images(
    options: TrainOptions, annotations: Annotations, begun: Mapping[str, Any], progress: Progress
) -> tuple[TokenSet | ImageSet, Backbone, dict[str, Any], dict[str, str]]:
    """The training photographs themselves, and the same as with tokens."""
    spec, note = resolve_backbone(options.backbone or "auto")
    progress.note(note)
    backbone, touched = load_backbone(spec), options.config.touched
    start, machine = _depth(backbone, touched) - touched, Machine(device=options.device)
    dense = options.config.parts.dense_of(backbone.tower)
    cut = resolve_cut(backbone, method="c2srt", cut=start, streams="both" if dense else None, dense=dense)
    job = EmbedJob(
        found=annotated_images(annotations),
        out=options.out,
        encoder=make_encoder(backbone, cut, machine, recorded_runtime(begun.get("runtime"))),
        pixels=pixel_spec(backbone, fit=None, draft=True),
        labels=None,
        templates=(),
        workers=machine.decode_threads,
    )
    found = ImageSet.of(job, annotations, "train")
    if len(found) == 0:
        raise InputError(
            "none of the training photographs is there",
            where=str(annotations.root),
            hint="say where they are with c2srt prepare --root, with --overwrite",
        )
    # the encoder keeps its backbone as it is: what learns is another
    stamps = fingerprint([[file.name, *file_stamp(file.path)[:2]] for file in found.files])
    return found, load_backbone(spec), resolved_options(job), {"photographs": stamps}


#: Parts that `_fitting` may change.
FITTED = ("vision_tokens", "text_layers")


def _fitting(config: Config, backbone: Backbone, progress: Progress) -> Config:
    """The options without what the backbone has no place for, which is said."""
    parts, layers = config.parts, backbone.text.layers
    if parts.ladder and parts.vision_tokens and not isinstance(backbone.tower, VitTower):
        progress.note(f"{backbone.id} has no place for vision tokens: none learn")
        parts = replace(parts, vision_tokens=0)
    if parts.text_tokens and parts.text_layers > layers:
        progress.note(f"the text tower of {backbone.id} has {layers} layers: text tokens learn in each")
        parts = replace(parts, text_layers=layers)
    return replace(config, parts=parts)


def _begun(options: TrainOptions) -> Mapping[str, Any]:
    """The options of the run that this one goes on with; none where it starts."""
    there = None if options.overwrite else peek_manifest(options.out)
    return there.get("options", {}) if there is not None and there["kind"] == runs.KIND else {}


def _image_side(folder: Path, config: Config, annotations: Annotations, made: dict[str, Any]) -> tuple[Backbone, str]:
    """The backbone with the tail of a finished run, and that run's fingerprint.

    Raises:
        InputError: it is no finished run, or was trained on other photographs or labels.
        UsageError: it is a run of other parts than the options say.
    """
    run = runs.Run.open(folder)
    own = run.manifest["options"]
    if run.manifest["inputs"]["annotations"] != annotations.fingerprint:
        raise InputError("the run was trained with other annotations", where=f"--init {folder}")
    if (own["weights_sha256"], own["pixels"]) != (made["weights_sha256"], made["pixels"]):
        raise InputError("the run was trained on other embeddings than these", where=f"--init {folder}")
    there = {**asdict(run.config.parts), "trained": run.config.optimisation.trained}
    here = {**asdict(replace(config.parts, prompt="")), "trained": config.optimisation.trained}
    if differing := [name for name in here if here[name] != there[name]]:
        raise UsageError(
            "the run's image side is another one",
            where=f"--init {folder}",
            problems=[f"{name}: {there[name]!r} there, {here[name]!r} here" for name in differing],
            hint="name a run without a graph and without a prompt of its own, such as one of mkt, and its options",
        )
    return run.learner().backbone, fingerprint([run.manifest, file_sha256(folder / runs.WEIGHTS)])


def _depth(backbone: Backbone, touched: int) -> int:
    if touched > backbone.tower.depth:
        raise UsageError(f"the tower has {backbone.tower.depth} stages, not {touched}", where="--trained or --ladder")
    return backbone.tower.depth


def _graph(options: TrainOptions, annotations: Annotations, progress: Progress) -> CategoryGraph:
    """The user's graph over the annotations' labels: knowledge comes from seen labels only."""
    if options.graph is None:
        raise UsageError(
            f"{options.config.method} needs a category graph",
            hint="give --graph FILE, --graph NAME of a shipped one, or --transfer none",
        )
    graph = read_graph(options.graph).over(annotations.labels)
    seen = annotations.seen
    edges = tuple(edge for edge in graph.edges if seen[edge.source])
    pruned = replace(graph, edges=edges).prune(options.config.optimisation.neighbours)
    alone = len(annotations.labels) - len({edge.target for edge in pruned.edges})
    progress.note(
        f"{len(pruned.edges):,} edges from seen labels; {alone:,} of {len(annotations.labels):,} labels have none"
    )
    return pruned


def train(job: TrainJob, progress: Progress) -> TrainResult:
    """Train, or go on with a training that was stopped.

    A run that is finished already is left as it is.

    Raises:
        Diverged: the loss is no number from the first epoch on.
        InputError: something else is in the folder, or a run with other options.
        Interrupted: the user stopped it; a rerun goes on from there.
        UsageError: another process is writing there.
    """
    device = torch.device(job.options["device"])
    if rank() > 0:  # the first process writes
        if any_of(False, device):
            sys.exit(UsageError.exit_code)  # the first process says why
        if any_of(False, device):
            sys.exit(0)  # it was finished
        with torch_threads(job.options["threads"]):
            return _learn(job, progress)
    # sums depend on the number of threads in the last bits: as many as the run began with
    with lock(job.out / LOCK), disk_errors(job.out), torch_threads(job.options["threads"]):
        made = manifest(runs.KIND, runs.SCHEMA, job.options, job.inputs)
        try:
            check_out(job)
            finished = _finished(job)
            if finished is None:
                _begin(job, made)
        except BaseException:
            any_of(True, device)
            raise
        any_of(False, device)
        any_of(finished is not None, device)
        if finished is not None:
            progress.note("this run is finished already: it is left as it is")
            return finished
        result = _learn(job, progress)
        write_json(job.out / MANIFEST, made)
        (job.out / UNFINISHED).unlink()
    return result


def check_out(job: TrainJob) -> None:
    """Make sure that the folder holds nothing, or this run, finished or not.

    Raises:
        InputError: something else is there, or a run with other options.
    """
    previous = previous_manifest(job.out, runs.KIND)
    if previous is not None and not job.overwrite:
        check_same(job.out, what_decides(previous), what_decides({"options": job.options, "inputs": job.inputs}))


def what_decides(made: Mapping[str, Any]) -> dict[str, Any]:
    """What a manifest says that a run is made from, but the threads: a resumed run takes over what it began with."""
    return {name: value for name, value in {**made["options"], **made["inputs"]}.items() if name != "threads"}


def _finished(job: TrainJob) -> TrainResult | None:
    """The result that is there already, of the same options; None where there is something to do."""
    needed = (MANIFEST, runs.CONFIG, runs.WEIGHTS, runs.LABELS, runs.TEXT, runs.HISTORY, runs.METRICS)
    if job.overwrite or not all((job.out / name).exists() for name in needed):
        return None
    try:
        found = read_json(job.out / runs.METRICS)
        best = found["best"]
        return TrainResult(found["epochs"], best["map"] if best["epoch"] else None, None, found["diverged"])
    except (InputError, KeyError, TypeError):  # damaged: they are written again
        return None


def _begin(job: TrainJob, made: dict[str, Any]) -> None:
    """Write down what the run is to be."""
    out = job.out
    remove_leftovers(out)
    if job.overwrite:
        _discard(out)
    write_json(out / UNFINISHED, made)
    (out / MANIFEST).unlink(missing_ok=True)
    _write_inputs(job)


def _write_inputs(job: TrainJob) -> None:
    with atomic_write(job.out / runs.CONFIG) as temporary:
        temporary.write_text(as_toml(job.config), encoding="utf-8")
    if job.graph is not None:
        write_graph(job.out / runs.GRAPH, job.graph)
    write_label_table(job.out / runs.LABELS, job.annotations.labels, job.annotations.seen)
    save_text(job.out / runs.TEXT, job.vocabulary.text.cpu(), job.annotations.labels, job.options["templates"])


def _discard(out: Path) -> None:
    for name in (MANIFEST, runs.WEIGHTS, runs.GRAPH, runs.HISTORY, runs.METRICS, runs.CALIBRATION):
        (out / name).unlink(missing_ok=True)
    for path in (out / runs.CHECKPOINT).rglob("*.safetensors"):
        path.unlink()


def lesson_of(job: TrainJob) -> Lesson:
    """What the run learns from: the annotations of its seen labels."""
    return Lesson(
        annotations=job.annotations,
        train=job.train,
        watched=job.watched,
        labels=np.flatnonzero(job.annotations.seen),
        vocabulary=job.vocabulary,
        cut=int(job.options["cut"]),
        reduced=job.options["bfloat16"],
        checkpoint=job.out / runs.CHECKPOINT,
    )


def _learn(job: TrainJob, progress: Progress) -> TrainResult:
    lesson = lesson_of(job)

    def fresh() -> Backbone:
        return load_backbone(job.options["backbone"]).to(job.options["device"], torch.float32)

    learned = learn(lesson, job.backbone, job.config, progress)
    if learned.learner.recogniser.fitted and len(job.watched.readable):
        fit_transfer(learned.learner.beside(fresh()), lesson, progress)
        learned.learner.alone()
    if rank() == 0:
        _write_result(job, learned)
    if job.config.optimisation.calibrate:
        hidden = pseudo_unseen(lesson, job.config.optimisation.seed)
        why = _no_calibration(job, learned, hidden)
        if why is None:
            try:
                calibration = calibrate(learned.learner, lesson, hidden, fresh, job.config, progress)
                if rank() == 0:
                    write_json(job.out / runs.CALIBRATION, calibration.record())
            except Diverged as error:
                why = f"in the second training {error.what}"
        if why is not None:
            progress.note(f"no calibration: {why}")
    return TrainResult(
        epochs=len(learned.history),
        seen_map=learned.best["map"] if learned.best["epoch"] else None,
        images_per_second=learned.images_per_second,
        diverged=learned.diverged,
    )


def _no_calibration(job: TrainJob, learned: Learned, hidden: np.ndarray) -> str | None:
    """Why a run cannot be calibrated; None where it can."""
    if learned.diverged:
        return "the training diverged"
    if job.config.parts.prompt:
        return "what the image side of the earlier run has seen cannot be hidden from it"
    if not job.config.parts.calibrates:
        return "MKT's scores depend on which labels are asked for"
    if not len(job.watched.readable):
        return "no photographs are watched (--validation)"
    if not len(hidden):
        return "too few seen labels, or too few of them on the watched photographs"
    return None


def _write_result(job: TrainJob, learned: Learned) -> None:
    weights = {name: value.detach() for name, value in learned.learner.learned().items()}
    runs.write_weights(job.out, weights)
    if job.vocabulary.prompts is not None:
        labels, templates = job.annotations.labels, job.options["templates"]
        text = embed_labels(learned.learner.backbone, labels, templates, Progress())
        save_text(job.out / runs.TEXT, text, labels, templates)
    with atomic_write(job.out / runs.HISTORY) as temporary:
        pd.DataFrame(learned.history).to_csv(temporary, index=False, lineterminator="\n")
    facts = {"epochs": len(learned.history), "best": learned.best, "diverged": learned.diverged}
    write_json(job.out / runs.METRICS, facts | {"train": len(job.train.readable), "watched": len(job.watched.readable)})
