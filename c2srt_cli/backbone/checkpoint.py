"""open_clip's config and weights → a model, without its random initialisation."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from threading import get_ident
from typing import Any

import torch
from open_clip.model import CLIP, CustomTextCLIP, convert_to_custom_text_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from c2srt_cli.backbone.names import CONFIG
from c2srt_cli.backbone.tower import SUPPORTED
from c2srt_cli.errors import InputError, UsageError


def build_model(model_cfg: dict[str, Any], *, where: str) -> Any:
    """Build open_clip's model with its parameters on the meta device: shapes without values.

    Raises:
        UsageError: the architecture is not supported.
        InputError: open_clip cannot make a model of the config.
    """
    config = deepcopy(model_cfg)
    vision, text = config.get("vision_cfg") or {}, config.get("text_cfg") or {}
    if "multimodal_cfg" in config or vision.get("attentional_pool"):
        raise UsageError("CoCa's attention pool is not supported", where=where, hint=f"supported: {SUPPORTED}")
    if isinstance(vision.get("layers"), list):
        raise UsageError("ResNet towers are not supported", where=where, hint=f"supported: {SUPPORTED}")
    if text.get("hf_model_name"):
        raise UsageError(
            "text towers of transformers are not supported", where=where, hint="use one of open_clip's own"
        )
    if vision.get("timm_model_name"):
        vision["timm_model_pretrained"] = False
    for part in (vision, text):
        part.pop("output_tokens", None)  # the pooled embedding alone is what is wanted
    kind = CustomTextCLIP if config.pop("custom_text", False) else CLIP
    try:
        with _parameters_on_meta():
            return kind(**config).eval()
    except Exception as error:  # of open_clip, timm or torch, and of any kind
        raise InputError(f"open_clip cannot build this model ({error})", where=f"{where}/{CONFIG}") from error


def load_weights(model: nn.Module, path: Path) -> None:
    """Give ``model`` its parameters, in float32.

    Raises:
        InputError: the file is corrupt, or is not of this architecture.
    """
    try:
        state = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"is corrupt ({error})", where=str(path), hint="get the file again: copy it, or c2srt fetch"
        ) from None
    _give(model, state, path)
    left = [name for name, parameter in model.named_parameters() if parameter.is_meta]
    assert not left, left
    model.float()


def _give(model: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
        state = convert_to_custom_text_state_dict(state)
    for name in ("logit_scale", "logit_bias"):
        own = getattr(model, name, None)
        if own is not None and name in state and state[name].numel() == own.numel():
            state[name] = state[name].reshape(own.shape)
    expected = model.state_dict()
    problems = [f"missing: {name}" for name in expected if name not in state]
    problems += [f"not of this architecture: {name}" for name in state if name not in expected]
    problems += [
        f"{name}: shape {tuple(state[name].shape)}, the config says {tuple(value.shape)}"
        for name, value in expected.items()
        if name in state and state[name].shape != value.shape
    ]
    problems += [
        f"{name}: {state[name].dtype}, and not all of it finite numbers"
        for name, value in expected.items()
        if name in state
        and value.is_floating_point()
        and not (state[name].is_floating_point() and bool(state[name].isfinite().all()))
    ]
    if problems:
        shown = [*problems[:5], *([f"and {len(problems) - 5} more"] if len(problems) > 5 else [])]
        raise InputError("does not fit the config beside it", where=str(path), problems=shown)
    model.load_state_dict(state, strict=True, assign=True)


@contextmanager
def _parameters_on_meta() -> Iterator[None]:
    """Put every parameter that a module registers on the meta device; buffers, which no file holds, stay real."""
    here = get_ident()

    def on_meta(_module: nn.Module, _name: str, parameter: nn.Parameter) -> nn.Parameter | None:
        if get_ident() != here:  # the hook is the process's, other threads may be building modules of their own
            return None
        return nn.Parameter(parameter.detach().to("meta"), requires_grad=parameter.requires_grad)

    hook = register_module_parameter_registration_hook(on_meta)  # type: ignore[arg-type] # its result counts
    try:
        with torch.device("cpu"):
            yield
    finally:
        hook.remove()
