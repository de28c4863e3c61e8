"""A tiny open_clip model with random weights, for tests."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from open_clip.model import CLIP, CustomTextCLIP
from safetensors.torch import save_file
from torch import Tensor

from c2srt_cli.graph.geometric import Data
from c2srt_cli.methods.neighbours import Neighbours
from c2srt_cli.methods.registry import METHODS
from c2srt_cli.training.config import resolve


def tiny_config(**overrides: Any) -> dict[str, Any]:
    """open_clip's ``model_cfg`` of the tiny model; ``vision_cfg`` and ``text_cfg`` overrides are merged in."""
    config: dict[str, Any] = {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 64, "layers": 3, "width": 64, "patch_size": 16, "head_width": 32},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    }
    for key, value in overrides.items():
        config[key] = {**config[key], **value} if isinstance(config.get(key), dict) else value
    return config


class BareBackbone:
    """A backbone without a tower, for methods that are given embeddings.

    Args:
        dim: D.
        logit_scale: As a factor.
    """

    def __init__(self, dim: int, logit_scale: float) -> None:
        self.dim, self.logit_scale, self.dtype = dim, logit_scale, torch.float32
        self.model, self.text = torch.nn.Linear(1, 1), SimpleNamespace(layers=12)
        self.tower = SimpleNamespace(depth=12, supports_local=False)


def bare(method: str, dim: int, logit_scale: float, **given: Any) -> Any:
    """A method on a `BareBackbone`, of which nothing but the scoring works; options by name."""
    own = {"trained_stages": 0} if method != "zero-shot" else {}
    if method == "ram":
        own |= {"adapters.stages": 0, "text_tokens.count": 0}
    options = resolve(method, {**own, **given})
    return METHODS[method](options, BareBackbone(dim, logit_scale)).eval()  # type: ignore[arg-type]


def neighbours(edge_index: Tensor, edge_attr: Tensor, nodes: int) -> Neighbours:
    """Rows of a graph that is given as tensors."""
    return Neighbours.of(Data(edge_index=edge_index, edge_attr=edge_attr, num_nodes=nodes))


def write_tiny_model(folder: Path, *, seed: int = 0, preprocess: dict[str, Any] | None = None, **overrides: Any) -> str:
    """Write a random but real model in open_clip's local-dir layout.

    Args:
        folder: Made if missing.
        seed: Of the weights.
        preprocess: open_clip's ``preprocess_cfg``.
        overrides: Of ``model_cfg``, merged one level deep: ``vision_cfg={"layers": 2}``, ``quick_gelu=True``.

    Returns:
        The backbone's name, ``local-dir:<folder>``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = tiny_config(**overrides)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        kwargs = dict(config)
        model = (CustomTextCLIP if kwargs.pop("custom_text", False) else CLIP)(**kwargs)
        for parameter in model.parameters():  # biases and norms too, or half the arithmetic would go untested
            if parameter.ndim == 1:
                torch.nn.init.normal_(parameter, mean=float(parameter.detach().mean().round()), std=0.1)
    torch.nn.init.constant_(model.logit_scale, 4.6051702)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    content = {"model_cfg": config, "preprocess_cfg": preprocess or {}}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    return f"local-dir:{folder}"
