"""What every image tower offers: stages that can be split, and two streams of tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from c2srt_cli.errors import UsageError

Streams = Literal["global", "local", "both"]

#: Blocks from the end that feed the local stream under ``patch_attention="value"`` (CLIP-Surgery, arXiv 2304.05653).
VALUE_BLOCKS = 6

SUPPORTED = (
    "open_clip's VisionTransformer, timm ViT and EVA trunks (SigLIP, EVA02, PE), "
    "and the timm CNNs ConvNeXt, FastViT, EfficientNet and MobileNetV3/V4"
)


@dataclass(slots=True)
class Tokens:
    """The map entering a split.

    Attributes:
        x: Global stream ``(B, T, W)``, prefix tokens first, then the grid row by row.
        local: Value-value stream ``(B, T, W)``.
    """

    x: Tensor | None
    local: Tensor | None = None

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "Tokens":
        """The same elsewhere."""
        return Tokens(*(None if part is None else part.to(device, dtype) for part in (self.x, self.local)))


class ImageTower(Protocol):
    """An image tower as a list of stages.

    The embedding of a patch is, in every family, what the tower's own head makes of that patch alone: the final norm
    and projection of its token; for attention pools the pool over that one token, which is its value path; for CNNs
    pooling, norms and projection at that one location.

    Attributes:
        depth: Number of stages; a split is in 0..depth.
        num_prefix: Class and register tokens in front of the grid.
        supports_local: Whether there is a value-value stream.
        stages: The stages' modules, one entry per stage.
    """

    depth: int
    num_prefix: int
    supports_local: bool

    @property
    def stages(self) -> Sequence[nn.Module]: ...  # noqa: D102

    @property
    def head_parameters(self) -> list[nn.Parameter]:
        """Parameters used after the last stage: norms, pool, projection."""
        ...

    def grid(self, split_stage: int) -> tuple[int, int]:
        """Height and width of the map at the split."""
        ...

    def width(self, split_stage: int) -> int:
        """Channels W at the split."""
        ...

    def stem(self, pixels: Tensor) -> Tensor:
        """Normalised pixels ``(B, 3, S, S)`` to the tokens before stage 0, ``(B, T, W)``."""
        ...

    def run(self, tokens: Tokens, start: int, stop: int, local_from: int | None) -> Tokens:
        """Run the stages ``start`` to ``stop - 1``.

        Args:
            tokens: Entering ``start``, with ``x``.
            start: First stage.
            stop: One past the last stage.
            local_from: First stage that feeds the local stream; None to leave it out.
        """
        ...

    def pool(self, x: Tensor) -> Tensor:
        """Tokens after the last stage ``(B, T, W)`` to the global embedding ``(B, D)``."""
        ...

    def project(self, x: Tensor) -> Tensor:
        """Tokens of either stream after the last stage ``(B, T, W)`` to patches ``(B, P, D)``."""
        ...


def local_start(tower: ImageTower, patch_attention: str | None) -> int | None:
    """The first stage that feeds the local stream; None without one.

    Raises:
        UsageError: ``patch_attention`` is unknown, or the tower has no local stream.
    """
    if patch_attention is None:
        return None
    if patch_attention not in ("value", "value-all"):
        raise UsageError(f"there is no local stream {patch_attention!r}", hint="use value, value-all or none")
    if not tower.supports_local:
        raise UsageError(
            f"this backbone has no value-value stream, so {patch_attention!r} cannot be computed",
            hint="use it without one",
        )
    return 0 if patch_attention == "value-all" else max(0, tower.depth - VALUE_BLOCKS)


def run_late_stages(
    tower: ImageTower, tokens: Tokens, split_stage: int, patch_attention: str | None = None
) -> tuple[Tensor | None, Tensor]:
    """Run everything of a tower from the split on, differentiably; see `Backbone.late_stages`."""
    start = local_start(tower, patch_attention)
    if tokens.x is None and (tokens.local is None or split_stage < tower.depth):
        raise UsageError("only the global stream can be continued from a split", hint="store both streams")
    if start is not None and tokens.local is None and split_stage > start:
        raise UsageError(
            f"a value-value stream that starts at stage {start} cannot be restarted before stage {split_stage}",
            hint="store both streams, or use none",
        )
    if start is not None and split_stage <= start:
        tokens = Tokens(tokens.x)  # still equal to the global one
    if tokens.x is not None:
        tokens = tower.run(tokens, split_stage, tower.depth, start)
    local = tokens.x if tokens.local is None else tokens.local
    assert local is not None
    return None if tokens.x is None else tower.pool(tokens.x), tower.project(local)
