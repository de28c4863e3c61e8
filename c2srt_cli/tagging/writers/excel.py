"""A table that Excel opens with a double click, in any language: what Excel itself calls Unicode Text, named ``.csv``.

Excel takes a file with commas apart only where the system's list separator is a comma, and reads UTF-8 only behind a
byte-order mark, which most programs stumble over. UTF-16 with a mark and tabs between the cells it reads everywhere.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from c2srt_cli.tagging.record import FailedImage, KeptImage, TaggedImage
from c2srt_cli.tagging.writers.context import KeptRows, WriteContext
from c2srt_cli.tagging.writers.delimited import first_cells, write_table_of
from c2srt_cli.tagging.writers.lines import text_rows

_ENCODING = "utf-16-le"
_TAB = "\t"


def write_excel(rows: Iterable[TaggedImage | KeptImage], path: Path, context: WriteContext) -> list[FailedImage]:
    """Write the columns of `write_csv`, separated by tabs, in UTF-16 with a byte-order mark."""
    with path.open("w", encoding=_ENCODING, newline="") as stream:
        stream.write("\ufeff")
        return write_table_of(rows, stream, context, delimiter=_TAB)


def excel_rows(path: Path, names: Sequence[str], context: WriteContext) -> AbstractContextManager[KeptRows]:  # noqa: ARG001
    """The records of a file that `write_excel` wrote."""
    return text_rows(path, names, lambda name: first_cells(name, _TAB), table=True, encoding=_ENCODING)
