"""Images in the joint space."""

from dataclasses import dataclass

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

    def float(self) -> "ImageEmbedding":
        """In float32."""
        frozen = None if self.frozen is None else self.frozen.float()
        return ImageEmbedding(self.global_.float(), self.patches.float(), frozen)
