"""The loop over steps and epochs, resumable to the bit."""

import math
import time
from collections.abc import Generator
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.datasets.annotations import Annotations
from c2srt_cli.errors import InputError, Interrupted, UsageError
from c2srt_cli.progress import Progress
from c2srt_cli.scoring.average_precision import average_precision
from c2srt_cli.training.config import Config
from c2srt_cli.training.images import ImageSet
from c2srt_cli.training.learner import Learner, State, Vocabulary, load_weights, sample
from c2srt_cli.training.processes import any_of, rank, world
from c2srt_cli.training.tokens import TokenSet

#: Minutes from one checkpoint to the next inside an epoch.
MINUTES = 10.0
CHECKPOINT, BEST = "state.safetensors", "best.safetensors"
#: Photographs that cannot be read of which the reasons are told.
TOLD = 3


class Diverged(UsageError):  # noqa: N818 - as people call it
    """The loss is no number any more, and there is no good state to keep."""


@dataclass(frozen=True, eq=False)
class Lesson:
    """What one training learns from.

    Attributes:
        annotations: What is known of the photographs.
        train: Tokens to train on.
        watched: Tokens of training photographs that are watched instead.
        labels: ``(C,)`` ids of the labels whose annotations it reads.
        vocabulary: All labels and their graph.
        cut: Stage before which the tokens were stored.
        reduced: Products run in bfloat16.
        checkpoint: Folder to keep its state in.
    """

    annotations: Annotations
    train: TokenSet | ImageSet
    watched: TokenSet | ImageSet
    labels: np.ndarray
    vocabulary: Vocabulary
    cut: int
    reduced: bool
    checkpoint: Path

    def without(self, hidden: np.ndarray) -> "Lesson":
        """The same where some labels are like unseen ones: not taught, and not listened to."""
        return replace(self, labels=np.setdiff1d(self.labels, hidden), vocabulary=self.vocabulary.without(hidden))


@dataclass(frozen=True, eq=False)
class Learned:
    """What came out.

    Attributes:
        learner: With the weights to keep: the average where there is one, those of the best epoch where stopping is
            early.
        history: One row an epoch.
        best: The epoch of the best mean AP on the watched photographs, and that; epoch 0 where none are watched.
        images_per_second: Photographs of all processes that were learned from, over the time of the steps alone, their
            reading included; None where no step was left to do.
        diverged: The loss stopped being a number; the weights are the last good ones.
    """

    learner: Learner
    history: list[dict[str, Any]]
    best: dict[str, Any]
    images_per_second: float | None
    diverged: bool


def learn(lesson: Lesson, backbone: Backbone, config: Config, progress: Progress) -> Learned:
    """Train ``backbone``'s tail and a recogniser, or a prompt, or go on where the checkpoint stands.

    Random numbers depend on the seed, the epoch, the step and the process alone.

    Args:
        lesson: What to learn from.
        backbone: In float32, on its device; it is changed.
        config: The run's options.
        progress: Called after every step.

    Raises:
        Diverged: the loss is no number from the first epoch on.
        InputError: the checkpoint is damaged, or no photograph can be read.
        Interrupted: the user stopped it; the state is saved.
    """
    o = config.optimisation
    torch.manual_seed(o.seed)
    frozen = deepcopy(backbone) if config.parts.teaches else None
    learner = Learner(backbone, config, lesson.cut, reduced=lesson.reduced)
    learner.to(next(backbone.model.visual.parameters()).device)
    backbone.model.eval()  # batch norms keep their statistics
    if frozen is not None:
        frozen.model.requires_grad_(False)
        learner.beside(frozen)
    size = o.batch // world() * world()
    steps = math.ceil(len(lesson.train) / size)
    state = State(learner, o.epochs * steps)
    checkpoint = lesson.checkpoint / CHECKPOINT
    facts: dict[str, Any] = {"history": [], "best": {"epoch": 0, "map": -1.0}, "sums": {}}
    failed = lesson.train.failed
    told = len(failed)
    if checkpoint.exists():
        facts |= state.load(checkpoint)
        failed |= facts.get("failed", {})
        progress.note(f"going on after {state.done:,} of {state.steps:,} steps")
    saved, diverged, used, spent = time.monotonic(), False, 0, 0.0

    def save() -> None:
        if rank() == 0:
            state.save(checkpoint, {name: facts[name] for name in ("history", "best", "sums")} | {"failed": failed})

    while state.done < state.steps and not diverged and not _impatient(facts, o.patience):
        epoch, first = divmod(state.done, steps)
        order = lesson.train.shuffled(np.random.default_rng((o.seed, epoch)))
        began = time.monotonic()
        shown = lesson.train
        if o.augment:
            shown = shown.augmented(seed=o.seed, epoch=epoch, teacher=config.losses.distillation_weight > 0)
        with closing(_own_share(shown, order[first * size :], size)) as batches:
            for photographs, tokens, teacher in batches:
                if not len(photographs):  # none of them can be read
                    state.done += 1
                    continue
                random = np.random.default_rng((o.seed, state.done, rank()))
                torch.manual_seed(int(random.integers(2**62)))
                truth = lesson.annotations.truth(photographs, lesson.labels)
                columns = sample(truth, config.losses.negatives, random)
                known = torch.from_numpy(truth[:, columns]).to(learner.device)
                asked = learner.labels(lesson.vocabulary, lesson.labels[columns])
                found = learner.train().losses(tokens, teacher, known, asked)
                if not math.isfinite(state.update(torch.stack(list(found.values())).sum())):
                    diverged = True
                    break
                for name, value in found.items():
                    facts["sums"][name] = facts["sums"].get(name, 0.0) + float(value.detach()) / steps
                used += len(photographs) * world()
                spent += time.monotonic() - began
                progress.advance(state.done, state.steps)
                if state.done % steps == 0:
                    break
                if any_of(progress.stopped(), learner.device):
                    if not state.is_finite():
                        diverged = True
                        break
                    save()
                    raise _stopped(state, lesson)
                if time.monotonic() - saved > 60 * MINUTES and state.is_finite():
                    save()
                    saved = time.monotonic()
                began = time.monotonic()
        watched = math.nan if diverged or not state.is_finite() else _watched_map(lesson, state)
        if watched is not None and math.isnan(watched):
            diverged = True
            break
        if len(failed) > told:
            progress.note(_unreadable(failed))
            told = len(failed)
        if not len(lesson.train.readable):
            raise InputError("no photograph to train on can be read", where=str(lesson.annotations.root))
        row = {"epoch": epoch + 1, **{name: round(value, 6) for name, value in facts["sums"].items()}}
        row |= {name: round(value, 4) for name, value in learner.temperatures().items()}
        if watched is not None:
            row["seen_map"] = round(watched, 6)
            if row["seen_map"] > facts["best"]["map"]:
                facts["best"] = {"epoch": epoch + 1, "map": row["seen_map"]}
                if o.patience and rank() == 0:
                    state.save_weights(lesson.checkpoint / BEST)
        facts["history"].append(row)
        if said := learner.recogniser.doubt():
            progress.note(said)
        facts["sums"] = {}
        progress.note("   ".join(f"{name} {value}" for name, value in row.items()))
        save()
        saved = time.monotonic()
        if any_of(progress.stopped(), learner.device) and state.done < state.steps:
            raise _stopped(state, lesson)
    if diverged:
        progress.note(f"the loss is no number any more after {state.done:,} steps: the last good state is kept")
        if not facts["history"]:
            raise Diverged(
                "the loss is no number from the first epoch on", hint="lower --lr and --lr-new, and give --overwrite"
            )
        facts |= state.load(checkpoint)
    load_weights(learner, state.weights())
    if o.patience and facts["best"]["epoch"]:
        state.load_weights(lesson.checkpoint / BEST)
    return Learned(learner.alone().eval(), facts["history"], facts["best"], used / spent if used else None, diverged)


@torch.inference_mode()
def watch(
    learner: Learner, lesson: Lesson, labels: np.ndarray, *, fixed: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of some labels on the watched photographs, and the truth: ``(N, C)`` both.

    ``fixed`` ones as `Recogniser.explain` gives them.
    """
    learner.eval()
    asked, scores, photographs = learner.labels(lesson.vocabulary, labels), [], []
    for numbers, tokens, _ in lesson.watched.batches(np.arange(len(lesson.watched)), lesson.vocabulary.at_once):
        if len(numbers):  # some of them can be read
            found = learner.explain(*learner.embed(tokens, asked), asked, fixed=fixed).scores
            scores.append(found.float().cpu().numpy())
            photographs.append(numbers)
    if not scores:
        return np.empty((0, len(labels)), np.float32), np.empty((0, len(labels)), np.int8)
    return np.concatenate(scores), lesson.annotations.truth(np.concatenate(photographs), labels)


def _watched_map(lesson: Lesson, state: State) -> float | None:
    """Mean AP of the labels that occur among the watched photographs, under the weights to keep; None without any.

    NaN where scores are no numbers.
    """
    if not len(lesson.watched):
        return None
    learner = state.learner
    own = {name: value.detach().clone() for name, value in learner.learned().items()}
    load_weights(learner, state.weights())
    scores, truth = watch(learner, lesson, lesson.labels)
    load_weights(learner, own)
    if not np.isfinite(scores).all():
        return math.nan
    present = (truth > 0).any(0)
    if not present.any():
        return None
    return float(average_precision(scores[:, present].T, truth[:, present].T).mean())


def _own_share(
    tokens: TokenSet | ImageSet, order: np.ndarray, size: int
) -> Generator[tuple[np.ndarray, Any, Tensor], None, None]:
    """The batches of this process: all processes together see each batch of ``size`` once."""
    if world() == 1:
        yield from tokens.batches(order, size)
        return
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        share = batch[rank() :: world()]
        yield from tokens.batches(share if len(share) else batch[:1], size)


def _unreadable(failed: dict[str, str]) -> str:
    some = "; ".join(f"{path}: {reason}" for path, reason in sorted(failed.items())[:TOLD])
    more = "; …" if len(failed) > TOLD else ""
    return f"{len(failed):,} photographs cannot be read and are left out: {some}{more}"


def _stopped(state: State, lesson: Lesson) -> Interrupted:
    return Interrupted(
        f"{state.done:,} of {state.steps:,} steps are done and saved", where=str(lesson.checkpoint.parent)
    )


def _impatient(facts: dict[str, Any], patience: int) -> bool:
    best, epochs = facts["best"]["epoch"], len(facts["history"])
    return bool(patience and best and epochs - best >= patience)
