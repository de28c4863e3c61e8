"""The stage behind ``c2srt train``: cached tokens, annotations and a graph → ``run/``, resumable to the bit."""

import csv
import io
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from c2srt_cli.artifacts import (
    LOCK,
    MANIFEST,
    UNFINISHED,
    atomic_write,
    check_same,
    disk_errors,
    lock,
    manifest,
    peek_manifest,
    remove_leftovers,
    write_json,
)
from c2srt_cli.backbone.registry import Backbone, load_backbone
from c2srt_cli.datasets.annotations import Annotations, read_annotations, write_label_table
from c2srt_cli.embeddings import store as stores
from c2srt_cli.embeddings.store import Store
from c2srt_cli.embeddings.text import embed_labels, read_text, save_text
from c2srt_cli.errors import InputError, Interrupted, UsageError
from c2srt_cli.graph.category_graph import CategoryGraph, read_graph, write_graph
from c2srt_cli.labels import read_templates
from c2srt_cli.progress import Progress
from c2srt_cli.scoring.average_precision import average_precision
from c2srt_cli.training import run as runs
from c2srt_cli.training.config import Config, as_toml
from c2srt_cli.training.learner import Learner, State, Vocabulary, load_weights, sample
from c2srt_cli.training.tokens import TokenSet

#: Minutes from one checkpoint to the next inside an epoch.
MINUTES = 10.0


@dataclass(frozen=True)
class TrainOptions:
    """What the user asks for.

    Attributes:
        embeddings: Folder with the tokens.
        annotations: Folder with the annotations.
        out: The run to write.
        config: Method and its options.
        graph: File or name of a category graph; None for methods without one.
        templates: Prompts around the labels.
        device: Where to train; None for the embeddings' own.
        overwrite: Start again instead of resuming.
    """

    embeddings: Path
    annotations: Path
    out: Path
    config: Config
    graph: str | None = None
    templates: str = "default"
    device: str | None = None
    overwrite: bool = False


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
    train: TokenSet
    watched: TokenSet
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
    config = options.config
    annotations = read_annotations(options.annotations)
    store = Store.open(options.embeddings)
    made = store.manifest["options"]
    backbone = load_backbone(made["backbone"])
    runs.check_backbone(backbone, made, options.embeddings)
    tower, cut = backbone.tower, int(made["cut"])
    if config.optimisation.trained > tower.depth:
        raise UsageError(f"the tower has {tower.depth} stages", where=f"--trained {config.optimisation.trained}")
    if cut > tower.depth - config.optimisation.trained or made["streams"] == "local":
        raise UsageError(
            f"the last {config.optimisation.trained} stages of {backbone.id} are to learn, the tokens enter {cut} "
            f"of {tower.depth}",
            where=str(options.embeddings),
            hint=f"run c2srt embed --for {config.method if config.method != 'clip-ft' else 'c2srt'}",
        )
    if made["dense"] is not None:
        raise UsageError(
            f"the tokens were stored with the local stream {made['dense']}, which no method here trains from",
            where=str(options.embeddings),
            hint="run c2srt embed --for c2srt",
        )
    everything = TokenSet.of(store, annotations, "train")
    if len(everything) == 0:
        raise InputError(
            "none of the training photographs has tokens",
            where=str(options.embeddings),
            hint=f"run c2srt embed --annotations {options.annotations}",
        )
    if everything.missing:
        progress.note(
            f"{len(everything.missing):,} training photographs have no tokens, such as {everything.missing[0]}"
        )
    random = np.random.default_rng(0)  # the same photographs are watched whatever the seed of the run
    watched = random.permutation(len(everything)) < round(config.optimisation.validation * len(everything))
    templates = read_templates(options.templates)
    text = read_text(options.embeddings / stores.TEXT, annotations.labels, templates)
    if text is None:
        text = embed_labels(backbone, annotations.labels, templates, progress)
    graph = _graph(options, annotations, progress) if config.parts.hops else None
    device = options.device or made["runtime"]["device"]
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
            "config": as_toml(config),
            "bfloat16": made["runtime"]["dtype"] == "bfloat16",
            "device": device,
        },
        inputs={
            "annotations": annotations.fingerprint,
            "embeddings": stores.store_fingerprint(store),
            **({"graph": graph.fingerprint} if graph else {}),
        },
        overwrite=options.overwrite,
    )


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
    if _rank() > 0:  # the first process writes
        return _learn(job, progress)
    with lock(job.out / LOCK), disk_errors(job.out):
        remove_leftovers(job.out)
        made = manifest(runs.KIND, runs.SCHEMA, job.options, job.inputs)
        previous = peek_manifest(job.out)
        if previous is None and job.out.is_dir() and any(not path.name.startswith(".") for path in job.out.iterdir()):
            raise InputError("the folder is not empty and holds no run", where=str(job.out), hint="name another --out")
        if previous is not None and previous["kind"] != runs.KIND:
            raise InputError(f"holds {previous['kind']}, no run", where=str(job.out), hint="name another --out")
        if previous is not None and not job.overwrite:
            check_same(job.out, {**previous["options"], **previous["inputs"]}, {**made["options"], **made["inputs"]})
        if job.overwrite:
            _discard(job.out)
        write_json(job.out / UNFINISHED, made)
        (job.out / MANIFEST).unlink(missing_ok=True)
        _write_inputs(job)
        result = _learn(job, progress)
        write_json(job.out / MANIFEST, made)
        (job.out / UNFINISHED).unlink()
    return result


def _write_inputs(job: TrainJob) -> None:
    with atomic_write(job.out / runs.CONFIG) as temporary:
        temporary.write_text(as_toml(job.config), encoding="utf-8")
    if job.graph is not None:
        write_graph(job.out / runs.GRAPH, job.graph)
    write_label_table(job.out / runs.LABELS, job.annotations.labels, job.annotations.seen)
    save_text(job.out / runs.TEXT, job.vocabulary.text.cpu(), job.annotations.labels, job.options["templates"])


def _discard(out: Path) -> None:
    for name in (MANIFEST, runs.WEIGHTS, runs.GRAPH, runs.HISTORY, runs.METRICS):
        (out / name).unlink(missing_ok=True)
    for path in (out / runs.CHECKPOINT).glob("*"):
        path.unlink()


def _learn(job: TrainJob, progress: Progress) -> TrainResult:
    """The loop. Random numbers depend on the seed, the epoch and the step alone."""
    config, o = job.config, job.config.optimisation
    torch.manual_seed(o.seed)
    learner = Learner(job.backbone, config, int(job.options["cut"]), reduced=job.options["bfloat16"])
    learner.to(job.options["device"])
    learner.backbone.model.eval()  # batch norms keep their statistics
    size = o.batch // _world() * _world()
    steps = max(1, math.ceil(len(job.train) / size))
    state = State(learner, o.epochs * steps)
    checkpoint = job.out / runs.CHECKPOINT / "state.safetensors"
    history: list[dict[str, Any]] = []
    best: dict[str, Any] = {"epoch": 0, "map": -1.0}
    if checkpoint.exists() and not job.overwrite:
        facts = state.load(checkpoint)
        history, best = facts["history"], facts["best"]
        progress.note(f"going on after {state.done:,} of {state.steps:,} steps")
    seen = np.flatnonzero(job.annotations.seen)
    began, done_before, saved = time.monotonic(), state.done, time.monotonic()
    diverged = False

    def save() -> None:
        if _rank() == 0:
            state.save(checkpoint, {"history": history, "best": best})

    while state.done < state.steps and not diverged and not _impatient(best, len(history), o.patience):
        epoch, first = divmod(state.done, steps)
        order = job.train.shuffled(np.random.default_rng((o.seed, epoch)))
        sums: dict[str, float] = {}
        for photographs, tokens, teacher in _own_share(job.train, order[first * size :], size):
            random = np.random.default_rng((o.seed, state.done, _rank()))
            torch.manual_seed(int(random.integers(2**62)))
            truth = job.annotations.truth(photographs, seen)
            columns = sample(truth, config.losses.negatives, random)
            labels = job.vocabulary.of(seen[columns])
            found = learner.train().losses(
                tokens, teacher, torch.from_numpy(truth[:, columns]).to(learner.device), labels
            )
            norm = state.update(torch.stack(list(found.values())).sum())
            if not math.isfinite(norm):
                diverged = True
                break
            for name, value in found.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach()) / steps
            progress.advance(state.done, state.steps)
            if progress.stopped():
                save()
                raise Interrupted(f"{state.done:,} of {state.steps:,} steps are done and saved", where=str(job.out))
            if time.monotonic() - saved > 60 * MINUTES and state.done % steps:
                save()
                saved = time.monotonic()
        if diverged:
            break
        row: dict[str, Any] = {"epoch": epoch + 1, **{name: round(value, 6) for name, value in sums.items()}}
        row["tau"] = round(float(learner.log_tau.detach().exp()), 4)
        if len(job.watched):
            row["seen_map"] = round(_watched_map(job, learner, state, seen), 6)
            if row["seen_map"] > best["map"]:
                best = {"epoch": epoch + 1, "map": row["seen_map"]}
        history.append(row)
        progress.note("   ".join(f"{name} {value}" for name, value in row.items()))
        save()
        saved = time.monotonic()
    if diverged:
        progress.note(f"the loss is no number any more after {state.done:,} steps: the last good state is kept")
        if not checkpoint.exists():
            raise UsageError("the loss is no number from the first epoch on", hint="lower --lr and --lr-new")
        state.load(checkpoint)
    rate = (state.done - done_before) * size / max(time.monotonic() - began, 1e-9)
    if _rank() == 0:
        runs.write_weights(job.out, state.weights())
        _write_history(job.out / runs.HISTORY, history)
        write_json(
            job.out / runs.METRICS,
            {
                "epochs": len(history),
                "best": best,
                "diverged": diverged,
                "train": len(job.train),
                "watched": len(job.watched),
            },
        )
    return TrainResult(len(history), best["map"] if len(job.watched) else None, rate, diverged)


def _own_share(tokens: TokenSet, order: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, Any, Tensor]]:
    """The batches of this process: all processes together see each batch of ``size`` once."""
    if _world() == 1:
        yield from tokens.batches(order, size)
        return
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        share = batch[_rank() :: _world()]
        yield from tokens.batches(share if len(share) else batch[:1], size)


@torch.inference_mode()
def _watched_map(job: TrainJob, learner: Learner, state: State, seen: np.ndarray) -> float:
    """Mean AP of the seen labels that occur among the watched photographs."""
    own = {name: value.detach().clone() for name, value in learner.learned().items()}
    load_weights(learner, state.weights())
    labels, scores, photographs = job.vocabulary.of(seen), [], []
    for numbers, tokens, _ in job.watched.batches(np.arange(len(job.watched)), 64):
        scores.append(learner.eval()(*learner.embed(tokens), labels).float().cpu().numpy())
        photographs.append(numbers)
    load_weights(learner, own)
    truth = job.annotations.truth(np.concatenate(photographs), seen)
    present = (truth > 0).any(0)
    if not present.any():
        return 0.0
    return float(average_precision(np.concatenate(scores)[:, present].T, truth[:, present].T).mean())


def _impatient(best: dict[str, Any], epochs: int, patience: int) -> bool:
    return bool(patience and best["epoch"] and epochs - best["epoch"] >= patience)


def _write_history(path: Path, history: list[dict[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(history[0]) if history else ["epoch"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    with atomic_write(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def join_processes() -> None:
    """Join the processes of `torchrun`, where this is one of them."""
    if "RANK" in os.environ and not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def _rank() -> int:
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def _world() -> int:
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


__all__ = ["TrainJob", "TrainOptions", "TrainResult", "join_processes", "prepare_training", "train"]
