"""Embeddings as a dataset of parts: what lies in a part, what it takes to publish it, and folders of before."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from c2srt_cli.artifacts import MANIFEST
from c2srt_cli.embeddings.manifest import EmbeddingOptions
from c2srt_cli.embeddings.part import Part, assigned, known_rows, part_files, publish
from c2srt_cli.embeddings.shards import shard_numbers
from c2srt_cli.errors import InputError
from c2srt_cli.parts.assign import evenly
from c2srt_cli.parts.comparison import Known
from c2srt_cli.parts.file_rows import rows_hold
from c2srt_cli.parts.folder import PART, part_numbers, part_path
from c2srt_cli.parts.index import INDEX, write_index


@dataclass(frozen=True)
class EmbeddingParts:
    """Parts of embeddings of files; see `parts.comparison.Dataset`.

    Attributes:
        out: Where they lie.
        options: They are made with.
        root: The folder that the files' names are relative to.
        size: Images of a new part.
    """

    out: Path
    options: EmbeddingOptions
    root: Path
    size: int = PART

    def folders(self) -> list[tuple[int, Path]]:
        """Embeddings of before there were parts are the only one."""
        if holds_old_layout(self.out):
            return [(0, self.out)]
        return [(number, part_path(self.out, number)) for number in part_numbers(self.out)]

    def read(self, folder: Path) -> Known:
        """A part as it is."""
        try:
            part = Part.open(folder, self.options)
            if part.intact():
                table = part.index()
                return Known(table, True, part.tidy(table))
        except InputError:
            pass
        return Known(assigned(folder, self.options), False, folder == self.out or not (folder / MANIFEST).exists())

    def tried(self, folder: Path) -> int:
        """How many images stand in its shards."""
        return len(known_rows(folder, self.options))

    def hold(self, table: pa.Table, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # noqa: ARG002
        """Files speak for themselves."""
        return rows_hold(table, self.root)

    def spans(self, new: np.ndarray) -> Iterable[slice]:
        """As many as a part holds."""
        return evenly(new, self.size)

    def publish(self, folder: Path, table: pa.Table) -> None:
        """Write index and manifest of a part that is done."""
        publish(folder, table, self.options)


def holds_old_layout(out: Path) -> bool:
    """Whether shards or their index lie in the folder itself."""
    return (out / INDEX).exists() or bool(shard_numbers(out))


def adopt(out: Path, options: EmbeddingOptions) -> None:
    """Make embeddings of before there were parts the first one, still to be published.

    A kill leaves some of the files where they were, for the next run to move.
    """
    folder = part_path(out, 0)
    table = assigned(out, options)
    folder.mkdir(exist_ok=True)
    for path in reversed(part_files(out)):  # the index last
        path.replace(folder / path.name)
    if not (folder / INDEX).exists():
        write_index(folder / INDEX, table)
