"""GIF without what does not belong to its first frame: comments, further frames, of which there may be 100,000."""

import struct
from typing import NamedTuple

from PIL import Image

from c2srt_cli.errors import ImageError

_IMAGE, _EXTENSION, _CONTROL = 0x2C, 0x21, 0xF9


class Gif(NamedTuple):
    """The first frame of a file.

    Attributes:
        content: A GIF of that frame alone, as large as it is.
        screen: Width and height of what frames are painted on.
        place: Where on it the first one stands.
    """

    content: bytes
    screen: tuple[int, int]
    place: tuple[int, int]

    def on_screen(self, frame: Image.Image) -> Image.Image:
        """The decoded frame in its place; what it leaves free is transparent."""
        if frame.size == self.screen:
            return frame
        picture = Image.new("RGBA", self.screen)
        picture.paste(frame.convert("RGBA"), self.place)
        return picture


def first_frame(data: bytes) -> Gif:
    """Take the first frame, and what controls it, out of a file.

    Raises:
        ImageError: ``corrupt``: there is none, or the file ends within it.
    """
    control = b""
    place = 13 + _table(data, 10)
    header = data[:place]
    while place < len(data):
        kind = data[place]
        if kind == _IMAGE and place + 10 <= len(data):
            left, top, width, height = struct.unpack_from("<HHHH", data, place + 1)
            screen = struct.unpack_from("<HH", data, 6)
            end = _blocks(data, place + 10 + _table(data, place + 9) + 1)
            sides = struct.pack("<HH", width, height)
            frame = [header[:6], sides, header[10:], control, b",\0\0\0\0", data[place + 5 : end], b";"]
            return Gif(b"".join(frame), (max(screen[0], left + width), max(screen[1], top + height)), (left, top))
        if kind != _EXTENSION:
            break
        end = _blocks(data, place + 2)
        if data[place + 1 : place + 2] == bytes([_CONTROL]):
            control = data[place:end]
        place = end
    raise ImageError("corrupt", "there is no frame")


def _table(data: bytes, place: int) -> int:
    """Bytes of the colour table that the flags at ``place`` announce."""
    flags = data[place] if place < len(data) else 0
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _blocks(data: bytes, place: int) -> int:
    """Where a row of blocks that begins at ``place`` ends, behind the empty one."""
    while place < len(data):
        size = data[place]
        place += 1 + size
        if not size:
            return place
    raise ImageError("corrupt", "the picture breaks off before its end")
