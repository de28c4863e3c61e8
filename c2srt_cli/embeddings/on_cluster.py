"""Parts of embeddings, encoded by the workers of a cluster."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from c2srt_cli.backbone.precision import Runtime
from c2srt_cli.backbone.registry import Backbone, load_backbone
from c2srt_cli.cluster import Cluster
from c2srt_cli.embeddings.embed_part import Count, embed_part
from c2srt_cli.embeddings.encoder import Encoder, Machine, is_there, make_encoder
from c2srt_cli.embeddings.job import EmbedJob
from c2srt_cli.embeddings.manifest import EmbeddingOptions
from c2srt_cli.embeddings.split import Split
from c2srt_cli.errors import InputError
from c2srt_cli.parts.on_cluster import PATIENCE, check_there, results
from c2srt_cli.progress import Progress


def remote_encoder(
    cluster: Cluster, backbone: Backbone, split: Split, machine: Machine, stored: Runtime | None
) -> Encoder:
    """An encoder of which the forward passes run on workers: there its runtime is measured.

    Here it embeds labels alone, on the CPU where the workers' device is not here.

    Raises:
        C2srtError: the backbone or device is not there.
    """
    runtime, probed = cluster.call(partial(_runtime, backbone.id, split, machine, stored, cluster.cores))
    device = runtime.device if is_there(runtime.device) else "cpu"
    backbone.to(device, getattr(torch, runtime.dtype))
    return Encoder(backbone, runtime, split, probed=probed)


def _runtime(spec: str, split: Split, machine: Machine, stored: Runtime | None, cores: int) -> tuple[Runtime, bool]:
    torch.set_num_threads(cores)
    encoder = make_encoder(load_backbone(spec), split, machine, stored)
    return encoder.runtime, encoder.probed


def embed_parts(  # noqa: PLR0917
    cluster: Cluster, job: EmbedJob, made: EmbeddingOptions, parts: Sequence[int], count: Count, progress: Progress
) -> None:
    """Have parts encoded and published by the workers.

    Raises:
        C2srtError: a worker failed; the parts that were done by then are.
        Interrupted: the user stopped it; a rerun goes on from the last shards of the parts that are not done.
    """
    make = partial(part_encoder, job.out.absolute(), made, cluster.cores)

    def seen(done: Count) -> None:
        count.encoded += done.encoded
        count.live += done.live
        progress.advance(count.encoded, count.total)

    for done in results(cluster, make, job.out, parts, progress, seen):
        count.failures += done.failures


def part_encoder(out: Path, made: EmbeddingOptions, cores: int) -> Callable[[int], Count]:
    """What encodes parts by their number, in a process of its own that has ``cores`` cores.

    Raises:
        InputError: the backbone, its device, the images or the parts are not on this machine.
    """
    torch.set_num_threads(cores)
    split = Split(made.split_stage, made.patch_attention, made.streams)
    encoder = make_encoder(made.load_backbone(out), split, Machine(), made.runtime)
    if encoder.runtime != made.runtime:
        raise InputError(f"there is no {made.runtime.device} here, with which these were begun", where=str(out))
    root = Path(made.root)
    job = EmbedJob(None, root, out, encoder, made.pixels, None, (), cores)

    def encoded(number: int) -> Count:
        check_there(root, out, number)
        count = Count(0)
        embed_part(job, made, number, count, Progress(), wait=PATIENCE)
        return count

    return encoded
