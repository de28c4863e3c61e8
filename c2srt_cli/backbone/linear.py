"""Linear layers and attention in the form in which each processor is fastest, same values up to rounding.

Two facts stand behind this file, both measured on CPUs (`benchmarks/`): oneDNN with a weight reordered once is up to
2.3 times as fast as the eager layer in float32 and about 10 % in bfloat16, where it also takes the activation along for
nothing; and for the few hundred tokens of an image, bfloat16 attention written as two batched products is twice as fast
as the fused kernel.
"""

from threading import Lock
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.weak import WeakTensorKeyDictionary

Activation = Literal["none", "gelu", "swish"]

#: The row count that weights are laid out for. One constant: layout, and with it rounding, must not depend on which
#: batch came first.
LAYOUT_ROWS = 1024

#: Above this many tokens the score matrix leaves the cache and the fused kernel wins.
MAX_UNFUSED_TOKENS = 512

_packed = WeakTensorKeyDictionary()
_packing = Lock()


class Linear(nn.Linear):
    """torch's layer, computed by `linear`."""

    @classmethod
    def of(cls, layer: nn.Linear) -> "Linear":
        """One with the parameters of another."""
        own = cls(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        own.weight, own.bias = layer.weight, layer.bias
        return own.train(layer.training)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """As torch's."""
        return linear(input, self.weight, self.bias)


def use_packed_linears(model: nn.Module) -> None:
    """Let every plain linear layer within ``model``, torch's or timm's, be computed by `linear`; parameters stay."""
    ours: dict[nn.Module, nn.Module] = {}  # a layer may stand in several places
    for parent in [*model.modules()]:
        for name, layer in [*parent.named_children()]:
            if isinstance(layer, nn.Linear) and type(layer).__name__ == "Linear":
                setattr(parent, name, ours.setdefault(layer, Linear.of(layer)))


def linear(
    x: Tensor, weight: Tensor, bias: Tensor | None, activation: Activation = "none", *, transposed: bool = False
) -> Tensor:
    """``activation(x @ weight.T + bias)``, a row's result independent of its place among the rows.

    Args:
        x: ``(..., W)``.
        weight: ``(V, W)``, or ``(W, V)`` where ``transposed``, as open_clip stores its projections.
        bias: ``(V,)`` or None.
        activation: ``gelu`` (exact) or ``swish`` (SiLU).
        transposed: How the weight is stored.

    Returns:
        ``(..., V)``.
    """
    known = weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.bfloat16)
    if known and not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu"):
        packed = _pack(weight, transposed)
        if packed is not None:
            y: Tensor = torch.ops.mkldnn._linear_pointwise(
                x.reshape(-1, x.shape[-1]), packed, bias, activation, [], "none" if activation == "gelu" else ""
            )
            return y.view(*x.shape[:-1], -1)
    y = functional.linear(x, weight.T if transposed else weight, bias)
    if activation == "gelu":
        return functional.gelu(y)
    return functional.silu(y) if activation == "swish" else y


def _pack(weight: Tensor, transposed: bool) -> Tensor | None:
    """The weight in oneDNN's layout, made once per state of the weight; None where torch is built without oneDNN."""
    state = (weight.data_ptr(), weight.dtype, 0 if weight.is_inference() else weight._version)
    known = _packed.get(weight)  # type: ignore[no-untyped-call]
    if known is not None and known[0] == state:
        packed: Tensor | None = known[1]
        return packed
    with _packing:  # passes that start side by side would lay out every weight at the same time
        known = _packed.get(weight)  # type: ignore[no-untyped-call]
        if known is not None and known[0] == state:
            return cast("Tensor | None", known[1])
        rows = weight.detach().T.contiguous() if transposed else weight.detach()
        try:
            packed = torch.ops.mkldnn._reorder_linear_weight(rows, LAYOUT_ROWS)
        except (AttributeError, RuntimeError):
            packed = None
        _packed[weight] = (state, packed)
        return packed


def attention(q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None = None) -> Tensor:
    """``softmax(q k^T scale + mask) v``.

    Args:
        q: ``(B, H, T, d)``, as are ``k`` and ``v``.
        k: Keys.
        v: Values.
        scale: Usually ``d ** -0.5``.
        mask: Additive, ``(T, T)``.

    Returns:
        ``(B, H, T, d)``.
    """
    b, h, t, d = q.shape
    if q.device.type != "cpu" or q.dtype == torch.float32 or t > MAX_UNFUSED_TOKENS:
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    q, k, v = (part.reshape(b * h, t, d) for part in (q, k, v))  # (B*H, T, d)
    zero = q.new_zeros(()) if mask is None else mask.to(q.dtype)
    scores = torch.baddbmm(zero, q, k.transpose(1, 2), beta=int(mask is not None), alpha=scale)  # (B*H, T, T)
    return torch.bmm(scores.softmax(-1), v).view(b, h, t, d)
