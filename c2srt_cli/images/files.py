"""Many image files: their names in columns, each file an object only while it is looked at."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload

import pyarrow as pa
import pyarrow.compute as pc

from c2srt_cli.images.picture import ImageFile

#: Names that are Python objects at a time.
CHUNK = 1 << 16


class ImageFiles(Sequence[ImageFile]):
    """Image files below a root.

    Args:
        root: The folder that their names are relative to.
        names: Theirs, ``/`` between their parts.
    """

    def __init__(self, root: Path, names: pa.LargeStringArray) -> None:
        self.root, self.names = root, names

    @classmethod
    def of(cls, root: Path, names: Iterable[str]) -> "ImageFiles":
        """Files with these names."""
        return cls(root, pa.array(names, pa.large_string()))

    def below(self, root: Path, above: str) -> "ImageFiles":
        """The same files, named from a folder further up, from which ``above`` leads to the root."""
        text = pa.large_string()
        return ImageFiles(root, pc.binary_join_element_wise(pa.scalar(above, text), self.names, pa.scalar("/", text)))

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[ImageFile]:
        base = os.path.join(self.root, "")  # noqa: PTH118 - pathlib takes ten times as long
        for start in range(0, len(self.names), CHUNK):
            for name in self.names[start : start + CHUNK].to_pylist():
                yield ImageFile(Path(base + name), name)

    @overload
    def __getitem__(self, place: int) -> ImageFile: ...
    @overload
    def __getitem__(self, place: slice) -> "ImageFiles": ...
    def __getitem__(self, place: int | slice) -> "ImageFile | ImageFiles":
        if isinstance(place, slice):
            return ImageFiles(self.root, self.names[place])
        name = self.names[place].as_py()
        return ImageFile(self.root / name, name)
