"""Photographs → augmented views → maps at the cut and the teacher's logits, computed once."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from train_mini.tower import Tower

SIDE = 224
CHUNK = 8
#: The smallest share of a photograph that a view shows.
LEAST = 0.35


def view(pixels: np.ndarray, size: tuple[int, int], random: np.random.Generator | None) -> np.ndarray:
    """One view ``(224, 224, 3)`` of a squashed photograph; the whole of it without ``random``.

    Crops range from the photograph's own proportions to the squashed ones.
    """
    image = Image.fromarray(pixels)
    if random is None:
        return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    own = np.log(size[1] / size[0])  # width over height of a crop that is square in the photograph
    ratio = np.exp(random.uniform(min(0.0, own) - 0.2, max(0.0, own) + 0.2))
    area = random.uniform(LEAST, 1.0)
    width, height = min(1.0, np.sqrt(area * ratio)), min(1.0, np.sqrt(area / ratio))
    left, top = random.uniform(0, 1 - width), random.uniform(0, 1 - height)
    side = len(pixels)
    box = (left * side, top * side, (left + width) * side, (top + height) * side)
    array = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box))
    return array[:, ::-1] if random.random() < 0.5 else array


def jitter(batch: Tensor, random: np.random.Generator) -> Tensor:
    """Change brightness, contrast and saturation a little; ``(B, 3, S, S)`` in [-1, 1]."""
    gain, contrast, saturation = (
        torch.from_numpy(np.exp(random.uniform(-0.25, 0.25, (len(batch), 1, 1, 1))).astype(np.float32))
        for _ in range(3)
    )
    batch = ((batch + 1) * gain - 1).clamp(-1, 1)
    mean = batch.mean((1, 2, 3), keepdim=True)
    batch = mean + (batch - mean) * contrast
    grey = batch.mean(1, keepdim=True)
    return (grey + (batch - grey) * saturation).clamp(-1, 1)


@torch.inference_mode()
def cache_view(
    pixels: np.ndarray,
    sizes: np.ndarray,
    teacher: list[tuple[Tensor, Tensor]],
    out: Path,
    number: int,
    *,
    cut: int,
    seed: int,
) -> None:
    """Write ``maps-K.npy`` ``(N, h, w, C)`` uint8, ``logits-K.npy`` ``(N, 1000)`` float16 and the scale of the maps.

    View 0 shows whole photographs. Quantised per channel over twelve standard deviations.
    """
    target = out / f"maps-{number}.npy"
    if target.exists():
        return
    tower = Tower()
    tower.load(teacher[:-1])
    tower = tower.to(torch.bfloat16, memory_format=torch.channels_last).eval()
    weight, bias = teacher[-1][0].flatten(1), teacher[-1][1]
    random = np.random.default_rng((seed, number)) if number else None
    scale_file = out / "scale.npy"
    partial = out / f"maps-{number}.partial.npy"
    maps: np.ndarray | None = None
    logits = np.zeros((len(pixels), 1000), np.float16)
    for start in range(0, len(pixels), CHUNK):
        rows = range(start, min(start + CHUNK, len(pixels)))
        views = np.stack([view(pixels[i], tuple(sizes[i]), random) for i in rows])
        x = torch.from_numpy(views).permute(0, 3, 1, 2).float().sub_(127.5).div_(127.5)  # (B, 3, S, S)
        if random is not None:
            x = jitter(x, random)
        x = tower.trunk(x.to(torch.bfloat16).contiguous(memory_format=torch.channels_last), cut)
        features = tower.tail(x, cut).float().mean((2, 3))
        logits[start : start + len(views)] = (features @ weight.T + bias)[:, 1:].numpy()
        x = x.permute(0, 2, 3, 1).float()  # (B, h, w, C)
        if maps is None:
            if not scale_file.exists():
                low, high = x.mean((0, 1, 2)) - 6 * x.std((0, 1, 2)), x.mean((0, 1, 2)) + 6 * x.std((0, 1, 2))
                np.save(scale_file, torch.stack([low, (high - low) / 255]).numpy())
            zero, step = torch.from_numpy(np.load(scale_file))
            maps = np.lib.format.open_memmap(partial, "w+", np.uint8, (len(pixels), *x.shape[1:]))
        maps[start : start + len(views)] = ((x - zero) / step).round().clamp(0, 255).byte().numpy()
    assert maps is not None
    maps.flush()
    np.save(out / f"logits-{number}.npy", logits)
    partial.rename(target)
