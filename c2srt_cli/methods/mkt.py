"""MKT (AAAI 2023, arXiv 2207.01887), stage 1: the best patches and the whole image, ranking loss and distillation.

As in its code, each score vector has norm 1 over the labels, so that the ranking loss sees differences of about 0.03
and is linear; all seen labels take part in every batch. Stage 2 is `mkt_prompt`.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.methods.isr import patch_cap, select_top
from c2srt_cli.methods.losses import LossOption, Ranking
from c2srt_cli.methods.method import Method
from c2srt_cli.methods.options import Distillation, ScaledOptions, TailOptions, Training
from c2srt_cli.methods.pooling import TopK
from c2srt_cli.methods.scores import Scores
from c2srt_cli.methods.vocabulary import Labels


class MKT(Method):
    """The mean of the largest dot products with patches, and that with the whole image."""

    name: ClassVar[str] = "mkt"
    can_calibrate: ClassVar[bool] = False

    class Options(TailOptions, ScaledOptions):
        """Of `MKT`."""

        method: Literal["mkt"] = "mkt"
        patches: TopK = TopK(k=16)
        loss: LossOption = Ranking()
        logit_scale: float = Field(1.0, gt=0, description="Factor of the scores before the loss (MKT: none).")
        learn_logit_scale: bool = Field(False, description="Whether that factor learns (MKT: no).")
        distillation: Distillation = Distillation()
        training: Training = Training(sampled_negatives=0)

    @property
    def vocabulary_dependent(self) -> bool:
        """Scores are scaled over the labels of an image."""
        return True

    def scores(self, image: ImageEmbedding, labels: Labels, truth: Tensor | None = None) -> Scores:  # noqa: ARG002
        """Each side of norm 1 over the labels of an image."""
        patches, text = image.patches.float(), labels.text
        count = patch_cap(patches.shape[1], self.options.patches.k)
        local = (text @ patches.transpose(1, 2)).topk(count, dim=-1).values.mean(-1)  # (B, C)
        found = (normalize(local, dim=-1) + normalize(image.global_.float() @ text.T, dim=-1)) / 2
        return Scores(found, found, torch.full_like(found, count / patches.shape[1]))

    def similarity(self, patches: Tensor, text: Tensor) -> Tensor:
        """Dot products."""
        return text @ patches.float().T

    def patch_weights(self, patches: Tensor, labels: Labels, which: Tensor) -> tuple[Tensor, Tensor]:
        """The largest dot products."""
        likeness = self.similarity(patches, labels.text[which])
        return select_top(likeness, patch_cap(len(patches), self.options.patches.k)).mask, likeness
