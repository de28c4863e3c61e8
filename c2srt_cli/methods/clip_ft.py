"""CLIP-FT, the baseline of MKT (arXiv 2207.01887): the late stages under the ranking loss on the global score alone."""

from typing import ClassVar, Literal

from torch import Tensor

from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.methods.fusion import fused_features
from c2srt_cli.methods.losses import LossOption, Ranking
from c2srt_cli.methods.method import Method
from c2srt_cli.methods.options import Distillation, ScaledOptions, TailOptions
from c2srt_cli.methods.pooling import cosines
from c2srt_cli.methods.scores import Scores
from c2srt_cli.methods.vocabulary import Labels


class ClipFT(Method):
    """Cosines of the global embedding."""

    name: ClassVar[str] = "clip-ft"

    class Options(TailOptions, ScaledOptions):
        """Of `ClipFT`."""

        method: Literal["clip-ft"] = "clip-ft"
        loss: LossOption = Ranking()
        distillation: Distillation = Distillation(weight=0.0)

    def scores(self, image: ImageEmbedding, labels: Labels, truth: Tensor | None = None) -> Scores:  # noqa: ARG002
        """``cos(f_G, t)``."""
        features, _ = fused_features(image, labels.text, self.pooling, self.weigh)  # of the whole image alone
        found = cosines(features, labels.text)
        return Scores(found, found)
