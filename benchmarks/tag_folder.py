"""End-to-end tagging of 12-megapixel images, against the plain open_clip script that people write.

Prints images a second of both, the forward pass alone with and without the value-value stream, and the limit that the
processor's bfloat16 products set. Run on an idle machine: ``python benchmarks/tag_folder.py``.
"""

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import open_clip
import torch
from PIL import Image
from workload import chunks, write_images, write_labels, write_model

from c2srt_cli.backbone.registry import load_backbone
from c2srt_cli.embeddings.encoder import Machine, make_encoder
from c2srt_cli.embeddings.split import Split, resolve_split
from c2srt_cli.methods.registry import METHODS
from c2srt_cli.progress import Progress
from c2srt_cli.tagging.outputs import tag_to_files
from c2srt_cli.tagging.tag import TagOptions, prepare_tagging
from c2srt_cli.tagging.writers import WRITERS

ARCH = "ViT-B-16-quickgelu"
FLOPS = 35.13e9  # of one 224x224 image: 2 x multiply-adds of the 12 blocks, patch embedding and projection


@torch.inference_mode()
def plain_script(paths: list[Path], labels: list[str], weights: Path) -> float:
    """Seconds an image of: Pillow full decode, open_clip's preprocess, float32, batches of 32."""
    model, _, preprocess = open_clip.create_model_and_transforms(ARCH, pretrained=str(weights))
    model.eval()
    text = model.encode_text(open_clip.tokenize([f"a photo of a {label}." for label in labels[:64]]), normalize=True)
    started = time.perf_counter()
    for part in chunks(paths, 32):
        images = torch.stack([preprocess(Image.open(path).convert("RGB")) for path in part])
        (model.encode_image(images, normalize=True) @ text.T).topk(5)
    return (time.perf_counter() - started) / len(paths)


def tag(paths: list[Path], labels: Path, backbone: str, out: Path, patch_attention: str) -> float:
    """Seconds an image of the tagger, from the first decode to the written file."""
    job = prepare_tagging(
        TagOptions(inputs=tuple(map(str, paths)), labels=labels, backbone=backbone, patch_attention=patch_attention),
        Progress(note=print),
    )
    started = time.perf_counter()
    tag_to_files(job, WRITERS["jsonl"], out, Progress(), overwrite=True)
    return (time.perf_counter() - started) / len(paths)


def forward(backbone: str, patch_attention: str, seconds: float = 8.0) -> float:
    """Images a second of the encoder alone, its passes side by side as the tagger runs them."""
    loaded = load_backbone(backbone)
    split = resolve_split(
        loaded, Split(*METHODS["zero-shot"].needs(None, loaded.tower)), patch_attention=patch_attention
    )
    encoder = make_encoder(loaded, split, Machine())
    arrays = list(torch.randint(0, 256, (encoder.runtime.batch, 224, 224, 3), dtype=torch.uint8).numpy())
    encoder.forward(arrays)
    started = time.perf_counter()

    def lane(_: int) -> int:
        done = 0
        while time.perf_counter() - started < seconds:
            encoder.forward(arrays)
            done += len(arrays)
        return done

    with encoder.threads_per_lane(), ThreadPoolExecutor(encoder.lanes) as lanes:
        done = sum(lanes.map(lane, range(encoder.lanes)))
    return done / (time.perf_counter() - started)


@torch.inference_mode()
def matmul_limit(rows: int = 1576, repeats: int = 60) -> float:
    """Images a second if every operation ran at the bfloat16 rate of the MLP's first product."""
    x, weight = torch.randn(rows, 768).bfloat16(), torch.randn(3072, 768).bfloat16()
    for _ in range(5):
        torch.nn.functional.linear(x, weight)
    started = time.perf_counter()
    for _ in range(repeats):
        torch.nn.functional.linear(x, weight)
    rate = 2 * rows * 768 * 3072 * repeats / (time.perf_counter() - started)
    print(f"bfloat16 rate at {rows}x768x3072: {rate / 1e9:.0f} GFLOP/s")
    return rate / FLOPS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "c2srt-bench", help="where inputs are made"
    )
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--plain", type=int, default=64, help="images that the plain script reads")
    options = parser.parse_args()
    work: Path = options.work
    backbone = write_model(work / ARCH, ARCH)
    labels = write_labels(work / "labels-1000.txt", 1000)
    paths = write_images(work / "images", options.images)

    limit = matmul_limit()
    plain = 1 / plain_script(
        paths[: options.plain], labels.read_text().split("\n"), work / ARCH / "open_clip_model.safetensors"
    )
    print(f"\n{'':34}{'img/s':>8}{'x plain':>9}{'of limit':>10}")
    print(f"{'limit: bfloat16 products alone':34}{limit:8.1f}{limit / plain:9.1f}{1:10.0%}")
    print(f"{'plain open_clip script':34}{plain:8.2f}{1:9.1f}{plain / limit:10.0%}")
    for patch_attention in ("none", "value"):
        alone = forward(backbone, patch_attention)
        name = "with" if patch_attention == "value" else "without"
        print(f"{f'forward alone, {name} it':34}{alone:8.1f}{alone / plain:9.1f}{alone / limit:10.0%}")
        whole = 1 / tag(paths, labels, backbone, work / f"tags-{patch_attention}.jsonl", patch_attention)
        print(f"{f'c2srt tag, {name} it':34}{whole:8.1f}{whole / plain:9.1f}{whole / limit:10.0%}")


if __name__ == "__main__":
    main()
