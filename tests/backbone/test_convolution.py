"""Fused convolutions compute what timm's modules do one after another, and keep up with weights that change."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from timm.layers.norm_act import BatchNormAct2d
from timm.models._efficientnet_blocks import DepthwiseSeparableConv, InvertedResidual
from torch import Tensor, nn

from c2srt_cli.backbone.convolution import FusedConvolution, use_fused_convolutions

KINDS: dict[str, Callable[[], nn.Module]] = {
    "pointwise, depthwise, pointwise": lambda: InvertedResidual(16, 16, 5, act_layer=nn.ReLU6, exp_ratio=3.0),
    "TensorFlow's padding": lambda: InvertedResidual(16, 24, 5, 2, pad_type="same", act_layer=nn.ReLU6, exp_ratio=2.0),
    "two convolutions": lambda: DepthwiseSeparableConv(16, 16, 3, act_layer=nn.ReLU),
    "an activation that is not fused": lambda: InvertedResidual(16, 16, 3, act_layer=nn.Hardswish, exp_ratio=2.0),
}


def block(kind: str) -> nn.Module:
    """A block with the statistics of one that was trained."""
    torch.manual_seed(0)
    made = KINDS[kind]().eval()
    for norm in made.modules():
        if isinstance(norm, BatchNormAct2d):
            assert norm.running_mean is not None and norm.running_var is not None
            for values, least in (
                (norm.weight, 0.5),
                (norm.bias, -1),
                (norm.running_mean, -1),
                (norm.running_var, 0.3),
            ):
                values.data.uniform_(least, least + 2)
    return made


@pytest.mark.parametrize("size", [17, 12, 1])  # odd and even sides are padded differently
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_block(kind: str, size: int) -> None:
    plain = block(kind)
    fused = deepcopy(plain)
    use_fused_convolutions(fused)
    assert any(isinstance(module, FusedConvolution) for module in fused.modules())
    assert [name for name, _ in fused.named_parameters()] == [name for name, _ in plain.named_parameters()]
    assert fused.state_dict().keys() == plain.state_dict().keys()
    x = torch.randn(3, 16, size, size).to(memory_format=torch.channels_last)
    expected = plain.double()(x.double()).float()
    torch.testing.assert_close(fused(x), expected, rtol=1e-4, atol=1e-4)
    near = fused.bfloat16()(x.bfloat16())
    assert near.dtype == torch.bfloat16
    assert (near.float() - expected).norm() < 0.02 * expected.norm()


@torch.no_grad()
def test_an_image_is_the_same_in_every_place_of_a_batch() -> None:
    model = block("TensorFlow's padding")
    use_fused_convolutions(model)
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.randn(5, 16, 20, 20).to(dtype, memory_format=torch.channels_last)
        model.to(dtype)
        assert torch.equal(model(x.flip(0)), model(x).flip(0))


def test_what_is_differentiated_is_not_fused() -> None:
    plain = block("pointwise, depthwise, pointwise")
    fused = deepcopy(plain)
    use_fused_convolutions(fused)
    x = torch.randn(2, 16, 9, 9)
    assert torch.equal(fused(x), plain(x))
    for model in (plain, fused):
        model(x).square().sum().backward()
    for own, other in zip(fused.parameters(), plain.parameters(), strict=True):
        assert own.grad is not None and other.grad is not None
        assert torch.equal(own.grad, other.grad)


@pytest.mark.parametrize("part", ["conv_dw.weight", "bn2.weight", "bn2.bias", "bn2.running_mean", "bn2.running_var"])
@torch.no_grad()
def test_a_changed_weight_or_statistic_is_folded_anew(part: str) -> None:
    plain = block("TensorFlow's padding")
    fused = deepcopy(plain)
    use_fused_convolutions(fused)
    x = torch.randn(2, 16, 9, 9)
    before: Tensor = fused(x)
    for model in (plain, fused):
        model.state_dict()[part].mul_(1.5)
    assert not torch.equal(fused(x), before)
    torch.testing.assert_close(fused(x), plain(x), rtol=1e-4, atol=1e-4)
    for model in (plain, fused):
        model.load_state_dict({name: value * 0.9 for name, value in model.state_dict().items()})
    torch.testing.assert_close(fused(x), plain(x), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_norm_that_gathers_statistics_is_left_to_itself() -> None:
    model = block("two convolutions").train()
    use_fused_convolutions(model)
    mean = model.state_dict()["bn1.running_mean"].clone()
    model(torch.randn(2, 16, 9, 9))
    assert not torch.equal(model.state_dict()["bn1.running_mean"], mean)


@torch.no_grad()
def test_another_size_of_picture_is_laid_out_anew() -> None:
    plain = block("TensorFlow's padding")
    fused = deepcopy(plain)
    use_fused_convolutions(fused)
    for size in (16, 9, 16):
        x = torch.randn(1, 16, size, size)
        torch.testing.assert_close(fused(x), plain(x), rtol=1e-4, atol=1e-4)
