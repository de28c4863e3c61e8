"""What the benchmarks run on: seeded pictures, labels, and models with random weights in real architectures."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image
from safetensors.torch import save_file


def write_model(folder: Path, arch: str) -> str:
    """Write ``arch`` with seeded random weights as a local-dir backbone; returns its name."""
    if not (folder / "open_clip_config.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0)
        model = open_clip.create_model(arch, pretrained=None)
        torch.nn.init.constant_(model.logit_scale, float(np.log(100.0)))
        save_file(
            {name: value.contiguous() for name, value in model.state_dict().items()},
            folder / "open_clip_model.safetensors",
        )
        config = {"model_cfg": open_clip.get_model_config(arch), "preprocess_cfg": {}}
        (folder / "open_clip_config.json").write_text(json.dumps(config))
    return f"local-dir:{folder}"


def write_labels(path: Path, count: int) -> Path:
    """``count`` different two-word labels."""
    rng = np.random.default_rng(0)
    words = [
        "".join(rng.choice(list("bcdfglmnprst")) + rng.choice(list("aeiou")) for _ in range(2)) for _ in range(400)
    ]
    labels = dict.fromkeys(f"{words[i // 400 % 400]} {words[i % 400]}" for i in rng.permutation(160_000))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(list(labels)[:count]) + "\n")
    return path


def write_images(folder: Path, count: int, *, width: int = 4000, height: int = 3000) -> list[Path]:
    """Seeded 1/f noise as JPEGs of quality 90: even ones smooth (1/f^1.5), odd ones noisy (1/f^0.75)."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:05d}.jpg" for i in range(count)]
    if all(path.exists() for path in paths):
        return paths
    fields = [_noise(width, height, exponent) for exponent in (1.5, 0.75)]
    rng = np.random.default_rng(1)
    for i, path in enumerate(paths):
        rolled = np.roll(fields[i % 2], tuple(rng.integers(0, (height, width))), (0, 1))
        Image.fromarray(rolled[:, :, rng.permutation(3)]).save(path, quality=90)
    return paths


def _noise(width: int, height: int, exponent: float) -> np.ndarray:
    rng = np.random.default_rng(int(exponent * 100))
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    radius[0, 0] = 1.0
    channels = []
    for _ in range(3):
        spectrum = np.fft.rfft2(rng.standard_normal((height, width))) / radius**exponent
        spectrum[0, 0] = 0
        field = np.fft.irfft2(spectrum, (height, width))
        channels.append(np.clip(field / field.std() * 48 + 128, 0, 255).astype(np.uint8))
    return np.stack(channels, -1)


def chunks(items: list[Path], size: int) -> Iterator[list[Path]]:
    """Consecutive parts of at most ``size`` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
