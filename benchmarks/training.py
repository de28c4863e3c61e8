"""Images a second of training C2SRT's late stages from cached tokens, beside what the cache saves.

Three ways through the same method, batch and precision: from tokens cached at the split, with the frozen early stages
run each time, and with every stage learning from the pixels. The first two also with decoding, as from files. Each is
warmed up, then timed in turns; medians count. Limits: the cached step against the second way cannot gain more than the
share of the early stages in the forward pass allows, (early + 3 late) / (3 late) with nothing but the tower.

Run on an idle machine: ``python benchmarks/training.py``.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize
from workload import write_images, write_model

from c2srt_cli.backbone.precision import native_precision
from c2srt_cli.backbone.registry import load_backbone
from c2srt_cli.backbone.tower import Tokens
from c2srt_cli.embeddings.encoder import pixel_spec
from c2srt_cli.graph.category_graph import CategoryGraph, Edge
from c2srt_cli.images import load_pixels
from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.methods.vocabulary import Vocabulary
from c2srt_cli.training.batch_loss import BatchLoss
from c2srt_cli.training.config import resolve
from c2srt_cli.training.fit import build
from c2srt_cli.training.run import vocabulary_of
from c2srt_cli.training.state import TrainState

LABELS, SOURCES = 312, 8


def vocabulary(dim: int, method: str) -> Vocabulary:
    """Random labels, each with sources drawn at random."""
    torch.manual_seed(0)
    target = torch.arange(LABELS).repeat_interleave(SOURCES)
    source = (target + torch.randint(1, LABELS, target.shape)) % LABELS
    pairs = torch.unique(torch.stack([source, target]), dim=1).T.tolist()
    edges = tuple(Edge(s, t, "similar", 0.5, "llm") for s, t in pairs)
    labels = LabelSet(tuple(Label(f"label {i}") for i in range(LABELS)))
    text = normalize(torch.randn(LABELS, dim), dim=-1)
    return vocabulary_of(resolve(method, {}), text, CategoryGraph(labels, edges), np.ones(LABELS, bool))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", default="ViT-B-16-quickgelu")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--method", choices=["label-propagation", "c2srt", "clip-ft"], default="label-propagation")
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "c2srt-bench", help="where inputs are made"
    )
    options = parser.parse_args()
    name = write_model(options.work / options.arch, options.arch)
    images = write_images(options.work / "train-64", 64, width=640, height=480)
    images = images[: options.batch]
    reduced = native_precision("cpu") == "bfloat16"
    random = np.random.default_rng(0)
    truth = torch.from_numpy(np.where(random.random((options.batch, LABELS)) < 0.02, 1, -1).astype(np.int8))

    def state(trained: int) -> TrainState:
        backbone = load_backbone(name)
        backbone.to("cpu", torch.float32)
        return TrainState(build(resolve(options.method, {"trained_stages": trained}), backbone).train(), 1000)

    frozen = state(2)
    backbone, depth = frozen.method.backbone, frozen.method.backbone.tower.depth
    whole = state(depth)
    labels = vocabulary(backbone.dim, options.method).of(np.arange(LABELS))
    pixels = torch.from_numpy(random.integers(0, 256, (options.batch, *2 * (backbone.image_size,), 3), dtype=np.uint8))
    teacher = torch.randn(options.batch, backbone.dim)
    spec = pixel_spec(backbone, fit=None, draft=True)

    precision = torch.autocast("cpu", torch.bfloat16, enabled=reduced)

    def early_stages(of: TrainState, shown: Tensor) -> Tokens:
        with precision:
            return of.method.backbone.early_stages(
                shown, of.method.need.split_stage, patch_attention=None, streams="global"
            )

    def step(of: TrainState, tokens: Tokens) -> None:
        found = BatchLoss(of.method, of.method.need.split_stage, precision)(tokens, labels, truth, teacher)
        of.update(torch.stack(list(found.values())).sum())

    def decoded() -> Tensor:
        return torch.from_numpy(np.stack([load_pixels(path, spec).array for path in images]))

    with torch.no_grad():
        stored = early_stages(frozen, pixels).x
    assert stored is not None
    cached = Tokens(x=stored.to(torch.bfloat16), local=None)

    def each_time(shown: Tensor) -> None:
        with torch.no_grad():
            tokens = early_stages(frozen, shown)
        step(frozen, tokens)

    ways: dict[str, Callable[[], None]] = {
        "cached tokens": lambda: step(frozen, cached),
        "frozen stages run each time": lambda: each_time(pixels),
        "the same, decoding included": lambda: each_time(decoded()),
        "every stage learns": lambda: step(whole, early_stages(whole, pixels)),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(options.rounds + 1):
        for way, run in ways.items():
            began = time.perf_counter()
            run()
            if turn:
                seconds[way].append(time.perf_counter() - began)
    base = statistics.median(seconds["cached tokens"])
    kind = "bfloat16" if reduced else "float32"
    print(f"{options.arch}, split at {depth - 2} of {depth}, batches of {options.batch}, {kind}, {LABELS} labels")
    for way, taken in seconds.items():
        median = statistics.median(taken)
        print(f"{way:30s} {options.batch / median:7.1f} img/s   {median / base:5.2f} times as long as from the cache")


if __name__ == "__main__":
    main()
