"""One image file to an upright square of RGB pixels, or the reason why there is none."""

import hashlib
import io
import logging
import os
import re
import stat
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError, features

from c2srt_cli.errors import ImageError
from c2srt_cli.images.color import to_rgb
from c2srt_cli.images.fit import PixelSpec, fit_square
from c2srt_cli.images.jpeg import breaks_off

#: Most pixels that are decoded: phones take 200 million. In full they need 4 bytes each, twice while they are turned.
MAX_PIXELS = 200_000_000
#: From this size on pictures are decoded one at a time: several at once could take all the memory.
LARGE_PIXELS = 40_000_000
#: Largest file that is read.
MAX_BYTES = 1 << 30

# Pillow refuses twice this number, so its own protection, which sees what the header hides, agrees with ours.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2
# An odd picture is reported by its row; without a handler Python prints Pillow's error records to stderr.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_FORMATS = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, HEIC"
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_HEIF_BRANDS = frozenset((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"))
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
_PILLOW = re.compile(r"PIL\.")


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
    """

    array: np.ndarray
    width: int
    height: int
    sha256: str
    size: int
    mtime_ns: int
    ctime_ns: int


def load_pixels(path: Path, spec: PixelSpec) -> Pixels:
    """Read, decode, turn upright and fit one image; only the first frame of several. Safe to call from many threads.

    Decoding is strict: a picture that breaks off is an error. What Pillow gives no sign of is wrong bits that its
    decoders conceal in the middle of a JPEG, WebP or AVIF, as every viewer does.

    Raises:
        ImageError: the file is ``missing``, ``unreadable``, ``empty``, ``unsupported``, ``corrupt`` or ``too-large``.
    """
    data, status = _read(path)
    digest = hashlib.sha256(data).hexdigest()
    try:
        image, width, height = _decode(data, spec)
    except ImageError as error:
        error.sha256 = digest
        raise
    return Pixels(np.array(image), width, height, digest, len(data), status.st_mtime_ns, status.st_ctime_ns)


def _decode(data: bytes, spec: PixelSpec) -> tuple[Image.Image, int, int]:
    """The fitted square, and the sides of the upright original."""
    kind = _sniff(data)
    _hush_pillow()
    # Decoders raise OSError, SyntaxError, ValueError, struct.error, zlib.error, EOFError, OverflowError and more;
    # whatever it is, it concerns this file only.
    try:
        image, (width, height) = _prepare(data, kind, spec)
        return image, width, height
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
        raise ImageError(
            "corrupt", f"cannot be decoded: {' '.join(str(error).split()) or type(error).__name__}"
        ) from error


def _read(path: Path) -> tuple[bytes, os.stat_result]:
    """The file's bytes, and what the system knew of it when it was opened."""
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ImageError("unreadable", "not a regular file")
            if status.st_size > MAX_BYTES:
                raise ImageError("too-large", f"{status.st_size:,} bytes; at most {MAX_BYTES:,} are read")
            data = file.read()
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError("missing", "no such file") from None
    except OSError as error:
        raise ImageError("unreadable", error.strerror or str(error)) from error
    if not data:
        raise ImageError("empty", "the file has no bytes")
    return data, status


def _open_at_once(path: str, flags: int) -> int:
    """A descriptor that does not wait, where a named pipe would for a writer."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _sniff(data: bytes) -> str:
    """Pillow's name of the format that the first bytes announce."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if data.startswith(_TIFF_MAGIC):
        return "TIFF"
    if data[4:8] == b"ftyp":
        box = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
        brands = {box[start : start + 4] for start in range(0, len(box), 4)}
        if brands & {b"avif", b"avis"}:
            if features.check("avif"):
                return "AVIF"
            raise ImageError("unsupported", "AVIF; this build of Pillow cannot read it")
        if brands & _HEIF_BRANDS:
            return _heif()
    raise ImageError("unsupported", f"the content is none of {_FORMATS}")


def is_supported(path: Path) -> bool:
    """Whether the first bytes of a file announce a format that can be read here and now."""
    try:
        with path.open("rb") as file:
            _sniff(file.read(512))
    except (OSError, ImageError):
        return False
    return True


def _heif() -> str:
    try:
        import pillow_heif
    except ImportError:
        raise ImageError("unsupported", "HEIC; to read it: pip install 'c2srt[heif]'") from None
    pillow_heif.register_heif_opener()
    return "HEIF"


def _hush_pillow() -> None:
    """Keep Pillow's warnings about odd metadata from being noise, or errors under ``-W error``.

    `warnings.catch_warnings` swaps state of the whole process and is not safe in threads; a filter that names nothing
    but Pillow's modules and stays is.
    """
    if list(warnings.filters[:1]) != [("ignore", None, Warning, _PILLOW, 0)]:
        warnings.filterwarnings("ignore", module=_PILLOW.pattern)


def _prepare(data: bytes, kind: str, spec: PixelSpec) -> tuple[Image.Image, tuple[int, int]]:
    """The fitted square, and the sides of the upright original."""
    with Image.open(io.BytesIO(data), formats=[kind]) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ImageError("too-large", f"{width} x {height} pixels; at most {MAX_PIXELS:,} are decoded")
        if kind == "PNG":
            # Pillow does not look at the checksums of pixel data unless asked, and then cannot decode any more.
            with Image.open(io.BytesIO(data), formats=[kind]) as checked:
                checked.verify()
        wanted = _draft_size(image.size, spec) if spec.draft else None
        drafted = image.draft(None, wanted) if wanted else None
        part: _Box = drafted[1] if drafted else (0, 0, width, height)
        with _ONE_LARGE if image.width * image.height > LARGE_PIXELS else nullcontext():
            image.load()
            if kind == "JPEG" and breaks_off(data, image, wanted):
                raise ImageError("corrupt", "the picture breaks off before its end")
            orientation = _orientation(image)
            picture = to_rgb(image)
            if orientation > 1:
                part = _turn(part, picture.size, orientation)
                picture = picture.transpose(_TRANSPOSE[orientation])
            if orientation >= 5:
                width, height = height, width
            return fit_square(picture, part, (width, height), spec), (width, height)


def _draft_size(size: tuple[int, int], spec: PixelSpec) -> tuple[int, int]:
    """The sides that a scaled JPEG must not go below: twice the square's, for "pad" on the long side only."""
    twice = 2 * spec.size
    if spec.fit != "pad":
        return twice, twice
    return (twice, 1) if size[0] >= size[1] else (1, twice)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; a broken EXIF block says nothing about the picture. Pillow itself turns TIFF."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
        return int(value) if value in _TRANSPOSE else 1
    except Exception:
        return 1


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
