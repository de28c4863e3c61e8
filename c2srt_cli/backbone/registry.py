"""A backbone by name → a `Backbone` ready to run. Never touches the network."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import open_clip
import torch
from open_clip.transform import PreprocessCfg
from torch import Tensor

from c2srt_cli.artifacts import file_sha256, fingerprint
from c2srt_cli.backbone.checkpoint import build_model, load_weights
from c2srt_cli.backbone.config import read_config
from c2srt_cli.backbone.convolution import use_fused_convolutions
from c2srt_cli.backbone.hub import hub
from c2srt_cli.backbone.linear import use_packed_linears
from c2srt_cli.backbone.names import CALIBRATION, locate, record, resolve, weights_file
from c2srt_cli.backbone.quickgelu import fold_quickgelu
from c2srt_cli.backbone.text import TextTower
from c2srt_cli.backbone.tower import ImageTower, Streams, Tokens, local_start, run_late_stages
from c2srt_cli.backbone.towers import tower_of
from c2srt_cli.errors import InputError, UsageError

__all__ = ["Backbone", "load_backbone", "resolve"]

FIT_OF_MODE = {"shortest": "crop", "squash": "squash", "longest": "pad"}


class Backbone:
    """An image tower and a text tower into one space.

    Attributes:
        id: What `load_backbone` takes to load it again.
        weights_sha256: Of the weights' file.
        config_sha256: Of what says how they are put together, as canonical JSON.
        image_size: Side of its square input, pixels.
        mean: Per channel, of pixels in [0, 1].
        std: Per channel.
        interpolation: As open_clip names it.
        fill: Grey level of the padding under ``pad``.
        default_fit: ``crop``, ``squash`` or ``pad``, as open_clip's preprocessing of the model.
        dim: D, of the joint space.
        logit_scale: Factor from cosines to logits, already exponentiated.
        logit_bias: Added to logits, of a model trained with a sigmoid for each label (SigLIP); else None.
        text_context: Longest text, in tokens with start and end.
        calibration_path: ``calibration.json`` beside the weights, if any.
        tower: The image tower.
    """

    def __init__(self, spec: str, folder: Path, model: Any, config: dict[str, Any], weights_sha256: str) -> None:
        preprocess = PreprocessCfg(**{"size": model.visual.image_size, **config["preprocess_cfg"]})
        height, width = model.visual.image_size
        if height != width or preprocess.resize_mode not in FIT_OF_MODE:
            raise UsageError(
                f"input of {height}x{width} pixels, {preprocess.resize_mode!r}, is not supported", where=spec
            )
        self.id = spec
        self.weights_sha256 = weights_sha256
        self.config_sha256 = fingerprint(config["model_cfg"])
        self.image_size = int(height)
        self.mean = tuple(float(value) for value in preprocess.mean)
        self.std = tuple(float(value) for value in preprocess.std)
        self.interpolation = preprocess.interpolation
        self.fill = int(preprocess.fill_color)
        self.default_fit = FIT_OF_MODE[preprocess.resize_mode]
        self.dim = int(config["model_cfg"]["embed_dim"])
        self.logit_scale = float(model.logit_scale.detach().exp())
        bias = getattr(model, "logit_bias", None)
        self.logit_bias = None if bias is None else float(bias.detach())
        self.calibration_path = path if (path := folder / CALIBRATION).is_file() else None
        use_packed_linears(model)
        use_fused_convolutions(model)
        self.tower: ImageTower = tower_of(model.visual)
        self.text = TextTower(model)
        self.text_context = self.text.context
        self.model = model
        self._folder = folder

    @property
    def default_patch_attention(self) -> str | None:
        """The local stream that zero-shot scoring takes."""
        return "value" if self.tower.supports_local else None

    def to(self, device: str | torch.device, dtype: torch.dtype) -> Self:
        """Move both towers, in place."""
        self.model.to(device=device, dtype=dtype)
        return self

    def early_stages(
        self, pixels: Tensor, split_stage: int, *, patch_attention: str | None = None, streams: Streams = "global"
    ) -> Tokens:
        """Run everything before the split.

        Args:
            pixels: ``(B, S, S, 3)`` uint8 RGB.
            split_stage: 0 to depth; the split lies before this stage.
            patch_attention: Which blocks feed the local stream (``value``: the last six, ``value-all``), or None.
            streams: What to return. Before the first block that feeds it, the local stream is the global one.

        Raises:
            UsageError: the tower has no local stream, or ``streams`` asks for one without ``patch_attention``.
        """
        wants_local = streams != "global"
        if wants_local and patch_attention is None:
            raise UsageError(f"streams {streams!r} need a local stream", hint="choose value or value-all")
        start = local_start(self.tower, patch_attention) if wants_local else None
        tokens = self.tower.run(Tokens(self.tower.stem(self.normalise(pixels))), 0, split_stage, start)
        if wants_local and tokens.local is None:
            tokens.local = tokens.x
        return Tokens(None if streams == "local" else tokens.x, tokens.local if wants_local else None)

    def late_stages(
        self, tokens: Tokens, split_stage: int, *, patch_attention: str | None = None
    ) -> tuple[Tensor | None, Tensor]:
        """Run everything from the split on, differentiably.

        Args:
            tokens: As `early_stages` returned them for the same ``split_stage`` and ``patch_attention``.
            split_stage: 0 to depth.
            patch_attention: As for `early_stages`; None leaves a local stream as it is.

        Returns:
            The global embedding ``(B, D)``, None without the global stream, and the patches ``(B, P, D)``, from the
            local stream where there is one. Neither is normalised.

        Raises:
            UsageError: a stream that is needed to go on is missing.
        """
        return run_late_stages(self.tower, tokens, split_stage, patch_attention)

    def normalise(self, pixels: Tensor) -> Tensor:
        """``(B, S, S, 3)`` uint8 to ``(B, 3, S, S)``: ToTensor and Normalize in float32, then the towers' dtype."""
        mean, std = (torch.tensor(values, device=pixels.device) for values in (self.mean, self.std))
        scaled = pixels.float().div(255).sub_(mean).div_(std)
        return scaled.permute(0, 3, 1, 2).to(self.dtype)  # (B, 3, S, S)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype both towers compute in."""
        dtype: torch.dtype = self.model.logit_scale.dtype
        return dtype

    def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text with start and end, before any truncation."""
        tokenizer = self.tokenizer
        if isinstance(tokenizer, open_clip.SimpleTokenizer):
            return [len(tokenizer.encode(text)) + 2 for text in texts]
        cleaned = [tokenizer.clean_fn(text) for text in texts]
        return [len(ids) for ids in tokenizer.tokenizer(cleaned, truncation=False).input_ids]

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Embed texts: ``(N, D)`` float32 on the CPU, not normalised."""
        return self.text.embed(texts, self.tokenizer)

    @cached_property
    def tokenizer(self) -> Any:
        """open_clip's tokenizer of the model.

        Raises:
            UsageError: it needs a package that is not installed.
            InputError: its files are missing.
        """
        try:
            with hub(offline=True):
                return open_clip.get_tokenizer(f"local-dir:{self._folder}")
        except ImportError as error:
            raise UsageError(
                f"the tokenizer of {self.id} needs a package that is not installed ({error.name})",
                hint="pip install 'c2srt[hf]'",
            ) from None
        except (OSError, ValueError) as error:
            raise InputError(f"its tokenizer cannot be loaded ({error})", where=str(self._folder)) from None


def load_backbone(spec: str) -> Backbone:
    """Load a backbone in float32 on the CPU, with QuickGELU folded.

    Args:
        spec: ``auto``, ``mini``, ``ARCH/TAG`` (fetched), ``hf-hub:org/name`` (fetched) or ``local-dir:/path``.

    Raises:
        InputError: its files are missing, corrupt, or do not match each other.
        UsageError: the name is unknown or the architecture is not supported.
    """
    spec, _ = resolve(spec)
    folder = locate(spec)
    config = read_config(folder)
    weights = weights_file(folder)
    with hub(offline=True):
        model = build_model(config["model_cfg"], where=str(folder))
    tower_of(model.visual)  # refuses what is not supported before the weights are read
    load_weights(model, weights)
    known = record(spec)
    sha256 = known.sha256 if known is not None else file_sha256(weights)
    fold_quickgelu(model)
    return Backbone(spec, folder, model.eval(), config, sha256)
