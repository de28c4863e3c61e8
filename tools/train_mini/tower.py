"""MobileNetV2 1.0 without batch norm: convolutions with biases, as the teacher's are."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad, relu6

#: Expansion, channels, blocks, stride of each stage (Sandler et al. 2018, table 2).
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
FEATURES = 1280


class SameConv(nn.Conv2d):
    """A 3x3 convolution of stride 2 on even sides, padded as TensorFlow does: at the bottom and the right only."""

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, h, w)`` to ``(B, C', h / 2, w / 2)``."""
        if torch.is_grad_enabled():  # every second row and column of stride 1: its gradient takes a tenth of the time
            return conv2d(x, self.weight, self.bias, padding=1, groups=self.groups)[..., 1::2, 1::2]
        return conv2d(pad(x, (0, 1, 0, 1)), self.weight, self.bias, 2, groups=self.groups)


class Block(nn.Module):
    """An inverted residual."""

    def __init__(self, before: int, after: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = before * expansion
        self.expand = nn.Conv2d(before, inner, 1) if expansion > 1 else None
        kind = SameConv if stride == 2 else nn.Conv2d
        self.depthwise = kind(inner, inner, 3, stride, 1, groups=inner)
        self.project = nn.Conv2d(inner, after, 1)
        self.residual = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, h, w)`` to ``(B, C', h / stride, w / stride)``."""
        inner = x if self.expand is None else relu6(self.expand(x))
        out = self.project(relu6(self.depthwise(inner)))
        return x + out if self.residual else out


class Tower(nn.Module):
    """Stem, seven stages and the last convolution; the stages are numbered as in timm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, 32, 3, 2, 1)
        self.stages = nn.ModuleList()
        before = 32
        for expansion, channels, blocks, stride in STAGES:
            stage = nn.Sequential()
            for index in range(blocks):
                stage.append(Block(before, channels, expansion, stride if index == 0 else 1))
                before = channels
            self.stages.append(stage)
        self.last = nn.Conv2d(before, FEATURES, 1)

    def convolutions(self) -> Iterator[nn.Conv2d]:
        """In the order in which they run."""
        return (module for module in self.modules() if isinstance(module, nn.Conv2d))

    @torch.no_grad()
    def load(self, weights: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Take weights and biases in the order of `convolutions`."""
        for module, (weight, bias) in zip(self.convolutions(), weights, strict=True):
            assert module.bias is not None
            module.weight.copy_(weight)
            module.bias.copy_(bias)

    def trunk(self, pixels: Tensor, cut: int) -> Tensor:
        """``(B, 3, S, S)`` in [-1, 1] to the map before stage ``cut``."""
        x = relu6(self.stem(pixels))
        for stage in self.stages[:cut]:
            x = stage(x)
        return x

    def tail(self, x: Tensor, cut: int) -> Tensor:
        """The map before stage ``cut`` to features ``(B, 1280, S / 32, S / 32)``."""
        for stage in self.stages[cut:]:
            x = stage(x)
        return relu6(self.last(x))
