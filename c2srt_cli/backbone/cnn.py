"""timm CNNs inside open_clip's TimmModel, split between their stages."""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from open_clip.timm_model import TimmModel
from timm.models.convnext import ConvNeXt
from timm.models.efficientnet import EfficientNet
from timm.models.fastvit import FastVit
from timm.models.mobilenetv3 import MobileNetV3
from torch import Tensor, nn

from c2srt_cli.backbone.tower import SUPPORTED, Tokens
from c2srt_cli.errors import UsageError


class CnnTower(nn.Module):
    """The stages of a timm CNN; tokens are the feature map, flattened row by row, without prefix.

    A convolution over the last map that precedes pooling (EfficientNet's ``conv_head``, FastViT's ``final_conv``) is a
    stage of its own. One that follows pooling (MobileNetV3's) belongs to the head. There is no local stream: a CNN's
    map is local as it is.

    On a CPU in float32, the sigmoid gates of EfficientNet's squeeze-and-excite may round the last bit of an image's
    values differently in another place of the batch; the other families do not.

    Raises:
        UsageError: the family is not supported, or the head is an attention pool.
    """

    num_prefix = 0
    supports_local = False

    def __init__(self, visual: TimmModel) -> None:
        super().__init__()
        if hasattr(visual.head, "pool"):
            raise UsageError("attention-pooled CNNs are not supported", hint=f"supported: {SUPPORTED}")
        self.visual = visual
        _pool_nothing(visual.trunk)
        self._stem, self._stages = _split(visual.trunk)
        self.depth = len(self._stages)
        self._shapes = self._map_shapes()

    @property
    def stages(self) -> Sequence[nn.Module]:
        """The stages between which the tower can be split."""
        return self._stages

    @property
    def head_parameters(self) -> list[nn.Parameter]:
        """Everything that runs neither in the stem nor in a stage."""
        earlier = {id(parameter) for part in (*self._stem, *self._stages) for parameter in part.parameters()}
        return [parameter for parameter in self.visual.parameters() if id(parameter) not in earlier]

    def grid(self, split_stage: int) -> tuple[int, int]:
        """Height and width of the map at the split."""
        _, height, width = self._shapes[split_stage]
        return height, width

    def width(self, split_stage: int) -> int:
        """Channels of the map at the split."""
        return self._shapes[split_stage][0]

    def stem(self, pixels: Tensor) -> Tensor:
        """The stem convolutions: ``(B, 3, S, S)`` to ``(B, T, W)``."""
        return _to_tokens(_through(self._stem, pixels))

    def run(self, tokens: Tokens, start: int, stop: int, local_from: int | None) -> Tokens:  # noqa: ARG002
        """Run stages; see `ImageTower`."""
        assert tokens.x is not None
        if start == stop:
            return tokens
        return Tokens(_to_tokens(_through(self._stages[start:stop], self._to_map(tokens.x, start))))

    def pool(self, x: Tensor) -> Tensor:
        """The trunk's own pool and head, and the projection."""
        return cast(Tensor, self.visual.head(self.visual.trunk.forward_head(self._to_map(x, self.depth))))

    def project(self, x: Tensor) -> Tensor:
        """What the head makes of each location alone: pooling a map of one pixel is the identity."""
        b, p, w = x.shape
        alone = self.visual.trunk.forward_head(x.reshape(b * p, w, 1, 1))
        return cast(Tensor, self.visual.head(alone).view(b, p, -1))  # (B, P, D)

    def _to_map(self, x: Tensor, split_stage: int) -> Tensor:
        return x.transpose(1, 2).reshape(len(x), self.width(split_stage), *self.grid(split_stage))  # (B, C, h, w)

    def _map_shapes(self) -> list[tuple[int, int, int]]:
        """Channels, height and width at every split, from a pass over shapes alone."""
        shapes: list[tuple[int, int, int]] = []
        x = torch.zeros(1, 3, *self.visual.image_size, device="meta")
        training = self.visual.training
        self.visual.eval()
        with torch.no_grad():
            for part in (nn.Sequential(*self._stem), *self._stages):
                state = {name: value.to("meta") for name, value in part.state_dict().items()}
                x = torch.func.functional_call(part, state, (x,))
                shapes.append(cast(tuple[int, int, int], tuple(x.shape[1:])))
        self.visual.train(training)
        return shapes


class _Average(nn.AdaptiveAvgPool2d):
    """The mean of a map. That of a single pixel is the pixel, which torch takes as long to find as a convolution."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        return input if input.shape[-2:] == (1, 1) else super().forward(input)


def _pool_nothing(trunk: nn.Module) -> None:
    """Pool no single pixels, of which `CnnTower.project` has one a location."""
    for part in list(trunk.modules()):
        for name, child in part.named_children():
            if type(child) is nn.AdaptiveAvgPool2d and child.output_size == 1:
                setattr(part, name, _Average(1))


def _split(trunk: nn.Module) -> tuple[list[nn.Module], list[nn.Module]]:
    """Stem and stages, each a chain of modules."""
    if isinstance(trunk, ConvNeXt):
        last = [] if isinstance(trunk.norm_pre, nn.Identity) else [trunk.norm_pre]
        return [trunk.stem], [*trunk.stages, *last]
    if isinstance(trunk, MobileNetV3):
        return [trunk.conv_stem, trunk.bn1], list(trunk.blocks)
    if isinstance(trunk, EfficientNet):
        return [trunk.conv_stem, trunk.bn1], [*trunk.blocks, nn.Sequential(trunk.conv_head, trunk.bn2)]
    if isinstance(trunk, FastVit) and not trunk.fork_feat:
        return [trunk.stem], [*trunk.stages, trunk.final_conv]
    raise UsageError(f"towers of the kind {type(trunk).__name__} are not supported", hint=f"supported: {SUPPORTED}")


def _through(parts: Sequence[Callable[[Tensor], Tensor]], x: Tensor) -> Tensor:
    for part in parts:
        x = part(x)
    return x


def _to_tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2).contiguous()  # (B, C, h, w) -> (B, h*w, C)
