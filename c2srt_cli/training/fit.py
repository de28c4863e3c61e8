"""The loop over steps and epochs, resumable to the bit."""

import math
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.errors import InputError, Interrupted, UsageError
from c2srt_cli.methods.image_side import load_learned
from c2srt_cli.methods.method import Method
from c2srt_cli.methods.registry import METHODS
from c2srt_cli.progress import Progress
from c2srt_cli.training.batch_loss import BatchLoss
from c2srt_cli.training.data import TrainingData, sample
from c2srt_cli.training.loader import own_share
from c2srt_cli.training.processes import any_of, numbers_of_all, objects_of_all, parallel, rank, world
from c2srt_cli.training.state import TrainState
from c2srt_cli.training.validation import val_map

#: Minutes from one checkpoint to the next inside an epoch.
MINUTES = 10.0
CHECKPOINT, BEST = "state.safetensors", "best.safetensors"
#: Images that cannot be read of which the reasons are told.
TOLD = 3


class Diverged(UsageError):  # noqa: N818 - as people call it
    """The loss is no number any more, and there is no good state to keep."""


@dataclass(frozen=True, eq=False)
class FitResult:
    """What came out.

    Attributes:
        method: With the weights to keep: the average where there is one, those of the best epoch where stopping is
            early.
        history: One row an epoch.
        best: The epoch of the best mean AP on the validation set, and that; epoch 0 where there is none.
        images_per_second: Images of all processes that were learned from, over the time of the steps alone, their
            reading included; None where no step was left to do.
        diverged: The loss stopped being a number; the weights are the last good ones.
    """

    method: Method
    history: list[dict[str, Any]]
    best: dict[str, Any]
    images_per_second: float | None
    diverged: bool


def fit(data: TrainingData, backbone: Backbone, options: Any, progress: Progress) -> FitResult:
    """Train a method, or go on where the checkpoint stands.

    Random numbers depend on the seed, the epoch and the step alone, those of dropout on the process too. Several
    processes take the steps that one would take with the same batches: losses are those of the whole batch.

    Args:
        data: What to learn from.
        backbone: In float32, on its device.
        options: The method's.
        progress: Called after every step.

    Raises:
        Diverged: the loss is no number from the first epoch on.
        InputError: the checkpoint is damaged, or no image can be read.
        Interrupted: the user stopped it; the state is saved.
    """
    o = options.training
    torch.manual_seed(o.seed)
    method = build(options, backbone, data.init)
    size = o.batch_size // world() * world()
    steps = math.ceil(len(data.train) / size)
    state = TrainState(method, o.epochs * steps)
    checkpoint = data.checkpoint / CHECKPOINT
    facts: dict[str, Any] = {"history": [], "best": {"epoch": 0, "map": -1.0}, "sums": {}}
    failed = data.train.failed
    told = len(failed)
    if checkpoint.exists():
        facts |= state.load(checkpoint)
        failed |= facts.get("failed", {})
        progress.note(f"going on after {state.done:,} of {state.steps:,} steps")
    batch_loss = parallel(BatchLoss(method, data.split_stage, data.precision(method.device)))
    saved, diverged, used, spent = time.monotonic(), False, 0, 0.0

    def save() -> None:
        if rank() == 0:
            state.save(checkpoint, {name: facts[name] for name in ("history", "best", "sums")} | {"failed": failed})

    while state.done < state.steps and not diverged and not _impatient(facts, o.patience):
        epoch, first = divmod(state.done, steps)
        order = data.train.shuffled(np.random.default_rng((o.seed, epoch)))
        began = time.monotonic()
        shown = data.train
        if o.augment:
            shown = shown.augmented(seed=o.seed, epoch=epoch, teacher=options.distillation.weight > 0)
        with closing(own_share(shown, order[first * size :], size)) as batches:
            for expected, images, read in batches:
                numbers = numbers_of_all(images, size // world())
                counts, everyone = [len(part) for part in numbers], np.concatenate(numbers)
                if counts != expected:  # every process hears of it in the same step
                    for theirs in objects_of_all(failed):
                        failed |= theirs
                if not len(everyone):  # none of them can be read
                    state.skip()
                    continue
                # a process without one takes part all the same, with an image that does not count
                tokens, target = read if len(images) else shown.stand_in()
                random = np.random.default_rng((o.seed, state.done, 0))  # the same labels in every process
                torch.manual_seed(int(random.integers(2**62)) + rank())
                columns = sample(data.annotations.truth(everyone, data.labels), o.sampled_negatives, random)
                truth = data.annotations.truth(images, data.labels)[:, columns]
                truth = truth if len(images) else np.zeros((1, len(columns)), truth.dtype)
                known = torch.from_numpy(truth).to(method.device)
                asked = method.episode(data.labels_of(method.train(), data.labels[columns]), random)
                found = batch_loss(tokens, asked, known, target, counts)
                if not math.isfinite(state.update(torch.stack(list(found.values())).sum())):
                    diverged = True
                    break
                for name, value in found.items():
                    facts["sums"][name] = facts["sums"].get(name, 0.0) + float(value.detach()) / steps
                used += len(everyone)
                spent += time.monotonic() - began
                progress.advance(state.done, state.steps)
                if state.done % steps == 0:
                    break
                if any_of(progress.stopped()):
                    if not state.is_finite():
                        diverged = True
                        break
                    save()
                    raise _stopped(state, data)
                if time.monotonic() - saved > 60 * MINUTES and state.is_finite():
                    save()
                    saved = time.monotonic()
                began = time.monotonic()
        val_map = math.nan if diverged or not state.is_finite() else _val_map(data, state)
        if val_map is not None and math.isnan(val_map):
            diverged = True
            break
        if len(failed) > told:
            progress.note(_unreadable(failed))
            told = len(failed)
        if not len(data.train.readable):
            raise InputError("no image to train on can be read", where=str(data.annotations.root))
        row = {"epoch": epoch + 1, **{name: round(value, 6) for name, value in facts["sums"].items()}}
        row |= {name: round(value, 4) for name, value in method.log().items()}
        if val_map is not None:
            row["val_map"] = round(val_map, 6)
            if row["val_map"] > facts["best"]["map"]:
                facts["best"] = {"epoch": epoch + 1, "map": row["val_map"]}
                if o.patience and rank() == 0:
                    state.save_weights(data.checkpoint / BEST)
        facts["history"].append(row)
        if said := method.pop_warnings():
            progress.note(said)
        facts["sums"] = {}
        progress.note("   ".join(f"{name} {value}" for name, value in row.items()))
        save()
        saved = time.monotonic()
        if any_of(progress.stopped()) and state.done < state.steps:
            raise _stopped(state, data)
    if diverged:
        progress.note(f"the loss is no number any more after {state.done:,} steps: the last good state is kept")
        if not facts["history"]:
            raise Diverged(
                "the loss is no number from the first epoch on", hint="lower --lr and --lr-new, and give --overwrite"
            )
        facts |= state.load(checkpoint)
    load_learned(method, state.weights())
    if o.patience and facts["best"]["epoch"]:
        state.load_weights(data.checkpoint / BEST)
    return FitResult(method.eval(), facts["history"], facts["best"], used / spent if used else None, diverged)


def build(options: Any, backbone: Backbone, init: dict[str, Tensor] | None = None) -> Method:
    """A method on its backbone, at the start of its training."""
    method = METHODS[options.method](options, backbone).move(next(backbone.model.parameters()).device)
    backbone.model.eval()  # batch norms keep their statistics
    if init is not None:
        load_learned(method, {**method.learned(), **init})
    return method


def _val_map(data: TrainingData, state: TrainState) -> float | None:
    """`val_map` under the weights to keep."""
    method = state.method
    own = {name: value.detach().clone() for name, value in method.learned().items()}
    load_learned(method, state.weights())
    found = val_map(method, data)
    load_learned(method, own)
    return found


def _unreadable(failed: dict[str, str]) -> str:
    some = "; ".join(f"{path}: {reason}" for path, reason in sorted(failed.items())[:TOLD])
    more = "; …" if len(failed) > TOLD else ""
    return f"{len(failed):,} images cannot be read and are left out: {some}{more}"


def _stopped(state: TrainState, data: TrainingData) -> Interrupted:
    return Interrupted(f"{state.done:,} of {state.steps:,} steps are done and saved", where=str(data.checkpoint.parent))


def _impatient(facts: dict[str, Any], patience: int) -> bool:
    best, epochs = facts["best"]["epoch"], len(facts["history"])
    return bool(patience and best and epochs - best >= patience)
