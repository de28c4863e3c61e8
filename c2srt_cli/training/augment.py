"""Random views of an image: most of it, stretched a little, and mirrored or not."""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

#: Smallest share of an image that a crop keeps.
AREA = 0.5
#: Most that a crop is wider than high, or higher than wide.
ASPECT = 4 / 3
#: Sets these random numbers apart from others of the same seed and epoch.
STREAM = 1


class View(NamedTuple):
    """A part of an image, in pixels, and whether it is mirrored."""

    left: int
    top: int
    width: int
    height: int
    mirrored: bool


def draw(size: int, random: np.random.Generator) -> View:
    """The random resized crop of Szegedy et al. (2015) out of a square, mirrored with a probability of a half.

    The area is uniform in [1/2, 1] of the square, the aspect log-uniform in [3/4, 4/3], or what of it fits: a share *a*
    of a square is a rectangle of aspect *a* to 1/*a*. So no draw is thrown away.

    Args:
        size: Side of the square.
        random: Drawn from five times.
    """
    area = random.uniform(AREA, 1.0)
    widest = min(math.log(ASPECT), -math.log(area))
    stretch = math.exp(random.uniform(-widest, widest) / 2)
    side = size * math.sqrt(area)
    width, height = (max(1, min(size, round(side * way))) for way in (stretch, 1 / stretch))
    left, top = int(random.integers(size - width + 1)), int(random.integers(size - height + 1))
    return View(left, top, width, height, bool(random.random() < 0.5))


def show(array: np.ndarray, view: View) -> np.ndarray:
    """The view of a picture ``(S, S, 3)`` uint8, resized to its size again, bicubic."""
    part = array[view.top : view.top + view.height, view.left : view.left + view.width]
    shown = np.asarray(Image.fromarray(part).resize(array.shape[1::-1], Image.Resampling.BICUBIC))
    return shown[:, ::-1] if view.mirrored else shown


def augmented(array: np.ndarray, *, seed: int, epoch: int, number: int) -> np.ndarray:
    """What an epoch shows of image ``number``, of the same shape: it depends on nothing else but these."""
    return show(array, draw(len(array), np.random.default_rng((seed, epoch, number, STREAM))))
