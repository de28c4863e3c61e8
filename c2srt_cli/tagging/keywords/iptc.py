"""The keywords of an IPTC-IIM block: dataset 2:25, in the characters that dataset 1:90 names."""

from collections.abc import Iterator

_CHARSET, _KEYWORDS = (1, 90), (2, 25)
#: Escape sequences of ISO 2022 that name one character set for all of the block, by their last byte.
_PARTS = dict(zip(b"ABCDLGFHM", (1, 2, 3, 4, 5, 6, 7, 8, 9), strict=True))


def read_keywords(block: bytes) -> list[str]:
    """The keywords of a block, in order.

    Where it does not say what it is written in, it is UTF-8 if it can be, else Windows' Latin alphabet.
    """
    charset, raw = b"", []
    for dataset, data in _datasets(block):
        if dataset == _CHARSET:
            charset = data
        elif dataset == _KEYWORDS:
            raw.append(data.rstrip(b"\0"))
    encoding = "utf-8"
    if charset[:2] in (b"\x1b-", b"\x1b.", b"\x1b/") and charset[2:3] and charset[2] in _PARTS:
        encoding = f"iso8859-{_PARTS[charset[2]]}"
    try:
        words = [data.decode(encoding) for data in raw]
    except UnicodeDecodeError:
        words = [data.decode("cp1252", "replace") for data in raw]
    return [word for word in map(str.strip, words) if word]


def _datasets(block: bytes) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Number and content of each dataset."""
    place = 0
    while place + 5 <= len(block) and block[place] == 0x1C:
        dataset = block[place + 1], block[place + 2]
        size = int.from_bytes(block[place + 3 : place + 5], "big")
        place += 5
        if size & 0x8000:  # the size of the size
            digits = size & 0x7FFF
            size = int.from_bytes(block[place : place + digits], "big")
            place += digits
        yield dataset, block[place : place + size]
        place += size
