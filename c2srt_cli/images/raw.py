"""Cameras' RAW files, read by LibRaw: the preview that the camera left in them, else a development."""

import importlib.util
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from c2srt_cli.errors import ImageError
from c2srt_cli.images.bounds import check_size

#: EXIF's numbers of the turns that LibRaw knows by its own.
_ORIENTATION = {0: 1, 3: 3, 5: 8, 6: 6}
_TURNED = (5, 6)
#: Bytes a pixel that LibRaw takes: the sensor's values, and four channels of 16 bits while it develops.
_DEPTH = 10
#: Sides of a preview and of the picture agree that far; a thumbnail with bars above and below it does not.
_SAME_SHAPE = 0.05
#: Columns after which colours before the sensor repeat: 2 of Bayer's, 6 of Fujifilm's.
_PERIOD = 6


def reads_raw() -> bool:
    """Whether the extra is installed."""
    return importlib.util.find_spec("rawpy") is not None


@dataclass(frozen=True, slots=True)
class Raw:
    """A RAW file that has been opened.

    Attributes:
        preview: A JPEG of the whole picture, large enough; None where the camera left none.
        orientation: How the preview lies, as EXIF numbers it.
        size: Width and height of what `develop` gives.
        is_large: Whether no other should be developed beside it.
    """

    preview: bytes | None
    orientation: int
    size: tuple[int, int]
    is_large: bool
    _file: Any

    def develop(self) -> Image.Image:
        """The picture, upright, at half the size of the sensor."""
        if _breaks_off(self._file.raw_image_visible, self._file.white_level):
            raise ImageError("corrupt", "the picture breaks off before its end")
        return Image.fromarray(self._file.postprocess(half_size=True, use_camera_wb=True, output_bps=8))


@contextmanager
def open_raw(data: bytes, side: int) -> Iterator[Raw]:
    """Open a RAW file.

    Args:
        data: The file.
        side: Pixels that the shorter side of a preview must have.

    Raises:
        ImageError: it is damaged, too large, or of a camera that LibRaw does not know.
    """
    import rawpy

    try:
        file = rawpy.imread(io.BytesIO(data))
    except rawpy.LibRawError as error:
        raise _refused(error) from error
    with file:
        sizes = file.sizes
        width, height = sizes.width, sizes.height
        large = check_size(width, height, _DEPTH * width * height)
        upright = (height // 2, width // 2) if sizes.flip in _TURNED else (width // 2, height // 2)
        try:
            preview, orientation = _preview(file, side)
            yield Raw(preview, orientation, upright, large, file)
        except rawpy.LibRawError as error:
            raise _refused(error) from error


def _preview(file: Any, side: int) -> tuple[bytes | None, int]:
    """The largest JPEG in the file, where it is large enough and shows the whole picture, and how it lies."""
    import rawpy

    nothing, sizes = (None, 1), file.sizes
    try:
        found = file.extract_thumb()
        if found.format != rawpy.ThumbFormat.JPEG:
            return nothing
        with Image.open(io.BytesIO(found.data), formats=["JPEG"]) as preview:
            width, height = preview.size
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError, OSError):
        return nothing
    # what LibRaw writes into the preview's EXIF is how the sensor lay, which some cameras have already turned it by
    turned = sizes.flip in _TURNED and (width > height) != (sizes.width > sizes.height)
    shape = sizes.height / sizes.width if turned else sizes.width / sizes.height
    if abs(width / height / shape - 1) > _SAME_SHAPE or min(width, height) < side:
        return nothing
    return found.data, 1 if turned else _ORIENTATION.get(sizes.flip, 1)


def _breaks_off(values: np.ndarray, white: int) -> bool:
    """Whether the last row is without noise: where data end early LibRaw goes on with one value, and tells nobody."""
    last = values[-1]
    return all(np.ptp(last[start::_PERIOD], axis=0).max() == 0 for start in range(_PERIOD)) and last.max() < white


def _refused(error: Exception) -> ImageError:
    import rawpy

    said = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
    unknown = isinstance(error, rawpy.LibRawFileUnsupportedError)
    return ImageError("unsupported" if unknown else "corrupt", f"LibRaw cannot read this RAW file: {said}")
