"""What every source gives: images in a stable order, and their embeddings in batches."""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import torch

from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.methods.scores import Scores, best_of
from c2srt_cli.predict.predictor import Predictor
from c2srt_cli.tagging.record import FailedImage
from c2srt_cli.tagging.sources.items import Item


@dataclass(frozen=True)
class SourceBatch:
    """Consecutive images: which they are, which failed, and the embeddings of the others in order.

    Attributes:
        items: In the order asked for, stamped as they were read.
        failures: By name.
        embed: Makes the embeddings.
        rows: How many each image has that did not fail, the whole first, then its tiles; None where all have one.
    """

    items: list[Item]
    failures: dict[str, FailedImage]
    embed: Callable[[], ImageEmbedding]
    rows: tuple[int, ...] | None = None

    @cached_property
    def embedding(self) -> ImageEmbedding:
        """First the items that did not fail, then padding up to the batch shape."""
        return self.embed()

    @cached_property
    def whole(self) -> ImageEmbedding:
        """Those of whole images: first the items that did not fail."""
        if self.rows is None:
            return self.embedding
        return self.embedding.take(torch.tensor([0, *accumulate(self.rows[:-1])], device=self.embedding.global_.device))

    def scores(self, predictor: Predictor) -> Scores:
        """Of the items that did not fail, then of padding; in whichever tile a label scores highest."""
        found = predictor.scores(self.embedding)
        return found if self.rows is None else best_of(found, self.rows)


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
