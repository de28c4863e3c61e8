"""A trained backbone beside the same as it was before: both tails on the same tokens."""

from typing import Self

import torch
from torch import Tensor

from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.backbone.tower import Tokens


class TwinBackbone(Backbone):
    """The trained backbone in all respects, but for embeddings that have the frozen ones behind them.

    Args:
        trained: Some of its last stages have been trained.
        frozen: The same without training.
    """

    def __init__(self, trained: Backbone, frozen: Backbone) -> None:
        self.__dict__.update(vars(trained))
        self._trained, self._frozen = trained, frozen

    @property
    def plain(self) -> Backbone:
        """See `Backbone.plain`."""
        return self._trained.plain

    def to(self, device: str | torch.device, dtype: torch.dtype) -> Self:
        """Move both."""
        self._trained.to(device, dtype)
        self._frozen.to(device, dtype)
        return self

    def tail(self, tokens: Tokens, cut: int, *, dense: str | None = None) -> tuple[Tensor | None, Tensor]:
        """See `Backbone.tail`; ``(B, 2 D)`` and ``(B, P, 2 D)``."""
        (whole, patches), (before, patches_before) = (
            backbone.tail(tokens, cut, dense=dense) for backbone in (self._trained, self._frozen)
        )
        both = None if whole is None or before is None else torch.cat([whole, before], -1)
        return both, torch.cat([patches, patches_before], -1)
