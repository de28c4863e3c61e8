"""Everything that a run of ``embed`` needs, and what its manifest says of it."""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from c2srt_cli.artifacts import address
from c2srt_cli.cluster import Cluster
from c2srt_cli.embeddings import store
from c2srt_cli.embeddings.encoder import Encoder, Machine
from c2srt_cli.errors import InputError
from c2srt_cli.images import Found, PixelSpec
from c2srt_cli.labels import LabelSet
from c2srt_cli.parts.bucket import bucket_of
from c2srt_cli.parts.folder import PART
from c2srt_cli.progress import Progress


@dataclass(frozen=True)
class EmbedJob:
    """Everything `embed` needs, resolved.

    Attributes:
        found: The images; None where they are assigned to parts.
        root: The folder that their names are relative to.
        out: The folder to write.
        encoder: Backbone, runtime and split.
        pixels: How pictures are prepared.
        labels: Label set whose text embeddings to store, or None.
        templates: Prompts around the labels.
        workers: Decode threads.
        machine: What the user says of it.
        overwrite: Start again instead of resuming.
        part_size: Images of a new part.
        share: See `EmbedOptions`.
        cluster: Likewise.
    """

    found: Found | None
    root: Path
    out: Path
    encoder: Encoder
    pixels: PixelSpec
    labels: LabelSet | None
    templates: tuple[str, ...]
    workers: int
    machine: Machine = Machine()
    overwrite: bool = False
    part_size: int = PART
    share: tuple[int, int] | None = None
    cluster: Cluster | None = None


def resolved_options(job: EmbedJob) -> dict[str, Any]:
    """Everything that decides the payload's values, as the manifest records it."""
    encoder = job.encoder
    backbone, tower, stage = encoder.backbone, encoder.backbone.tower, encoder.split.stage
    return {
        "root": address(job.root),
        "backbone": backbone.id,
        "weights_sha256": backbone.weights_sha256,
        "config_sha256": backbone.config_sha256,
        "split_stage": stage,
        "depth": tower.depth,
        "patch_attention": encoder.split.patch_attention,
        "streams": encoder.split.streams,
        "num_prefix": tower.num_prefix,
        "grid": list(tower.grid(stage)),
        "width": tower.width(stage),
        "dim": backbone.dim,
        "pixels": job.pixels.record,
        "mean": list(backbone.mean),
        "std": list(backbone.std),
        "runtime": asdict(encoder.runtime),
        "stored_dtype": "bfloat16",
        "templates": list(job.templates),
        "torch": torch.__version__,
    }


def check_space(job: EmbedJob, count: int, progress: Progress) -> None:
    """Say how much room so many images take.

    Raises:
        InputError: there is not so much.
    """
    total = count if job.found is None else len(job.found.files)
    each = _bytes_per_image(job.encoder)
    reclaimed = sum(path.stat().st_size for path in store.payload(job.out)) if job.overwrite else 0
    at_once = count if bucket_of(job.out) is None else min(count, job.part_size)  # then they go to the bucket
    needed, free = at_once * each, shutil.disk_usage(job.out).free + reclaimed
    progress.note(
        f"{count:,} of {total:,} images to encode, {each / 1024:.0f} KiB each: {_size(needed)} of {_size(free)} free"
    )
    if needed * 1.02 + 2**20 > free:
        raise InputError(
            f"needs {_size(needed)}, {_size(free)} are free",
            where=str(job.out),
            hint="make room, or name an --out on a larger disk; nothing has been written",
        )


def _size(count: float) -> str:
    return f"{count / 2**20:,.1f} MiB" if count < 2**30 else f"{count / 2**30:,.1f} GiB"


def _bytes_per_image(encoder: Encoder) -> int:
    """Payload of one image: its streams in bf16 and its global embedding in float32."""
    tower, stage = encoder.backbone.tower, encoder.split.stage
    height, width = tower.grid(stage)
    stream = (tower.num_prefix + height * width) * tower.width(stage) * 2
    return stream * (2 if encoder.split.streams == "both" else 1) + encoder.backbone.dim * 4
