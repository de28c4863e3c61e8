"""The image tower as it learns: the teacher's convolutions, batch norms folded into biases, quick on a processor."""

from copy import deepcopy
from typing import Any, cast

import torch
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from c2srt_cli.backbone.convolution import ACTIVATIONS, FOLLOWED


def followed(model: nn.Module) -> list[tuple[str, str]]:
    """The path of every convolution with that of the norm behind it."""
    return [
        (f"{path}.{first}".lstrip("."), f"{path}.{second}".lstrip("."))
        for path, parent in model.named_modules()
        for first, second in FOLLOWED.get(type(parent), ())
    ]


class Tower(nn.Module):
    """Stem, seven stages and the last convolution.

    Args:
        teacher: Where the weights come from; left as it is.
    """

    def __init__(self, teacher: EfficientNet) -> None:
        super().__init__()
        self.model = deepcopy(teacher)
        self.model.reset_classifier(0)
        for convolution, norm in followed(teacher):
            plain, after = self.model.get_submodule(convolution), self.model.get_submodule(norm)
            folded = fuse_conv_bn_eval(cast(nn.Conv2d, plain), cast(nn.BatchNorm2d, after))
            self.model.set_submodule(convolution, Convolution(folded, cast(nn.Module, after.act)))
            self.model.set_submodule(norm, nn.Identity())

    @property
    def stages(self) -> nn.Sequential:
        """Numbered as in timm."""
        return self.model.blocks

    def freeze(self, first: int) -> None:
        """Let only the stages from ``first`` on learn, and of these not the depthwise kernels."""
        for part in (self.model.conv_stem, *self.stages[:first]):
            part.requires_grad_(False)
        for module in self.modules():
            if isinstance(module, Convolution) and module.depthwise:
                module.weight.requires_grad_(False)

    def tail(self, x: Tensor, cut: int) -> Tensor:
        """The map before stage ``cut`` to features ``(B, 1280, S / 32, S / 32)`` in bfloat16, sides rounded up."""
        x = x.bfloat16()
        for stage in self.stages[cut:]:
            x = stage(x)
        return cast(Tensor, self.model.conv_head(x))


class Convolution(nn.Module):
    """A convolution with bias and activation, in bfloat16: one pass each way, where torch's own takes ten.

    Args:
        folded: Pointwise or depthwise, with odd kernel, padded to keep its size or, of odd sides, half of it.
        activation: Behind it.
    """

    def __init__(self, folded: nn.Conv2d, activation: nn.Module) -> None:
        super().__init__()
        assert folded.bias is not None
        self.weight, self.bias = folded.weight, folded.bias
        self.stride, self.groups = folded.stride[0], folded.groups
        self.activation = ACTIVATIONS[type(activation)]

    @property
    def depthwise(self) -> bool:
        """Whether each channel has a kernel of its own."""
        return self.groups > 1

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, h, w)`` to ``(B, C', h', w')``."""
        assert self.stride == 1 or x.shape[2] % 2, "an even side is padded at one end only"
        out: Tensor = _Function.apply(x, self.weight, self.bias, self)
        return out


class _Function(torch.autograd.Function):
    """A depthwise convolution's gradient is one with the kernel turned round; torch computes the kernel's too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, layer: Convolution) -> Tensor:
        weight = weight.bfloat16()
        y = _convolve(x, weight, bias.bfloat16(), groups=layer.groups, stride=layer.stride, activation=layer.activation)
        ctx.layer = layer
        ctx.save_for_backward(x, weight, y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,), layer = gradients, cast(Convolution, ctx.layer)
        x, weight, y = ctx.saved_tensors
        if layer.activation[0] == "hardtanh":
            g = torch.ops.aten.hardtanh_backward(g, y, *layer.activation[1])
        g = g.contiguous(memory_format=torch.channels_last)
        bias = g.sum((0, 2, 3)).float()
        if not layer.depthwise:
            rows, inputs = g.permute(0, 2, 3, 1).flatten(0, 2), x.permute(0, 2, 3, 1).flatten(0, 2)  # (B*h*w, C)
            kernel = weight.flatten(1)
            before = (rows @ kernel).view(len(x), *x.shape[2:], -1).permute(0, 3, 1, 2)
            return before, (rows.T @ inputs).float().view_as(weight), bias, None
        if layer.stride > 1:
            spread = torch.zeros_like(x)
            spread[..., :: layer.stride, :: layer.stride] = g
            g = spread
        return _convolve(g, weight.flip(2, 3), None, groups=layer.groups), None, bias, None


def _convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    groups: int,
    stride: int = 1,
    activation: tuple[str, list[float]] = ("none", []),
) -> Tensor:
    out: Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, weight, bias, [weight.shape[-1] // 2] * 2, [stride] * 2, [1, 1], groups, *activation, ""
    )
    return out
