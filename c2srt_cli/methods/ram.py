"""RAM (arXiv 2503.15337): adapters recover local semantics in a frozen CLIP, transport matches regions to labels.

Each adapter starts as nothing and text tokens as words, an adapter's norm looks at one image alone, and a label's local
score is a mean cosine, not a sum that shrinks with the vocabulary; docs/method.md sets every choice beside the
published code.
"""

import math
from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.methods import options as groups
from c2srt_cli.methods.losses import MMC, LossOption
from c2srt_cli.methods.method import Method
from c2srt_cli.methods.options import (
    Adapters,
    Distillation,
    GraphOptions,
    PatchAttention,
    TailOptions,
    TrainedPropagation,
    Training,
)
from c2srt_cli.methods.pooling import KCOT, Global, PoolingOption, share
from c2srt_cli.methods.prompt import TextTokens
from c2srt_cli.methods.propagation import ScorePropagation, strengths
from c2srt_cli.methods.scores import Scores
from c2srt_cli.methods.vocabulary import Labels


class RAM(Method):
    """The mean of a global and a local softmax over the labels that are asked for."""

    name: ClassVar[str] = "ram"

    class Options(TailOptions, GraphOptions):
        """Of `RAM`."""

        method: Literal["ram"] = "ram"
        patches: PoolingOption = KCOT()
        local_logit_scale: float = Field(
            10.0,
            gt=0,
            description="Factor of a local mean cosine before its softmax, at the start; it learns. RAM's temperatures "
            "times the number of labels come to 10.4 on COCO and 5.4 on NUS-WIDE.",
        )
        trained_stages: int = Field(0, ge=0, description="Last stages of the tower that learn (RAM: none).")
        patch_attention: PatchAttention = Field(
            "value-all", description="Blocks of a ViT whose value-value attention gives the patches (RAM: all)."
        )
        adapters: Adapters = Adapters(stages=3, vision_tokens=8)
        text_tokens: groups.TextTokens = groups.TextTokens()
        propagation: TrainedPropagation | None = Field(
            None, description="Label propagation of the softmaxes over a category graph (ours); none by default."
        )
        zero_shot_weight: float = Field(
            0.0, ge=0, le=1, description="Share of the frozen backbone's scores in those of unseen labels (ours)."
        )
        loss: LossOption = MMC()
        distillation: Distillation = Distillation(weight=0.0)
        training: Training = Training(batch_size=32, sampled_negatives=0)

        def problems(self) -> Iterator[str]:
            """A run keeps no labels without the text tokens."""
            yield from super().problems()
            if self.text_tokens.count and self.zero_shot_weight:
                yield "text_tokens.count must be 0 where zero_shot_weight is not: a run keeps no labels without them"

    def __init__(self, options: Options, backbone: Backbone) -> None:
        super().__init__(options, backbone)
        self.log_scales = nn.Parameter(
            torch.tensor([math.log(backbone.logit_scale), math.log(options.local_logit_scale)])
        )
        if options.propagation is not None:
            self.propagation = ScorePropagation.of(options.propagation)
        tokens = options.text_tokens
        if tokens.count:
            self.text_tokens = TextTokens.of(backbone, tokens.layers, tokens.count, random_init=tokens.random_init)
            self.text_tower = backbone.text.reading(None, self.text_tokens)
        self.add_adapters()

    @property
    def vocabulary_dependent(self) -> bool:
        """A softmax is."""
        return True

    def base_scores(
        self, image: ImageEmbedding, text: Tensor, teacher: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Global and local cosines ``(B, C, 2)``."""
        with torch.autocast(image.global_.device.type, enabled=False):
            text = text.float()
            cosines = normalize(image.global_.float(), dim=-1) @ text.T  # (B, C)
            if isinstance(self.options.patches, Global):
                return torch.stack([cosines, cosines], -1), None
            patches = normalize(image.patches.float(), dim=-1)
            weights = self.weigh(patches, text, teacher)
            # a mean cosine: RAM's sum, times C
            local = (weights * (text @ patches.transpose(1, 2))).sum(-1) / weights.sum(-1)
        return torch.stack([cosines, local], -1), share(weights)

    def combined(self, base: Tensor, *, vocabulary_free: bool = False) -> Tensor:
        """The mean of two softmaxes over the labels; or of their logits, over the backbone's scale."""
        logits = base * self.log_scales.exp().to(base.device)
        return logits.mean(-1) / self.backbone.logit_scale if vocabulary_free else logits.softmax(1).mean(-1)

    def scores(self, image: ImageEmbedding, labels: Labels, truth: Tensor | None = None) -> Scores:
        """Two softmaxes, and what flows from seen labels."""
        sides, part = self.base_scores(image, labels.text, self.teacher_of(image, labels, truth))
        sides = self.ensemble_zero_shot(sides, image, labels)
        part = None if part is None else part[:, : labels.asked]
        logits = (sides * self.log_scales.exp())[:, : labels.asked]
        ranking, logit = self.combined(sides), self.combined(sides, vocabulary_free=True)
        if self.propagation is None:
            return Scores(ranking, logit, part, sides=logits)
        (rows,) = labels.layers
        mean = 1 / len(labels.text)  # that of a softmax is known
        found, added = self.propagation(ranking, rows, mean, labels.unseen)
        logit, _ = self.propagation(logit, rows, unseen=labels.unseen)
        return Scores(found, logit, part, ranking, strengths(rows).expand(len(found), -1, -1), added, logits)

    def losses(self, scores: Scores, truth: Tensor, image: ImageEmbedding, target: Tensor) -> dict[str, Tensor]:
        """MMC on either side; any other loss on the mean of both."""
        assert scores.sides is not None
        if isinstance(self.options.loss, MMC):
            sides = zip(("global", "local"), scores.sides.unbind(-1), strict=True)
            found = {f"mmc_{side}": self.options.loss.terms(one, truth)["mmc"] for side, one in sides}
        else:
            found = self.loss_terms(scores.sides.mean(-1), truth)
        return found | self.distillation_term(image, target)

    def log(self) -> dict[str, float]:
        """The factors of both softmaxes."""
        return dict(zip(("scale_global", "scale_local"), self.log_scales.detach().exp().tolist(), strict=True))
