"""Photographs → augmented views → maps at the cut and the teacher's pooled features, computed once."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from PIL import Image
from timm.models.efficientnet import EfficientNet
from torch import Tensor

from c2srt_cli.backbone.convolution import use_fused_convolutions
from train_mini.teacher import FEATURES, MEAN, SIDE, STD

CHUNK = 8
#: Photographs between two notes of how far it is.
NOTED = 2048
#: The smallest share of a photograph that a view shows.
LEAST = 0.35
#: Maps are stored in 256 steps a channel, over so many standard deviations.
RANGE = 12


def view(path: Path, random: np.random.Generator | None) -> np.ndarray:
    """One view ``(S, S, 3)`` uint8 of a photograph; the whole of it, squashed, without ``random``.

    Crops range from the photograph's own proportions to the squashed ones.
    """
    with Image.open(path) as file:
        image = file.convert("RGB")
    if random is None:
        return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    own = np.log(image.height / image.width)  # width over height of a crop that is square in the photograph
    ratio = np.exp(random.uniform(min(0.0, own) - 0.2, max(0.0, own) + 0.2))
    area = random.uniform(LEAST, 1.0)
    width, height = min(1.0, np.sqrt(area * ratio)), min(1.0, np.sqrt(area / ratio))
    left, top = random.uniform(0, 1 - width), random.uniform(0, 1 - height)
    box = (left * image.width, top * image.height, (left + width) * image.width, (top + height) * image.height)
    array = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box))
    return jitter(array[:, ::-1] if random.random() < 0.5 else array, random)


def jitter(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Change brightness, contrast and saturation a little; ``(S, S, 3)``."""
    gain, contrast, saturation = np.exp(random.uniform(-0.25, 0.25, 3)).astype(np.float32)
    x = (pixels * gain).clip(0, 255)
    x = x.mean() + (x - x.mean()) * contrast
    grey = x.mean(2, keepdims=True)
    changed: np.ndarray = (grey + (x - grey) * saturation).clip(0, 255).round().astype(np.uint8)
    return changed


def trunk(teacher: EfficientNet, x: Tensor, cut: int) -> Tensor:
    """``(B, 3, S, S)`` to the map before stage ``cut``."""
    x = teacher.bn1(teacher.conv_stem(x))
    for stage in teacher.blocks[:cut]:
        x = stage(x)
    return x


def pooled(teacher: EfficientNet, x: Tensor, cut: int) -> Tensor:
    """The map before stage ``cut`` to the mean feature ``(B, 1280)``."""
    for stage in teacher.blocks[cut:]:
        x = stage(x)
    feature: Tensor = teacher.bn2(teacher.conv_head(x)).float().mean((2, 3))
    return feature


def batches(paths: Sequence[Path], start: int, seed: tuple[int, int] | None) -> Iterator[tuple[slice, Tensor]]:
    """Rows and pixels ``(B, 3, S, S)``, from row ``start`` on; one batch is decoded while another is used."""

    def one(first: int) -> tuple[slice, np.ndarray]:
        rows = range(first, min(first + CHUNK, len(paths)))
        randoms = [None if seed is None else np.random.default_rng((*seed, row)) for row in rows]
        return slice(first, rows.stop), np.stack([view(paths[i], r) for i, r in zip(rows, randoms, strict=True)])

    with ThreadPoolExecutor(1) as pool:
        firsts = range(start, len(paths), CHUNK)
        waiting = [pool.submit(one, first) for first in firsts[:2]]
        for index in range(len(firsts)):
            rows, pixels = waiting.pop(0).result()
            if index + 2 < len(firsts):
                waiting.append(pool.submit(one, firsts[index + 2]))
            x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255).sub_(MEAN).div_(STD)
            yield rows, x.to(torch.bfloat16, memory_format=torch.channels_last)


@torch.inference_mode()
def cache_view(paths: Sequence[Path], teacher: EfficientNet, out: Path, number: int, *, cut: int, seed: int) -> None:
    """Write ``maps-K.npy`` ``(N, h, w, C)`` uint8 and ``features-K.npy`` ``(N, 1280)`` float16; see also `scale`.

    View 0 shows whole photographs. Goes on where it was stopped.
    """
    target, note = out / f"maps-{number}.npy", out / f"view-{number}.rows"
    if target.exists():
        return
    use_fused_convolutions(teacher)
    teacher.to(torch.bfloat16)
    files = [out / f"{kind}-{number}.partial.npy" for kind in ("maps", "features")]
    done = int(note.read_text()) if note.exists() else 0
    if done:
        maps, features = (open_memmap(file, "r+") for file in files)
    else:
        _, x = next(batches(paths, 0, None))
        shape = trunk(teacher, x, cut).permute(0, 2, 3, 1).shape[1:]
        maps = open_memmap(files[0], "w+", np.uint8, (len(paths), *shape))
        features = open_memmap(files[1], "w+", np.float16, (len(paths), FEATURES))
    zero, step = scale(paths, teacher, out, cut)
    for rows, pixels in batches(paths, done, (seed, number) if number else None):
        x = trunk(teacher, pixels, cut)
        features[rows] = pooled(teacher, x, cut).numpy()
        maps[rows] = ((x.permute(0, 2, 3, 1).float() - zero) / step).round().clamp(0, 255).byte().numpy()
        if rows.stop % NOTED == 0:
            maps.flush()
            features.flush()
            note.write_text(str(rows.stop))
            print("view", number, rows.stop, "of", len(paths), flush=True)
    maps.flush()
    features.flush()
    files[1].rename(out / f"features-{number}.npy")
    files[0].rename(target)
    note.unlink(missing_ok=True)


@torch.inference_mode()
def scale(paths: Sequence[Path], teacher: EfficientNet, out: Path, cut: int) -> tuple[Tensor, Tensor]:
    """What a stored 0 and one step mean, each ``(C,)``: ``scale.npy``, from a first batch of photographs."""
    file = out / "scale.npy"
    if not file.exists():
        spread = paths[:: max(1, len(paths) // 64)]
        x = torch.cat([trunk(teacher, pixels, cut).float() for _, pixels in batches(spread, 0, None)])
        middle, reach = x.mean((0, 2, 3)), RANGE / 2 * x.std((0, 2, 3))
        np.save(file, torch.stack([middle - reach, 2 * reach / 255]).numpy())
    zero, step = torch.from_numpy(np.load(file))
    return zero, step
