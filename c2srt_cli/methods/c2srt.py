"""C2SRT (arXiv 2412.06190), our reconstruction: adaptive patches, transfer over the graph, distillation.

ISR (eq. 4-6) refines a label's feature within an image, IST (eq. 7-9, GATv2) carries it to the labels that the graph
joins, the score is the cosine with the label's text (eq. 10). As the paper words it (`values`), IST learns the seen
labels by heart; so by default evidence flows; in episodes, where they are on, some seen labels play unseen.
docs/method.md sets every choice beside the paper; recipes/c2srt-paper.toml is its wording.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.errors import UsageError
from c2srt_cli.graph.category_graph import RELATIONS
from c2srt_cli.methods.evidence import EvidenceTransfer
from c2srt_cli.methods.fusion import fused_features
from c2srt_cli.methods.ist import IST
from c2srt_cli.methods.losses import LossOption, Ranking
from c2srt_cli.methods.method import Method
from c2srt_cli.methods.options import (
    Adapters,
    Distillation,
    Episodes,
    EvidenceIST,
    GraphOptions,
    ISTOption,
    ScaledOptions,
    TailOptions,
    Training,
    ValueIST,
)
from c2srt_cli.methods.pooling import ISR, PoolingOption, cosines
from c2srt_cli.methods.scores import Scores
from c2srt_cli.methods.vocabulary import Labels


class C2SRT(Method):
    """ISR, then IST."""

    name: ClassVar[str] = "c2srt"

    class Options(TailOptions, ScaledOptions, GraphOptions):
        """Of `C2SRT`."""

        method: Literal["c2srt"] = "c2srt"
        patches: PoolingOption = ISR()
        ist: ISTOption = EvidenceIST()
        episodes: Episodes = Episodes()
        zero_shot_weight: float = Field(
            0.75, ge=0, le=1, description="Share of the frozen backbone's feature in an unseen label's."
        )
        adapters: Adapters = Adapters()
        loss: LossOption = Ranking(rank="both")
        distillation: Distillation = Distillation()
        training: Training = Training()

        def problems(self) -> Iterator[str]:
            """Those of IST, too."""
            yield from super().problems()
            yield from self.ist.problems()

    def __init__(self, options: Options, backbone: Backbone) -> None:
        super().__init__(options, backbone)
        own = options.ist
        self.ist: EvidenceTransfer | IST
        if isinstance(own, EvidenceIST):
            self.ist = EvidenceTransfer(backbone.dim, own)
        else:
            assert isinstance(own, ValueIST)
            if (own.hidden or backbone.dim) % own.heads:
                raise UsageError(
                    f"a hidden width of {own.hidden or backbone.dim} cannot be divided by {own.heads} heads",
                    where=f"ist.heads = {own.heads}",
                )
            self.ist = IST(
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
        """That of the FFN, where it is larger, or of all messages to a label."""
        own = self.options.ist
        if isinstance(own, EvidenceIST):
            return max(self.backbone.dim, int(own.heads * own.width * self.options.neighbours))
        return max(self.backbone.dim, int(own.hidden))

    @classmethod
    def seen_targets(cls, options: Options) -> bool:  # noqa: ARG003
        """Each label is a node as any other."""
        return True

    @classmethod
    def hops(cls, options: Options) -> int:
        """A layer each."""
        return int(options.ist.layers)

    def reads_frozen(self, labels: Labels) -> bool:
        """For labels that play unseen, too."""
        return super().reads_frozen(labels) or (self.training and self.options.episodes.share > 0)

    def episode(self, labels: Labels, random: np.random.Generator) -> Labels:
        """Some seen labels play unseen."""
        if not (share := self.options.episodes.share):
            return labels
        nodes = labels.nodes.cpu().numpy()
        drawn = (random.random(len(nodes)) < share) & ~np.isin(nodes, self.held_out(nodes))
        return labels.playing(torch.from_numpy(drawn).to(labels.nodes.device) & ~labels.unseen)

    def held_out(self, labels: np.ndarray) -> np.ndarray:
        """Drawn by number, so that a label is held out in whatever company."""
        if not (share := self.options.episodes.held_out) or not len(labels):
            return labels[:0]
        drawn = np.random.default_rng((self.options.training.seed, 2)).random(int(labels.max()) + 1)
        chosen: np.ndarray = labels[drawn[labels] < share]
        return chosen

    def trained(self) -> list[tuple[list[nn.Parameter], int | float | None]]:
        """IST apart, where it has a learning rate of its own."""
        *stages, (new, behind) = super().trained()
        if not isinstance(self.options.ist, EvidenceIST):
            return [*stages, (new, behind)]
        own = list(self.ist.parameters())
        others = [parameter for parameter in new if all(parameter is not mine for mine in own)]
        return [*stages, (others, behind), (own, self.options.ist.lr_ist)]

    def scores(self, image: ImageEmbedding, labels: Labels, truth: Tensor | None = None) -> Scores:
        """``cos(h, t)``, of features or moved by evidence."""
        teacher = self.teacher_of(image, labels, truth)
        features, share = fused_features(image, labels.text, self.options.patches, self.weigh, teacher)
        features = self._refined(features)
        share = None if share is None else share[:, : labels.asked]
        own = playing = None
        if self.training and self.options.episodes.share:
            own = cosines(features[:, : labels.asked], labels.asked_text)
            playing = labels.unseen[: labels.asked]
        features = self._untaught(features, image, labels)
        if isinstance(self.ist, IST):
            features, attention = self.ist(features, labels.text, labels.layers)
            found = cosines(features, labels.asked_text)
            return Scores(found, found, share, attention=attention[-1].mean(-1), playing=playing, own=own)  # (B, T, K)
        moved = self.ist(features, labels)
        return Scores(
            moved.scores,
            moved.scores,
            share,
            base=(features * labels.text).sum(-1).detach(),
            attention=moved.attention,
            contribution=moved.contribution,
            playing=playing,
            own=own,
        )

    @property
    def fitted(self) -> tuple[nn.Parameter, ...]:
        """The gain, where it is not given; of one hop."""
        if isinstance(self.ist, IST) or self.ist.options.layers > 1:
            return ()
        gain = self.ist.gain
        return (gain,) if isinstance(gain, nn.Parameter) else ()

    def as_unseen(self, image: ImageEmbedding, labels: Labels) -> tuple[Tensor, Tensor]:
        """What labels hear as the frozen backbone sees them, from sources as the trained one sees these."""
        assert image.frozen is not None
        (rows,), count = labels.layers, len(labels.text)
        before, trained = (
            self._refined(fused_features(one, labels.text, self.options.patches, self.weigh)[0])
            for one in (image.frozen, image)
        )  # (B, C, D)
        # each label twice: as it listens, and behind that as it speaks
        speak = torch.cat([rows.index[:, :1], rows.index[:, 1:] + count], 1)
        twice = labels._replace(
            text=labels.text.repeat(2, 1),
            layers=(replace(rows, index=speak),),
            unseen=labels.unseen.new_ones(2 * count),
        )
        found = self.ist(torch.cat([before, trained], 1), twice).scores
        own = (before * labels.text).sum(-1)[:, : labels.asked]
        return own, (found - own) / self.ist.gain

    def _untaught(self, features: Tensor, image: ImageEmbedding, labels: Labels) -> Tensor:
        """Features ``(B, C, D)``; of unseen labels in part, and of those that play unseen wholly the frozen ones.

        Where evidence flows they are of norm 1, so that products with texts are cosines.
        """
        columns = labels.unseen.nonzero()[:, 0]
        weight = 1.0 if self.training else self.zero_shot_weight
        if image.frozen is None or not len(columns) or not weight:
            return features
        chosen = slice(None) if self.pooling.vocabulary_dependent else columns
        before, _ = fused_features(image.frozen, labels.text[chosen], self.options.patches, self.weigh)
        before = self._refined(before if chosen is columns else before[:, columns])
        return features.index_copy(1, columns, torch.lerp(features[:, columns], before, weight))

    def _refined(self, features: Tensor) -> Tensor:
        return features if isinstance(self.ist, IST) else normalize(features, dim=-1)

    def losses(self, scores: Scores, truth: Tensor, image: ImageEmbedding, target: Tensor) -> dict[str, Tensor]:
        """Where some play unseen, of what each label says by itself, and of those that play after IST."""
        if scores.own is None or scores.playing is None:
            return super().losses(scores, truth, image, target)
        found = super().losses(scores._replace(ranking=scores.own), truth, image, target)
        weight = self.options.episodes.weight
        if not weight or not scores.playing.any():
            return found
        scaled = self.log_scale.detach().exp() * scores.ranking[:, scores.playing]
        hidden = self.loss_terms(scaled, truth[:, scores.playing])
        return found | {f"{name}_playing": weight * value for name, value in hidden.items()}
