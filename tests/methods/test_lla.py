"""The ladder and the streams beside it against plain loops written from METHODS 3."""

import math
from typing import Any, cast

import pytest
import torch
from families import family, photos
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, gelu, layer_norm, normalize, pad

from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.backbone.tower import Tokens
from c2srt_cli.errors import UsageError
from c2srt_cli.methods.lla import LocalAdapter, LocalAdapters, Norm

LABELS, DIM = 5, 32


def labels(count: int = LABELS) -> Tensor:
    return normalize(torch.randn(count, DIM, generator=torch.Generator().manual_seed(7)), dim=-1)


def randomise(module: torch.nn.Module) -> None:
    """Every parameter and statistic a value of its own, so that a part left out changes the result."""
    generator = torch.Generator().manual_seed(1)
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if value.ndim == 1:
            value.data.copy_(torch.rand(value.shape, generator=generator) + (0.5 if name.endswith("var") else -0.5))
        elif value.ndim > 1:
            value.data.copy_(torch.randn(value.shape, generator=generator) / math.sqrt(value[0].numel()))


def rung_by_hand(rung: Any, patches: Tensor, text: Tensor, grid: tuple[int, int]) -> Tensor:
    """One image ``(h*w, W)``: place by place, label by label."""
    (h, w), dim = grid, text.shape[1]
    streams = []
    for k, conv, bn, ln in zip((1, 3), rung.convs, rung.norms, rung.queries, strict=True):
        padded = pad(patches.reshape(h, w, -1), (0, 0, k // 2, k // 2, k // 2, k // 2))
        stream = torch.zeros(h, w, dim)
        for y in range(h):
            for x in range(w):
                window = padded[y : y + k, x : x + k].permute(2, 0, 1)  # (W, k, k)
                stream[y, x] = (conv.weight * window).sum((1, 2, 3))
        if isinstance(bn, torch.nn.BatchNorm2d):
            mean, var = cast(Tensor, bn.running_mean), cast(Tensor, bn.running_var)
        else:  # one group: over everything of the image
            mean, var = stream.mean().expand(dim), stream.var(unbiased=False).expand(dim)
        stream = gelu((stream - mean) / (var + bn.eps).sqrt() * bn.weight + bn.bias)
        keys = layer_norm(text, (dim,), rung.keys.weight, rung.keys.bias)
        heard = torch.zeros_like(stream)
        for y in range(h):
            for x in range(w):
                query = layer_norm(stream[y, x], (dim,), ln.weight, ln.bias)
                attention = torch.stack([query @ key / math.sqrt(dim) for key in keys]).softmax(0)
                for share, key in zip(attention, keys, strict=True):
                    heard[y, x] += share * key
        streams.append(stream + heard)
    both = torch.cat(streams, 2)
    maps = torch.stack([both.mean(2), both.max(2).values])  # (2, h, w)
    gates = conv2d(maps[None], rung.gates.weight, padding=1)[0].sigmoid()
    mixed = streams[0] * gates[0, :, :, None] + streams[1] * gates[1, :, :, None]
    return cast(Tensor, mixed @ rung.out.weight[:, :, 0, 0].T)  # (h, w, out)


@pytest.mark.parametrize("norm", ["batch", "group"])
@torch.no_grad()
def test_a_rung_equals_a_plain_loop(norm: Norm) -> None:
    rung = LocalAdapter(24, DIM, 20, norm=norm).eval()
    randomise(rung)
    patches, text = torch.randn(2, 12, 24), labels()
    got = rung(patches, text, (3, 4))
    wanted = torch.stack([rung_by_hand(rung, one, text, (3, 4)) for one in patches]).permute(0, 3, 1, 2)
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


def test_as_large_as_published() -> None:
    rung = LocalAdapter(768, 512, 768)
    assert sum(p.numel() for p in rung.parameters()) == 768 * 512 * (1 + 9 + 1) + 36 + 2 * 2 * 512 + 3 * 2 * 512
    assert round(sum(p.numel() for p in rung.parameters()) / 1e6, 2) == 4.33


def vit_by_hand(backbone: Backbone, ladder: LocalAdapters, pixels: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
    """METHODS 3, a block and a head after the other, adding to the local stream stage by stage."""
    tower: Any = backbone.tower
    x = tower.stem(backbone.normalise(pixels))
    local = x.clone()
    b, t, width = x.shape
    for stage, block in enumerate(tower.stages):
        place = stage - ladder.first
        if place >= 0 and len(ladder.tokens):
            x = torch.cat([x, ladder.tokens[place].expand(b, -1, -1)], 1)
        q, k, v = (block.ln_1(x) @ block.attn.in_proj_weight.T + block.attn.in_proj_bias).split(width, 2)
        d = width // block.attn.num_heads
        ordinary, self_self = torch.zeros_like(x), torch.zeros(b, t, width)
        for head in range(block.attn.num_heads):
            part = slice(head * d, (head + 1) * d)
            ordinary[..., part] = (q[..., part] @ k[..., part].mT / math.sqrt(d)).softmax(-1) @ v[..., part]
            mine = v[:, :t, part]  # without the vision tokens
            self_self[..., part] = (mine @ mine.mT / math.sqrt(d)).softmax(-1) @ mine
        x = x + block.attn.out_proj(ordinary)
        x = (x + block.mlp(block.ln_2(x)))[:, :t]
        local = local + block.attn.out_proj(self_self)
        if place >= 0:
            grid = tower.grid(stage + 1)
            gain = torch.stack([rung_by_hand(ladder.stages[place], one, text, grid) for one in x[:, 1:]])
            local[:, 1:] += gain.flatten(1, 2)
    return x, local


@pytest.mark.parametrize("tokens", [0, 3])
@pytest.mark.parametrize("rungs", [1, 2, 3])
@torch.no_grad()
def test_a_vit_with_its_value_value_stream_equals_a_plain_loop(tokens: int, rungs: int) -> None:
    backbone, _ = family("gelu")
    pixels, text = photos(backbone, count=2), labels()
    ladder = LocalAdapters(backbone.tower, DIM, stages=rungs, tokens=tokens).eval()
    randomise(ladder)
    x, local = vit_by_hand(backbone, ladder, pixels, text)
    for split_stage in range(4 - rungs):  # wherever the tokens were stored
        stored = backbone.early_stages(pixels, split_stage, patch_attention="value-all", streams="both")
        got = ladder(backbone.tower, stored, text, split_stage, local_from=0)
        torch.testing.assert_close(got.x, x, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(got.local, local, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["ConvNeXt", "FastViT", "MobileNetV4", "EfficientNet"])
@torch.no_grad()
def test_a_cnn_whose_stages_differ(name: str) -> None:
    backbone, _ = family(name)
    tower = backbone.tower
    pixels, text = photos(backbone, count=2), labels()
    ladder = LocalAdapters(tower, DIM, stages=3, tokens=0).eval()
    randomise(ladder)
    split_stage = tower.depth - 3
    got = ladder(tower, backbone.early_stages(pixels, split_stage), text, split_stage)
    wanted = cast(Tensor, backbone.early_stages(pixels, tower.depth).x)
    torch.testing.assert_close(got.x, wanted)
    height, width = tower.grid(tower.depth)
    for place in range(3):
        stage = split_stage + place + 1
        tap = cast(Tensor, backbone.early_stages(pixels, stage).x)
        h, w = tower.grid(stage)
        maps = torch.stack([rung_by_hand(ladder.stages[place], one, text, (h, w)) for one in tap]).permute(0, 3, 1, 2)
        means = avg_pool2d(maps, (h // height, w // width))
        wanted = wanted + means.flatten(2).transpose(1, 2)
    torch.testing.assert_close(got.local, wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))
    assert tower.project(got.local).shape == (2, height * width, backbone.dim)


@torch.no_grad()
def test_it_starts_with_the_backbone_as_it_is() -> None:
    for name, patch_attention in (("gelu", "value-all"), ("ConvNeXt", None), ("SigLIP", "value-all")):
        backbone, _ = family(name)
        pixels = photos(backbone, count=2)
        stored = backbone.early_stages(pixels, 0)
        ladder = LocalAdapters(backbone.tower, DIM, stages=2, tokens=0)
        got = ladder(backbone.tower, stored, labels(), 0, local_from=None if patch_attention is None else 0)
        whole, patches = backbone.late_stages(stored, 0, patch_attention=patch_attention)
        torch.testing.assert_close(backbone.tower.pool(got.x), whole)
        torch.testing.assert_close(backbone.tower.project(got.local), patches)
        plain = LocalAdapters(backbone.tower, DIM, stages=2, tokens=0, random_init=True)
        moved = plain(backbone.tower, stored, labels(), 0, local_from=None if patch_attention is None else 0)
        assert not torch.allclose(moved.local, got.local, atol=1e-3)


@torch.no_grad()
def test_features_depend_on_the_vocabulary_and_not_on_its_order() -> None:
    backbone, _ = family("gelu")
    stored, text = backbone.early_stages(photos(backbone, count=2), 0), labels()
    ladder = LocalAdapters(backbone.tower, DIM).eval()
    randomise(ladder)
    one = ladder(backbone.tower, stored, text, 0, local_from=0)
    turned = ladder(backbone.tower, stored, text.flip(0), 0, local_from=0)
    fewer = ladder(backbone.tower, stored, text[:2], 0, local_from=0)
    torch.testing.assert_close(turned.local, one.local, rtol=1e-4, atol=1e-5)
    assert float((fewer.local - one.local).abs().max()) > 1e-2
    assert torch.equal(fewer.x, one.x)


@pytest.mark.parametrize("tokens", [0, 2])
def test_what_learns(tokens: int) -> None:
    backbone, _ = family("gelu")
    tower = backbone.tower
    backbone.model.requires_grad_(False)
    text = labels()
    stored = backbone.early_stages(photos(backbone, count=3), 1, patch_attention="value-all", streams="both")
    ladder = LocalAdapters(tower, DIM, stages=2, tokens=tokens, random_init=True)
    with torch.autocast("cpu", torch.bfloat16):
        got = ladder(tower, stored, text, 1, local_from=0)
        loss = tower.project(got.local).float().square().mean() + tower.pool(got.x).float().square().mean()
    assert got.x.requires_grad == (tokens > 0)  # nothing is kept of a frozen tower
    loss.backward()  # type: ignore[no-untyped-call]
    for name, parameter in ladder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
    statistics = [value for name, value in ladder.named_buffers() if name.endswith("running_mean")]
    assert len(statistics) == 4
    assert all(value.any() for value in statistics)
    assert not list(LocalAdapters(tower, DIM, stages=2, tokens=tokens, norm="group").buffers())


def test_what_cannot_be_is_refused() -> None:
    vit, _ = family("gelu")
    cnn, _ = family("ConvNeXt")
    with pytest.raises(UsageError, match="no place for vision tokens"):
        LocalAdapters(cnn.tower, DIM)
    with pytest.raises(UsageError, match="cannot be adapted"):
        LocalAdapters(vit.tower, DIM, stages=4)
    ladder = LocalAdapters(vit.tower, DIM, stages=2)
    stored = vit.early_stages(photos(vit, count=1), 1)
    with pytest.raises(UsageError, match="cannot be continued"):
        ladder(vit.tower, stored, labels(), 1, local_from=0)
    with pytest.raises(UsageError, match="cannot be continued"):
        ladder(vit.tower, Tokens(None), labels(), 1)
    with pytest.raises(UsageError, match="stored at 2"):
        ladder(vit.tower, vit.early_stages(photos(vit, count=1), 2), labels(), 2)
