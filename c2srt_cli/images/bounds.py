"""What one photograph may take, counted before it is decoded: bytes, pixels, scans, segments."""

from c2srt_cli.errors import ImageError

#: Largest file that is read.
MAX_BYTES = 1 << 30
#: Most pixels that are decoded: phones take 200 million.
MAX_PIXELS = 200_000_000
#: Most bytes of the decoded form: RGB of 16 bits for each of these pixels. RGBA of 16 bits or float64 get fewer.
MAX_DECODED = 6 * MAX_PIXELS
#: From this size on pictures are decoded one at a time: several at once could take all the memory.
LARGE_PIXELS = 40_000_000
LARGE_DECODED = 4 * LARGE_PIXELS


def check_size(width: int, height: int, decoded: int) -> bool:
    """Whether a picture is so large that no other should be decoded beside it.

    Args:
        width: In pixels.
        height: In pixels.
        decoded: Bytes of its decoded form.

    Raises:
        ImageError: ``too-large``.
    """
    if width * height > MAX_PIXELS:
        raise ImageError("too-large", f"{width:,} x {height:,} pixels; at most {MAX_PIXELS:,} are decoded")
    if decoded > MAX_DECODED:
        raise ImageError(
            "too-large", f"{decoded:,} bytes when decoded ({width:,} x {height:,} pixels); at most {MAX_DECODED:,} are"
        )
    return width * height > LARGE_PIXELS or decoded > LARGE_DECODED


def at_most(limit: int, count: int, what: str) -> None:
    """Refuse a picture that holds more of something than one would.

    Raises:
        ImageError: ``too-large``.
    """
    if count > limit:
        raise ImageError("too-large", f"{count:,} {what}; at most {limit:,} are read")
