"""The split is exact: early and late stages together are open_clip's own ``visual``."""

import copy
from pathlib import Path

import open_clip
import pytest
import torch
from families import CNNS, OPEN_CLIP, TIMM, family, photos, timm_visual
from open_clip.model import CLIP
from tiny import tiny_config
from torch import Tensor, nn
from torchvision.transforms import Compose, Normalize, ToTensor

from c2srt_cli.backbone.quickgelu import fold_quickgelu
from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.backbone.towers import tower_of
from c2srt_cli.errors import UsageError

ALL = [*OPEN_CLIP, *TIMM]


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-5 * float(b.abs().max()))


def test_pixels_are_normalised_as_torchvision_does() -> None:
    backbone, _ = family("gelu")
    pixels = photos(backbone)
    transform = Compose([ToTensor(), Normalize(backbone.mean, backbone.std)])
    expected = torch.stack([transform(picture.numpy()) for picture in pixels])
    assert torch.equal(backbone.normalise(pixels), expected)


@pytest.mark.parametrize("name", ALL)
@torch.no_grad()
def test_every_split_equals_open_clip(name: str) -> None:
    backbone, reference = family(name)
    pixels = photos(backbone)
    expected = reference.visual(backbone.normalise(pixels))
    tower = backbone.tower
    for split_stage in range(tower.depth + 1):
        tokens = backbone.early_stages(pixels, split_stage)
        assert tokens.x is not None
        height, width = tower.grid(split_stage)
        assert tokens.x.shape == (3, tower.num_prefix + height * width, tower.width(split_stage))
        image, patches = backbone.late_stages(tokens, split_stage)
        assert image is not None
        close(image, expected)
        last = tower.grid(tower.depth)
        assert patches.shape == (3, last[0] * last[1], expected.shape[1])


@torch.no_grad()
def test_full_size_vit_b_16() -> None:
    torch.manual_seed(0)
    config = open_clip.get_model_config("ViT-B-16-quickgelu")
    config["text_cfg"] |= {"width": 32, "layers": 1, "heads": 2}
    model = CLIP(**config).eval()
    reference = copy.deepcopy(model.visual)
    assert fold_quickgelu(model) == 13
    backbone = Backbone("b16", Path("nowhere"), model, {"model_cfg": config, "preprocess_cfg": {}}, "")
    pixels = photos(backbone, count=2)
    expected = reference(backbone.normalise(pixels))
    for split_stage in (0, 9, 12):
        image, patches = backbone.late_stages(backbone.early_stages(pixels, split_stage), split_stage)
        assert image is not None
        torch.testing.assert_close(image, expected, rtol=1e-4, atol=1e-5)
        assert patches.shape == (2, 196, 512)


@pytest.mark.parametrize("name", ["quickgelu", "SigLIP", "EVA02", "PE"])
def test_the_late_stages_are_differentiable_and_equal_with_gradients(name: str) -> None:
    backbone, reference = family(name)
    pixels = photos(backbone)
    with torch.no_grad():
        tokens = backbone.early_stages(pixels, 1)
    image, patches = backbone.late_stages(tokens, 1)
    assert image is not None
    close(image.detach(), reference.visual(backbone.normalise(pixels)).detach())
    (image.sum() + patches.sum()).backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in backbone.tower.stages[1].parameters() if parameter.ndim > 1)
    assert all(parameter.grad is None for parameter in backbone.tower.stages[0].parameters())


@pytest.mark.parametrize("name", ["SigLIP", "PE"])
@torch.no_grad()
def test_patches_of_an_attention_pool_are_the_pool_over_each_patch_alone(name: str) -> None:
    backbone, reference = family(name)
    pixels = photos(backbone, count=1)
    _, patches = backbone.late_stages(backbone.early_stages(pixels, 2), 2)
    visual = reference.visual
    tokens = visual.trunk.forward_features(backbone.normalise(pixels))[0]  # (T, W)
    alone = visual.trunk.attn_pool(tokens[visual.trunk.num_prefix_tokens :, None])  # (P, W)
    close(patches[0], visual.head(visual.trunk.head(visual.trunk.fc_norm(alone))))


@pytest.mark.parametrize("name", CNNS)
@torch.no_grad()
def test_patches_of_a_cnn_are_the_head_at_each_location(name: str) -> None:
    backbone, reference = family(name)
    pixels = photos(backbone, count=1)
    depth = backbone.tower.depth
    _, patches = backbone.late_stages(backbone.early_stages(pixels, depth), depth)
    visual = reference.visual
    features = visual.trunk.forward_features(backbone.normalise(pixels))  # (1, C, h, w)
    height, width = features.shape[2:]
    for index in range(height * width):
        row, column = divmod(index, width)
        flat = features[:, :, row, column, None, None].expand_as(features)
        close(patches[0, index], visual.head(visual.trunk.forward_head(flat))[0])


@pytest.mark.parametrize("name", CNNS)
def test_single_pixels_are_not_pooled(name: str) -> None:
    backbone, _ = family(name)
    trunk = backbone.tower.visual.trunk  # type: ignore[attr-defined]
    pools = [part for part in trunk.modules() if isinstance(part, nn.AdaptiveAvgPool2d)]
    for pool in pools:
        for size in ((1, 1), (2, 1), (3, 3)):
            x = torch.randn(2, 5, *size)
            assert torch.equal(pool(x), nn.AdaptiveAvgPool2d(1)(x))
        x = torch.randn(2, 5, 1, 1)
        assert pool(x) is x


@torch.no_grad()
def test_patches_of_a_vit_are_norm_and_projection() -> None:
    backbone, reference = family("gelu")
    pixels = photos(backbone)
    _, patches = backbone.late_stages(backbone.early_stages(pixels, 3), 3)
    visual = reference.visual
    visual.output_tokens = True
    _, tokens = visual(backbone.normalise(pixels))  # after ln_post, before the projection
    close(patches, tokens @ visual.proj)


@pytest.mark.parametrize("name", ["gelu", "ViT mean", "ConvNeXt", "EfficientNet"])
@torch.no_grad()
def test_a_mean_pooled_tower_is_the_mean_of_its_patches_where_the_head_is_linear(name: str) -> None:
    backbone, _ = family("mean of patches" if name == "gelu" else name)
    depth = backbone.tower.depth
    pixels = photos(backbone)
    image, patches = backbone.late_stages(backbone.early_stages(pixels, depth), depth)
    assert image is not None
    if name in ("gelu", "EfficientNet"):  # the others normalise the pooled vector
        close(patches.mean(1), image)
    else:
        assert torch.cosine_similarity(patches.mean(1), image).min() > 0.5


def test_what_cannot_be_split_is_refused() -> None:
    coca = tiny_config(vision_cfg={"attentional_pool": True, "attn_pooler_heads": 2})
    resnet = tiny_config(vision_cfg={"layers": [1, 1, 1, 1], "width": 8, "head_width": 16, "patch_size": None})
    for config in (coca, resnet):
        with pytest.raises(UsageError, match="not supported"):
            tower_of(CLIP(**config).visual)
    for name, pool, smaller in (
        ("vitamin_small_224", "avg", {}),
        ("swin_tiny_patch4_window7_224", "avg", {"embed_dim": 24, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 4, 8)}),
        ("resnet10t", "avg", {}),
    ):
        with pytest.raises(UsageError, match="not supported") as caught:
            tower_of(timm_visual(name, pool, "linear", **smaller))
        assert "SigLIP" in str(caught.value.hint)
