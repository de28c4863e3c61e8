"""The image side of a method: a tower whose last stages may learn, beside the backbone as it is."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.backbone.tower import ImageTower, Tokens, run_late_stages
from c2srt_cli.backbone.towers import tower_of
from c2srt_cli.errors import UsageError
from c2srt_cli.methods.lla import LocalAdapters
from c2srt_cli.methods.options import TailOptions
from c2srt_cli.methods.prompt import PromptLearner, TextTokens
from c2srt_cli.methods.scores import TokenNeed
from c2srt_cli.methods.vocabulary import Labels


class ImageSide(nn.Module):
    """What makes embeddings of tokens. The backbone stays as it is: the stages that learn are a copy.

    Args:
        options: The method's own.
        backbone: On its device. Not changed.

    Attributes:
        need: The tokens that it reads.
        text_tower: The text tower, reading through the prompt or the tokens that learn.
        adapters: Ladder local adapters, or None.
        prompt: A prompt that learns, or None.
        text_tokens: Tokens that learn in the text tower, or None.
    """

    name: ClassVar[str]
    #: Whether it learns on the image side of a finished run.
    needs_init: ClassVar[bool] = False

    def __init__(self, options: Any, backbone: Backbone) -> None:
        super().__init__()
        self.options, self.backbone = options, backbone
        self.need = self.needs(options, backbone.tower)
        self.adapters: LocalAdapters | None = None
        self.prompt: PromptLearner | None = None
        self.text_tokens: TextTokens | None = None
        self.text_tower = backbone.text
        backbone.model.requires_grad_(False)
        # in tuples, as not all of their parameters are the method's
        self._tower: tuple[ImageTower] = (backbone.tower,)
        self._visual: tuple[nn.Module, ...] = ()
        self._trained: list[tuple[list[nn.Parameter], int]] = []
        if stages := self.trained_stages:
            first = backbone.tower.depth - stages
            shared = {id(stage): stage for stage in backbone.tower.stages[:first]}
            visual = deepcopy(backbone.model.visual, shared)
            self._visual, self._tower = (visual,), (tower_of(visual),)
            self._trained = [
                (list(stage.parameters()), stages - i) for i, stage in enumerate(self.tower.stages[first:])
            ]
            self._trained.append((self.tower.head_parameters, 0))
            for parameters, _ in self._trained:
                for parameter in parameters:
                    parameter.requires_grad_(not self.needs_init)

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

    @property
    def tower(self) -> ImageTower:
        """The image tower whose last stages learn."""
        return self._tower[0]

    @property
    def trained_stages(self) -> int:
        """Last stages of the tower that are the method's own."""
        return self.options.trained_stages if isinstance(self.options, TailOptions) else 0

    def reads_frozen(self, labels: Labels) -> bool:  # noqa: ARG002
        """Whether the frozen embeddings are asked for beside its own, to score these labels."""
        return False

    def add_adapters(self) -> None:
        """Put ladder local adapters on the tower, where the options say so."""
        adapters = self.options.adapters
        if adapters.stages:
            self.adapters = LocalAdapters(
                self.backbone.tower,
                self.backbone.dim,
                stages=adapters.stages,
                tokens=adapters.vision_tokens,
                norm=adapters.norm,
                random_init=adapters.random_init,
            )

    def embed(
        self, tokens: Tokens, labels: Labels, split_stage: int, attention: str | None, *, frozen: bool | None = None
    ) -> ImageEmbedding:
        """Run the late stages of the tower.

        Args:
            tokens: Entering the split, on the device.
            labels: Those that adapters read: the ones that are asked for.
            split_stage: Where the tokens enter.
            attention: Blocks whose value-value attention gives the patches, or None.
            frozen: Whether the frozen late stages run too; None where its embeddings are asked for.
        """
        if attention is None:
            tokens = Tokens(tokens.x)
        if frozen is None:
            frozen = self.reads_frozen(labels)
        if self.adapters is None:
            global_, patches = run_late_stages(self.tower, tokens, split_stage, attention)
        else:
            global_, patches = self.adapters.late_stages(self.tower, tokens, labels.asked_text, split_stage, attention)
        assert global_ is not None
        if not frozen:
            return ImageEmbedding(global_, patches)
        with torch.no_grad():
            before, patches_before = run_late_stages(self.backbone.tower, tokens, split_stage, attention)
        assert before is not None
        return ImageEmbedding(global_, patches, ImageEmbedding(before, patches_before))

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Embed texts through what learned in the prompt: ``(N, D)`` float32 on the CPU, not normalised."""
        return self.text_tower.embed(texts, self.backbone.tokenizer)

    @property
    def device(self) -> torch.device:
        """Where everything lies."""
        found: torch.device = next(self.backbone.model.parameters()).device
        return found

    @property
    def dtype(self) -> torch.dtype:
        """What the tower computes in."""
        return self.backbone.dtype

    def move(self, device: str | torch.device, dtype: torch.dtype | None = None) -> Self:
        """Move everything, in place; the towers and adapters take the dtype."""
        dtype = dtype or self.dtype
        self.to(device)
        self.backbone.to(device, dtype)
        for module in (*self._visual, *((self.adapters,) if self.adapters is not None else ())):
            module.to(device=device, dtype=dtype)
        return self

    def learned(self) -> dict[str, Tensor]:
        """What a run keeps, by name: parameters, and the statistics of the adapters' norms."""
        trained = {id(parameter) for parameters, _ in self._trained for parameter in parameters}
        own = {f"visual.{n}": p for visual in self._visual for n, p in visual.named_parameters() if id(p) in trained}
        # a prompt's buffers are token ids
        return own | {n: t for n, t in (*self.named_parameters(), *self.named_buffers()) if t.is_floating_point()}

    def trained(self) -> list[tuple[list[nn.Parameter], int | float | None]]:
        """Parameters that learn, and how many stages lie behind them; None for what is new, or a rate of its own."""
        return [*self._trained, (list(self.parameters()), None)]

    def learns(self) -> bool:
        """Whether anything but factors of scores has a gradient."""
        return any(p.requires_grad and p.ndim > 1 for parameters, _ in self.trained() for p in parameters)


@torch.no_grad()
def load_learned(method: ImageSide, weights: Mapping[str, Tensor]) -> None:
    """Put a run's weights into a method."""
    for name, parameter in method.learned().items():
        parameter.copy_(weights[name])
