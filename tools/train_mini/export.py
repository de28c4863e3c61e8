"""Trained parts → the shipped folder: open_clip's config and weights in float16."""

import json
from pathlib import Path
from typing import Any

import timm
import torch
from open_clip.model import CLIP
from safetensors.torch import save_file
from timm.models._efficientnet_builder import BN_EPS_TF_DEFAULT
from torch import Tensor

from train_mini.teacher import ARCHITECTURE, MEAN, SIDE, STD
from train_mini.text import TEXT_CONFIG
from train_mini.tower import followed

DIM = 224
CONFIG: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": DIM,
        "vision_cfg": {
            "timm_model_name": ARCHITECTURE,
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "linear",
            "image_size": SIDE,
        },
        "text_cfg": TEXT_CONFIG,
    },
    "preprocess_cfg": {
        "mean": [MEAN] * 3,
        "std": [STD] * 3,
        "interpolation": "bicubic",
        "resize_mode": "squash",
    },
}


def build() -> CLIP:
    """The untrained model, as open_clip builds it from the config."""
    return CLIP(**json.loads(json.dumps(CONFIG["model_cfg"])))


def timm_state(student: dict[str, Tensor]) -> dict[str, Tensor]:
    """A student's tower and projection under timm's names; biases become those of batch norms that do nothing else."""
    state = {}
    for convolution, norm in followed(timm.create_model(ARCHITECTURE)):
        bias = student[f"tower.model.{convolution}.bias"]
        state[f"visual.trunk.{convolution}.weight"] = student[f"tower.model.{convolution}.weight"]
        state[f"visual.trunk.{norm}.weight"] = torch.ones_like(bias)
        state[f"visual.trunk.{norm}.bias"] = bias
        state[f"visual.trunk.{norm}.running_mean"] = torch.zeros_like(bias)
        state[f"visual.trunk.{norm}.running_var"] = torch.full_like(bias, 1 - BN_EPS_TF_DEFAULT)
        state[f"visual.trunk.{norm}.num_batches_tracked"] = torch.tensor(0)
    state["visual.head.proj.weight"] = student["project.weight"]
    return state


def blend(trained: dict[str, Tensor], start: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Go back some of the way to the weights that training set out from (WiSE-FT, arXiv 2109.01903).

    They know what no caption names. Of the shares 0, 0.2, 0.3 and 0.45, 0.2 was the best on photographs outside the
    test sets: 0.219 / 0.368 / 0.657 (Corel5k 260, 54, COCO-18) against 0.216 / 0.357 / 0.664 without.
    """
    return {name: trained[name].lerp(start[name], share) for name in trained}


def export(student: dict[str, Tensor], text: dict[str, Tensor], folder: Path) -> None:
    """Write ``open_clip_config.json`` and ``open_clip_model.safetensors``.

    Args:
        student: State of an `image.Student`.
        text: Parameters of the text tower, by open_clip's names.
        folder: Where to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {**timm_state(student), **text, "logit_scale": student["logit_scale"]}
    half = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in state.items()}
    expected = build().state_dict()
    if half.keys() != expected.keys():
        raise ValueError(f"weights do not fit: {sorted(half.keys() ^ expected.keys())}")
    if any(not value.isfinite().all() for value in half.values()):
        raise ValueError("weights are not finite in float16")
    (folder / "open_clip_config.json").write_text(json.dumps(CONFIG, indent=2) + "\n", encoding="utf-8")
    partial = folder / "open_clip_model.partial"
    save_file(half, partial)
    partial.chmod(0o644)
    partial.replace(folder / "open_clip_model.safetensors")
