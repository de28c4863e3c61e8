"""One image file to an upright square of RGB pixels, or the reason why there is none."""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image, UnidentifiedImageError

from c2srt_cli.artifacts import buckets, in_bucket
from c2srt_cli.errors import ImageError
from c2srt_cli.images.bounds import MAX_BYTES, MAX_PIXELS
from c2srt_cli.images.color import opaque
from c2srt_cli.images.fit import PixelSpec, fit_square, fit_tiles
from c2srt_cli.images.formats import format_of
from c2srt_cli.images.opened import Opened, in_memory, open_picture
from c2srt_cli.images.pillow import PILLOW
from c2srt_cli.images.profile import conversion

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ONE_LARGE = Lock()
_Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """A prepared image.

    Attributes:
        array: (S, S, 3) uint8, RGB.
        width: Of the original, upright.
        height: Of the original, upright.
        sha256: Of the file's bytes, hex.
        size: Of the file, in bytes.
        mtime_ns: Of the file, in nanoseconds.
        ctime_ns: When the system last saw the file change, in nanoseconds.
        tiles: Those of a very wide or tall picture, where they are asked for, as ``array``.
    """

    array: np.ndarray
    width: int
    height: int
    sha256: str
    size: int
    mtime_ns: int
    ctime_ns: int
    tiles: tuple[np.ndarray, ...] = ()


def load_pixels(path: Path, spec: PixelSpec) -> Pixels:
    """`load_each` for one square."""
    return load_each(path, spec)[0]


def load_each(path: Path, *specs: PixelSpec) -> list[Pixels]:
    """Read, decode, turn upright and fit one image, once for all squares; only the first frame of several.

    Safe to call from many threads. Decoding is strict: a picture that breaks off is an error. What Pillow gives no sign
    of is wrong bits that its decoders conceal in the middle of a JPEG, WebP or AVIF, as every viewer does.

    Args:
        path: The file.
        specs: The squares; the first one says how large the picture is decoded.

    Raises:
        ImageError: the file is ``missing``, ``unreadable``, ``empty``, ``unsupported``, ``corrupt`` or ``too-large``.
    """
    data, mtime, ctime = _read(path)
    digest = hashlib.sha256(data).hexdigest()
    try:
        kind = format_of(data)
        with _reasons(kind):
            squares, (width, height) = _prepare(open_picture(data, kind, specs[0]), specs)
    except ImageError as error:
        error.sha256 = digest
        raise
    facts = (width, height, digest, len(data), mtime, ctime)
    return [Pixels(whole, *facts, tiles=tuple(tiles)) for whole, *tiles in squares]


def fit_picture(picture: Image.Image, spec: PixelSpec) -> Pixels:
    """Turn a picture in memory upright and fit it, as one in a file is; the picture itself stays as it is.

    Raises:
        ImageError: it is ``empty`` or ``too-large``, or was opened lazily and its file is ``corrupt``.
    """
    if not picture.width * picture.height:
        raise ImageError("empty", "the picture has no pixels")
    with _reasons("a picture"):
        squares, (width, height) = _prepare(nullcontext(in_memory(picture)), (spec,))
    whole, *tiles = squares[0]
    return Pixels(whole, width, height, "", -1, -1, -1, tuple(tiles))


@contextmanager
def _reasons(kind: str) -> Iterator[None]:
    """Whatever decoders raise, as an `ImageError`: it concerns this picture only.

    They raise OSError, SyntaxError, ValueError, struct.error, zlib.error, EOFError, OverflowError and more.
    """
    try:
        yield
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError("too-large", f"more pixels than are decoded, which is {MAX_PIXELS:,}") from error
    except MemoryError as error:
        raise ImageError("too-large", "not enough memory to decode it") from error
    except UnidentifiedImageError as error:
        raise ImageError(
            "corrupt", f"starts as {kind}, but is damaged or of a variant that is not supported"
        ) from error
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        reason = "unsupported" if said.lower().startswith("unsupported") else "corrupt"
        raise ImageError(reason, f"cannot be decoded: {said}") from error


def _read(path: Path) -> tuple[bytes, int, int]:
    """The file's bytes, and the mtime and ctime that it had when it was opened, or listed in its bucket."""
    try:
        found = _object(path) if in_bucket(path) else _file(path)
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError("missing", "no such file") from None
    except OSError as error:
        raise ImageError("unreadable", error.strerror or str(error)) from error
    if not found[0]:
        raise ImageError("empty", "the file has no bytes")
    return found


def _file(path: Path) -> tuple[bytes, int, int]:
    with open(path, "rb", opener=_open_at_once) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("unreadable", "not a regular file")
        _check_bytes(status.st_size)
        return file.read(), status.st_mtime_ns, status.st_ctime_ns


def _object(path: Path) -> tuple[bytes, int, int]:
    size, mtime, ctime = buckets.version(path)
    _check_bytes(size)
    return buckets.read_object(path), mtime, ctime


def _check_bytes(size: int) -> None:
    if size > MAX_BYTES:
        raise ImageError("too-large", f"{size:,} bytes; at most {MAX_BYTES:,} are read")


def _open_at_once(path: str, flags: int) -> int:
    """A descriptor that does not wait, where a named pipe would for a writer."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _prepare(
    picture: AbstractContextManager[Opened], specs: Sequence[PixelSpec]
) -> tuple[list[list[np.ndarray]], tuple[int, int]]:
    """For each of the specs the fitted square and the tiles, and the sides of the upright original."""
    with PILLOW, picture as opened, _ONE_LARGE if opened.is_large else nullcontext():
        image = opaque(opened.decode())
        width, height = opened.size or image.size
        if opened.orientation in (5, 6, 7, 8):
            width, height = height, width
        return [_squares(image, opened, (width, height), spec) for spec in specs], (width, height)


def _squares(image: Image.Image, opened: Opened, upright: tuple[int, int], spec: PixelSpec) -> list[np.ndarray]:
    part = opened.part or (0, 0, *image.size)
    convert = conversion(image, opened.profile, opened.gamma) if spec.icc else None
    if convert is not None and image.mode != "RGB":  # grey, CMYK and Lab with a profile are rare
        image, convert = convert(image), None
    image = image if image.mode == "RGB" else image.convert("RGB")
    if opened.orientation in _TRANSPOSE:
        part = _turn(part, image.size, opened.orientation)
        image = image.transpose(_TRANSPOSE[opened.orientation])
    fitted = (image, part, upright, spec, convert)
    return list(map(np.array, [fit_square(*fitted), *fit_tiles(*fitted)]))


def _turn(part: _Box, size: tuple[int, int], orientation: int) -> _Box:
    """Where ``part`` of a picture of ``size`` lies once the picture is upright."""
    x0, y0, x1, y1 = part
    width, height = size
    if orientation >= 5:
        x0, y0, x1, y1 = y0, x0, y1, x1
        width, height = height, width
    if orientation in (2, 3, 6, 7):
        x0, x1 = width - x1, width - x0
    if orientation in (3, 4, 7, 8):
        y0, y1 = height - y1, height - y0
    return x0, y0, x1, y1
