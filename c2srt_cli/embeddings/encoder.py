"""A backbone on its device, in its precision, ready to encode batches of one shape."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.backbone.precision import Runtime, probe
from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.backbone.tower import Streams, Tokens
from c2srt_cli.embeddings.split import Split
from c2srt_cli.images import PixelSpec
from c2srt_cli.threads import torch_threads


@dataclass(frozen=True)
class Encoder:
    """A backbone ready to encode batches of one shape.

    Every forward has ``runtime.batch`` rows, the last ones padded with black, so that an image's values do not
    depend on which others it came with.

    Attributes:
        backbone: On its device, in its precision.
        runtime: Device, precision, batch shape.
        split: Where the tower is split.
        cores: That torch may use, as it was told when the encoder was made.
        probed: Precision or batch shape were measured just now.
        head: From tokens at the split, and stored global embeddings or None, to embeddings; the late stages of the
            backbone where None.
    """

    backbone: Backbone
    runtime: Runtime
    split: Split
    cores: int = field(default_factory=torch.get_num_threads)
    probed: bool = False
    head: Callable[[Tokens, Tensor | None], ImageEmbedding] | None = None

    @property
    def lanes(self) -> int:
        """Forward passes that run side by side: one on a GPU, on a CPU as many as its cores have room for.

        Several passes of one thread each leave no core waiting for another, as the threads of one pass do.
        """
        return max(1, self.cores // self.runtime.threads) if self.runtime.device == "cpu" else 1

    def threads_per_lane(self) -> AbstractContextManager[None]:
        """Give each forward pass its share of the cores, inside the block."""
        return torch_threads(self.runtime.threads) if self.runtime.device == "cpu" else nullcontext()

    def describe(self) -> str:
        """Backbone and runtime in a few words."""
        run = self.runtime
        how = f"{self.backbone.id} on {run.device}, {run.dtype}, batches of {run.batch}, {self.lanes} at a time"
        return f"{how} (measured just now)" if self.probed else how

    @torch.inference_mode()
    def embed(self, tokens: Tokens, stored: Tensor | None = None) -> ImageEmbedding:
        """Run the stages behind the split.

        Args:
            tokens: Entering it.
            stored: Global embeddings ``(B, D)``, for tokens of the local stream alone.
        """
        if self.head is not None:
            return self.head(tokens, stored)
        global_, patches = self.backbone.late_stages(
            tokens, self.split.stage, patch_attention=self.split.patch_attention
        )
        global_ = stored if global_ is None else global_
        assert global_ is not None
        return ImageEmbedding(global_, patches)

    @torch.inference_mode()
    def forward(self, arrays: Sequence[np.ndarray]) -> tuple[Tokens, ImageEmbedding]:
        """Encode up to ``runtime.batch`` pictures ``(S, S, 3)`` uint8.

        Returns:
            Tokens at the split and embeddings of the whole padded batch, as in `EncodedBatch`.
        """
        size = self.backbone.image_size
        pixels = np.zeros((self.runtime.batch, size, size, 3), np.uint8)
        for row, array in enumerate(arrays):
            pixels[row] = array
        backbone, split, batch = self.backbone, self.split, torch.from_numpy(pixels)
        if pinned := self.runtime.device.startswith("cuda"):  # the copy then holds up no thread
            batch = batch.pin_memory()
        wanted: Streams = "global" if split.patch_attention is None else "both"
        tokens = backbone.early_stages(
            batch.to(self.runtime.device, non_blocking=pinned),
            split.stage,
            patch_attention=split.patch_attention,
            streams=wanted,
        )
        embedding = self.embed(tokens)
        kept = Tokens(
            x=None if split.streams == "local" else tokens.x, local=None if split.streams == "global" else tokens.local
        )
        return kept, embedding


@dataclass(frozen=True, slots=True)
class Machine:
    """What the user says of the machine; None leaves it to the probe, or to what a resumed run began with.

    Attributes:
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps`` or None.
        precision: ``float32``, ``bfloat16``, ``float16`` or None.
        batch: Rows of a forward pass, or None.
        workers: Decode threads, or None for one a core, at most 8.
    """

    device: str | None = None
    precision: str | None = None
    batch: int | None = None
    workers: int | None = None

    @property
    def decode_threads(self) -> int:
        """Threads that read and decode images."""
        return self.workers or min(8, torch.get_num_threads())


def make_encoder(backbone: Backbone, split: Split, machine: Machine, stored: Runtime | None = None) -> Encoder:
    """Put a backbone on its device, in its precision, with its batch shape.

    Args:
        backbone: As loaded.
        split: Where it is split.
        machine: What the user asks for.
        stored: The runtime of what this run goes on with; it is reused unless the user asks for something else, or
            its device is not there.

    Raises:
        UsageError: there is no such device or precision here.
    """
    asked = {"device": machine.device, "dtype": machine.precision, "batch": machine.batch}
    fits = stored is not None and all(value in (None, getattr(stored, key)) for key, value in asked.items())
    if stored is not None and fits and is_there(stored.device):
        runtime, probed = stored, False
    else:
        runtime, probed = probe(
            backbone,
            device=machine.device or "auto",
            precision=machine.precision or "auto",
            batch=machine.batch,
            patch_attention=split.patch_attention,
        )
    encoder = Encoder(backbone, runtime, split, probed=probed)
    backbone.to(runtime.device, getattr(torch, runtime.dtype))
    return encoder


def is_there(device: str) -> bool:
    """Whether torch can use a device here: embeddings made on a GPU are also read on a laptop."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        return False
    return True


def pixel_spec(backbone: Backbone, *, fit: str | None, draft: bool) -> PixelSpec:
    """How pictures are prepared for ``backbone``, by its own preprocessing unless ``fit`` says otherwise.

    Without ``draft`` to the pixel as open_clip does it, which knows no colour profiles.
    """
    return PixelSpec(
        size=backbone.image_size,
        fit=fit or backbone.default_fit,
        interpolation=backbone.interpolation,
        fill=backbone.fill,
        draft=draft,
        icc=draft,
    )
