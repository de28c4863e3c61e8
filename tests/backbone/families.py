"""Small random towers of every supported family, in a real `Backbone`."""

import copy
from pathlib import Path
from typing import Any
from unittest import mock

import open_clip.timm_model
import timm
import torch
from open_clip.model import CLIP
from open_clip.timm_model import TimmModel
from tiny import tiny_config
from torch import Tensor, nn

from c2srt_cli.backbone.quickgelu import fold_quickgelu
from c2srt_cli.backbone.registry import Backbone

OPEN_CLIP: dict[str, dict[str, Any]] = {
    "gelu": {},
    "quickgelu": {"quick_gelu": True},
    "layer scale": {"vision_cfg": {"ls_init_value": 0.5}},
    "mean of patches": {"vision_cfg": {"pool_type": "avg"}},
    "norm after pooling": {"vision_cfg": {"pool_type": "avg", "final_ln_after_pool": True}},
    "no pre-norm": {"vision_cfg": {"no_ln_pre": True}},
    "patch dropout": {"vision_cfg": {"patch_dropout": 0.5}},
    "custom blocks": {"vision_cfg": {"qk_norm": True, "scale_attn": True}},
}

VIT_SIZE = {"depth": 2, "embed_dim": 64, "num_heads": 4, "img_size": 64}
#: name, pool, projection, and what makes the model small
TIMM: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "SigLIP": ("vit_base_patch16_siglip_224", "map", "none", VIT_SIZE),
    "ViT mean": ("vit_base_patch16_224", "avg", "linear", {**VIT_SIZE, "init_values": 0.5, "reg_tokens": 2}),
    "ViT token": ("vit_base_patch16_224", "token", "mlp", {**VIT_SIZE, "qk_norm": True}),
    "EVA02": ("eva02_base_patch16_clip_224", "token", "", {**VIT_SIZE, "embed_dim": 96}),
    "EVA01": ("eva_giant_patch14_224", "token", "", {**VIT_SIZE, "patch_size": 16, "init_values": 0.3}),
    "EVA post-norm": ("eva02_enormous_patch14_clip_224", "token", "", {**VIT_SIZE, "patch_size": 16}),
    "PE": ("vit_pe_core_base_patch16_224", "map", "", VIT_SIZE),
    "MobileCLIP-B": ("vit_base_mci_224", "token", "", {"depth": 2}),
    "ConvNeXt": ("convnext_atto", "", "linear", {"dims": (8, 16, 24, 32), "depths": (1, 1, 2, 1)}),
    "ConvNeXt mlp": ("convnext_atto", "", "mlp", {"dims": (8, 16, 24, 32), "depths": (1, 1, 2, 1)}),
    "EfficientNet": ("efficientnet_b0", "avg", "linear", {}),
    "MobileNetV3": ("mobilenetv3_small_050", "avg", "", {}),
    "MobileNetV4": ("mobilenetv4_conv_small_035", "avg", "", {}),
    "FastViT": ("fastvit_t8", "avg", "", {}),
}
CNNS = ("ConvNeXt", "ConvNeXt mlp", "EfficientNet", "MobileNetV3", "MobileNetV4", "FastViT")


def randomise(module: nn.Module) -> None:
    """Give every bias, norm and statistic a value of its own, so that a part left out changes the result."""
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if value.ndim == 1 and value.is_floating_point():
            noise = torch.rand_like(value)
            if "running_var" in name or value.detach().mean() > 0.5:
                value.data.copy_(0.5 + noise)
            else:
                value.data.copy_(noise - 0.5)


def timm_visual(name: str, pool: str, proj: str, **smaller: Any) -> TimmModel:
    """open_clip's own wrapper around a timm model made small."""
    create = timm.create_model
    with mock.patch.object(open_clip.timm_model.timm, "create_model", lambda n, **kw: create(n, **kw, **smaller)):
        dim = 64 if proj == "none" else 32
        return TimmModel(name, embed_dim=dim, image_size=224 if name.endswith("mci_224") else 64, pool=pool, proj=proj)


def family(name: str, *, seed: int = 0) -> tuple[Backbone, Any]:
    """A backbone of the family, and open_clip's module with the same weights before any folding."""
    torch.manual_seed(seed)
    config = tiny_config(**OPEN_CLIP.get(name, {}))
    model = CLIP(**config)
    if name in TIMM:
        timm_name, pool, proj, smaller = TIMM[name]
        model.visual = timm_visual(timm_name, pool, proj, **smaller)
    randomise(model)
    model.eval()
    reference = copy.deepcopy(model)
    fold_quickgelu(model)
    backbone = Backbone(name, Path("nowhere"), model, {"model_cfg": config, "preprocess_cfg": {}}, "0" * 64)
    return backbone, reference


def photos(backbone: Backbone, count: int = 3, seed: int = 1) -> Tensor:
    """Random pixels of the backbone's input size, ``(count, S, S, 3)``."""
    size = backbone.image_size
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=generator)
