"""Zero-shot scoring: labels against the mean of the global embedding and of selected patches.

With a category graph, what an image shows is evidence for what goes with it, and nothing is trained: each label's score
is raised by those of its sources, as far as they lie above the mean of a fixed list of background labels.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize, pad

from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.backbone.registry import Backbone
from c2srt_cli.backbone.tower import ImageTower
from c2srt_cli.methods import options as groups
from c2srt_cli.methods.fusion import fused_features
from c2srt_cli.methods.isr import Bfloat16Products, patch_cap, pooled_cosines, select_patches, select_top
from c2srt_cli.methods.method import Method
from c2srt_cli.methods.options import Propagation
from c2srt_cli.methods.pooling import ISR, Best, Global, Mean, Pooling, PoolingOption, TopK, cosines
from c2srt_cli.methods.propagation import Evidence, ScorePropagation, strengths
from c2srt_cli.methods.scores import Scores, TokenNeed
from c2srt_cli.methods.vocabulary import Labels

#: Entries of one (images, labels, patches) block; a block costs about five float32 tensors of this size. On a CPU they
#: stay in a core's cache.
BLOCK = 1 << 18
#: On a GPU, which each block is one more round of launches for.
GPU_BLOCK = 1 << 22


#: Factor of what a label's sources add to its score, chosen on training images of Corel5k and COCO: from 0.3 on
#: single labels that the backbone knows well lose much.
GAIN = 0.25
#: Standard deviations above the background at which a label hears nobody, chosen there too.
SURE = 6.0


class ZeroShot(Method):
    """The backbone as it is; ISR, but nothing learns."""

    name: ClassVar[str] = "zero-shot"
    trainable: ClassVar[bool] = False

    class Options(groups.Options):
        """Of `ZeroShot`."""

        method: Literal["zero-shot"] = "zero-shot"
        patches: PoolingOption = ISR()
        propagation: Propagation = Propagation(gain=GAIN)
        sure: float = Field(
            SURE,
            gt=0,
            description="Standard deviations above the mean of background labels at which a label hears nobody; the "
            "nearer to that, the less it hears.",
        )
        standardise: bool = Field(
            False,
            description="Rank by standard deviations above the mean of background labels, as SPARC does over a row.",
        )

    def __init__(self, options: Options, backbone: Backbone) -> None:
        super().__init__(options, backbone)
        self.propagation = ScorePropagation.of(options.propagation)

    @classmethod
    def needs(cls, options: groups.Options, tower: ImageTower) -> TokenNeed:  # noqa: ARG003
        """From the end of the tower; of a ViT the patches of CLIP-Surgery's value-value stream are enough."""
        return TokenNeed(tower.depth, *(("value", "local") if tower.supports_local else (None, "global")))

    def scores(self, image: ImageEmbedding, labels: Labels, truth: Tensor | None = None) -> Scores:  # noqa: ARG002
        """See `score`; with a graph ``s_i' = s_i + gain * doubt_i * sum_j strength_ij max(s_j - mean, 0)``.

        The mean is that of background labels on the image. A label that stands out from these by itself has less
        doubt, ``1 - max(s_i - mean, 0) / (sure * sd)``, and none at last.
        """
        if labels.background is None:
            base, share = self.base_scores(image, labels.asked_text)
            return Scores(base, base, share)
        base, share = self.base_scores(image, labels.text)
        evidence = Evidence.of(base, self.base_scores(image, labels.background)[0])
        found = Scores(base, base, share) if not labels.layers else self.raised(base, evidence, labels, share)
        found = found._replace(standard=(base[:, : labels.asked] - evidence.mean) / evidence.sd)
        if not self.options.standardise:
            return found
        base, added = (base - evidence.mean) / evidence.sd, found.contribution
        added = None if added is None else added / evidence.sd[:, :, None]
        return found._replace(ranking=(found.ranking - evidence.mean) / evidence.sd, base=base, contribution=added)

    def raised(self, base: Tensor, evidence: Evidence, labels: Labels, share: Tensor | None) -> Scores:
        """Scores ``(B, C)`` with what their sources say.

        Sums of evidence spread wider, while the calibration of a backbone is one of its own scores; so for
        probabilities what is usual is taken off, and the rest is divided by ``sqrt(1 + gain * doubt_i * sum_j
        strength_ij)``, which keeps the spread.
        """
        assert self.propagation is not None
        (rows,) = labels.layers
        _, added = self.propagation(evidence.found, rows, 0.0)
        own = base[:, : labels.asked]  # (B, T)
        doubt = (1 - (own - evidence.mean).clamp_min(0) / (self.options.sure * evidence.sd)).clamp_min(0)
        added, weight = added * doubt[..., None], self.propagation.gain * strengths(rows).sum(1) * doubt
        raised = own + added.sum(2)
        even = evidence.mean + (raised - weight * evidence.usual - evidence.mean) / (1 + weight).sqrt()
        logit = torch.where(weight > 0, even, own)  # to the bit as it was where there is no source
        share = None if share is None else share[:, : labels.asked]
        attention = strengths(rows).expand(len(base), -1, -1)
        return Scores(raised, logit, share, base, attention, added, relative=raised)

    def base_scores(
        self, image: ImageEmbedding, text: Tensor, teacher: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Cosines ``(B, C)`` of images with labels, see `score`."""
        pooling, scale = self.options.patches, self.backbone.logit_scale
        if isinstance(pooling, (ISR, TopK, Best, Mean, Global)):
            return score(image.global_, image.patches, text, logit_scale=scale, pooling=pooling)
        features, share = fused_features(image, text, pooling, self.weigh, teacher)
        return cosines(features, text), share


def score(
    global_embedding: Tensor, patches: Tensor, text: Tensor, *, logit_scale: float, pooling: Pooling
) -> tuple[Tensor, Tensor | None]:
    """Score every label on every image (C2SRT, eq. 4-6 and 10, without the transfer over the graph).

    The score is ``cos(f_L + f_G, t)`` of the unit global embedding ``f_G`` and the unit mean ``f_L`` of the label's
    patches.

    Memory stays bounded for any number of labels: no ``(B, L, D)`` tensor, and ``(B, L, P)`` in blocks.

    Args:
        global_embedding: ``(B, D)``, of any norm.
        patches: ``(B, P, D)``, of any norm.
        text: ``(L, D)`` label embeddings, of any norm.
        logit_scale: CLIP's, as a factor.
        pooling: How patches are selected.

    Returns:
        Scores ``(B, L)`` in [-1, 1], float32, and the share of patches behind each, ``(B, L)`` in (0, 1]; None for
        ``mean`` and ``none``, where the global embedding alone counts.
    """
    # products in bfloat16 lose nothing that bfloat16 embeddings had
    with Bfloat16Products(patches.dtype == torch.bfloat16 and patches.device.type == "cpu"):
        text = normalize(text.float(), dim=-1)
        scores = _cosines(global_embedding, text)
        if isinstance(pooling, Global):
            return scores, None
        whole = normalize(global_embedding.float(), dim=-1)
        if isinstance(pooling, Mean):
            mean = normalize(normalize(patches.float(), dim=-1).mean(1), dim=-1)
            return _fused(scores, _cosines(mean, text), (mean * whole).sum(-1, keepdim=True)), None
        share = torch.empty_like(scores)
        entries = BLOCK if patches.device.type == "cpu" else GPU_BLOCK
        count = max(1, entries // (patches.shape[1] * len(text)))
        for first in range(0, len(patches), count):
            images = slice(first, first + count)
            unit = normalize(patches[images].float(), dim=-1)
            products = unit @ torch.cat([unit, whole[images, None]], 1).transpose(1, 2)  # (b, P, P + 1)
            step = max(1, entries // (unit.shape[0] * unit.shape[1]))
            for start in range(0, len(text), step):
                block = slice(start, start + step)
                local, between, share[images, block] = _local(
                    unit, text[block], products, logit_scale=logit_scale, pooling=pooling
                )
                scores[images, block] = _fused(scores[images, block], local, between)
        return scores, share


def _fused(whole: Tensor, local: Tensor, between: Tensor) -> Tensor:
    """Cosine with the sum of two unit vectors, from their cosines with the label and with each other."""
    return (whole + local) / (2 + 2 * between).clamp_min(1e-6).sqrt()


def _cosines(embedding: Tensor, text: Tensor) -> Tensor:
    """Cosines ``(B, L)``, in which a row's last bit does not depend on its position.

    Libraries multiply full tiles of rows and the rows left over by different code, so the tiles are filled up.
    """
    count = len(embedding)
    rows = pad(normalize(embedding.float(), dim=-1), (0, 0, 0, -count % 16))
    return (rows @ text.T)[:count]


def _local(
    patches: Tensor, text: Tensor, products: Tensor, *, logit_scale: float, pooling: Pooling
) -> tuple[Tensor, Tensor, Tensor]:
    """Cosines of each label's pooled patches with the label and with the global embedding, and their share."""
    images, count, dim = patches.shape
    # one product for all images; each row of P entries stays contiguous
    similarity = (text @ patches.reshape(-1, dim).T).view(-1, images, count).transpose(0, 1)  # (B, L, P)
    if isinstance(pooling, Best):
        best, index = similarity.max(-1)
        return best, products[..., -1].gather(1, index), torch.full_like(best, 1 / count)
    if isinstance(pooling, TopK):
        selection = select_top(similarity, patch_cap(count, pooling.k))
    else:
        assert isinstance(pooling, ISR)
        cap = patch_cap(count, pooling.max_patches)
        selection = select_patches(similarity, logit_scale=logit_scale, alpha=pooling.alpha, cap=cap)
    return *pooled_cosines(selection, products), selection.sizes / count
