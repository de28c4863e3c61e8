"""The stage behind ``c2srt train``: cached tokens, annotations and a graph → ``run/``, resumable to the bit."""

import sys
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
    file_stamp,
    fingerprint,
    lock,
    manifest,
    peek_manifest,
    remove_leftovers,
    write_json,
)
from c2srt_cli.backbone.precision import find_device
from c2srt_cli.backbone.registry import Backbone, load_backbone
from c2srt_cli.backbone.registry import resolve as resolve_backbone
from c2srt_cli.datasets.annotations import Annotations, read_annotations, write_label_table
from c2srt_cli.embeddings import store as stores
from c2srt_cli.embeddings.embed import EmbedOptions, prepare_embedding, resolved_options
from c2srt_cli.embeddings.encoder import Machine
from c2srt_cli.embeddings.store import Store
from c2srt_cli.embeddings.text import embed_labels, read_text, save_text
from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.graph.category_graph import CategoryGraph, read_graph, write_graph
from c2srt_cli.labels import read_templates
from c2srt_cli.progress import Progress
from c2srt_cli.training import run as runs
from c2srt_cli.training.calibrate import calibrate, pseudo_unseen
from c2srt_cli.training.config import Config, as_toml
from c2srt_cli.training.images import ImageSet
from c2srt_cli.training.learner import Vocabulary
from c2srt_cli.training.loop import Learned, Lesson, learn
from c2srt_cli.training.processes import any_of, own_device, rank, world
from c2srt_cli.training.tokens import TokenSet


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
        images_per_second: Of this process, decoding left out.
        diverged: The loss stopped being a number: the run holds the last good state.
    """

    epochs: int
    seen_map: float | None
    images_per_second: float
    diverged: bool


def prepare_training(options: TrainOptions, progress: Progress) -> TrainJob:
    """Read the inputs and check that they belong together.

    Raises:
        InputError: something is missing, stale or damaged.
        UsageError: the options contradict each other or the inputs.
    """
    if (options.embeddings is None) == (not options.images):
        raise UsageError("name either --embeddings or --images", hint="c2srt train -e E -a A --graph G --out run")
    config = options.config
    annotations = read_annotations(options.annotations)
    everything, backbone, made, inputs = (
        _from_images(options, annotations, progress)
        if options.embeddings is None
        else _from_tokens(options, options.embeddings, annotations)
    )
    if everything.missing:
        lacking = "are missing" if options.images else "have no tokens"
        progress.note(f"{len(everything.missing):,} training photographs {lacking}, such as {everything.missing[0]}")
    parts = config.parts
    if parts.transfer == "ist" and (parts.hidden or backbone.dim) % parts.heads:
        raise UsageError(
            f"a hidden width of {parts.hidden or backbone.dim} cannot be divided by {parts.heads} heads",
            where=f"--heads {parts.heads}",
        )
    if config.optimisation.trained == 0 and parts.transfer == "none":
        raise UsageError(
            "nothing would learn", where="--trained 0", hint="let stages of the tower learn, or a transfer"
        )
    if config.optimisation.batch < world():
        raise UsageError(f"a batch must have a photograph for each of {world()} processes", where="--batch")
    random = np.random.default_rng(0)  # the same photographs are watched whatever the seed of the run
    watched = random.permutation(len(everything)) < round(config.optimisation.validation * len(everything))
    if watched.all():
        raise UsageError(f"{len(everything)} photographs are too few to watch some", hint="lower --validation")
    templates = read_templates(options.templates)
    text = None
    if options.embeddings is not None:
        text = read_text(options.embeddings / stores.TEXT, annotations.labels, templates)
    if text is None:
        text = embed_labels(backbone, annotations.labels, templates, progress)
    graph = _graph(options, annotations, progress) if config.parts.hops else None
    device = own_device(find_device(options.device or made["runtime"]["device"]))
    backbone.to(device, torch.float32)
    vocabulary = runs.vocabulary(text, graph, config)
    if vocabulary.neighbours is not None:
        vocabulary = replace(vocabulary, neighbours=vocabulary.neighbours.to(device))
    kept = ("backbone", "weights_sha256", "cut", "depth", "dense", "streams", "grid", "width", "dim", "pixels")
    return TrainJob(
        out=options.out,
        config=config,
        annotations=annotations,
        train=everything.take(np.flatnonzero(~watched)),
        watched=everything.take(np.flatnonzero(watched)),
        backbone=backbone,
        vocabulary=replace(vocabulary, text=text.to(device)),
        graph=graph,
        options={
            **{name: made[name] for name in kept},
            "templates": list(templates),
            **asdict(config),
            "processes": world(),
            "bfloat16": made["runtime"]["dtype"] == "bfloat16",
            "device": device,
        },
        inputs=inputs | {"annotations": annotations.fingerprint} | ({"graph": graph.fingerprint} if graph else {}),
        overwrite=options.overwrite,
    )


def _from_tokens(
    options: TrainOptions, folder: Path, annotations: Annotations
) -> tuple[TokenSet | ImageSet, Backbone, dict[str, Any], dict[str, str]]:
    """The training photographs' tokens, the backbone, how they were made, and their fingerprints."""
    trained = options.config.optimisation.trained
    store = Store.open(folder)
    made = store.manifest["options"]
    backbone = load_backbone(made["backbone"])
    runs.check_backbone(backbone, made, folder)
    depth, cut = _depth(backbone, trained), int(made["cut"])
    if cut > depth - trained or made["streams"] == "local":
        raise UsageError(
            f"the last {trained} stages of {backbone.id} are to learn, the tokens enter {cut} of {depth}",
            where=str(folder),
            hint=f"run c2srt embed --for {options.config.method if options.config.method != 'clip-ft' else 'c2srt'}",
        )
    if made["dense"] is not None:
        raise UsageError(
            f"the tokens were stored with the local stream {made['dense']}, which no method here trains from",
            where=str(folder),
            hint="run c2srt embed --for c2srt",
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
    options: TrainOptions, annotations: Annotations, progress: Progress
) -> tuple[TokenSet | ImageSet, Backbone, dict[str, Any], dict[str, str]]:
    """The training photographs themselves, and the same as with tokens."""
    spec, _ = resolve_backbone(options.backbone or "auto")
    trained = options.config.optimisation.trained
    cut = _depth(load_backbone(spec), trained) - trained
    wanted = EmbedOptions(
        (),
        options.out,
        annotations=options.annotations,
        backbone=options.backbone,
        templates=options.templates,
        method="c2srt",
        cut=cut,
        machine=Machine(device=options.device),
    )
    job = prepare_embedding(wanted, progress)
    found = ImageSet.of(job, annotations, "train")
    if len(found) == 0:
        raise InputError(
            "none of the training photographs is there",
            where=str(annotations.root),
            hint="say where they are with c2srt prepare --root, with --overwrite",
        )
    # the encoder keeps its backbone as it is: what learns is another
    stamps = fingerprint([[file.name, *file_stamp(file.path)] for file in found.files])
    return found, load_backbone(spec), resolved_options(job), {"photographs": stamps}


def _depth(backbone: Backbone, trained: int) -> int:
    if trained > backbone.tower.depth:
        raise UsageError(f"the tower has {backbone.tower.depth} stages", where=f"--trained {trained}")
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

    Raises:
        InputError: something else is in the folder, or a run with other options.
        Interrupted: the user stopped it; a rerun goes on from there.
        UsageError: another process is writing there.
    """
    if rank() > 0:  # the first process writes
        if any_of(False, torch.device(job.options["device"])):
            sys.exit(UsageError.exit_code)  # the first process says why
        return _learn(job, progress)
    with lock(job.out / LOCK), disk_errors(job.out):
        made = manifest(runs.KIND, runs.SCHEMA, job.options, job.inputs)
        try:
            _begin(job, made)
        except BaseException:
            any_of(True, torch.device(job.options["device"]))
            raise
        any_of(False, torch.device(job.options["device"]))
        result = _learn(job, progress)
        write_json(job.out / MANIFEST, made)
        (job.out / UNFINISHED).unlink()
    return result


def _begin(job: TrainJob, made: dict[str, Any]) -> None:
    """Check what is in the folder, and write down what the run is to be."""
    out = job.out
    remove_leftovers(out)
    previous = peek_manifest(out)
    if previous is None and out.is_dir() and any(not path.name.startswith(".") for path in out.iterdir()):
        raise InputError("the folder is not empty and holds no run", where=str(out), hint="name another --out")
    if previous is not None and previous["kind"] != runs.KIND:
        raise InputError(f"holds {previous['kind']}, no run", where=str(out), hint="name another --out")
    if previous is not None and not job.overwrite:
        check_same(out, {**previous["options"], **previous["inputs"]}, {**made["options"], **made["inputs"]})
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
    learned = learn(lesson, job.backbone, job.config, progress)
    if rank() == 0:
        _write_result(job, learned)
    hidden = pseudo_unseen(lesson, job.config.optimisation.seed)
    if (
        job.config.optimisation.calibrate
        and not learned.diverged
        and job.config.parts.score == "cosine"
        and len(hidden)
    ):
        backbone = load_backbone(job.options["backbone"])
        backbone.to(job.options["device"], torch.float32)
        calibration = calibrate(learned.learner, lesson, hidden, backbone, job.config, progress)
        if rank() == 0:
            write_json(job.out / runs.CALIBRATION, calibration.record())
    return TrainResult(
        epochs=len(learned.history),
        seen_map=learned.best["map"] if len(job.watched) else None,
        images_per_second=learned.images_per_second,
        diverged=learned.diverged,
    )


def _write_result(job: TrainJob, learned: Learned) -> None:
    weights = {name: value.detach() for name, value in learned.learner.learned().items()}
    runs.write_weights(job.out, weights)
    with atomic_write(job.out / runs.HISTORY) as temporary:
        pd.DataFrame(learned.history).to_csv(temporary, index=False, lineterminator="\n")
    facts = {"epochs": len(learned.history), "best": learned.best, "diverged": learned.diverged}
    write_json(job.out / runs.METRICS, facts | {"train": len(job.train), "watched": len(job.watched)})
