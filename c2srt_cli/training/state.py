"""A method in training: its optimiser, schedule and average of the weights, and their state on disk."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ConfigDict
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from c2srt_cli.artifacts.records import Count, Record
from c2srt_cli.embeddings.tensors import TensorRecord, read_header, read_tensors, write_tensors
from c2srt_cli.errors import InputError
from c2srt_cli.methods.image_side import load_learned
from c2srt_cli.methods.method import Method
from c2srt_cli.methods.options import Training

#: Steps of the average's warm start: early on it forgets the start of the training sooner.
WARM = 10
AGAIN = "give --overwrite to start again"


class Best(Record):
    """The best epoch by the validation set, 0 where there is none yet, and its mean AP."""

    epoch: Count
    map: float


class Facts(TensorRecord):
    """What stands beside the tensors of a checkpoint.

    Attributes:
        done: Steps that were taken.
        steps: In all.
        history: One row an epoch.
        best: See `Best`.
        sums: Losses of the epoch that is under way.
        failed: Why images could not be read, by their paths.
    """

    model_config = ConfigDict(allow_inf_nan=True)

    done: Count
    steps: Count
    history: list[dict[str, int | float]]
    best: Best
    sums: dict[str, float]
    failed: dict[str, str]


def parameter_groups(method: Method, o: Training) -> list[dict[str, Any]]:
    """Groups of AdamW: the learning rate falls from stage to stage, vectors are not decayed."""
    rated = [(parameters, _rate(behind, o)) for parameters, behind in method.trained()]
    return [
        {"params": chosen, "lr": rate, "weight_decay": o.weight_decay if matrices else 0.0}
        for parameters, rate in rated
        for matrices in (True, False)
        if (chosen := [p for p in parameters if p.requires_grad and (p.ndim > 1) == matrices])
    ]


def _rate(behind: float | None, o: Training) -> float:
    if behind is None:
        return o.lr_new
    return behind if isinstance(behind, float) else o.lr * o.layer_decay**behind


def schedule(step: int, *, warmup: int, steps: int) -> float:
    """Factor of the learning rate: up in a line, then down as a cosine to zero."""
    falling = math.pi * min(1.0, max(0, step - warmup) / max(1, steps - warmup))
    return min((step + 1) / warmup, 0.5 + 0.5 * math.cos(falling))


class Weights(nn.Module):
    """What a run keeps of a method, as one module: parameters and statistics."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        for name, value in method.learned().items():
            register = self.register_parameter if isinstance(value, nn.Parameter) else self.register_buffer
            register(name.replace(".", "/"), value)  # type: ignore[arg-type]

    def named(self) -> dict[str, Tensor]:
        """By name, as in `Method.learned`."""
        return {name.replace("/", "."): value.detach() for name, value in self.state_dict().items()}


class TrainState:
    """A method, the optimiser that moves it, and the average of its weights: what a checkpoint holds.

    Args:
        method: To train.
        steps: In all.
    """

    def __init__(self, method: Method, steps: int) -> None:
        self.method, self.steps, self.done = method, steps, 0
        o: Training = method.options.training
        self.clip = o.clip
        self.optimizer = torch.optim.AdamW(parameter_groups(method, o), betas=(0.9, 0.98))
        warmup = max(1, round(o.warmup * steps))
        self.scheduler = LambdaLR(self.optimizer, lambda step: schedule(step, warmup=warmup, steps=steps))
        self.average: AveragedModel | None = None
        if o.ema:

            def mean(average: Tensor, value: Tensor, count: Tensor | int) -> Tensor:
                rate = min(o.ema, int(count) / (int(count) + WARM))
                return torch.lerp(average, value, 1 - rate)

            self.average = AveragedModel(Weights(method), avg_fn=mean, use_buffers=True)
            self.average.update_parameters(Weights(method))

    def update(self, loss: Tensor) -> float:
        """One step of the optimiser; returns the norm of the gradient, not finite where nothing was moved."""
        self.optimizer.zero_grad(set_to_none=True)
        if loss.requires_grad:  # a prompt learns nothing from a batch of which no label is known
            loss.backward()  # type: ignore[no-untyped-call]
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = float(nn.utils.clip_grad_norm_(parameters, self.clip))
        if not math.isfinite(norm):
            return norm
        self.optimizer.step()
        self.scheduler.step()
        self.done += 1
        if self.average is not None:
            self.average.update_parameters(Weights(self.method))
        return norm

    def skip(self) -> None:
        """Count a step in which there was nothing to learn."""
        self._go_to(self.done + 1)

    def _go_to(self, done: int) -> None:
        """Set the schedule to where so many steps are done."""
        self.done = self.scheduler.last_epoch = done
        rates = zip(self.optimizer.param_groups, self.scheduler.base_lrs, self.scheduler.lr_lambdas, strict=True)
        for group, peak, factor in rates:
            group["lr"] = peak * factor(done)

    def is_finite(self) -> bool:
        """Whether every weight is a number still: a step of finite gradients may have left that range."""
        return all(bool(p.isfinite().all()) for p in self.method.learned().values())

    def weights(self) -> dict[str, Tensor]:
        """What the run will keep: the average where there is one, else the last weights."""
        if self.average is not None:
            return self.average.module.named()  # type: ignore[operator,no-any-return]
        return {name: value.detach() for name, value in self.method.learned().items()}

    def save(self, path: Path, facts: Mapping[str, Any]) -> None:
        """Write a checkpoint, atomically, with ``facts`` beside it."""
        names = {id(p): n for n, p in self.method.learned().items()}
        tensors = {f"model.{n}": p.detach() for n, p in self.method.learned().items()}
        for parameter, moments in self.optimizer.state.items():
            tensors |= {f"optimizer.{names[id(parameter)]}.{key}": value for key, value in moments.items()}
        if self.average is not None:
            tensors |= {f"average.{n}": value for n, value in self.weights().items()}
        owned = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
        write_tensors(path, owned, {"done": self.done, "steps": self.steps, **facts})

    @torch.no_grad()
    def load(self, path: Path) -> dict[str, Any]:
        """Go on from `save`; returns the facts.

        Raises:
            InputError: the file is damaged, or of another training.
        """
        facts = read_header(path, Facts, AGAIN).record
        stored = read_tensors(path, facts.sha256, AGAIN)
        learned = self.method.learned()
        kept = {} if self.average is None else self.weights()
        moved = {name for name in learned if f"optimizer.{name}.step" in stored}
        wanted = {f"model.{name}": value for name, value in learned.items()}
        wanted |= {f"average.{name}": value for name, value in kept.items()}
        for name in moved:
            wanted |= dict.fromkeys((f"optimizer.{name}.exp_avg", f"optimizer.{name}.exp_avg_sq"), learned[name])
            wanted[f"optimizer.{name}.step"] = torch.zeros(())
        if _layout(stored) != _layout(wanted) or facts.steps != self.steps or facts.done > self.steps:
            raise InputError("is the checkpoint of another training", where=str(path), hint=AGAIN)
        load_learned(self.method, {name: stored[f"model.{name}"] for name in learned})
        for name in moved:
            moments = {key: stored[f"optimizer.{name}.{key}"] for key in ("step", "exp_avg", "exp_avg_sq")}
            self.optimizer.state[learned[name]] = {
                key: value if key == "step" else value.to(learned[name].device) for key, value in moments.items()
            }
        for name, value in kept.items():
            value.copy_(stored[f"average.{name}"])
        if self.average is not None:
            self.average.n_averaged.fill_(facts.done + 1)
        self._go_to(facts.done)
        return facts.model_dump(include={"history", "best", "sums", "failed"})

    def save_weights(self, path: Path) -> None:
        """Write what the run would keep if it ended now."""
        write_tensors(path, {name: value.cpu().clone().contiguous() for name, value in self.weights().items()}, {})

    def load_weights(self, path: Path) -> None:
        """Put what `save_weights` wrote into the method.

        Raises:
            InputError: the file is damaged, or of another training.
        """
        stored = read_tensors(path, read_header(path, TensorRecord, AGAIN).record.sha256, AGAIN)
        if _layout(stored) != _layout(self.method.learned()):
            raise InputError("holds the weights of another training", where=str(path), hint=AGAIN)
        load_learned(self.method, stored)


def _layout(tensors: Mapping[str, Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (value.shape, value.dtype) for name, value in tensors.items()}
