"""``open_clip_config.json``: what of it this package builds a model of."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from c2srt_cli.artifacts import read_json
from c2srt_cli.artifacts.records import Record, Text, checked
from c2srt_cli.backbone.names import CONFIG

# Four times what the largest published models have, and more: a config may not ask for more memory than there is.
Width = Annotated[int, Field(ge=1, le=1 << 14)]
Depth = Annotated[int, Field(ge=1, le=512)]
Pixels = Annotated[int, Field(ge=1, le=4096)]
Ratio = Annotated[float, Field(gt=0, le=64)]


class _Part(Record):
    model_config = ConfigDict(extra="allow")


class _Vision(_Part):
    image_size: Pixels | tuple[Pixels, Pixels] = 224
    patch_size: Pixels | tuple[Pixels, Pixels] | None = 16
    layers: Depth | tuple[Depth, ...] = 12
    width: Width = 768
    head_width: Width = 64
    mlp_ratio: Ratio = 4.0
    # an architecture of timm's, not one that it would read from a hub or a folder
    timm_model_name: Annotated[str, Field(pattern=r"^\w[\w.-]*$")] | None = None


class _TokenizerOptions(Record):
    """No others reach transformers: one of them runs code that lies beside the weights."""

    model_config = ConfigDict(extra="forbid")

    clean: Literal["canonicalize", "lower", "whitespace"] = "whitespace"
    strip_sep_token: bool = False
    language: Text | None = None


class _TextTower(_Part):
    context_length: Annotated[int, Field(ge=1, le=8192)] = 77
    vocab_size: Annotated[int, Field(ge=1, le=1 << 22)] = 49408
    width: Width = 512
    heads: Width = 8
    layers: Depth = 12
    mlp_ratio: Ratio = 4.0
    # a hub's name: not a folder, in which something else could lie
    hf_tokenizer_name: Annotated[str, Field(pattern=r"^(\w[\w.-]*(/\w[\w.-]*)?)?$")] | None = None
    tokenizer_kwargs: _TokenizerOptions | None = None


class _Model(_Part):
    embed_dim: Width
    vision_cfg: _Vision
    text_cfg: _TextTower
    custom_text: bool = False


class _Preprocess(Record):
    mean: tuple[float, float, float] | None = None
    std: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=3, max_length=3)] | None = None
    interpolation: Literal["bicubic", "bilinear", "random"] | None = None
    resize_mode: Literal["shortest", "squash", "longest"] | None = None
    fill_color: Annotated[int, Field(ge=0, le=255)] | None = None


class _Config(Record):
    model_cfg: _Model
    preprocess_cfg: _Preprocess | None = None


def read_config(folder: Path) -> dict[str, Any]:
    """Read ``open_clip_config.json``: ``model_cfg`` and ``preprocess_cfg``, without what stands for a default.

    Raises:
        InputError: it is missing, no config of open_clip's, or describes no model of this world.
    """
    path = folder / CONFIG
    config = read_json(path)
    found = checked(_Config, config, path, "name a folder in open_clip's local-dir layout")
    preprocess = found.preprocess_cfg or _Preprocess()
    return {"model_cfg": config["model_cfg"], "preprocess_cfg": preprocess.model_dump(mode="json", exclude_none=True)}
