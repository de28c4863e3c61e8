"""timm's ViT and EVA trunks inside open_clip's TimmModel: SigLIP, PE, EVA02, MobileCLIP-B."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from open_clip.timm_model import TimmModel
from timm.layers.attention import Attention, AttentionRope
from timm.layers.attention_pool import AttentionPoolLatent
from timm.layers.mlp import Mlp, SwiGLU
from timm.layers.pos_embed_sincos import apply_rot_embed_cat
from timm.models.eva import Eva, EvaAttention, EvaBlock
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from c2srt_cli.backbone.linear import attention, linear
from c2srt_cli.backbone.tower import SUPPORTED, Tokens
from c2srt_cli.errors import UsageError


class TimmVitTower(nn.Module):
    """The blocks of a timm ViT or EVA trunk; parameters are those of ``visual``.

    Pre-norm blocks run here, so that value-value attention can share their values; other blocks run as they are and
    leave the tower without a local stream.

    Raises:
        UsageError: it is a ViTamin, or pools in a way that leaves no embedding of a patch.
    """

    def __init__(self, visual: TimmModel) -> None:
        super().__init__()
        trunk = visual.trunk
        embed = getattr(trunk.patch_embed, "backbone", None)
        if embed is not None and type(embed).__name__ != "ConvStem":
            raise UsageError("ViTamin and other hybrid towers are not supported", hint=f"supported: {SUPPORTED}")
        if not (isinstance(trunk.attn_pool, AttentionPoolLatent) or trunk.attn_pool is None) or (
            trunk.attn_pool is None and trunk.global_pool not in ("avg", "token")
        ):
            raise UsageError(f"pooling {trunk.global_pool!r} is not supported", hint=f"supported: {SUPPORTED}")
        if trunk.attn_pool is not None:
            # with a single query, the fused CPU kernel's rounding depends on the image's place in the batch
            trunk.attn_pool.fused_attn = False
        self.visual = visual
        self.depth = len(trunk.blocks)
        self.num_prefix = int(trunk.num_prefix_tokens)
        self.supports_local = all(_is_plain(block) for block in trunk.blocks)

    @property
    def stages(self) -> Sequence[nn.Module]:
        """The trunk's blocks."""
        return list(self.visual.trunk.blocks)

    @property
    def head_parameters(self) -> list[nn.Parameter]:
        """Final norms, pool and projections."""
        trunk = self.visual.trunk
        parts = (trunk.norm, trunk.attn_pool, trunk.fc_norm, trunk.head, self.visual.head)
        return [parameter for part in parts if part is not None for parameter in part.parameters()]

    def grid(self, split_stage: int) -> tuple[int, int]:  # noqa: ARG002
        """The same at every split."""
        height, width = self.visual.trunk.patch_embed.grid_size
        return height, width

    def width(self, split_stage: int) -> int:  # noqa: ARG002
        """The same at every split."""
        return int(self.visual.trunk.embed_dim)

    def stem(self, pixels: Tensor) -> Tensor:
        """Patch embedding, prefix tokens, positions and pre-norm: ``(B, 3, S, S)`` to ``(B, T, W)``."""
        trunk = self.visual.trunk
        x = trunk._pos_embed(trunk.patch_embed(pixels))
        x = x[0] if isinstance(trunk, Eva) else trunk.patch_drop(x)
        return cast(Tensor, trunk.norm_pre(x))

    def run(self, tokens: Tokens, start: int, stop: int, local_from: int | None) -> Tokens:
        """Run blocks; see `ImageTower`."""
        x, local = tokens.x, tokens.local
        assert x is not None
        ropes = self._ropes()
        for index in range(start, stop):
            block, rope = self.visual.trunk.blocks[index], ropes[index]
            if local is None and index == local_from:
                local = x
            if _is_plain(block):
                x, gained = _pre_norm_block(
                    block, x, local if local_from is not None and index >= local_from else None, rope
                )
                local = local if gained is None else gained
            else:
                x = block(x) if rope is None else block(x, rope=rope)
        return Tokens(x, local)

    def pool(self, x: Tensor) -> Tensor:
        """Norm, the trunk's own pool, and projections."""
        trunk = self.visual.trunk
        return cast(Tensor, self.visual.head(trunk.forward_head(trunk.norm(x))))

    def project(self, x: Tensor) -> Tensor:
        """What the head makes of each patch alone.

        An attention pool over a single token gives that token's value, through the output projection and the pool's
        residual MLP, whatever its query: the softmax over one score is 1.
        """
        trunk = self.visual.trunk
        x = trunk.norm(x[:, self.num_prefix :])  # (B, P, W)
        pool = trunk.attn_pool
        if pool is not None:
            if pool.pos_embed is not None:
                x = x + pool.pos_embed.to(x.dtype)
            x = pool.proj(pool.kv(x).chunk(2, -1)[1])
            if pool.mlp is not None:
                x = x + _mlp(pool.mlp, pool.norm(x))
        return cast(Tensor, self.visual.head(trunk.head(trunk.fc_norm(x))))  # (B, P, D)

    def _ropes(self) -> list[Tensor | None]:
        """Rotary embedding of each block."""
        rope = getattr(self.visual.trunk, "rope", None)
        if rope is None:
            return [None] * self.depth
        if hasattr(rope, "feat_shape"):
            embed = rope.get_embed()
        else:
            embed = rope.get_embed(shape=self.visual.trunk.patch_embed.grid_size)
        return list(embed) if getattr(self.visual.trunk, "rope_mixed", False) else [embed] * self.depth


def _is_plain(block: Any) -> bool:
    if type(block) not in (Block, EvaBlock) or not isinstance(block.attn, (Attention, AttentionRope, EvaAttention)):
        return False
    return getattr(block.attn, "num_kv_groups", 1) == 1


def _pre_norm_block(block: Any, x: Tensor, local: Tensor | None, rope: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """A timm pre-norm block on two streams; the local one gains value-value attention, as in `residual_block`."""
    normed = block.norm1(x)
    q, k, v = _heads(block.attn, normed)
    q, k = block.attn.q_norm(q), block.attn.k_norm(k)
    if rope is not None:
        q, k = (_rotate(block.attn, part, rope).type_as(v) for part in (q, k))
    if local is not None:
        local = local + _layer_scale(block, 1, _out(block.attn, attention(v, v, v, block.attn.scale), normed))
    x = x + _layer_scale(block, 1, _out(block.attn, attention(q, k, v, block.attn.scale), normed))
    return x + _layer_scale(block, 2, _mlp(block.mlp, block.norm2(x))), local


def _heads(attn: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values ``(B, H, T, d)``."""
    b, t, w = x.shape
    flat = x.reshape(b * t, w)  # (B*T, W)
    if attn.qkv is None:
        parts = [linear(flat, layer.weight, layer.bias) for layer in (attn.q_proj, attn.k_proj, attn.v_proj)]
    else:
        bias = attn.qkv.bias
        if getattr(attn, "q_bias", None) is not None:
            bias = torch.cat((attn.q_bias, attn.k_bias, attn.v_bias))
        parts = list(linear(flat, attn.qkv.weight, bias).chunk(3, -1))
    q, k, v = (part.reshape(b, t, attn.num_heads, -1).transpose(1, 2).contiguous() for part in parts)
    return q, k, v


def _rotate(attn: Any, x: Tensor, rope: Tensor) -> Tensor:
    prefix = attn.num_prefix_tokens
    turned = apply_rot_embed_cat(x[:, :, prefix:], rope, half=getattr(attn, "rotate_half", False))
    return torch.cat([x[:, :, :prefix], turned], dim=2)


def _out(attn: Any, mixed: Tensor, normed: Tensor) -> Tensor:
    """Heads ``(B, H, T, d)`` through the attention's inner norm, gate and output projection to ``(B, T, W)``."""
    b, _, t, _ = mixed.shape
    joined = attn.norm(mixed.transpose(1, 2).reshape(b, t, -1))  # (B, T, W)
    if attn.gate is not None:
        joined = joined * attn.gate(normed).sigmoid()
    return linear(joined.reshape(b * t, -1), attn.proj.weight, attn.proj.bias).view(b, t, -1)


def _layer_scale(block: Any, number: int, x: Tensor) -> Tensor:
    if isinstance(block, Block):
        return cast(Tensor, getattr(block, f"ls{number}")(x))
    gamma = getattr(block, f"gamma_{number}")
    return x if gamma is None else x * gamma


def _mlp(mlp: Any, x: Tensor) -> Tensor:
    """The block's MLP, with its activation inside the first product where that is possible."""
    if type(mlp) is Mlp and type(mlp.act) is nn.GELU and mlp.act.approximate == "none":
        hidden = linear(x, mlp.fc1.weight, mlp.fc1.bias, "gelu")
    elif type(mlp) is SwiGLU and type(mlp.act) is nn.SiLU:
        hidden = linear(x, mlp.fc1_g.weight, mlp.fc1_g.bias, "swish") * mlp.fc1_x(x)
    else:
        return cast(Tensor, mlp(x))
    return cast(Tensor, mlp.drop2(mlp.fc2(mlp.norm(mlp.drop1(hidden)))))
