"""The value-value stream against plain loops, and what may be asked of streams."""

import math
from typing import Any, cast

import pytest
import torch
from families import OPEN_CLIP, family, photos
from torch import Tensor

from c2srt_cli.backbone.tower import Tokens
from c2srt_cli.errors import UsageError

FAMILIES = ["gelu", "quickgelu", "layer scale", "no pre-norm", "SigLIP", "EVA02", "EVA01", "PE", "ViT mean"]


def block_inputs(visual: Any, x: Tensor) -> tuple[list[Any], list[Tensor]]:
    """The tokens that enter each block, seen from outside."""
    blocks = list(visual.transformer.resblocks if hasattr(visual, "transformer") else visual.trunk.blocks)
    seen: list[Tensor] = []
    hooks = [b.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone())) for b in blocks]
    visual(x)
    for hook in hooks:
        hook.remove()
    return blocks, seen


def values_of(block: Any, x: Tensor) -> tuple[Tensor, int, Any]:
    """Value projections ``(T, W)`` of one image's tokens, the number of heads, and the output projection."""
    attn = block.attn
    normed = (block.ln_1 if hasattr(block, "ln_1") else block.norm1)(x)
    w = x.shape[-1]
    if hasattr(attn, "in_proj_weight"):
        return normed @ attn.in_proj_weight[2 * w :].T + attn.in_proj_bias[2 * w :], attn.num_heads, attn.out_proj
    if attn.qkv is None:
        return attn.v_proj(normed), attn.num_heads, attn.proj
    bias = attn.v_bias if getattr(attn, "v_bias", None) is not None else attn.qkv.bias[2 * w :]
    return normed @ attn.qkv.weight[2 * w :].T + bias, attn.num_heads, attn.proj


def layer_scale(block: Any) -> Tensor | float:
    for name in ("ls_1", "ls1"):
        if hasattr(getattr(block, name, None), "gamma"):
            return cast(Tensor, getattr(block, name).gamma)
    gamma = getattr(block, "gamma_1", None)
    return 1.0 if gamma is None else cast(Tensor, gamma)


def local_by_hand(visual: Any, x: Tensor, start: int) -> Tensor:
    """One image, one block, one head, one query at a time."""
    blocks, inputs = block_inputs(visual, x)
    result = []
    for image in range(len(x)):
        local = inputs[start][image].clone()  # (T, W)
        for block, entering in list(zip(blocks, inputs, strict=True))[start:]:
            v, heads, projection = values_of(block, entering[image])
            d = v.shape[1] // heads
            mixed = torch.zeros_like(v)
            for head in range(heads):
                mine = v[:, head * d : (head + 1) * d]
                for query in range(len(mine)):
                    weights = torch.softmax((mine @ mine[query]) / math.sqrt(d), dim=0)
                    mixed[query, head * d : (head + 1) * d] = (weights[:, None] * mine).sum(0)
            inner = getattr(block.attn, "norm", None)
            local = local + layer_scale(block) * projection(mixed if inner is None else inner(mixed))
        result.append(local)
    return torch.stack(result)


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_vv_equals_a_plain_loop(name: str) -> None:
    backbone, reference = family(name)
    pixels = photos(backbone, count=2)
    depth = backbone.tower.depth
    expected = local_by_hand(reference.visual, backbone.normalise(pixels), 0)  # fewer than six blocks: all take part
    both = backbone.early_stages(pixels, depth, patch_attention="value", streams="both")
    assert both.local is not None
    torch.testing.assert_close(both.local, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_vv_takes_the_last_six_blocks_and_vv_all_every_block() -> None:
    OPEN_CLIP["deep"] = {"vision_cfg": {"layers": 8}}
    backbone, reference = family("deep")
    pixels = photos(backbone, count=1)
    normalised = backbone.normalise(pixels)
    for patch_attention, start in (("value", 2), ("value-all", 0)):
        expected = local_by_hand(reference.visual, normalised, start)
        whole = backbone.early_stages(pixels, 8, patch_attention=patch_attention, streams="local")
        assert whole.x is None
        torch.testing.assert_close(whole.local, expected, rtol=1e-4, atol=1e-4)
        image, patches = backbone.late_stages(whole, 8, patch_attention=patch_attention)
        assert image is None
        for split_stage in range(9):  # the stream goes on wherever the tower is split
            tokens = backbone.early_stages(pixels, split_stage, patch_attention=patch_attention, streams="both")
            if split_stage <= start:
                assert torch.equal(tokens.local, tokens.x)  # type: ignore[arg-type]
            continued, again = backbone.late_stages(tokens, split_stage, patch_attention=patch_attention)
            assert continued is not None
            torch.testing.assert_close(again, patches, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(continued, reference.visual(normalised), rtol=1e-4, atol=1e-4)
    # before the first block that feeds it, the local stream is the global one and need not be stored
    _, patches = backbone.late_stages(
        backbone.early_stages(pixels, 8, patch_attention="value", streams="local"), 8, patch_attention="value"
    )
    _, again = backbone.late_stages(backbone.early_stages(pixels, 2), 2, patch_attention="value")
    torch.testing.assert_close(again, patches, rtol=1e-5, atol=1e-5)
    with pytest.raises(UsageError, match="cannot be restarted"):
        backbone.late_stages(backbone.early_stages(pixels, 3), 3, patch_attention="value")
    with pytest.raises(UsageError, match="only the global stream"):
        backbone.late_stages(
            backbone.early_stages(pixels, 3, patch_attention="value", streams="local"), 3, patch_attention="value"
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["quickgelu", "SigLIP", "EVA02", "PE", "ConvNeXt", "MobileNetV3", "FastViT"])
@torch.inference_mode()
def test_an_image_does_not_depend_on_its_place_or_its_neighbours(name: str, dtype: torch.dtype) -> None:
    backbone, _ = family(name)
    backbone.to("cpu", dtype)
    depth, patch_attention = backbone.tower.depth, backbone.default_patch_attention
    streams: Any = "both" if patch_attention else "global"

    def run(pixels: Tensor) -> list[Tensor]:
        tokens = backbone.early_stages(pixels, depth, patch_attention=patch_attention, streams=streams)
        return [
            value
            for value in (*backbone.late_stages(tokens, depth, patch_attention=patch_attention), tokens.x, tokens.local)
            if value is not None
        ]

    pixels = photos(backbone, count=5)
    order = torch.tensor([3, 0, 4, 1, 2])
    others = photos(backbone, count=5, seed=9)
    others[4] = pixels[0]
    for first, shuffled, mixed in zip(run(pixels), run(pixels[order]), run(others), strict=True):
        assert torch.equal(first[order], shuffled)
        assert torch.equal(first[0], mixed[4])


@torch.inference_mode()
def test_the_global_stream_is_the_same_with_and_without_the_local_one() -> None:
    backbone, _ = family("quickgelu")
    backbone.to("cpu", torch.bfloat16)
    pixels = photos(backbone)
    alone, both = (
        backbone.early_stages(pixels, 3),
        backbone.early_stages(pixels, 3, patch_attention="value", streams="both"),
    )
    assert alone.local is None
    assert torch.equal(alone.x, both.x)  # type: ignore[arg-type]


@torch.inference_mode()
def test_bfloat16_stays_close_to_float32() -> None:
    backbone, _ = family("quickgelu")
    pixels = photos(backbone)
    full = backbone.late_stages(
        backbone.early_stages(pixels, 3, patch_attention="value", streams="both"), 3, patch_attention="value"
    )
    backbone.to("cpu", torch.bfloat16)
    half = backbone.late_stages(
        backbone.early_stages(pixels, 3, patch_attention="value", streams="both"), 3, patch_attention="value"
    )
    for a, b in zip(full, half, strict=True):
        assert a is not None and b is not None
        assert torch.cosine_similarity(a, b.float(), dim=-1).min() > 0.999


def test_streams_that_do_not_exist_are_refused() -> None:
    backbone, _ = family("ConvNeXt")
    pixels = photos(backbone, count=1)
    assert backbone.default_patch_attention is None
    with pytest.raises(UsageError, match="no value-value stream"):
        backbone.early_stages(pixels, 1, patch_attention="value", streams="both")
    custom, _ = family("custom blocks")
    assert not custom.tower.supports_local
    backbone, _ = family("gelu")
    pixels = photos(backbone, count=1)
    with pytest.raises(UsageError, match="'qq'"):
        backbone.early_stages(pixels, 1, patch_attention="qq", streams="both")
    with pytest.raises(UsageError, match="need a local stream"):
        backbone.early_stages(pixels, 1, streams="both")
    with pytest.raises(UsageError):
        backbone.late_stages(Tokens(None), 3)
