"""C2SRT (arXiv 2412.06190), our reconstruction: adaptive patches, features that flow over the graph, distillation.

ISR (eq. 4-6) refines a label's feature within an image, IST (eq. 7-9, GATv2) carries it to the labels that the graph
joins, the score is the cosine with the label's text (eq. 10). docs/method.md sets every choice beside the paper.
"""

from collections.abc import Iterator
from typing import ClassVar, Literal

from torch import Tensor

from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.errors import UsageError
from c2srt_cli.graph.category_graph import RELATIONS
from c2srt_cli.methods import ist
from c2srt_cli.methods import options as groups
from c2srt_cli.methods.fusion import fused_features
from c2srt_cli.methods.losses import LossOption, Ranking
from c2srt_cli.methods.method import Method
from c2srt_cli.methods.options import Adapters, Distillation, GraphOptions, ScaledOptions, TailOptions
from c2srt_cli.methods.pooling import ISR, PoolingOption, cosines
from c2srt_cli.methods.scores import Scores
from c2srt_cli.methods.vocabulary import Labels


class C2SRT(Method):
    """ISR, then IST."""

    name: ClassVar[str] = "c2srt"
    seen_targets: ClassVar[bool] = True

    class Options(TailOptions, ScaledOptions, GraphOptions):
        """Of `C2SRT`."""

        method: Literal["c2srt"] = "c2srt"
        patches: PoolingOption = ISR()
        ist: groups.IST = groups.IST()
        adapters: Adapters = Adapters()
        loss: LossOption = Ranking()
        distillation: Distillation = Distillation()

        def problems(self) -> Iterator[str]:
            """Heads share the width."""
            yield from super().problems()
            if self.ist.hidden % self.ist.heads:
                yield f"ist.hidden = {self.ist.hidden}: must be a multiple of ist.heads"

    def __init__(self, options: Options, backbone: Backbone) -> None:
        super().__init__(options, backbone)
        own = options.ist
        if (own.hidden or backbone.dim) % own.heads:
            raise UsageError(
                f"a hidden width of {own.hidden or backbone.dim} cannot be divided by {own.heads} heads",
                where=f"ist.heads = {own.heads}",
            )
        self.ist = ist.IST(
            backbone.dim,
            edge_dim=len(RELATIONS) + 1,
            layers=own.layers,
            heads=own.heads,
            hidden=own.hidden or None,
            dropout=own.dropout,
            random_init=own.random_init,
        )
        self.add_adapters()

    @property
    def width(self) -> int:
        """That of the FFN, where it is larger."""
        return max(self.backbone.dim, int(self.options.ist.hidden))

    @classmethod
    def hops(cls, options: Options) -> int:
        """A layer each."""
        return int(options.ist.layers)

    def scores(self, image: ImageEmbedding, labels: Labels, truth: Tensor | None = None) -> Scores:
        """``cos(h, t)``."""
        teacher = self.teacher_of(image, labels, truth)
        features, share = fused_features(image, labels.text, self.options.patches, self.weigh, teacher)
        features, attention = self.ist(features, labels.text, labels.layers)
        found = cosines(features, labels.asked_text)
        share = None if share is None else share[:, : labels.asked]
        return Scores(found, found, share, attention=attention[-1].mean(-1))  # (B, T, K)
