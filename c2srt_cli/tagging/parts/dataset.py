"""Tags as a dataset of parts."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from c2srt_cli.artifacts import MANIFEST
from c2srt_cli.errors import InputError
from c2srt_cli.parts.comparison import Known
from c2srt_cli.parts.folder import part_numbers, part_path
from c2srt_cli.tagging.parts.job import TagPartsJob
from c2srt_cli.tagging.parts.part import TagPart, assigned, publish


@dataclass(frozen=True)
class TagParts:
    """Parts of tags; see `parts.comparison.Dataset`.

    Attributes:
        job: Of whose images.
    """

    job: TagPartsJob

    def folders(self) -> list[tuple[int, Path]]:
        """Parts by number, ascending."""
        return [(number, part_path(self.job.out, number)) for number in part_numbers(self.job.out)]

    def read(self, folder: Path) -> Known:
        """A part as it is."""
        try:
            part = TagPart.open(folder, self.job.made)
            if part.intact():
                return Known(part.index(), True, True)
        except InputError:
            pass
        return Known(assigned(folder), False, not (folder / MANIFEST).exists())

    def tried(self, folder: Path) -> int:  # noqa: ARG002
        """None: what its journal holds is counted when the part is worked on."""
        return 0

    def hold(self, table: pa.Table, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As the source has it."""
        return self.job.tagging.source.hold(table, places)

    def spans(self, new: np.ndarray) -> Iterable[slice]:
        """As the source has it."""
        return self.job.tagging.source.spans(new, self.job.part_size)

    def publish(self, folder: Path, table: pa.Table) -> None:
        """Write index and manifest of a part that is done."""
        publish(folder, table, self.job.made)
