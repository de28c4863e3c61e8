"""Photographs, decoded and encoded on the way."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from functools import partial
from operator import attrgetter
from pathlib import Path

import numpy as np
import pyarrow as pa

from c2srt_cli.embeddings.encoder import Encoder
from c2srt_cli.embeddings.pipeline import Outcome, encode
from c2srt_cli.images import FailedFile, ImageFile, ImageFiles, Picture, PixelSpec
from c2srt_cli.parts.assign import evenly
from c2srt_cli.parts.file_rows import rows_hold, stamps
from c2srt_cli.tagging.record import FailedImage
from c2srt_cli.tagging.sources.items import CHUNK, Item, Items, Versions
from c2srt_cli.tagging.sources.source import SourceBatch


class ImageSource:
    """Photographs.

    Args:
        root: What their names are relative to.
        images: Files, or pictures in memory.
        problems: What was named and cannot be read.
        encoder: Backbone and runtime.
        pixels: How pictures are prepared.
        workers: Decode threads.
        passes_over: Says of names which photographs have been left out.
        picture: How each file is read.
    """

    def __init__(  # noqa: PLR0917
        self,
        root: Path,
        images: Sequence[Picture],
        problems: Sequence[FailedFile],
        encoder: Encoder,
        pixels: PixelSpec,
        workers: int,
        passes_over: Callable[[str], bool] = lambda _: False,
        picture: Callable[[ImageFile], Picture] = lambda file: file,
    ) -> None:
        self.root, self.inputs = root, dict[str, str]()
        self.problems = [FailedImage(bad.name, bad.reason, bad.detail) for bad in problems]
        self._encoder, self._pixels, self._workers = encoder, pixels, workers
        self.passes_over, self._read = passes_over, picture
        # files are found again by their names; other pictures are few, and objects already
        self._pictures = {} if isinstance(images, ImageFiles) else {image.name: image for image in images}
        self.items: Sequence[Item] = (
            self.some(images.names)
            if isinstance(images, ImageFiles)
            else [Item(image.name, image.stamp()) for image in images]
        )

    @property
    def names(self) -> pa.LargeStringArray:
        """Of all items."""
        items = self.items
        return items.names if isinstance(items, Items) else pa.array([one.name for one in items], pa.large_string())

    @property
    def files(self) -> Iterable[Path]:
        """The photographs."""
        if isinstance(self.items, Items):
            return (file.path for file in ImageFiles(self.root, self.items.names))
        return (image.path for image in self._pictures.values() if isinstance(image, ImageFile))

    def some(self, names: pa.LargeStringArray) -> Items:
        """Files of these names as they are now."""
        return Items(names, partial(_look, self.root, names))

    def batches(self, items: Sequence[Item]) -> Generator[SourceBatch, None, None]:
        """Decode ahead, encode in the fixed batch shape."""
        images = (
            self._pictures.get(name) or self._read(ImageFile(self.root / name, name))
            for name in (one.name for one in items)
        )
        with closing(encode(images, self._encoder, self._pixels, workers=self._workers)) as batches:
            for batch in batches:
                failures = {
                    outcome.file.name: FailedImage(outcome.file.name, outcome.error.reason, outcome.error.detail)
                    for outcome in batch.outcomes
                    if outcome.error is not None
                }
                rows = tuple(len(outcome.shown) for outcome in batch.outcomes if outcome.error is None)
                yield SourceBatch(
                    list(map(_as_read, batch.outcomes)),
                    failures,
                    partial(attrgetter("embedding"), batch),
                    rows if sum(rows) > len(rows) else None,
                )

    def hold(self, table: pa.Table, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # noqa: ARG002
        """Files speak for themselves."""
        return rows_hold(table, self.root)

    def spans(self, new: np.ndarray, size: int) -> Iterable[slice]:
        """As many as are asked for."""
        return evenly(new, size)


def _look(root: Path, names: pa.LargeStringArray) -> Versions:
    found = [np.empty((0, 3), np.int64)]
    found += [stamps(root, names[start : start + CHUNK].to_pylist()) for start in range(0, len(names), CHUNK)]
    return Versions(np.concatenate(found))


def _as_read(outcome: Outcome) -> Item:
    if outcome.pixels is not None:
        sha256 = outcome.pixels.sha256
    else:
        sha256 = "" if outcome.error is None else outcome.error.sha256
    return Item(outcome.file.name, outcome.stamp._replace(sha256=sha256))
