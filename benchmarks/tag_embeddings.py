"""Tagging again from embeddings, 1,000 labels, ISR: images a second for a 14x14 and a 7x7 tower.

The peer is the same scoring by forming every pooled vector, ``(B, L, D)``, as it is usually written.
Run on an idle machine: ``python benchmarks/tag_embeddings.py``.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
from torch.nn.functional import normalize
from workload import write_images, write_labels, write_model

from c2srt_cli.embeddings.embed import EmbedOptions, embed, prepare_embedding
from c2srt_cli.methods.isr import patch_cap
from c2srt_cli.progress import Progress
from c2srt_cli.tagging.job import TagJob
from c2srt_cli.tagging.tag import TagOptions, prepare_tagging
from c2srt_cli.tagging.tagger import tag_images


def throughput(job: TagJob, repeats: int = 3) -> float:
    """Images a second, best of some passes over warm pages."""
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        for _batch in tag_images(job, job.source.items, Progress()):
            pass
        best = min(best, time.perf_counter() - started)
    return len(job.source.items) / best


@torch.inference_mode()
def plain_isr(job: TagJob, images: int = 32) -> float:
    """Images a second of scoring alone: softmax, full sort, and the pooled vectors ``(L, D)`` of each image."""
    text, scale = job.text, job.encoder.backbone.logit_scale
    items = job.source.items[:images]
    batches = list(job.source.batches(items))
    started = time.perf_counter()
    for batch in batches:
        for patches in normalize(batch.embedding.patches[: len(batch.items)].float(), dim=-1):
            similarity = text @ patches.T
            mass, order = (similarity * scale).softmax(-1).sort(-1, descending=True)
            count = ((mass.cumsum(-1) < 0.5).sum(-1) + 1).clamp(max=patch_cap(len(patches)))
            chosen = torch.arange(len(patches)) < count[:, None]
            pooled = (patches[order] * chosen[..., None]).sum(1)  # (L, P, D) is formed on the way
            torch.cosine_similarity(pooled, text, dim=-1)
    return images / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "c2srt-bench", help="where inputs are made"
    )
    parser.add_argument("--images", type=int, default=512)
    options = parser.parse_args()
    work: Path = options.work
    labels = write_labels(work / "labels-1000.txt", 1000)
    write_images(work / "small", options.images, width=320, height=240)
    print(f"{'':28}{'img/s':>8}{'x plain scoring':>17}")
    for arch in ("ViT-B-16-quickgelu", "ViT-B-32-quickgelu"):
        backbone = write_model(work / arch, arch)
        out = work / f"embeddings-{arch}"
        embed(
            prepare_embedding(EmbedOptions(inputs=(str(work / "small"),), out=out, backbone=backbone), Progress()),
            Progress(),
        )
        job = prepare_tagging(TagOptions(inputs=(str(out),), labels=labels), Progress())
        grid = job.encoder.backbone.tower.grid(job.encoder.split.stage)
        rate, plain = throughput(job), plain_isr(job)
        print(f"{f'{arch} {grid[0]}x{grid[1]}':28}{rate:8.0f}{rate / plain:17.1f}")


if __name__ == "__main__":
    main()
