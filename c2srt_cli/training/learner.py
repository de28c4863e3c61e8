"""The weights that learn, the step that moves them, and their state on disk."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.backbone.tower import Tokens
from c2srt_cli.backbone.twin import TwinBackbone
from c2srt_cli.embeddings.tensors import HEADER, write_tensors
from c2srt_cli.errors import InputError
from c2srt_cli.graph.category_graph import RELATIONS, CategoryGraph
from c2srt_cli.methods.ist import Neighbours
from c2srt_cli.methods.lla import Ladder, LadderBackbone
from c2srt_cli.methods.losses import (
    asymmetric_loss,
    distillation,
    mmc_loss,
    ranking_loss,
    ranking_loss_over_images,
    sigmoid_loss,
)
from c2srt_cli.methods.options import Parts
from c2srt_cli.methods.prompt import PromptLearner, Prompts, TextTokens
from c2srt_cli.methods.recogniser import Explained, Recogniser
from c2srt_cli.training.config import Config
from c2srt_cli.training.processes import mean_gradients

#: Photographs scored at once, at most.
BATCH = 64
#: Entries of one map of features (photographs, labels, D); scoring holds about eight such maps in float32.
ENTRIES = 1 << 25
#: Losses that look at probabilities, which cosines alone are not.
WITH_BIAS = ("sigmoid", "asymmetric")
#: RAM's losses, of the global and the local logits.
MMC = ("mmc_global", "mmc_local")


class Labels(NamedTuple):
    """Labels as a recogniser takes them.

    Attributes:
        text: Embeddings of T labels that are asked for, then of those they listen to, ``(C, D)``, of norm 1.
        plain: The same without what learns in a prompt; of a run that is read, ``text``.
        layers: Who listens to whom, a layer each; none without a graph.
        nodes: Ids of the labels, ``(C,)``.
        unseen: ``(C,)`` bool.
        asked: T.
    """

    text: Tensor
    plain: Tensor
    layers: tuple[Neighbours, ...]
    nodes: Tensor
    unseen: Tensor
    asked: int


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """All labels of a run.

    Attributes:
        text: Their embeddings, ``(L, D)``, of norm 1.
        graph: Theirs, or None.
        parts: What the recogniser is made of.
        seen: ``(L,)`` bool; only these speak to others.
        prompts: Their prompts, where a prompt or tokens in it learn, so that ``text`` is only what training sets out
            from.
    """

    text: Tensor
    graph: CategoryGraph | None
    parts: Parts
    seen: np.ndarray
    prompts: Prompts | None = None

    @cached_property
    def neighbours(self) -> Neighbours | None:
        """Who listens to whom; where scores are transferred, only unseen labels listen."""
        if self.graph is None:
            return None
        index, attr = self.graph.edge_index(), self.graph.edge_attr()
        seen = torch.from_numpy(self.seen)
        kept = seen[index[0]] if self.parts.transfer == "ist" else seen[index[0]] & ~seen[index[1]]
        return Neighbours.from_graph(index[:, kept], attr[kept], len(self.text)).to(self.text.device)

    @cached_property
    def unseen(self) -> Tensor:
        """``(L,)`` bool."""
        return torch.from_numpy(~self.seen).to(self.text.device)

    def of(self, columns: np.ndarray) -> Labels:
        """Some labels ``(T,)``, with all that their scores depend on."""
        targets = torch.from_numpy(columns).to(self.text.device)
        nodes, layers = targets, tuple[Neighbours, ...]()
        if self.neighbours is not None:
            nodes, layers = self.neighbours.closure(targets, self.parts.hops)
        text = self.text[nodes]
        return Labels(text, text, layers, nodes, self.unseen[nodes], len(columns))

    def without(self, hidden: np.ndarray) -> "Vocabulary":
        """As if some seen labels ``(n,)`` were unseen."""
        seen = self.seen.copy()
        seen[hidden] = False
        return replace(self, seen=seen)

    @property
    def at_once(self) -> int:
        """How many photographs can be scored on all labels at once."""
        return min(BATCH, max(1, ENTRIES // (len(self.text) * max(self.text.shape[1], self.parts.hidden))))


class Learner(nn.Module):
    """The tail of a backbone and a recogniser, or a prompt in front of them as they are.

    Args:
        backbone: In float32; its last stages will learn, in place. With a prompt they stay as they are, and its text
            tower reads through the prompt, or the tokens that learn, from now on.
        config: The run's options.
        cut: Stage before which the tokens were stored.
        reduced: Whether products run in bfloat16.

    Attributes:
        backbone: With the ladder on it, and the frozen one beside it, where these have a part.
        dense: The value-value stream that patches come from, or None.
    """

    def __init__(self, backbone: Backbone, config: Config, cut: int, *, reduced: bool) -> None:
        super().__init__()
        self.config, self.cut, self.reduced = config, cut, reduced
        parts, tower = config.parts, backbone.tower
        self.dense = parts.dense_of(tower)
        self.recogniser = Recogniser(parts, backbone.dim, backbone.logit_scale, len(RELATIONS) + 1)
        learns = config.losses.learn_tau and parts.score != "softmax"  # that has temperatures of its own
        self.log_tau = nn.Parameter(torch.tensor(math.log(config.losses.tau)), requires_grad=learns)
        self.bias = nn.Parameter(torch.tensor(config.losses.bias), requires_grad=config.losses.loss in WITH_BIAS)
        self.prompt = PromptLearner.of(backbone, parts.prompt) if parts.prompt else None
        backbone.text.prompt, backbone.text.tokens = self.prompt, None
        self.text_tokens = (
            TextTokens.of(backbone, parts.text_layers, parts.text_tokens, plain_start=parts.plain_start)
            if parts.text_tokens
            else None
        )
        backbone.text.tokens = self.text_tokens
        self.ladder = (
            Ladder(
                tower,
                backbone.dim,
                rungs=parts.ladder,
                tokens=parts.vision_tokens,
                norm=parts.rung_norm,
                plain_start=parts.plain_start,
            )
            if parts.ladder
            else None
        )
        first = tower.depth - config.optimisation.trained
        backbone.model.requires_grad_(False)
        self._tail = [
            (list(stage.parameters()), tower.depth - first - i) for i, stage in enumerate(tower.stages[first:])
        ]
        if self._tail:
            self._tail.append((tower.head_parameters, 0))
        for parameters, _ in self._tail:
            for parameter in parameters:
                parameter.requires_grad_(self.prompt is None)
        self.backbone = self._trained = backbone if self.ladder is None else LadderBackbone(backbone, self.ladder)

    @property
    def device(self) -> torch.device:
        """Where everything lies."""
        return self.log_tau.device

    def learned(self) -> dict[str, Tensor]:
        """What a run keeps, by name: parameters, and the statistics of the ladder's norms."""
        tail = {id(parameter) for parameters, _ in self._tail for parameter in parameters}
        own = {"recogniser": self.recogniser, "prompt": self.prompt, "text": self.text_tokens, "ladder": self.ladder}
        return (
            {f"tail.{n}": p for n, p in self.backbone.model.visual.named_parameters() if id(p) in tail}
            | {
                f"{part}.{n}": t
                for part, module in own.items()
                if module
                for n, t in (*module.named_parameters(), *module.named_buffers())
                if t.is_floating_point()  # a prompt's buffers are token ids
            }
            | {"log_tau": self.log_tau, "bias": self.bias}
        )

    def groups(self) -> list[dict[str, Any]]:
        """Parameter groups of AdamW: the learning rate falls from stage to stage, vectors are not decayed."""
        o = self.config.optimisation
        parts = [(parameters, o.lr * o.layer_decay**behind) for parameters, behind in self._tail]
        parts.append((list(self.parameters()), o.lr_new))
        return [
            {"params": chosen, "lr": rate, "weight_decay": o.weight_decay if matrices else 0.0}
            for parameters, rate in parts
            for matrices in (True, False)
            if (chosen := [p for p in parameters if p.requires_grad and (p.ndim > 1) == matrices])
        ]

    def temperatures(self) -> dict[str, float]:
        """Factors that scores are multiplied by, as they are now: tau, or those of RAM's two softmaxes."""
        scales = self.recogniser.log_scales
        if scales is None:
            return {"tau": float(self.log_tau.detach().exp())}
        return dict(zip(("scale_global", "scale_local"), scales.detach().exp().tolist(), strict=True))

    def labels(self, vocabulary: Vocabulary, columns: np.ndarray) -> Labels:
        """Some labels ``(T,)`` with all that their scores depend on, under the prompt as it is now."""
        found = vocabulary.of(columns)
        if vocabulary.prompts is None or not len(columns):
            return found
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.reduced):
            return found._replace(text=vocabulary.prompts.embed(self.backbone.text, found.nodes))

    def beside(self, frozen: Backbone) -> Self:
        """Put the frozen backbone's embeddings behind the trained ones."""
        self.backbone = TwinBackbone(self._trained, frozen.to(self.device, torch.float32))
        return self

    def alone(self) -> Self:
        """Take the frozen backbone away."""
        self.backbone = self._trained
        return self

    def read(self, labels: Labels) -> None:
        """Have the ladder read these labels from now on, if there is one."""
        if isinstance(self._trained, LadderBackbone):
            self._trained.labels = labels.text[: labels.asked]

    def embed(self, tokens: Tokens, labels: Labels) -> tuple[Tensor, Tensor]:
        """The global embeddings ``(B, D)`` and patches ``(B, P, D)`` of stored tokens.

        With a `TwinBackbone` the frozen ones stand behind them. A ladder reads the labels that are asked for.
        """
        self.read(labels)
        dtype = next(self.backbone.model.visual.parameters()).dtype
        assert tokens.x is not None
        local = None if self.dense is None or tokens.local is None else tokens.local.to(self.device, dtype)
        moved = Tokens(tokens.x.to(self.device, dtype), local)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.reduced):
            whole, patches = self.backbone.tail(moved, self.cut, dense=self.dense)
        assert whole is not None
        return whole.float(), patches.float()

    def forward(self, whole: Tensor, patches: Tensor, labels: Labels) -> Tensor:
        """Scores ``(B, T)`` of the labels that are asked for."""
        return self.explain(whole, patches, labels).scores

    def explain(
        self, whole: Tensor, patches: Tensor, labels: Labels, truth: Tensor | None = None, *, fixed: bool = False
    ) -> Explained:
        """The same with what they rest on; see `Recogniser.explain`."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.reduced):
            return self.recogniser.explain(
                whole, patches, labels.text, labels.layers, labels.unseen, truth=truth, plain=labels.plain, fixed=fixed
            )

    def apart(self, whole: Tensor, patches: Tensor, labels: Labels) -> tuple[Tensor, Tensor]:
        """See `Recogniser.apart`."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.reduced):
            return self.recogniser.apart(whole, patches, labels.text[: labels.asked], labels.plain[: labels.asked])

    def losses(self, tokens: Tokens, teacher: Tensor, truth: Tensor, labels: Labels) -> dict[str, Tensor]:
        """What a batch costs.

        Args:
            tokens: Of B photographs.
            teacher: Their frozen global embeddings ``(B, D)``.
            truth: Of the labels that are asked for, ``(B, T)``: 1 present, -1 absent, 0 unknown.
            labels: These and what they listen to.
        """
        own = self.config.losses
        whole, patches = self.embed(tokens, labels)
        explained = self.explain(whole, patches, labels, truth)
        logits = explained.logits
        scores = self.log_tau.exp() * explained.scores if logits is None else logits.mean(-1)
        if own.loss == "ranking":
            ways = {"labels": ranking_loss, "images": ranking_loss_over_images}
            found = {
                f"over_{way}": loss(scores, truth, own.margin)
                for way, loss in ways.items()
                if own.over in (way, "both")
            }
        elif own.loss == "mmc":
            both = {"mmc": scores} if logits is None else dict(zip(MMC, logits.unbind(-1), strict=True))
            found = {name: mmc_loss(some, truth) for name, some in both.items()}
        else:
            loss = sigmoid_loss if own.loss == "sigmoid" else asymmetric_loss
            found = {own.loss: loss(scores + self.bias, truth)}
        if own.distillation_weight > 0:
            student = whole[:, : self.backbone.dim]
            found["distillation"] = own.distillation_weight * distillation(
                student, teacher.to(self.device), own.distillation
            )
        return found


class State:
    """Learner, optimiser and average of the weights: what a checkpoint holds."""

    def __init__(self, learner: Learner, steps: int) -> None:
        self.learner, self.steps, self.done = learner, steps, 0
        self.optimizer = torch.optim.AdamW(learner.groups(), betas=(0.9, 0.98))
        self._peaks = [float(group["lr"]) for group in self.optimizer.param_groups]
        decays = learner.config.optimisation.ema > 0
        self.average = {n: p.detach().clone() for n, p in learner.learned().items()} if decays else None

    def update(self, loss: Tensor) -> float:
        """One step of the optimiser; returns the norm of the gradient, not finite where nothing was moved."""
        o = self.learner.config.optimisation
        self.optimizer.zero_grad(set_to_none=True)
        if loss.requires_grad:  # a prompt learns nothing from a batch of which no label is known
            loss.backward()  # type: ignore[no-untyped-call]
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        mean_gradients(parameters)
        norm = float(nn.utils.clip_grad_norm_(parameters, o.clip))
        if not math.isfinite(norm):
            return norm
        rising = max(1, round(o.warmup * self.steps))
        factor = min(
            (self.done + 1) / rising,
            0.5 + 0.5 * math.cos(math.pi * min(1.0, max(0, self.done - rising) / max(1, self.steps - rising))),
        )
        for group, peak in zip(self.optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        self.optimizer.step()
        self.done += 1
        if self.average is not None:
            rate = min(o.ema, self.done / (self.done + 10))
            for name, value in self.learner.learned().items():
                self.average[name].lerp_(value.detach(), 1 - rate)
        return norm

    def is_finite(self) -> bool:
        """Whether every weight is a number still: a step of finite gradients may have left that range."""
        return all(bool(p.isfinite().all()) for p in self.learner.learned().values())

    def weights(self) -> dict[str, Tensor]:
        """What the run will keep: the average where there is one, else the last weights."""
        return self.average or {name: value.detach() for name, value in self.learner.learned().items()}

    def save(self, path: Path, facts: Mapping[str, Any]) -> None:
        """Write a checkpoint, atomically, with ``facts`` beside it."""
        names = {id(p): n for n, p in self.learner.learned().items()}
        tensors = {f"model.{n}": p.detach() for n, p in self.learner.learned().items()}
        for parameter, moments in self.optimizer.state.items():
            tensors |= {f"optimizer.{names[id(parameter)]}.{key}": value for key, value in moments.items()}
        if self.average is not None:
            tensors |= {f"average.{n}": value for n, value in self.average.items()}
        owned = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
        write_tensors(path, owned, {"done": self.done, "steps": self.steps, **facts})

    def load(self, path: Path) -> dict[str, Any]:
        """Go on from `save`; returns the facts.

        Raises:
            InputError: the file is damaged, or of other weights.
        """
        try:
            return self._load(path)
        except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
            raise InputError(
                f"the checkpoint cannot be read ({error})", where=str(path), hint="give --overwrite to start again"
            ) from None

    def _load(self, path: Path) -> dict[str, Any]:
        with safe_open(path, "pt") as file:
            facts: dict[str, Any] = json.loads((file.metadata() or {})[HEADER])
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        load_weights(self.learner, {n.removeprefix("model."): v for n, v in stored.items() if n.startswith("model.")})
        for name, parameter in self.learner.learned().items():
            start = f"optimizer.{name}."
            moments = {n.removeprefix(start): v for n, v in stored.items() if n.startswith(start)}
            if moments:
                self.optimizer.state[parameter] = {
                    key: value if key == "step" else value.to(parameter.device) for key, value in moments.items()
                }
            if self.average is not None:
                self.average[name].copy_(stored[f"average.{name}"])
        self.done = int(facts["done"])
        return facts

    def save_weights(self, path: Path) -> None:
        """Write what the run would keep if it ended now."""
        write_tensors(path, {name: value.cpu().clone().contiguous() for name, value in self.weights().items()}, {})

    def load_weights(self, path: Path) -> None:
        """Put what `save_weights` wrote into the learner."""
        load_weights(self.learner, load_file(path))


@torch.no_grad()
def load_weights(learner: Learner, weights: Mapping[str, Tensor]) -> None:
    """Put a run's weights into a learner."""
    for name, parameter in learner.learned().items():
        parameter.copy_(weights[name])


def sample(truth: np.ndarray, negatives: int, random: np.random.Generator) -> np.ndarray:
    """Columns of a batch's truth ``(B, C)`` to train on: all that are present, some known to be absent; ascending."""
    if negatives == 0:
        return np.arange(truth.shape[1])
    present = (truth > 0).any(0)
    others = np.flatnonzero(~present & (truth < 0).any(0))  # unknown labels teach nothing
    drawn = random.choice(others, min(negatives, len(others)), replace=False)
    return np.sort(np.concatenate([np.flatnonzero(present), drawn]))
