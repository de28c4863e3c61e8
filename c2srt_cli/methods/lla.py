"""Ladder local adapter (LLA, RAM, arXiv 2503.15337): what text and the last stages add to the local stream."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, gelu, scaled_dot_product_attention

from c2srt_cli.backbone.tower import ImageTower, Tokens, local_start
from c2srt_cli.backbone.vit import VitTower
from c2srt_cli.errors import UsageError

Norm = Literal["batch", "group"]


class LocalAdapter(nn.Module):
    """An adapter of one stage: two streams of convolutions that attend to the labels, each gated place by place.

    With ``s_k = GELU(norm(conv_k(x)))`` for kernels k of 1 and 3, ``s_k += softmax(LN(s_k) LN(t)' / sqrt(D)) LN(t)``,
    and gates ``y = sigmoid(conv_3([mean_channels; max_channels]))`` of both streams, it is
    ``conv_1(y_1 s_1 + y_2 s_2)``. So its output depends on the vocabulary. No convolution has a bias.

    Args:
        width: Of the tokens, ``W``.
        dim: Of the text and of the streams, ``D``.
        out: Of the result.
        norm: BatchNorm as published (``batch``; its statistics are state that does not learn, so save buffers too), or
            ``group``: GroupNorm of one group, which has none and does not look at other images.
        random_init: Start the last convolution as torch does, as published, instead of at zero.
    """

    def __init__(self, width: int, dim: int, out: int, *, norm: Norm = "batch", random_init: bool = False) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(width, dim, k, padding=k // 2, bias=False) for k in (1, 3))
        self.norms = nn.ModuleList(nn.BatchNorm2d(dim) if norm == "batch" else nn.GroupNorm(1, dim) for _ in range(2))
        self.queries = nn.ModuleList(nn.LayerNorm(dim) for _ in range(2))
        self.keys = nn.LayerNorm(dim)
        self.gates = nn.Conv2d(2, 2, 3, padding=1, bias=False)
        self.out = nn.Conv2d(dim, out, 1, bias=False)
        if not random_init:
            nn.init.zeros_(self.out.weight)

    def forward(self, patches: Tensor, text: Tensor, grid: tuple[int, int]) -> Tensor:
        """Patches ``(B, h*w, W)``, row by row, and label embeddings ``(C, D)`` to a map ``(B, out, h, w)``."""
        x = patches.transpose(1, 2).reshape(len(patches), -1, *grid)  # (B, W, h, w)
        keys = self.keys(text)
        parts = zip(self.convs, self.norms, self.queries, strict=True)
        one, three = (self._listen(gelu(norm(conv(x))), keys, query) for conv, norm, query in parts)
        both = torch.cat([one, three], 1)  # (B, 2D, h, w)
        first, second = self.gates(torch.stack([both.mean(1), both.amax(1)], 1)).sigmoid().split(1, 1)
        mapped: Tensor = self.out(one * first + three * second)
        return mapped

    def _listen(self, stream: Tensor, keys: Tensor, query: nn.Module) -> Tensor:
        """Cross-attention without weights, ``(B, D, h, w)`` to the same; products of places and labels are not kept."""
        queries = query(stream.flatten(2).transpose(1, 2))  # (B, h*w, D)
        keys = keys.to(queries.dtype)[None, None]  # (1, 1, C, D)
        heard = scaled_dot_product_attention(queries.flatten(0, 1)[None, None], keys, keys)  # (1, 1, B*h*w, D)
        return stream + heard.view_as(queries).transpose(1, 2).view_as(stream)


class LocalAdapters(nn.Module):
    """The last stages of a tower with a `LocalAdapter` each; the sum of their outputs is added to the local stream.

    Nothing reads the local stream before the tower's head, so adding at the end is adding stage by stage, as published.
    Adapters read the global stream and write beside it: where the tower is frozen and there are no vision tokens,
    nothing is back-propagated through it. Where stages differ in width or grid (CNNs), adapters write in the last
    one's, through the mean of the places that fall together; the local stream of a CNN is its last map.

    Learnable vision tokens go through each of these stages behind the others, and end there. They take part in the
    attention of the global stream only. They have the dtype of the tokens; the published ones are cut to float16.

    Args:
        tower: Whose last stages are adapted; not kept.
        dim: D, of the joint space.
        stages: Last stages that have one.
        tokens: Vision tokens at each, 0 for none; 8 as published.
        norm: See `LocalAdapter`.
        random_init: See `LocalAdapter`. Vision tokens start at random in any case.

    Raises:
        UsageError: vision tokens are asked for in a tower that is not open_clip's own ViT, or there are too few stages.
    """

    def __init__(
        self,
        tower: ImageTower,
        dim: int,
        *,
        stages: int = 3,
        tokens: int = 8,
        norm: Norm = "batch",
        random_init: bool = False,
    ) -> None:
        super().__init__()
        if not 1 <= stages <= tower.depth:
            raise UsageError(f"{stages} stages cannot be adapted in a tower of {tower.depth}")
        if tokens and not isinstance(tower, VitTower):
            raise UsageError("this backbone has no place for vision tokens", hint="use 0 of them")
        self.first = tower.depth - stages
        self.grids = [tower.grid(stage + 1) for stage in range(self.first, tower.depth)]
        widths = [tower.width(stage + 1) for stage in range(self.first, tower.depth)]
        self.stages = nn.ModuleList(
            LocalAdapter(w, dim, widths[-1], norm=norm, random_init=random_init) for w in widths
        )
        self.tokens = nn.ParameterList(nn.Parameter(0.02 * torch.randn(tokens, w)) for w in widths if tokens)

    def forward(
        self, tower: ImageTower, tokens: Tokens, text: Tensor, split_stage: int, local_from: int | None = None
    ) -> Tokens:
        """Run everything from a split to the end of the last stage.

        Args:
            tower: The one it was made for.
            tokens: Entering the split; with the local stream where that has begun.
            text: Label embeddings ``(C, D)``.
            split_stage: At most the first adapted stage.
            local_from: First stage that feeds the value-value stream, None without one.

        Returns:
            Both streams ``(B, T, W)``, for `ImageTower.pool` and `ImageTower.project`.

        Raises:
            UsageError: the split lies behind the first adapted stage, or a stream is missing.
        """
        if split_stage > self.first:
            raise UsageError(f"stages from {self.first} on are adapted, but tokens are stored at {split_stage}")
        if tokens.x is None or (local_from is not None and local_from < split_stage and tokens.local is None):
            raise UsageError("the local stream cannot be continued from here", hint="store both streams")
        tokens = tower.run(tokens, split_stage, self.first, local_from)
        gains = []
        for place, (adapter, grid) in enumerate(zip(self.stages, self.grids, strict=True)):
            tokens = self._stage(tower, tokens, place, local_from)
            assert tokens.x is not None
            gains.append(adaptive_avg_pool2d(adapter(tokens.x[:, tower.num_prefix :], text, grid), self.grids[-1]))
        gain = torch.stack(gains).sum(0).flatten(2).transpose(1, 2)  # (B, P, W)
        local = tokens.x if tokens.local is None else tokens.local
        assert local is not None
        prefix, patches = local[:, : tower.num_prefix], local[:, tower.num_prefix :]
        return Tokens(tokens.x, torch.cat([prefix, patches + gain], 1))

    def late_stages(
        self, tower: ImageTower, tokens: Tokens, text: Tensor, split_stage: int, patch_attention: str | None
    ) -> tuple[Tensor, Tensor]:
        """`run_late_stages` with adapters: so patches depend on the labels ``(C, D)`` that are to be found."""
        start = local_start(tower, patch_attention)
        if start is not None and split_stage <= start:
            tokens = Tokens(tokens.x)  # still equal to the global one
        both = self(tower, tokens, text.to(next(self.parameters())), split_stage, start)
        return tower.pool(both.x), tower.project(both.local)

    def _stage(self, tower: ImageTower, tokens: Tokens, place: int, local_from: int | None) -> Tokens:
        stage = self.first + place
        if not len(self.tokens):
            return tower.run(tokens, stage, stage + 1, local_from)
        x = tokens.x
        assert x is not None
        added = self.tokens[place].to(x.dtype).expand(len(x), -1, -1)
        seen = tower.run(Tokens(torch.cat([x, added], 1)), stage, stage + 1, None).x
        assert seen is not None
        # values are those of each token alone, so the value-value stream is the one that a run without them gives
        local = tokens.local if local_from is None else tower.run(tokens, stage, stage + 1, local_from).local
        return Tokens(seen[:, : x.shape[1]], local)
