"""Label propagation over the category graph (ours): scores of seen labels flow to those whose sources they are.

The image side is C2SRT's (`c2srt`): patches by ISR, distillation. But where the paper has features flow along the graph
and compares the labels of an image, here scores flow, images are compared too, and the frozen backbone has its share in
the scores of unseen labels: measured, each is better for them. docs/method.md says by how much.
"""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.methods.fusion import fused_features
from c2srt_cli.methods.losses import LossOption, Ranking
from c2srt_cli.methods.method import Method
from c2srt_cli.methods.options import (
    Adapters,
    Distillation,
    GraphOptions,
    ScaledOptions,
    TailOptions,
    TrainedPropagation,
)
from c2srt_cli.methods.pooling import ISR, PoolingOption, cosines
from c2srt_cli.methods.propagation import ScorePropagation, strengths
from c2srt_cli.methods.scores import Scores
from c2srt_cli.methods.vocabulary import Labels


class LabelPropagation(Method):
    """Cosines of refined features, ensembled with zero-shot ones for unseen labels, then propagated to these."""

    name: ClassVar[str] = "label-propagation"

    class Options(TailOptions, ScaledOptions, GraphOptions):
        """Of `LabelPropagation`."""

        method: Literal["label-propagation"] = "label-propagation"
        patches: PoolingOption = ISR()
        propagation: TrainedPropagation = TrainedPropagation()
        zero_shot_weight: float = Field(
            0.75,
            ge=0,
            le=1,
            description="Share of the frozen backbone's score in an unseen label's (zero-shot ensembling, as WiSE-FT).",
        )
        adapters: Adapters = Adapters()
        loss: LossOption = Ranking(rank="both")
        distillation: Distillation = Distillation()

    def __init__(self, options: Options, backbone: Backbone) -> None:
        super().__init__(options, backbone)
        self.propagation = ScorePropagation.of(options.propagation)
        self.add_adapters()

    def base_scores(
        self, image: ImageEmbedding, text: Tensor, teacher: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Cosines ``(B, C)`` of fused features."""
        features, share = fused_features(image, text, self.options.patches, self.weigh, teacher)
        return cosines(features, text), share

    def scores(self, image: ImageEmbedding, labels: Labels, truth: Tensor | None = None) -> Scores:
        """Base scores, and what flows from seen labels; to seen ones once training is over."""
        base, share = self.base_scores(image, labels.text, self.teacher_of(image, labels, truth))
        base = self.ensemble_zero_shot(base, image, labels)
        assert self.propagation is not None
        (rows,) = labels.layers
        found, added = self.propagation(base, rows, unseen=labels.unseen)
        share = None if share is None else share[:, : labels.asked]
        attention = strengths(rows).expand(len(found), -1, -1)
        return Scores(found, found, share, base, attention, added)
