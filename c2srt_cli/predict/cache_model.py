"""A cache model (Tip-Adapter, ECCV 2022) for several labels: photographs that people have judged speak for others.

What they say of an image ``x`` for one label is ``mean_yes k(x, i) - mean_no k(x, i)``, where ``k(x, i)`` is
``exp(-beta (1 - cos))`` of global embeddings. Nothing is trained; `learning.cache_fit` says how much it counts.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from c2srt_cli.methods.scores import Scores

#: Sharpness of the kernel, as Tip-Adapter has it; on Corel5k 2 to 5.5 are alike, 10 is worse.
BETA = 5.5


def kernel(images: Tensor, others: Tensor) -> Tensor:
    """Likeness of images ``(B, D)`` and others ``(n, D)``, all of norm 1: ``(B, n)`` in (0, 1]."""
    return torch.exp(-BETA * (1 - images @ others.T))


@dataclass(frozen=True, eq=False)
class CacheModel:
    """What judged images add to the scores of L labels.

    Attributes:
        examples: Global embeddings of the judged images, ``(n, D)``, of norm 1.
        weights: How much each speaks for each label, ``(n, L)``, negative where it was judged not to show it.
        offsets: What is added whatever the image, ``(L,)``.
        thresholds: The score from which a label is given, ``(L,)``; NaN for those that nothing was learned of.
    """

    examples: Tensor
    weights: Tensor
    offsets: Tensor
    thresholds: Tensor

    def __call__(self, embeddings: Tensor) -> Tensor:
        """What is added to the scores of images with global embeddings ``(B, D)``: ``(B, L)``."""
        images = normalize(embeddings.to(self.examples), dim=-1)
        return kernel(images, self.examples) @ self.weights + self.offsets

    def applied(self, scores: Scores, embeddings: Tensor) -> Scores:
        """Scores of images with these global embeddings, raised or lowered.

        The relative rule, which decides on labels that nothing was learned of, goes on comparing as before.
        """
        added = self(embeddings)
        relative = scores.logit if scores.relative is None else scores.relative
        return scores._replace(ranking=scores.ranking + added, logit=scores.logit + added, relative=relative)

    def to(self, device: torch.device | str) -> "CacheModel":
        """The same on another device."""
        parts = (self.examples, self.weights, self.offsets, self.thresholds)
        return CacheModel(*(part.to(device) for part in parts))

    def of(self, columns: Tensor) -> "CacheModel":
        """For some of the labels, or, where a column is -1, for one that nothing was learned of."""
        known = columns >= 0
        weights, offsets, thresholds = self.weights[:, columns], self.offsets[columns], self.thresholds[columns]
        return replace(
            self,
            weights=torch.where(known, weights, 0.0),
            offsets=torch.where(known, offsets, 0.0),
            thresholds=torch.where(known, thresholds, torch.nan),
        )
