"""Images encoded anew in every epoch, so that each may show them differently, and no tokens fill the disk."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from c2srt_cli.backbone.tower import Tokens
from c2srt_cli.datasets.annotations import Annotations
from c2srt_cli.embeddings.job import EmbedJob
from c2srt_cli.embeddings.pipeline import encode
from c2srt_cli.images import ImageFile, Picture
from c2srt_cli.training.augment import augmented
from c2srt_cli.training.tokens import join


@dataclass(frozen=True, eq=False)
class ImageSet:
    """The images of a split, in the place of a `TokenSet`: the same tokens, not kept.

    Attributes:
        job: How they are encoded.
        annotations: What is known of the images.
        rows: Their numbers in the annotations, ``(N,)``.
        files: The images.
        missing: Paths of the split that are not there.
        failed: Paths of images that turned out to be unreadable, and why; parts of a set share it.
        views: Seed and epoch of the random views that are shown in place of the images as they are; None for none.
        teacher: Frozen global embeddings of images as they are, ``(D,)`` float32, by number; None where nobody
            asks for them. Beside views they are made once and stay in memory, N x D in all: 2 KiB an image for 512
            dimensions. Parts of a set share them.
    """

    job: EmbedJob
    annotations: Annotations
    rows: np.ndarray
    files: list[ImageFile]
    missing: tuple[str, ...]
    failed: dict[str, str] = field(default_factory=dict)
    views: tuple[int, int] | None = None
    teacher: dict[int, Tensor] | None = field(default_factory=dict)

    @classmethod
    def of(cls, job: EmbedJob, annotations: Annotations, split: str) -> "ImageSet":
        """Those of a split that are there."""
        assert job.found is not None
        there = {file.name: file for file in job.found.files}
        return cls(job, annotations, *join(annotations, split, there))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def readable(self) -> np.ndarray:
        """The numbers of those that have not failed so far, ``(n,)``."""
        there: np.ndarray = self.rows[[file.name not in self.failed for file in self.files]]
        return there

    def take(self, places: np.ndarray) -> "ImageSet":
        """Some of them."""
        return replace(self, rows=self.rows[places], files=[self.files[i] for i in places])

    def augmented(self, *, seed: int, epoch: int, teacher: bool) -> "ImageSet":
        """The same under the random views of an epoch.

        Without ``teacher`` the global embeddings in `batches` are those of the views, which nobody asks for.
        """
        return replace(self, views=(seed, epoch), teacher=self.teacher if teacher else None)

    def shuffled(self, random: np.random.Generator) -> np.ndarray:
        """Places of all images in a random order."""
        return random.permutation(len(self))

    def batches(self, places: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, Tokens, Tensor]]:
        """Images ``size`` at a time: their numbers in the annotations, tokens, and frozen global embeddings.

        Tokens are of the views where there are any, embeddings of the images as they are. Those that cannot be
        read are left out and noted in `failed`, so that a batch may be smaller, or empty. Decoding and the early stages
        run ahead.
        """
        files, job = [self.files[i] for i in places], self.job
        numbers = {self.files[i].name: int(self.rows[i]) for i in places}
        rows, tokens, local, whole, seen = list[int](), list[Tensor](), list[Tensor](), list[Tensor](), 0

        def view(file: Picture, array: np.ndarray) -> np.ndarray:
            if self.views is None:
                return array
            seed, epoch = self.views
            return augmented(array, seed=seed, epoch=epoch, number=numbers[file.name])

        encoded = encode(files, job.encoder, job.pixels, workers=job.workers, chunk=size, transform=view)
        with closing(encoded) as batches:
            for batch in batches:
                good = {numbers[o.file.name]: o.pixels.array for o in batch.outcomes if o.pixels is not None}
                self.failed.update((o.file.name, str(o.error)) for o in batch.outcomes if o.error is not None)
                if batch.count:
                    rows += good
                    stored = _stored(batch.tokens, batch.count)
                    assert stored.x is not None
                    tokens.append(stored.x)
                    if stored.local is not None:
                        local.append(stored.local)
                    if self.views is None or self.teacher is None:
                        whole.append(batch.global_embedding[: batch.count].to("cpu", torch.float32))
                    else:
                        whole.append(self._taught(self.teacher, good))
                seen += len(batch.outcomes)
                if seen % size == 0 or seen == len(files):
                    x, other, both = (torch.cat(part) if part else None for part in (tokens, local, whole))
                    yield np.array(rows, dtype=np.int64), Tokens(x, other), torch.empty(0) if both is None else both
                    rows, tokens, local, whole = [], [], [], []

    def stand_in(self) -> tuple[Tokens, Tensor]:
        """Tokens and a frozen global embedding of a black image: none of the set need be readable."""
        size = self.job.pixels.size
        tokens, embedding = self.job.encoder.forward([np.zeros((size, size, 3), dtype=np.uint8)])
        return _stored(tokens, 1), embedding.global_[:1].to("cpu", torch.float32)

    def _taught(self, teacher: dict[int, Tensor], arrays: dict[int, np.ndarray]) -> Tensor:
        """Frozen global embeddings ``(b, D)`` of images as they are; those that are not known yet are made."""
        new = [number for number in arrays if number not in teacher]
        if new:
            made = self.job.encoder.forward([arrays[number] for number in new])[1].global_
            # a copy: the padding must not stay in memory
            teacher.update(zip(new, made[: len(new)].to("cpu", torch.float32, copy=True), strict=True))
        return torch.stack([teacher[number] for number in arrays])


def _stored(tokens: Tokens, count: int) -> Tokens:
    """The first of them, as they would be stored."""
    streams = (None if part is None else part[:count].to("cpu", torch.bfloat16) for part in (tokens.x, tokens.local))
    return Tokens(*streams)
