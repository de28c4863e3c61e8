"""Small pictures beside the page, named by the content of the photographs that they are of."""

import io
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from c2srt_cli.artifacts import TEMPORARY, file_sha256
from c2srt_cli.errors import ImageError
from c2srt_cli.images import ImageFile, Pixels, PixelSpec, load_each, load_pixels

#: Where they lie below the page. A search for photographs passes over folders of this name.
FOLDER = "c2srt-thumbs"
#: Pixels of the long side: sharp on a page, and tens of kilobytes.
SIDE = 384
_SPEC = PixelSpec(SIDE, fit="pad", icc=True)
_QUALITY = 80
_END = b"\xff\xd9"
_SIDES = re.compile(rb"(\d{1,9})x(\d{1,9})")


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A photograph that is on the page.

    Attributes:
        sha256: Of the photograph's bytes, hex.
        width: Of the upright photograph, in pixels.
        height: Likewise.
        made: Whether the thumbnail was made now.
    """

    sha256: str
    width: int
    height: int
    made: bool


def thumbnail_path(sha256: str) -> str:
    """Path of a thumbnail below the page; nothing of a photograph's own name is in it."""
    return f"{FOLDER}/{sha256[:2]}/{sha256[:32]}.jpg"


def make_thumbnails(
    out: Path, root: Path, names: Iterable[str], sha256: Mapping[str, str], workers: int
) -> list[Thumbnail | ImageError]:
    """Make those that are not there; photographs are only read.

    Args:
        out: The folder of the page.
        root: What the names are relative to.
        names: Of the photographs.
        sha256: Of their bytes, where it is known: one whose thumbnail is there need not be.
        workers: Threads that decode.
    """

    def one(name: str) -> Thumbnail | ImageError:
        try:
            return _thumbnail(out, root / name, sha256.get(name, ""))
        except ImageError as error:
            return error

    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        return list(pool.map(one, names))


def _thumbnail(out: Path, path: Path, sha256: str) -> Thumbnail:
    if not sha256 and (out / FOLDER).is_dir():  # of tags that say nothing of their photographs
        with suppress(OSError):  # said when it is decoded
            sha256 = file_sha256(path)
    if sha256 and (there := _read(out / thumbnail_path(sha256), sha256)) is not None:
        return there
    return _write(out, load_pixels(path, _SPEC))


@dataclass(frozen=True, slots=True)
class Thumbnailed(ImageFile):
    """A photograph whose thumbnail is made where it is decoded anyway.

    Attributes:
        out: The folder of the page.
    """

    out: Path = Path()

    @classmethod
    def beside(cls, out: Path, file: ImageFile) -> "Thumbnailed":
        """That of a file, for the page in a folder."""
        return cls(file.path, file.name, out)

    def load(self, spec: PixelSpec) -> Pixels:
        """See `load_pixels`."""
        pixels, small = load_each(self.path, spec, _SPEC)
        _write(self.out, small)
        return pixels


def _write(out: Path, pixels: Pixels) -> Thumbnail:
    ratio = max(pixels.width, pixels.height) / SIDE
    width, height = max(1, round(pixels.width / ratio)), max(1, round(pixels.height / ratio))
    left, top = (SIDE - width) // 2, (SIDE - height) // 2  # where `pad` has put it
    picture = Image.fromarray(pixels.array[top : top + height, left : left + width])
    target = out / thumbnail_path(pixels.sha256)
    target.parent.mkdir(parents=True, exist_ok=True)
    # not flushed, as thousands would take minutes: one that a crash leaves unreadable is made again
    temporary = target.with_name(f".{target.name}{id(pixels):x}{TEMPORARY}")
    picture.save(temporary, "JPEG", quality=_QUALITY, comment=f"{pixels.width}x{pixels.height}")
    temporary.replace(target)
    return Thumbnail(pixels.sha256, pixels.width, pixels.height, made=True)


def _read(path: Path, sha256: str) -> Thumbnail | None:
    """The thumbnail that is there, with the sides that its comment tells."""
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
            sides = _SIDES.fullmatch(picture.info.get("comment", b"")) if data.endswith(_END) else None
    except (OSError, SyntaxError):
        return None
    return None if sides is None else Thumbnail(sha256, int(sides[1]), int(sides[2]), made=False)


def forget_others(out: Path, wanted: set[str]) -> None:
    """Delete thumbnails of photographs that are not on the page any more.

    Args:
        out: The folder of the page.
        wanted: `thumbnail_path` of those that are.
    """
    for path in (out / FOLDER).rglob("*"):
        if path.is_file() and path.relative_to(out).as_posix() not in wanted:
            path.unlink()
