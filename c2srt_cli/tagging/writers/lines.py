"""Rows of text files that an earlier run has written, read where they are asked for."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from itertools import pairwise
from pathlib import Path

from c2srt_cli.errors import InputError
from c2srt_cli.tagging.record import KeptImage
from c2srt_cli.tagging.writers.context import KeptRows


@contextmanager
def text_rows(
    path: Path, names: Sequence[str], start: Callable[[str], str], *, table: bool = False, encoding: str = "utf-8"
) -> Iterator[KeptRows]:
    """Open a file of one record an image.

    Args:
        path: The file.
        names: Of the images, in the order of their records.
        start: With what the record of an image begins.
        table: Whether a heading comes first, and quoted cells may have line breaks, as in RFC 4180.
        encoding: Of the file.

    Raises:
        InputError: there are more or fewer records, or one speaks of another image.
    """
    offsets = [0]
    with path.open("rb") as file:
        quotes = end = 0
        text = TextIOWrapper(file, encoding, newline="\n")
        for line in text:
            end += len(line.encode(encoding))
            quotes += line.count('"')
            if not (table and quotes % 2):
                offsets.append(end)
        text.detach()
        if table:
            del offsets[0]
        places = dict(zip(names, pairwise(offsets), strict=False))
        if len(offsets) - 1 != len(names):
            raise _damaged(path)

        def row(name: str) -> KeptImage:
            first, last = places[name]
            file.seek(first)
            record = file.read(last - first).decode(encoding)
            if not record.startswith(start(name)):
                raise _damaged(path)
            return KeptImage(name, record)

        yield row


def _damaged(path: Path) -> InputError:
    return InputError(
        "does not hold the rows that its manifest speaks of", where=str(path), hint="give --overwrite to start again"
    )
