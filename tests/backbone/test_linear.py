"""The fast layers compute what torch's do, and keep up with weights that change."""

import pytest
import torch
from torch.nn import functional

from c2srt_cli.backbone.linear import Linear, attention, linear, use_packed_linears


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_linear_and_its_activations(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(3, 7, 32), torch.randn(48, 32) / 6, torch.randn(48)
    x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
    y = functional.linear(x.double(), weight.double(), bias.double())
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    for activation, expected in (("none", y), ("gelu", functional.gelu(y)), ("swish", functional.silu(y))):
        got = linear(x, weight, bias, activation)  # type: ignore[arg-type]
        assert got.dtype == dtype
        torch.testing.assert_close(got.double(), expected, rtol=tolerance, atol=tolerance)
    got = linear(x, weight.T.contiguous(), None, transposed=True)
    torch.testing.assert_close(got.double(), y - bias.double(), rtol=tolerance, atol=tolerance)


def test_a_changed_weight_is_laid_out_anew() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(8, 4)).eval()
    weight, bias = model.parameters()
    use_packed_linears(model)
    layer = model[0]
    assert type(layer) is Linear and not layer.training
    assert layer.weight is weight and layer.bias is bias
    x = torch.randn(5, 8)
    for change in (lambda: None, lambda: layer.weight.mul_(2), lambda: layer.to(torch.float64), layer.float):
        with torch.no_grad():
            change()
            value = x.to(layer.weight.dtype)
            torch.testing.assert_close(layer(value), functional.linear(value, layer.weight, layer.bias))
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    layer(x).square().sum().backward()
    optimizer.step()
    with torch.no_grad():
        torch.testing.assert_close(layer(x), functional.linear(x, layer.weight, layer.bias))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("causal", [False, True])
def test_attention(dtype: torch.dtype, causal: bool) -> None:
    torch.manual_seed(0)
    q, k, v = (part.to(dtype) for part in torch.randn(3, 2, 4, 9, 16))
    mask = torch.full((9, 9), float("-inf")).triu(1) if causal else None
    scores = q.double() @ k.double().transpose(2, 3) * 0.3
    expected = (scores if mask is None else scores + mask).softmax(-1) @ v.double()
    tolerance = 1e-5 if dtype == torch.float32 else 3e-2
    torch.testing.assert_close(attention(q, k, v, 0.3, mask).double(), expected, rtol=tolerance, atol=tolerance)
