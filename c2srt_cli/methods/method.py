"""The frame of a method: a backbone whose last stages may learn, and what makes scores and losses of embeddings."""

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.backbone.tower import ImageTower, Tokens, run_tail
from c2srt_cli.backbone.towers import tower_of
from c2srt_cli.backbone.vit import VitTower
from c2srt_cli.errors import UsageError
from c2srt_cli.methods.kcot import PUBLISHED, teacher_plan
from c2srt_cli.methods.lla import Ladder
from c2srt_cli.methods.losses import distillation
from c2srt_cli.methods.options import Options, TailOptions
from c2srt_cli.methods.pooling import Global, Pooling, similarity
from c2srt_cli.methods.prompt import PromptLearner, TextTokens
from c2srt_cli.methods.propagation import ScorePropagation
from c2srt_cli.methods.vocabulary import Labels


class TokenNeed(NamedTuple):
    """What a method reads of an image tower's tokens.

    Attributes:
        cut: Latest stage before which they may be taken.
        patch_attention: Blocks whose value-value attention gives the patches (``vv``, ``vv-all``), or None.
        streams: ``global``, ``both``, or ``local`` where nothing is left to run behind the cut.
    """

    cut: int
    patch_attention: str | None
    streams: str


class Scores(NamedTuple):
    """Scores of B images, and what they rest on.

    Attributes:
        ranking: The method's published score, by which labels are ranked, ``(B, T)`` float32.
        logit: The same without a part that the other labels have in it, as a softmax over labels has: what
            probabilities and thresholds are made from, ``(B, T)``. Nearly so with KCOT and with adapters.
        share: Share of the patches that speak for each label, ``(B, T)`` in (0, 1]; None where the whole image does.
        base: Of all ``C`` labels that took part, before others' were added, ``(B, C)``; None without propagation.
        attention: To the sources of each label, in the places of the last layer's rows, ``(B, T, K)``: of IST the mean
            over heads, of propagation the strengths; None without a graph.
        contribution: What each source adds to the score, ``(B, T, K)``; None without propagation.
        sides: Logits of the global and the local side, ``(B, T, 2)``, that RAM's losses look at; None otherwise.
    """

    ranking: Tensor
    logit: Tensor
    share: Tensor | None = None
    base: Tensor | None = None
    attention: Tensor | None = None
    contribution: Tensor | None = None
    sides: Tensor | None = None


class Method(nn.Module):
    """A recogniser on a backbone. A method is one subclass in one file: its options, and how it scores.

    The backbone stays as it is: the stages that learn are a copy, so that the frozen ones are there to compare with.

    Args:
        options: The method's own.
        backbone: On its device. Not changed.

    Attributes:
        need: The tokens that it reads.
        text_tower: The text tower, reading through the prompt or the tokens that learn.
        adapters: Ladder local adapters, or None.
        prompt: A prompt that learns, or None.
        text_tokens: Tokens that learn in the text tower, or None.
        propagation: Over the category graph, or None.
    """

    name: ClassVar[str]
    Options: ClassVar[type[Options]]
    #: Whether there is anything to train.
    trainable: ClassVar[bool] = True
    #: Whether scores mean the same with any vocabulary, or nearly so, so that probabilities can be fitted.
    can_calibrate: ClassVar[bool] = True
    #: Whether it learns on the image side of a finished run.
    needs_init: ClassVar[bool] = False

    def __init__(self, options: Any, backbone: Backbone) -> None:
        super().__init__()
        self.options, self.backbone = options, backbone
        self.need = self.needs(options, backbone.tower)
        self._unconverged: Tensor | int = 0
        self.adapters: Ladder | None = None
        self.prompt: PromptLearner | None = None
        self.text_tokens: TextTokens | None = None
        self.propagation: ScorePropagation | None = None
        self.text_tower = backbone.text
        backbone.model.requires_grad_(False)
        # in tuples, as not all of their parameters are the method's
        self._tower: tuple[ImageTower] = (backbone.tower,)
        self._visual: tuple[nn.Module, ...] = ()
        self._tail: list[tuple[list[nn.Parameter], int]] = []
        if stages := self.trained_stages:
            first = backbone.tower.depth - stages
            shared = {id(stage): stage for stage in backbone.tower.stages[:first]}
            visual = deepcopy(backbone.model.visual, shared)
            self._visual, self._tower = (visual,), (tower_of(visual),)
            self._tail = [(list(stage.parameters()), stages - i) for i, stage in enumerate(self.tower.stages[first:])]
            self._tail.append((self.tower.head_parameters, 0))
            for parameters, _ in self._tail:
                for parameter in parameters:
                    parameter.requires_grad_(not self.needs_init)
        loss = getattr(options, "loss", None)
        if hasattr(options, "logit_scale"):
            self.log_scale = nn.Parameter(
                torch.tensor(math.log(options.logit_scale)), requires_grad=options.learn_logit_scale
            )
        if loss is not None and loss.has_bias:
            self.bias = nn.Parameter(torch.tensor(loss.bias))

    # What a method may say otherwise -------------------------------------------------------------------------------

    @classmethod
    def defaults(cls) -> Any:
        """Its options as they are unless something else is said."""
        return cls.Options()  # type: ignore[call-arg] # every method has a name

    @classmethod
    def needs(cls, options: Any, tower: ImageTower) -> TokenNeed:
        """Which tokens it reads: by default those that enter the first stage that learns or has an adapter.

        Raises:
            UsageError: the tower has not so many stages.
        """
        stages = max(getattr(options, "trained_stages", 0), getattr(getattr(options, "adapters", None), "stages", 0))
        if stages > tower.depth:
            raise UsageError(f"the tower has {tower.depth} stages, not {stages}", where=f"the options of {cls.name}")
        chosen = getattr(options, "patch_attention", "none")
        attention = chosen if chosen != "none" and tower.supports_local else None
        return TokenNeed(tower.depth - stages, attention, "both" if attention else "global")

    @classmethod
    def hops(cls, options: Any) -> int:
        """Edges of the category graph that knowledge crosses; 0 for a method without a graph."""
        return int(getattr(options, "propagation", None) is not None)

    #: Whether seen labels hear from others too, in training as well.
    seen_targets: ClassVar[bool] = False

    @classmethod
    def adapted(cls, options: Any, backbone: Backbone) -> tuple[Any, list[str]]:
        """The options without what a backbone has no place for, and what is to be said of that."""
        notes, changes = [], {}
        adapters, tokens = getattr(options, "adapters", None), getattr(options, "text_tokens", None)
        if adapters and adapters.stages and adapters.vision_tokens and not isinstance(backbone.tower, VitTower):
            notes.append(f"{backbone.id} has no place for vision tokens: none learn")
            changes["adapters"] = adapters.model_copy(update={"vision_tokens": 0})
        if tokens and tokens.count and tokens.layers > (layers := backbone.text.layers):
            notes.append(f"the text tower of {backbone.id} has {layers} layers: text tokens learn in each")
            changes["text_tokens"] = tokens.model_copy(update={"layers": layers})
        return options.model_copy(update=changes), notes

    @property
    def width(self) -> int:
        """Of the largest map of features (images, labels, width)."""
        return self.backbone.dim

    def scores(self, image: ImageEmbedding, labels: Labels, truth: Tensor | None = None) -> Scores:
        """Score the labels that are asked for.

        Args:
            image: Of B images.
            labels: These and what they hear from.
            truth: In training, ``(B, T)``: 1 present, -1 absent, 0 unknown.
        """
        raise NotImplementedError

    def losses(self, scores: Scores, truth: Tensor, image: ImageEmbedding, target: Tensor) -> dict[str, Tensor]:
        """What a batch costs, by name.

        Args:
            scores: Of `scores` in training.
            truth: ``(B, T)``, as there.
            image: The embeddings that were scored.
            target: The frozen global embeddings ``(B, D)``.
        """
        scaled = self.log_scale.exp() * scores.ranking
        return self.loss_terms(scaled, truth) | self.distillation_term(image, target)

    def similarity(self, patches: Tensor, text: Tensor) -> Tensor:
        """By what the patches of an image ``(P, D)`` are compared with labels ``(C, D)``: ``(C, P)``."""
        return text @ normalize(patches.float(), dim=-1).T

    # What methods compose -------------------------------------------------------------------------------------------

    @property
    def tower(self) -> ImageTower:
        """The image tower whose last stages learn."""
        return self._tower[0]

    @property
    def pooling(self) -> Pooling:
        """How patches are weighed."""
        found: Pooling = getattr(self.options, "patches", None) or Global()
        return found

    @property
    def trained_stages(self) -> int:
        """Last stages of the tower that are the method's own."""
        return self.options.trained_stages if isinstance(self.options, TailOptions) else 0

    @property
    def vocabulary_dependent(self) -> bool:
        """Whether a label's ranking depends on which others are asked for."""
        return self.pooling.vocabulary_dependent or self.adapters is not None

    @property
    def needs_teacher(self) -> bool:
        """Whether the frozen backbone's embeddings are asked for in training."""
        return self.pooling.needs_teacher and not self.prompt

    @property
    def zero_shot_weight(self) -> float:
        """Share of the frozen backbone's score in an unseen label's (WiSE-FT's ensembling, in score space)."""
        return float(getattr(self.options, "zero_shot_weight", 0.0))

    def add_adapters(self) -> None:
        """Put ladder local adapters on the tower, where the options say so."""
        adapters = self.options.adapters
        if adapters.stages:
            self.adapters = Ladder(
                self.backbone.tower,
                self.backbone.dim,
                stages=adapters.stages,
                tokens=adapters.vision_tokens,
                norm=adapters.norm,
                random_init=adapters.random_init,
            )

    def embed(
        self, tokens: Tokens, labels: Labels, cut: int, attention: str | None, *, frozen: bool | None = None
    ) -> ImageEmbedding:
        """Run the tail of the tower.

        Args:
            tokens: Entering the cut, on the device.
            labels: Those that adapters read: the ones that are asked for.
            cut: Where the tokens enter.
            attention: Blocks whose value-value attention gives the patches, or None.
            frozen: Whether the frozen tail runs too; None where its embeddings are asked for.
        """
        if attention is None:
            tokens = Tokens(tokens.x)
        if frozen is None:
            frozen = self.needs_teacher if self.training else bool(self.zero_shot_weight) and bool(labels.unseen.any())
        if self.adapters is None:
            global_, patches = run_tail(self.tower, tokens, cut, attention)
        else:
            global_, patches = self.adapters.tail(self.tower, tokens, labels.asked_text, cut, attention)
        assert global_ is not None
        if not frozen:
            return ImageEmbedding(global_, patches)
        with torch.no_grad():
            before, patches_before = run_tail(self.backbone.tower, tokens, cut, attention)
        assert before is not None
        return ImageEmbedding(global_, patches, ImageEmbedding(before, patches_before))

    @torch.no_grad()
    def weigh(self, patches: Tensor, text: Tensor, teacher: Tensor | None = None) -> Tensor:
        """Weights ``(B, C, P)`` of unit patches ``(B, P, D)`` for labels ``(C, D)``; without gradient."""
        weights, unconverged = self.pooling.weights(patches, text, self.backbone.logit_scale, teacher)
        if unconverged is not None:
            self._unconverged = self._unconverged + unconverged.sum()
        return weights

    def teacher_of(self, image: ImageEmbedding, labels: Labels, truth: Tensor | None) -> Tensor | None:
        """Where the frozen backbone sees labels, in training; None without a teacher."""
        if truth is None or image.frozen is None or not self.needs_teacher:
            return None
        known = torch.zeros(len(truth), len(labels.text), dtype=truth.dtype, device=truth.device)
        known[:, : truth.shape[1]] = truth
        seen = similarity(image.frozen.patches, labels.frozen_text)
        return teacher_plan(seen, known, self.backbone.logit_scale)

    def ensemble_zero_shot(self, scores: Tensor, image: ImageEmbedding, labels: Labels) -> Tensor:
        """Scores ``(B, C, ...)`` where the frozen backbone's have their share in those of unseen labels."""
        if image.frozen is None or not self.zero_shot_weight:
            return scores
        columns = labels.unseen[: scores.shape[1]].nonzero()[:, 0]
        if not len(columns):
            return scores
        if self.pooling.vocabulary_dependent:
            before = self.base_scores(image.frozen, labels.text)[0][:, columns]
        else:
            before = self.base_scores(image.frozen, labels.text[columns])[0]
        return scores.index_copy(1, columns, torch.lerp(scores[:, columns], before, self.zero_shot_weight))

    def base_scores(
        self, image: ImageEmbedding, text: Tensor, teacher: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """What images alone say of labels ``(C, D)``, ``(B, C, ...)``, and the share of patches behind each."""
        raise NotImplementedError

    def combined(self, base: Tensor, *, vocabulary_free: bool = False) -> Tensor:  # noqa: ARG002
        """Base scores ``(B, C, ...)`` as one for each label ``(B, C)``."""
        return base

    def loss_terms(self, scores: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Terms of the loss of scaled scores ``(B, T)``."""
        loss = self.options.loss
        found: dict[str, Tensor] = loss.terms(scores + self.bias if loss.has_bias else scores, truth)
        return found

    def distillation_term(self, image: ImageEmbedding, target: Tensor) -> dict[str, Tensor]:
        """The weighted distance to the frozen global embeddings; empty at weight 0."""
        own = self.options.distillation
        if not own.weight:
            return {}
        return {"distillation": own.weight * distillation(image.global_, target, own.norm)}

    def patch_weights(self, patches: Tensor, labels: Labels, which: Tensor) -> tuple[Tensor, Tensor]:
        """How much patches of an image ``(P, D)`` speak for some labels ``(n,)``, and their likeness: ``(n, P)``."""
        weights = self.weigh(normalize(patches.float(), dim=-1)[None], labels.text)[0]
        return weights[which], self.similarity(patches, labels.text[which])

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Embed texts through what learned in the prompt: ``(N, D)`` float32 on the CPU, not normalised."""
        return self.text_tower.embed(texts, self.backbone.tokenizer)

    # What training asks --------------------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where everything lies."""
        found: torch.device = next(self.backbone.model.parameters()).device
        return found

    @property
    def dtype(self) -> torch.dtype:
        """What the tower computes in."""
        return self.backbone.dtype

    def move(self, device: str | torch.device, dtype: torch.dtype | None = None) -> "Method":
        """Move everything, in place; the towers and adapters take the dtype."""
        dtype = dtype or self.dtype
        self.to(device)
        self.backbone.to(device, dtype)
        for module in (*self._visual, *((self.adapters,) if self.adapters is not None else ())):
            module.to(device=device, dtype=dtype)
        return self

    @property
    def fitted(self) -> tuple[nn.Parameter, ...]:
        """What is fitted after training."""
        return () if self.propagation is None else (self.propagation.gain, self.propagation.center)

    def learned(self) -> dict[str, Tensor]:
        """What a run keeps, by name: parameters, and the statistics of the adapters' norms."""
        tail = {id(parameter) for parameters, _ in self._tail for parameter in parameters}
        own = {f"tail.{n}": p for visual in self._visual for n, p in visual.named_parameters() if id(p) in tail}
        # a prompt's buffers are token ids
        return own | {n: t for n, t in (*self.named_parameters(), *self.named_buffers()) if t.is_floating_point()}

    def trained(self) -> list[tuple[list[nn.Parameter], int | None]]:
        """Parameters that learn, and how many stages lie behind them; None for what is new."""
        return [*self._tail, (list(self.parameters()), None)]

    def learns(self) -> bool:
        """Whether anything but factors of scores has a gradient."""
        return any(p.requires_grad and p.ndim > 1 for parameters, _ in self.trained() for p in parameters)

    def log(self) -> dict[str, float]:
        """Learned factors that a history shows."""
        return {"logit_scale": float(self.log_scale.detach().exp())} if hasattr(self, "log_scale") else {}

    def pop_warnings(self) -> str:
        """What is to be said of the images since the last time; empty where all is well."""
        count, self._unconverged = int(self._unconverged), 0
        few = f"{count:,} images: regions and labels are not matched within {PUBLISHED.iterations} iterations"
        reg = getattr(self.pooling, "ot_reg", 0.0)
        return f"{few}; a larger patches.ot_reg than {reg:g} would be" if count else ""


@torch.no_grad()
def load_learned(method: Method, weights: Mapping[str, Tensor]) -> None:
    """Put a run's weights into a method."""
    for name, parameter in method.learned().items():
        parameter.copy_(weights[name])
