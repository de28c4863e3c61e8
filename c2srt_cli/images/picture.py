"""What is encoded: an image file, or a picture that a program has in memory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from c2srt_cli.artifacts import Stamp, file_stamp
from c2srt_cli.errors import ImageError
from c2srt_cli.images.fit import PixelSpec
from c2srt_cli.images.pixels import Pixels, fit_picture, load_pixels


class Picture(Protocol):
    """An image to read, under the name of its row."""

    @property
    def name(self) -> str:
        """The key of its row."""
        ...

    def stamp(self) -> Stamp:
        """Which version of it there is."""
        ...

    def load(self, spec: PixelSpec) -> Pixels:
        """Its pixels, upright and fitted.

        Raises:
            ImageError: there are none.
        """
        ...


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file.

    Attributes:
        path: Where it is.
        name: Relative to the root, ``/`` between its parts, valid UTF-8: the key of its row.
    """

    path: Path
    name: str

    def stamp(self) -> Stamp:
        """See `file_stamp`."""
        return file_stamp(self.path)

    def load(self, spec: PixelSpec) -> Pixels:
        """See `load_pixels`."""
        return load_pixels(self.path, spec)


@dataclass(frozen=True, slots=True, eq=False)
class MemoryImage:
    """An image that is there already.

    Attributes:
        picture: A Pillow image, or an array ``(H, W)`` or ``(H, W, 3 | 4)`` uint8.
        name: The key of its row.
    """

    picture: "Image.Image | np.ndarray"
    name: str

    def stamp(self) -> Stamp:
        """None: memory has no versions."""
        return Stamp(-1, -1, -1)

    def load(self, spec: PixelSpec) -> Pixels:
        """See `fit_picture`."""
        picture = self.picture
        if isinstance(picture, np.ndarray):
            shape, known = picture.shape, picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] in (3, 4))
            if picture.dtype != np.uint8 or not known:
                raise ImageError("unsupported", f"an array is (H, W) or (H, W, 3) uint8, not {shape} {picture.dtype}")
            picture = Image.fromarray(picture)
        elif not isinstance(picture, Image.Image):
            raise ImageError("unsupported", f"neither a path nor a Pillow image nor an array: {type(picture).__name__}")
        return fit_picture(picture, spec)
