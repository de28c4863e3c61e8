"""A picture of any shape to a square, to the pixel as open_clip's transforms do it, in plain Pillow."""

from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

from PIL import Image

from c2srt_cli.errors import UsageError
from c2srt_cli.images.profile import Conversion

#: open_clip's resize modes ``shortest``, ``squash`` and ``longest``.
FITS = ("crop", "squash", "pad")

_RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "random": Image.Resampling.BICUBIC,
}
#: Long side to short side beyond which a picture is also shown in tiles. Below it real photographs lose by them.
WIDE = 2.5
#: Of one picture; what is longer yet is squashed in each.
MOST_TILES = 8
#: A scaled picture of more pixels is not made whole before its middle is cut out (134 MB): 224 by 150,000.
_MOST_SCALED = 1 << 25


@dataclass(frozen=True, slots=True)
class PixelSpec:
    """How pixels are prepared; part of every manifest.

    Attributes:
        size: Side of the square that the model reads.
        fit: How a picture becomes a square: ``crop`` scales the short side and cuts the middle out, ``squash`` scales
            both sides, ``pad`` scales the long side and fills up.
        interpolation: ``bicubic`` or ``bilinear``; ``random`` means bicubic, as in open_clip outside of training.
        fill: Grey level that ``pad`` fills up with.
        draft: Let the JPEG decoder scale down by 2, 4 or 8 where at least twice the wanted size remains. Several times
            as fast on photographs; off for published protocols.
        icc: Convert by the picture's colour profile to sRGB. Published protocols take its numbers as they stand.
        tiles: Show very wide and tall pictures also in tiles.

    Raises:
        UsageError: a value that is none of these.
    """

    size: int
    fit: str = "crop"
    interpolation: str = "bicubic"
    fill: int = 0
    draft: bool = True
    icc: bool = False
    tiles: bool = False

    def __post_init__(self) -> None:
        if self.fit not in FITS:
            raise UsageError(f"fit is one of {', '.join(FITS)}, not {self.fit!r}")
        if self.interpolation not in _RESAMPLING:
            raise UsageError(f"interpolation is one of {', '.join(_RESAMPLING)}, not {self.interpolation!r}")
        if self.size < 1 or not 0 <= self.fill <= 255:
            raise UsageError(f"size {self.size} must be positive and fill {self.fill} a grey level from 0 to 255")

    @property
    def record(self) -> dict[str, Any]:
        """As JSON, for manifests: of before there were tiles too."""
        return {name: value for name, value in asdict(self).items() if name != "tiles" or value}

    def tiles_of(self, size: tuple[int, int]) -> int:
        """Tiles of a picture of that size: as many squares as cover it, where it is very wide or tall."""
        ratio = max(size) / min(size)
        return min(MOST_TILES, ceil(ratio)) if self.tiles and ratio > WIDE else 0


def fit_square(
    picture: Image.Image,
    part: tuple[float, float, float, float],
    original: tuple[int, int],
    spec: PixelSpec,
    conversion: Conversion | None = None,
) -> Image.Image:
    """Scale, then crop or pad.

    Every rounding is the one that `open_clip.transform.image_transform` makes for the original's size, so a picture
    that was decoded at a fraction of its size is cut at the same place.

    Args:
        picture: RGB.
        part: Where in ``picture`` the original lies; a scaled JPEG may hold a fraction of a row or column too much.
        original: Width and height of the original.
        spec: Size, fit, interpolation and fill.
        conversion: What is done to the colours of the square, but for what ``pad`` fills up with. Of the millions of
            pixels before most would be thrown away.

    Returns:
        RGB, ``spec.size`` squared.
    """
    size = spec.size
    resample = _RESAMPLING[spec.interpolation]
    converted = conversion or (lambda square: square)
    if spec.fit == "squash":
        return converted(picture.resize((size, size), resample, part))
    if spec.fit == "pad":
        ratio = max(original) / size
        # open_clip fails where the short side rounds to nothing
        inner = (max(1, round(original[0] / ratio)), max(1, round(original[1] / ratio)))
        square = Image.new("RGB", (size, size), (spec.fill,) * 3)
        scaled = converted(picture.resize(inner, resample, part))
        square.paste(scaled, ((size - inner[0]) // 2, (size - inner[1]) // 2))
        return square
    short = min(original)
    outer = (int(size * original[0] / short), int(size * original[1] / short))
    left, top = round((outer[0] - size) / 2.0), round((outer[1] - size) / 2.0)
    if outer[0] * outer[1] <= _MOST_SCALED:
        return converted(picture.resize(outer, resample, part).crop((left, top, left + size, top + size)))
    # Hundreds of times as long as wide: only the middle. Pillow may take its two passes, each of which rounds, in the
    # other order here.
    x, y = (part[2] - part[0]) / outer[0], (part[3] - part[1]) / outer[1]
    window = (part[0] + left * x, part[1] + top * y, part[0] + (left + size) * x, part[1] + (top + size) * y)
    return converted(picture.resize((size, size), resample, window))


def fit_tiles(
    picture: Image.Image,
    part: tuple[float, float, float, float],
    original: tuple[int, int],
    spec: PixelSpec,
    conversion: Conversion | None = None,
) -> list[Image.Image]:
    """The tiles of a very wide or tall picture, evenly along its long side; none of another.

    In one square a subject at the edge is cut off, or squeezed until it is not known again.

    Args:
        picture: RGB.
        part: Where in ``picture`` the original lies.
        original: Width and height of the original.
        spec: Size, interpolation and tiles.
        conversion: What is done to the colours of each.

    Returns:
        RGB, ``spec.size`` squared each, from the left or the top.
    """
    count = spec.tiles_of(original)
    axis = 0 if original[0] > original[1] else 1
    long, short = part[axis + 2] - part[axis], part[3 - axis] - part[1 - axis]
    side = max(short, long / max(count, 1))
    tiles = []
    for number in range(count):
        box = list(part)
        box[axis] = part[axis] + (long - side) * number / (count - 1)
        box[axis + 2] = box[axis] + side
        tile = picture.resize((spec.size, spec.size), _RESAMPLING[spec.interpolation], (box[0], box[1], box[2], box[3]))
        tiles.append(conversion(tile) if conversion else tile)
    return tiles
