"""Cached tokens joined with annotations, in an order that never needs the whole set in memory."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from torch import Tensor

from c2srt_cli.backbone.tower import Tokens
from c2srt_cli.datasets.annotations import Annotations
from c2srt_cli.embeddings.shards import SHARD
from c2srt_cli.embeddings.store import Store
from c2srt_cli.training.loader import ahead

#: Shards whose images are shuffled together.
WINDOW = 16

Entry = TypeVar("Entry")


@dataclass(frozen=True, eq=False)
class TokenSet:
    """The images of a split that have tokens.

    Attributes:
        store: Where the tokens lie.
        annotations: What is known of the images.
        rows: Their numbers in the annotations, ``(N,)``.
        places: Theirs in the store, ``(N,)``.
        missing: Paths of the split without tokens.
        failed: Paths of images that turned out to be unreadable, and why: none, they have tokens.
    """

    store: Store
    annotations: Annotations
    rows: np.ndarray
    places: np.ndarray
    missing: tuple[str, ...]
    failed: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, store: Store, annotations: Annotations, split: str) -> "TokenSet":
        """Join by path."""
        rows = annotations.rows(split)
        places = store.find([annotations.paths[row] for row in rows])
        missing = tuple(annotations.paths[row] for row in rows[places < 0])
        return cls(store, annotations, rows[places >= 0], places[places >= 0], missing)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def readable(self) -> np.ndarray:
        """The numbers of those that can be read, ``(n,)``: all."""
        return self.rows

    def take(self, places: np.ndarray) -> "TokenSet":
        """Some of them."""
        return TokenSet(self.store, self.annotations, self.rows[places], self.places[places], self.missing)

    def shuffled(self, random: np.random.Generator) -> np.ndarray:
        """Numbers of all images in a random order: shards are shuffled, then images in windows of shards.

        So a pass reads every shard once, and a small set is shuffled as a whole.
        """
        shards = self._shards()
        rank = random.permutation(shards.max(initial=0) + 1)
        order = np.argsort(rank[shards], kind="stable")
        window = WINDOW * SHARD
        return np.concatenate([random.permutation(order[i : i + window]) for i in range(0, len(order), window)])

    def _shards(self) -> np.ndarray:
        """A number for the shard of each image: its own in the first part, in others behind those before."""
        part, shard = self.store.part[self.places].astype(np.int64), self.store.shard[self.places]
        most = np.array([max(one.shards, default=-1) + 1 for one in self.store.parts])
        numbers: np.ndarray = shard + (np.cumsum(most) - most)[part]
        return numbers

    def augmented(self, *, seed: int, epoch: int, teacher: bool) -> "TokenSet":  # noqa: ARG002
        """As it is: tokens are stored of images as they are."""
        return self

    def batches(self, places: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, Tokens, Tensor]]:
        """Images ``size`` at a time: their numbers in the annotations, tokens, and frozen global embeddings.

        Within a batch they stand in the order of the disk, which is read ahead.
        """
        return ahead(self._read(places, size))

    def stand_in(self) -> tuple[Tokens, Tensor]:
        """Tokens and a frozen global embedding of one image, whichever."""
        _, tokens, whole = next(self._read(np.zeros(1, dtype=np.int64), 1))
        return tokens, whole

    def _read(self, places: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, Tokens, Tensor]]:
        for start in range(0, len(places), size):
            batch = places[start : start + size]
            batch = batch[self.store.on_disk(self.places[batch])]
            ((_, tokens, whole),) = self.store.batches(self.places[batch], size)
            yield self.rows[batch], tokens, whole


def join(
    annotations: Annotations, split: str, there: Mapping[str, Entry]
) -> tuple[np.ndarray, list[Entry], tuple[str, ...]]:
    """The images of a split that are there.

    Args:
        annotations: What is known of the images.
        split: Which of them.
        there: What there is, by path.

    Returns:
        Their numbers in the annotations ``(N,)``, what there is of each, and the paths of those that are not there.
    """
    rows = annotations.rows(split)
    found = [int(i) for i in rows if annotations.paths[i] in there]
    missing = tuple(annotations.paths[i] for i in rows if annotations.paths[i] not in there)
    return np.array(found, dtype=np.int64), [there[annotations.paths[i]] for i in found], missing
