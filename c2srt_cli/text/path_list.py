"""A list of paths on standard input, as other programs and systems write it."""

import codecs
import re
from collections.abc import Iterator

from c2srt_cli.errors import InputError, UsageError
from c2srt_cli.text.decoding import encoding_of
from c2srt_cli.text.kinds import ARCHIVE, NO_TEXT, archive_kind, kind_of

_WHERE = "standard input"
_TWO_BYTES = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def path_list(data: bytes, *, null: bool = False) -> tuple[str, ...]:
    r"""The paths of a list, as Python names files: bytes that are no UTF-8 are kept as surrogates.

    One path a line, empty ones among them; lines end in ``\n``, ``\r\n`` or, where no ``\n`` is in the list, ``\r``.
    Byte-order marks are taken off, UTF-16 is decoded.

    Args:
        data: The list.
        null: A NUL ends each path (``find -print0``), and nothing else is changed.

    Raises:
        UsageError: there are NULs and they were not asked for, or the other way round.
        InputError: it is a picture, a workbook or the like, or starts as UTF-16 and does not go on as that.
    """
    if kind := kind_of(data[:4096]):
        kind = archive_kind(data) if kind is ARCHIVE else kind
        if kind is not NO_TEXT:  # names with a NUL after each look like none
            raise InputError(
                f"the list cannot be read (it is {kind.name})", where=_WHERE, hint="write one path a line, as text"
            )
    if null:
        if data.startswith(_TWO_BYTES):
            raise UsageError("the list is UTF-16, which NUL does not separate", where="--null", hint="leave it out")
        if b"\0" not in data and b"\n" in data:
            raise UsageError("the list has line breaks, and no NUL", where="--null", hint="leave it out")
        return tuple(_name(record) for record in data.removesuffix(b"\0").split(b"\0"))
    try:
        text = _name(data) if (encoding := encoding_of(data)) == "utf-8" else data.decode(encoding)
    except UnicodeDecodeError:
        raise InputError(
            "the list starts as UTF-16 and does not go on as that", where=_WHERE, hint="write it as UTF-8"
        ) from None
    if "\0" in text or (b"\0" in data and "\n" not in text and not data.startswith(_TWO_BYTES)):
        raise UsageError(
            "there are NUL characters in the list", where=_WHERE, hint="for the output of find -print0 give --null"
        )
    lines = text.removesuffix("\x1a").split("\n" if "\n" in text else "\r")
    lines = [line.removesuffix("\r").removeprefix("\ufeff") for line in lines]
    return tuple(lines if lines[-1] else lines[:-1])


def spellings(entry: str) -> Iterator[str]:
    """What a line may mean if it is no path as it stands: a quoted cell or path, white space at the ends."""
    stripped = entry.strip()
    if quoted := re.fullmatch('"((?:[^"]|"")+)"', stripped):
        yield quoted[1].replace('""', '"')
    elif quoted := re.fullmatch("'([^']+)'", stripped):
        yield quoted[1]
    yield stripped


def _name(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
