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
#: Rows that are looked at for what breaks off.
_LAST_ROWS = 16


def reads_raw() -> bool:
    """Whether the extra is installed."""
    return importlib.util.find_spec("rawpy") is not None


@dataclass(frozen=True, slots=True)
class Raw:
    """A RAW file that has been opened.

    Attributes:
        preview: A JPEG of the whole picture, large enough; None where the camera left none.
        orientation: How the preview lies, as EXIF numbers it.
        is_large: Whether no other should be developed beside it.
    """

    preview: bytes | None
    orientation: int
    is_large: bool
    _file: Any

    def develop(self) -> Image.Image:
        """The picture, upright: at half the size of a sensor whose pixels see one colour each, whole where all three.

        How large it is, LibRaw tells only then: it also stretches oblong pixels, and turns sensors that lie aslant.
        """
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
        try:
            preview, orientation = _preview(file, side)
            large = preview is None and check_size(sizes.width, sizes.height, _DEPTH * sizes.width * sizes.height)
            yield Raw(preview, orientation, large, file)
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
    shape = sizes.width * sizes.pixel_aspect / sizes.height
    turned = sizes.flip in _TURNED and (width > height) != (shape > 1)
    differs = abs(width / height * (shape if turned else 1 / shape) - 1) > _SAME_SHAPE
    if (differs and not _is_aslant(sizes)) or min(width, height) < side:
        return nothing
    return found.data, 1 if turned else _ORIENTATION.get(sizes.flip, 1)


def _is_aslant(sizes: Any) -> bool:
    """Whether it is one of Fujifilm's sensors whose rows lie at 45 degrees, and LibRaw's sides those of its square."""
    return bool(sizes.width == sizes.height + 1)


def _breaks_off(values: np.ndarray, white: int) -> bool:
    """Whether most of the last rows are without noise.

    Where data end early LibRaw goes on with one value, or with what lay in that memory, and tells nobody.
    """
    return 2 * sum(_is_flat(row, white) for row in values[-_LAST_ROWS:]) > min(_LAST_ROWS, len(values))


def _is_flat(row: np.ndarray, white: int) -> bool:
    return all(np.ptp(row[start::_PERIOD], axis=0).max() == 0 for start in range(_PERIOD)) and bool(row.max() < white)


def _refused(error: Exception) -> ImageError:
    import rawpy

    said = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
    unknown = isinstance(error, rawpy.LibRawFileUnsupportedError)
    return ImageError("unsupported" if unknown else "corrupt", f"LibRaw cannot read this RAW file: {said}")
