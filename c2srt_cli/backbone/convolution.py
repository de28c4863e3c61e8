"""Convolutions in the form in which a processor is fastest: with the norm and the activation that follow, in one pass.

A depthwise tower spends its time on reading and writing maps more than on arithmetic: folded and fused by oneDNN, a
MobileNet or EfficientNet takes less than half as long on a CPU (`benchmarks/`). Where something is to be differentiated
the modules compute what they always have, and parameters and their names stay as they are throughout.
"""

from threading import Lock
from typing import cast

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from timm.layers.padding import get_same_padding
from timm.models._efficientnet_blocks import DepthwiseSeparableConv, InvertedResidual
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.utils.weak import WeakTensorKeyDictionary

#: Which convolution a norm follows at once.
FOLLOWED: dict[type[nn.Module], tuple[tuple[str, str], ...]] = {
    EfficientNet: (("conv_stem", "bn1"), ("conv_head", "bn2")),
    DepthwiseSeparableConv: (("conv_dw", "bn1"), ("conv_pw", "bn2")),
    InvertedResidual: (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")),
}
#: What oneDNN calls the activations, with their arguments.
ACTIVATIONS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.Identity: ("none", []),
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
}
#: The batch that weights are laid out for. One constant: layout, and with it rounding, must not depend on which batch
#: came first.
LAYOUT_BATCH = 8

_packed = WeakTensorKeyDictionary()
_packing = Lock()


class FusedConvolution(nn.Conv2d):
    """A convolution that also does the norm and the activation behind it, where nothing is differentiated."""

    follower: tuple[BatchNormAct2d]  # in a tuple, out of torch's sight: it is a module of its parent already
    _same = False

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """``(B, C, h, w)`` to ``(B, C', h', w')``."""
        (norm,) = self.follower
        if not _fuses(input, norm):
            return super().forward(input)
        padding = list(cast(tuple[int, ...], self.padding))
        if self._same:
            (top, bottom), (left, right) = (
                (total // 2, total - total // 2)
                for total in map(get_same_padding, input.shape[2:], self.kernel_size, self.stride, self.dilation)
            )
            padding = [top, left]
            if (top, left) != (bottom, right):
                input, padding = pad(input, (left, right, top, bottom)), [0, 0]  # noqa: A001
        weight, bias = _fold(self, norm, padding, tuple(input.shape[2:]))
        name, arguments = ACTIVATIONS[type(norm.act)]
        fused: Tensor = torch.ops.mkldnn._convolution_pointwise(
            input, weight, bias, padding, self.stride, self.dilation, self.groups, name, arguments, ""
        )
        return fused


class FusedSameConvolution(FusedConvolution, Conv2dSame):
    """The same with TensorFlow's padding."""

    _same = True


class FollowingNorm(BatchNormAct2d):
    """A norm with activation that leaves both to the convolution before it where that one fuses."""

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, h, w)``."""
        return x if _fuses(x, self) else cast(Tensor, super().forward(x))  # type: ignore[no-untyped-call]


FUSED: dict[type[nn.Module], type[FusedConvolution]] = {
    nn.Conv2d: FusedConvolution,
    Conv2dSame: FusedSameConvolution,
}


def use_fused_convolutions(model: nn.Module) -> None:
    """Let every convolution of timm's EfficientNets and MobileNets within ``model`` do the norm behind it."""
    for parent in model.modules():
        for first, second in FOLLOWED.get(type(parent), ()):
            convolution, norm = getattr(parent, first, None), getattr(parent, second, None)
            if not isinstance(convolution, nn.Conv2d) or type(convolution) not in FUSED:
                continue
            if type(norm) is BatchNormAct2d and type(norm.act) in ACTIVATIONS:
                convolution.__class__, norm.__class__ = FUSED[type(convolution)], FollowingNorm
                convolution.follower = (norm,)  # type: ignore[assignment]


def _fuses(x: Tensor, norm: nn.BatchNorm2d) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.bfloat16)
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not norm.training
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    )


def _fold(
    convolution: nn.Conv2d, norm: nn.BatchNorm2d, padding: list[int], size: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Weight in oneDNN's layout, and bias, of the convolution with the norm: made once per state of both."""
    weight, mean, variance = convolution.weight, norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    parts = [part for part in (weight, convolution.bias, norm.weight, norm.bias, mean, variance) if part is not None]
    state = (size, *((p.data_ptr(), p.dtype, 0 if p.is_inference() else p._version) for p in parts))
    known = _packed.get(weight)  # type: ignore[no-untyped-call]
    if known is None or known[0] != state:
        with _packing:  # passes that start side by side would lay out every weight at the same time
            known = _packed.get(weight)  # type: ignore[no-untyped-call]
            if known is None or known[0] != state:
                gain = norm.weight.float() * (variance.float() + norm.eps).rsqrt()
                before = 0.0 if convolution.bias is None else convolution.bias.float()
                bias = norm.bias.float() + (before - mean.float()) * gain
                folded = (weight.detach().float() * gain[:, None, None, None]).to(weight.dtype)
                folded = torch.ops.mkldnn._reorder_convolution_weight(
                    folded,
                    padding,
                    convolution.stride,
                    convolution.dilation,
                    convolution.groups,
                    [LAYOUT_BATCH, convolution.in_channels, *size],
                )
                known = _packed[weight] = (state, folded, bias.detach().to(weight.dtype))
    return known[1], known[2]
