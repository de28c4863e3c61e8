"""What RAM's ladder saves: memory and seconds of a training step beside back-propagation through the backbone.

Three ways through the same learner, losses, labels and images, each in a process of its own:

- ``ladder``: the tower is frozen, adapters listen to its last three stages; tokens are stored before these;
- ``last stages``: the same tokens, these three stages learn and there is no ladder;
- ``every stage``: all stages learn, from the patch embedding on.

The frozen teacher of KCOT runs beside each, from where its tokens enter. Memory is the peak of resident memory over
what was resident when everything was loaded: activations, gradients and the optimiser's state. Vision tokens enter the
last stages of the frozen tower, so their gradients flow through these: ``--vision-tokens 0`` shows what that costs.

Memory does not depend on how busy the machine is, seconds do: ``python benchmarks/adapters.py``.
"""

import argparse
import gc
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import normalize
from torch.utils.flop_counter import FlopCounterMode
from workload import write_model

from c2srt_cli.backbone.precision import native_precision
from c2srt_cli.backbone.registry import load_backbone
from c2srt_cli.backbone.tower import Tokens
from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.methods.prompt import Prompts
from c2srt_cli.methods.vocabulary import Vocabulary
from c2srt_cli.training.batch_loss import BatchLoss
from c2srt_cli.training.config import resolve
from c2srt_cli.training.fit import build
from c2srt_cli.training.state import TrainState

STAGES = 3
#: Stages that learn, None for all of them, and rungs of the ladder.
WAYS: dict[str, tuple[int | None, int]] = {
    "ladder": (0, STAGES),
    "last stages": (STAGES, 0),
    "every stage": (None, 0),
}
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def measure(way: str, options: argparse.Namespace) -> dict[str, float]:
    """Peak GB over what was loaded, seconds a step, and TFLOP of one, of one way in this process."""
    backbone = load_backbone(write_model(options.work / options.arch, options.arch))
    backbone.to("cpu", torch.float32)
    trained, ladder = WAYS[way]
    config = resolve(
        "ram",
        {
            "trained_stages": backbone.tower.depth if trained is None else trained,
            "adapters.stages": ladder,
            "adapters.vision_tokens": options.vision_tokens if ladder else 0,
            "text_tokens.count": options.text_tokens,
            "text_tokens.layers": options.text_layers,
        },
    )
    reduced = native_precision("cpu") == "bfloat16"
    state = TrainState(method := build(config, backbone).train(), 1000)
    split_stage, attention = method.need.split_stage, method.need.patch_attention
    precision = torch.autocast("cpu", torch.bfloat16, enabled=reduced)

    random = np.random.default_rng(0)
    torch.manual_seed(0)
    names = LabelSet(tuple(Label(f"label {i}") for i in range(options.labels)))
    prompts = Prompts.of(backbone, names, ["A photo of a {}."]) if options.text_tokens else None
    text = normalize(torch.randn(options.labels, backbone.dim), dim=-1)
    vocabulary = Vocabulary(text, None, np.ones(options.labels, bool), prompts=prompts)
    truth = torch.from_numpy(np.where(random.random((options.batch, options.labels)) < 0.05, 1, -1).astype(np.int8))
    pixels = torch.from_numpy(random.integers(0, 256, (options.batch, *2 * (backbone.image_size,), 3), dtype=np.uint8))
    with torch.no_grad(), precision:
        found = backbone.early_stages(
            pixels, split_stage, patch_attention=attention, streams="both" if attention else "global"
        )
    assert found.x is not None
    tokens = Tokens(found.x.to(torch.bfloat16), None if found.local is None else found.local.to(torch.bfloat16))
    teacher = torch.randn(options.batch, backbone.dim)

    def step() -> float:
        began = time.perf_counter()
        labels = vocabulary.of(np.arange(options.labels))
        if prompts is not None:
            with precision:
                labels = labels._replace(text=prompts.embed(method.text_tower, labels.nodes))
        found = BatchLoss(method, split_stage, precision)(tokens, labels, truth, teacher)
        state.update(torch.stack(list(found.values())).sum())
        return time.perf_counter() - began

    del found, pixels
    gc.collect()
    loaded = _resident()
    seconds = [step() for _ in range(options.rounds + 1)][1:]
    peak = _peak() - loaded
    with FlopCounterMode(display=False) as counted:
        step()
    return {
        "gb": peak / 1e9,
        "seconds": statistics.median(seconds),
        "tflop": counted.get_total_flops() / 1e12,
    }


def _resident() -> float:
    """Bytes in memory now, from where the peak is counted on."""
    if not STATUS.exists():
        return _peak()  # no system but Linux forgets a peak: what loading took beyond this is not seen
    RESET.write_text("5")
    return _status("VmRSS")


def _peak() -> float:
    if not STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return _status("VmHWM")  # ru_maxrss would begin at the parent's


def _status(name: str) -> float:
    return float(STATUS.read_text().split(f"{name}:")[1].split()[0]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="ViT-B-16-quickgelu")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--labels", type=int, default=65)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--vision-tokens", type=int, default=8)
    parser.add_argument("--text-tokens", type=int, default=0, help="0: the text side is the same in each way")
    parser.add_argument("--text-layers", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help="this one alone, in this process, as JSON")
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "c2srt-bench", help="where inputs are made"
    )
    options = parser.parse_args()
    if options.way is not None:
        print(json.dumps(measure(options.way, options)))
        return
    write_model(options.work / options.arch, options.arch)
    found: dict[str, dict[str, Any]] = {}
    for way in WAYS:
        line = [sys.executable, __file__, *sys.argv[1:], "--way", way]
        done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True)
        found[way] = json.loads(done.stdout)
    print(
        f"{options.arch}, batches of {options.batch}, {options.labels} labels, {options.vision_tokens} vision and "
        f"{options.text_tokens} text tokens, {native_precision('cpu')}"
    )
    base = found["ladder"]
    for way, one in found.items():
        print(
            f"{way:12s} {one['gb']:6.2f} GB  x {one['gb'] / base['gb']:5.2f}   {one['seconds']:6.2f} s a step  "
            f"x {one['seconds'] / base['seconds']:5.2f}   {one['tflop']:6.2f} TFLOP  "
            f"x {one['tflop'] / base['tflop']:5.2f}"
        )


if __name__ == "__main__":
    main()
