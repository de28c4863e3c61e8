"""open_clip's VisionTransformer as a tower of residual attention blocks."""

from collections.abc import Sequence

import torch
from open_clip.transformer import PatchDropout, VisionTransformer
from torch import Tensor, nn

from c2srt_cli.backbone.blocks import is_plain, norm, residual_block
from c2srt_cli.backbone.linear import linear
from c2srt_cli.backbone.tower import SUPPORTED, Tokens
from c2srt_cli.errors import UsageError


class VitTower(nn.Module):
    """The blocks of open_clip's VisionTransformer; parameters are those of ``visual``.

    Blocks of the plain kind run through `residual_block`; custom ones run as they are and have no local stream.

    Raises:
        UsageError: it ends in an attention pool (CoCa) or returns tokens.
    """

    num_prefix = 1

    def __init__(self, visual: VisionTransformer) -> None:
        super().__init__()
        if visual.attn_pool is not None:
            raise UsageError("towers with CoCa's attention pool are not supported", hint=f"supported: {SUPPORTED}")
        if visual.pool_type not in ("tok", "avg"):
            raise UsageError(f"pooling {visual.pool_type!r} gives no embedding of the image")
        self.visual = visual
        self.depth = len(visual.transformer.resblocks)
        self.supports_local = all(is_plain(block) for block in visual.transformer.resblocks)

    @property
    def stages(self) -> Sequence[nn.Module]:
        """The transformer's blocks."""
        return list(self.visual.transformer.resblocks)

    @property
    def head_parameters(self) -> list[nn.Parameter]:
        """``ln_post`` and ``proj``."""
        proj = self.visual.proj
        return [*self.visual.ln_post.parameters(), *([] if proj is None else [proj])]

    def grid(self, split_stage: int) -> tuple[int, int]:  # noqa: ARG002
        """The same at every split."""
        height, width = self.visual.grid_size
        return height, width

    def width(self, split_stage: int) -> int:  # noqa: ARG002
        """The same at every split."""
        return int(self.visual.conv1.out_channels)

    def stem(self, pixels: Tensor) -> Tensor:
        """Patch embedding, class token, positions and ``ln_pre``: ``(B, 3, S, S)`` to ``(B, 1 + P, W)``."""
        visual = self.visual
        x = visual.conv1(pixels).flatten(2).transpose(1, 2)  # (B, P, W)
        prefix = visual.class_embedding.expand(len(x), 1, -1)
        x = torch.cat([prefix, x], 1) + visual.positional_embedding  # (B, 1 + P, W)
        if isinstance(visual.patch_dropout, PatchDropout):
            x = visual.patch_dropout(x)
        return norm(visual.ln_pre, x)

    def run(self, tokens: Tokens, start: int, stop: int, local_from: int | None) -> Tokens:
        """Run blocks; see `ImageTower`."""
        x, local = tokens.x, tokens.local
        assert x is not None
        for index in range(start, stop):
            block = self.visual.transformer.resblocks[index]
            if local is None and index == local_from:
                local = x
            if is_plain(block):
                x, gained = residual_block(block, x, local if local_from is not None and index >= local_from else None)
                local = local if gained is None else gained
            else:
                x = block(x)
        return Tokens(x, local)

    def pool(self, x: Tensor) -> Tensor:
        """Class token, or mean of the patches, through ``ln_post`` and ``proj``."""
        visual = self.visual
        if not visual.final_ln_after_pool:
            x = x[:, :1] if visual.pool_type == "tok" else x
            x = norm(visual.ln_post, x)
        x = x[:, 0] if visual.pool_type == "tok" else x[:, 1:].mean(1)  # (B, W)
        if visual.final_ln_after_pool:
            x = norm(visual.ln_post, x)
        return x if visual.proj is None else linear(x, visual.proj, None, transposed=True)

    def project(self, x: Tensor) -> Tensor:
        """``ln_post`` and ``proj`` of every patch."""
        b, t, w = x.shape
        patches = norm(self.visual.ln_post, x[:, 1:].reshape(b * (t - 1), w))  # (B*P, W)
        if self.visual.proj is not None:
            patches = linear(patches, self.visual.proj, None, transposed=True)
        return patches.view(b, t - 1, -1)  # (B, P, D)
