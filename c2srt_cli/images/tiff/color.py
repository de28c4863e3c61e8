"""What the numbers of a TIFF page mean: grey, RGB, palette, CMYK or Lab, with or without alpha, as an 8-bit picture."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image

from c2srt_cli.errors import ImageError
from c2srt_cli.images.tiff.directory import TiffError
from c2srt_cli.images.tiff.pages import Page
from c2srt_cli.images.tiff.samples import Layout, bands

MIN_IS_WHITE, MIN_IS_BLACK, RGB, PALETTE, CMYK, CIE_LAB, ICC_LAB = 0, 1, 2, 3, 5, 8, 9
_MODES = {
    MIN_IS_WHITE: "L",
    MIN_IS_BLACK: "L",
    RGB: "RGB",
    PALETTE: "RGB",
    CMYK: "CMYK",
    CIE_LAB: "LAB",
    ICC_LAB: "LAB",
}
#: What shows through transparent parts: white.
_PAPER = {"L": (255,), "RGB": (255, 255, 255), "CMYK": (0, 0, 0, 0), "LAB": (255, 0, 0)}
_ASSOCIATED, _UNASSOCIATED = 1, 2
#: Ranges that numbers without a stated depth usually have: fractions, 8 bits, 16 bits.
_RANGES = (1.0, 255.0, 65535.0)
_Convert = Callable[[np.ndarray], np.ndarray]


def paint(data: bytes, page: Page, layout: Layout) -> Image.Image:
    """A page as a picture of mode L, RGB, CMYK or LAB, on white where it is transparent.

    Raises:
        ImageError: ``unsupported``: a photometric meaning that is not read; ``corrupt``: no pixel is a number.
        TiffError: the file does not hold what it states.
    """
    photometric = page.number(262, MIN_IS_BLACK)
    mode = _MODES.get(photometric)
    if mode is None or (mode == "CMYK" and page.number(332, 1) != 1):
        raise ImageError("unsupported", f"TIFF of photometric meaning {photometric}; export it as RGB")
    channels = 1 if photometric == PALETTE else len(_PAPER[mode])
    if layout.samples < channels:
        raise TiffError(f"{layout.samples} samples a pixel for {channels} channels")
    opacity = _opacity(page, layout, channels)
    if layout.planes > 1:
        needed = channels if opacity is None else opacity[0] + 1
        layout = replace(layout, samples=needed, planes=needed)
    if (layout.kind, layout.bits) == ("i", 8):
        layout = replace(layout, kind="u")  # by a program that calls its bytes signed
    convert = _conversion(data, page, layout, photometric, channels)
    picture = Image.new(mode, (layout.width, layout.height))
    paper = np.array(_PAPER[mode], dtype=np.uint32)
    for top, numbers in bands(data, page, layout):
        colors = convert(numbers[..., :channels])  # (h, W, C) uint8
        if opacity is not None:
            place, associated = opacity
            alpha = _eight_bits(numbers[..., place : place + 1], layout).astype(np.uint32)
            weight = np.uint32(255) if associated else alpha
            mixed = (colors * weight + paper * (255 - alpha) + 127) // 255
            colors = np.minimum(mixed, 255).astype(np.uint8)
        size = (layout.width, len(colors))
        picture.paste(Image.frombytes(mode, size, np.ascontiguousarray(colors)), (0, top))
    return picture


def _opacity(page: Page, layout: Layout, channels: int) -> tuple[int, bool] | None:
    """Which sample is the alpha channel, and whether colours are multiplied by it; None where there is none."""
    extra = page.directory.numbers(338).tolist()
    if not extra and layout.samples == 4 and channels == 3:
        return 3, False  # RGBA by a program that has forgotten to say so
    for index, meaning in enumerate(extra):
        if meaning in (_ASSOCIATED, _UNASSOCIATED) and channels + index < layout.samples:
            return channels + index, meaning == _ASSOCIATED
    return None


def _conversion(data: bytes, page: Page, layout: Layout, photometric: int, channels: int) -> _Convert:
    """From the numbers of the colour channels to 8 bits."""
    if photometric == PALETTE:
        return _palette(page, layout)
    if photometric in (CIE_LAB, ICC_LAB):
        if layout.bits not in (8, 16) or layout.kind == "f":
            raise ImageError("unsupported", f"TIFF in Lab of {layout.bits} bits")
        return lambda numbers: _lab(numbers, layout, signed=photometric == CIE_LAB)
    if layout.kind == "u" and layout.bits <= 16:
        scale: _Convert = lambda numbers: _eight_bits(numbers, layout)  # noqa: E731
    elif photometric == CMYK:
        raise ImageError("unsupported", f"TIFF in CMYK of {layout.bits} bits and kind {layout.kind}; export it as RGB")
    else:
        low, high = _range(data, page, layout, channels)
        scale = lambda numbers: _stretched(numbers, low, high)  # noqa: E731
    return (lambda numbers: 255 - scale(numbers)) if photometric == MIN_IS_WHITE else scale


def _eight_bits(numbers: np.ndarray, layout: Layout) -> np.ndarray:
    """Numbers of a stated depth as 8 bits; of 16-bit colours the upper half, as Pillow takes it."""
    if layout.kind != "u" or layout.bits > 16:
        top = 1.0 if layout.kind == "f" else float(np.iinfo(f"{layout.kind}{layout.bits // 8}").max)
        return _stretched(numbers, 0.0, top)
    if layout.bits == 8:
        return numbers
    if layout.bits == 16 and numbers.shape[-1] > 1:
        return (numbers >> 8).astype(np.uint8)
    most = (1 << layout.bits) - 1
    eight: np.ndarray = ((numbers.astype(np.uint32) * 255 + most // 2) // most).astype(np.uint8)
    return eight


def _stretched(numbers: np.ndarray, low: float, high: float) -> np.ndarray:
    values = np.nan_to_num(numbers.astype(np.float32), nan=low, posinf=high, neginf=low)
    scaled: np.ndarray = np.clip((values - low) * (255 / ((high - low) or 1.0)), 0, 255)
    return np.asarray(np.rint(scaled).astype(np.uint8))


def _range(data: bytes, page: Page, layout: Layout, channels: int) -> tuple[float, float]:
    """What stands for black and white: the smallest usual range that holds all colours, else their own."""
    low, high = np.inf, -np.inf
    for _, numbers in bands(data, page, layout):
        colors = numbers[..., :channels]
        finite = colors[np.isfinite(colors)] if layout.kind == "f" else colors
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:
        raise ImageError("corrupt", "no pixel is a number")
    if low >= 0:
        for limit in (32767.0,) if (layout.kind, layout.bits) == ("i", 16) else _RANGES:
            if high <= limit:
                return 0.0, limit
    return low, high


def _palette(page: Page, layout: Layout) -> _Convert:
    table = page.directory.numbers(320)
    if layout.kind != "u" or layout.bits > 16 or len(table) != 3 << layout.bits:
        raise TiffError("the palette does not fit the depth")
    # some programs write 8-bit colours
    colors = (table >> 8 if table.max(initial=0) > 255 else table).astype(np.uint8).reshape(3, -1).T
    return lambda numbers: np.asarray(colors[numbers[..., 0]])


def _lab(numbers: np.ndarray, layout: Layout, *, signed: bool) -> np.ndarray:
    """Lab as `Image.frombytes` takes it: L from 0 to 255, a and b signed."""
    unsigned = numbers.view(numbers.dtype.str.replace("i", "u"))
    eight = (unsigned >> (layout.bits - 8)).astype(np.uint8)
    if not signed:
        eight[..., 1:] ^= 0x80
    return eight
