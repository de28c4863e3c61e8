"""Images in the joint space."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class ImageEmbedding:
    """A batch of images in the joint space; no vector is normalised.

    Attributes:
        global_: Global embeddings ``(B, D)``.
        patches: ``(B, P, D)``.
        frozen: The same by the backbone before training; None where no method asks for it.
    """

    global_: Tensor
    patches: Tensor
    frozen: "ImageEmbedding | None" = None

    def __len__(self) -> int:
        return len(self.global_)

    def rows(self, start: int, stop: int) -> "ImageEmbedding":
        """Some of the images."""
        frozen = None if self.frozen is None else self.frozen.rows(start, stop)
        return ImageEmbedding(self.global_[start:stop], self.patches[start:stop], frozen)

    def take(self, rows: Tensor) -> "ImageEmbedding":
        """Images by their places."""
        frozen = None if self.frozen is None else self.frozen.take(rows)
        return ImageEmbedding(self.global_[rows], self.patches[rows], frozen)

    def joined(self, others: Sequence["ImageEmbedding"]) -> "ImageEmbedding":
        """With the images of others behind them."""
        if not others:
            return self
        all_ = (self, *others)
        frozen = None if self.frozen is None else self.frozen.joined([one.frozen for one in others if one.frozen])
        return ImageEmbedding(
            torch.cat([one.global_ for one in all_]), torch.cat([one.patches for one in all_]), frozen
        )

    def float(self) -> "ImageEmbedding":
        """In float32."""
        frozen = None if self.frozen is None else self.frozen.float()
        return ImageEmbedding(self.global_.float(), self.patches.float(), frozen)
