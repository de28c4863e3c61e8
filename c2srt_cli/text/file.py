"""A file of text: found, recognised for what it is, read."""

from pathlib import Path
from typing import NoReturn

from c2srt_cli.errors import InputError, nearby
from c2srt_cli.text.decoding import Text, decode_text
from c2srt_cli.text.kinds import ARCHIVE, archive_kind, kind_of

_HEAD = 4096


def read_bytes(path: Path, what: str, hint: str) -> bytes:
    """The bytes of a file that may be text.

    Args:
        path: The file.
        what: What it should hold, for people: ``the labels``.
        hint: What to do where there is no such file.

    Raises:
        InputError: there is no such file, it cannot be read, or is of a kind that is no text.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            kind = kind_of(head)
            data = head if kind and kind is not ARCHIVE else head + file.read()
    except OSError as error:
        _refuse(path, what, hint, error)
    if kind is not None:
        kind = archive_kind(data) if kind is ARCHIVE else kind
        raise InputError(f"{what} cannot be read (it is {kind.name})", where=str(path), hint=kind.advice)
    return data


def read_text(path: Path, what: str, hint: str, *, exact: bool = False) -> Text:
    """The lines of a file, and what is wrong with them; see `read_bytes` and `decode_text`."""
    return decode_text(read_bytes(path, what, hint), exact=exact)


def _refuse(path: Path, what: str, hint: str, error: OSError) -> NoReturn:
    reason = error.strerror
    if isinstance(error, IsADirectoryError):
        reason = "it is a folder"
    elif isinstance(error, FileNotFoundError | NotADirectoryError):
        reason = "no such file"
        hint = f"did you mean {meant}?" if (meant := nearby(path)) else hint
    raise InputError(f"{what} cannot be read ({reason})", where=str(path), hint=hint) from None
