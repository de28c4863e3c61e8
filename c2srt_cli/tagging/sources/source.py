"""What every source gives: images in a stable order, and their embeddings in batches."""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.tagging.record import FailedImage
from c2srt_cli.tagging.sources.items import Item


@dataclass(frozen=True)
class SourceBatch:
    """Consecutive images: which they are, which failed, and the embeddings of the others in order.

    Attributes:
        items: In the order asked for, stamped as they were read.
        failures: By name.
        embed: Makes the embeddings.
    """

    items: list[Item]
    failures: dict[str, FailedImage]
    embed: Callable[[], ImageEmbedding]

    @cached_property
    def embedding(self) -> ImageEmbedding:
        """First the items that did not fail, then padding up to the batch shape."""
        return self.embed()


class Source(Protocol):
    """Images in a stable order, read in batches."""

    root: Path
    items: Sequence[Item]
    problems: list[FailedImage]
    inputs: dict[str, str]

    @property
    def names(self) -> pa.LargeStringArray:
        """Of all items."""
        ...

    def passes_over(self, name: str) -> bool:
        """Whether a photograph is not among the items because it has been left out, and not merely not named."""
        ...

    @property
    def files(self) -> Iterable[Path]:
        """What is read, and never to be written to."""
        ...

    def some(self, names: pa.LargeStringArray) -> Sequence[Item]:
        """The images of these names as they are now, without those that there are not."""
        ...

    def batches(self, items: Sequence[Item]) -> Generator[SourceBatch, None, None]:
        """Embed some of the items, in their order."""
        ...

    def hold(self, table: pa.Table, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which rows of an index still speak of the items at these places: see `parts.comparison.Dataset`."""
        ...

    def spans(self, new: np.ndarray, size: int) -> Iterable[slice]:
        """How items, given by their places, are put together into parts of up to ``size``."""
        ...
