"""Trained parts → the shipped folder: open_clip's config and weights in float16."""

import json
from pathlib import Path
from typing import Any

import torch
from open_clip.model import CLIP
from safetensors.torch import save_file
from torch import Tensor

import c2srt_cli.backbone.mini  # noqa: F401  registers the architecture
from train_mini.text import TEXT_CONFIG
from train_mini.tower import STAGES

DIM = 224
CONFIG: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": DIM,
        "vision_cfg": {
            "timm_model_name": "mobilenetv2_100_same",
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "linear",
            "image_size": 224,
        },
        "text_cfg": TEXT_CONFIG,
    },
    "preprocess_cfg": {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bicubic",
        "resize_mode": "squash",
    },
}


def build() -> CLIP:
    """The untrained model, as open_clip builds it from the config."""
    return CLIP(**json.loads(json.dumps(CONFIG["model_cfg"])))


def timm_state(student: dict[str, Tensor]) -> dict[str, Tensor]:
    """A student's tower and projection under timm's names; biases become those of batch norms that do nothing else."""
    pairs = [("stem", "conv_stem", "bn1"), ("last", "conv_head", "bn2")]
    for stage, (expansion, _, blocks, _) in enumerate(STAGES):
        for block in range(blocks):
            own, its = f"stages.{stage}.{block}", f"blocks.{stage}.{block}"
            if expansion == 1:
                parts = [("depthwise", "conv_dw", "bn1"), ("project", "conv_pw", "bn2")]
            else:
                parts = [("expand", "conv_pw", "bn1"), ("depthwise", "conv_dw", "bn2"), ("project", "conv_pwl", "bn3")]
            pairs += [(f"{own}.{a}", f"{its}.{b}", f"{its}.{c}") for a, b, c in parts]
    state = {}
    for own, convolution, norm in pairs:
        bias = student[f"tower.{own}.bias"]
        state[f"visual.trunk.{convolution}.weight"] = student[f"tower.{own}.weight"]
        state[f"visual.trunk.{norm}.weight"] = torch.ones_like(bias)
        state[f"visual.trunk.{norm}.bias"] = bias
        state[f"visual.trunk.{norm}.running_mean"] = torch.zeros_like(bias)
        state[f"visual.trunk.{norm}.running_var"] = torch.ones_like(bias)
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
