"""What libjpeg conceals: it decodes a JPEG that breaks off as if the rest were grey."""

import io

from PIL import Image

_END = b"\xff\xd9"
#: Bits that no scan continues with unchanged grey.
_FILLER = bytes(range(255)) * 4


def scan_start(data: bytes) -> int:
    """Where the first scan begins, behind the header and the thumbnails in it.

    Raises:
        IndexError, ValueError: there is none.
    """
    place = 2
    while True:
        place = data.index(b"\xff", place)
        marker = data[place + 1]
        if marker == 0xDA:
            return place
        if marker == 0xFF:
            place += 1
        elif marker <= 0x01 or 0xD0 <= marker <= 0xD8:
            place += 2
        else:
            place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")


def breaks_off(data: bytes, decoded: Image.Image, draft: tuple[int, int] | None) -> bool:
    """Whether scans end before the picture does.

    No end marker (a copy that stopped, its space filled with zeros) is one sign. Where the marker comes too early
    libjpeg leaves the rest mid-grey; then a scan that goes on with other bits gives another picture. So only pictures
    whose last pixel is mid-grey are decoded twice.

    Args:
        data: The file.
        decoded: What Pillow made of it.
        draft: What `Image.draft` was given for it, if anything.
    """
    start = scan_start(data)
    # from behind, where the marker usually is: a search through megabytes would hold up the other threads
    if data.rfind(_END, start) < 0:
        return True
    last = decoded.getpixel((decoded.width - 1, decoded.height - 1))
    if last not in (128, (128, 128, 128)):
        return False
    end = data.find(_END, start)
    with Image.open(io.BytesIO(data[:end] + _FILLER + _END), formats=["JPEG"]) as longer:
        if draft:
            longer.draft(None, draft)
        return longer.tobytes() != decoded.tobytes()
