"""Photographs → one array of squashed pixels, decoded once."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 256


def decode(paths: Sequence[Path], out: Path, workers: int = 2) -> None:
    """Write ``(N, 256, 256, 3)`` uint8, each photograph squashed to a square, and ``(N, 2)`` widths and heights.

    A crop of the right aspect is taken from the squashed picture by the stored size.
    """
    partial = out.with_suffix(".partial.npy")
    pixels = np.lib.format.open_memmap(partial, "w+", np.uint8, (len(paths), SIDE, SIDE, 3))
    sizes = np.zeros((len(paths), 2), np.int32)
    with ProcessPoolExecutor(workers) as pool:
        for row, (array, size) in enumerate(pool.map(_decode, paths, chunksize=64)):
            pixels[row] = array
            sizes[row] = size
    pixels.flush()
    np.save(out.with_name("sizes.npy"), sizes)
    partial.rename(out)


def _decode(path: Path) -> tuple[np.ndarray, tuple[int, int]]:
    with Image.open(path) as image:
        size = image.size
        return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)), size
