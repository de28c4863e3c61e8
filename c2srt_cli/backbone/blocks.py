"""open_clip's residual attention block on two streams."""

from typing import Any

from open_clip.transformer import LayerScale, ResidualAttentionBlock
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from c2srt_cli.backbone.linear import attention, linear


def is_plain(block: nn.Module) -> bool:
    """Whether `residual_block` computes what the block's own forward does."""
    return (
        type(block) is ResidualAttentionBlock
        and isinstance(block.attn, nn.MultiheadAttention)
        and block.attn.in_proj_weight is not None
        and block.attn.bias_k is None
        and not hasattr(block, "ln_1_kv")
    )


def residual_block(
    block: ResidualAttentionBlock, x: Tensor, local: Tensor | None = None, mask: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """One pre-norm block; where there is a local stream, it gains the value-value attention of the same block.

    ``local += ls_1(OutProj(softmax(V V^T d^-1/2) V))`` with V from the global stream (CLIP-Surgery, arXiv 2304.05653;
    RAM, arXiv 2503.15337): attention outputs only, no MLP.

    Args:
        block: A block for which `is_plain` holds.
        x: Global stream ``(B, T, W)``.
        local: Value-value stream ``(B, T, W)``.
        mask: Additive attention mask ``(T, T)`` of the global stream.

    Returns:
        Both streams after the block.
    """
    b, t, w = x.shape
    attn = block.attn
    heads, scale = attn.num_heads, attn.head_dim**-0.5
    x = x.reshape(b * t, w)  # (B*T, W)
    qkv = linear(norm(block.ln_1, x), attn.in_proj_weight, attn.in_proj_bias)  # (B*T, 3W)
    q, k, v = qkv.view(b, t, 3, heads, -1).permute(2, 0, 3, 1, 4).contiguous().unbind(0)  # (B, H, T, d) each

    def out(mixed: Tensor) -> Tensor:
        joined = mixed.transpose(1, 2).reshape(b * t, w)  # (B*T, W)
        return _scale(block.ls_1, linear(joined, attn.out_proj.weight, attn.out_proj.bias))

    if local is not None:
        local = local + out(attention(v, v, v, scale)).view(b, t, w)
    x = x + out(attention(q, k, v, scale, mask))
    x = x + _scale(block.ls_2, _mlp(block.mlp, norm(block.ln_2, x)))
    return x.view(b, t, w), local


def norm(layer: nn.LayerNorm | nn.Identity, x: Tensor) -> Tensor:
    """Layer norm in the tokens' dtype; its sums are float32 inside either way."""
    if isinstance(layer, nn.Identity):
        return x
    return layer_norm(x, layer.normalized_shape, layer.weight, layer.bias, layer.eps)


def _scale(layer: LayerScale | nn.Identity, x: Tensor) -> Tensor:
    return x if isinstance(layer, nn.Identity) else x * layer.gamma


def _mlp(mlp: Any, x: Tensor) -> Tensor:
    first, act, second = mlp.c_fc, mlp.gelu, mlp.c_proj
    if isinstance(act, nn.SiLU):
        hidden = linear(x, first.weight, first.bias, "swish")
    elif isinstance(act, nn.GELU) and act.approximate == "none":
        hidden = linear(x, first.weight, first.bias, "gelu")
    else:
        hidden = act(linear(x, first.weight, first.bias))
    result: Tensor = linear(hidden, second.weight, second.bias)
    return result
