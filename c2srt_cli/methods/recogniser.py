"""The frame that trained methods share: a label's feature of an image, transfer between labels, a score.

A method is a choice of parts: `clip_ft`, `mkt`, `c2srt` and `ram` name theirs. Every part can be changed alone, so that
an ablation is an option and not a fork.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from c2srt_cli.methods.isr import patch_cap, select_patches, select_top
from c2srt_cli.methods.ist import IST, Neighbours
from c2srt_cli.methods.kcot import PUBLISHED, teacher_plan, transport
from c2srt_cli.methods.options import Parts
from c2srt_cli.methods.score_transfer import strengths, transfer_scores


class Explained(NamedTuple):
    """Scores, and what they rest on.

    Attributes:
        scores: ``(B, T)`` float32.
        share: Share of the patches that speak for each label, ``(B, T)`` in (0, 1]; None where the whole image does.
        own: Of all ``C`` labels that took part, before scores were transferred, ``(B, C)``; None without that.
        attention: To the sources of each label, in the places of the last layer's rows: ``(B, T, K)``, of IST the mean
            over heads, where scores are transferred the strengths; None without a transfer.
        logits: Global and local ones ``(B, T, 2)`` that a softmax makes the scores from; None without.
    """

    scores: Tensor
    share: Tensor | None
    own: Tensor | None = None
    attention: Tensor | None = None
    logits: Tensor | None = None


class Recogniser(nn.Module):
    """Embeddings of images and labels to scores.

    Args:
        parts: What it is made of.
        dim: D, of the joint space.
        logit_scale: Of the backbone, as a factor: the temperature of ISR's softmax.
        edge_dim: Attributes of an edge of the category graph.

    Attributes:
        unmatched: Images whose regions KCOT could not match to labels in the iterations that it has.
    """

    def __init__(self, parts: Parts, dim: int, logit_scale: float, edge_dim: int) -> None:
        super().__init__()
        self.parts, self.logit_scale, self.unmatched = parts, logit_scale, 0
        self.ist = (
            IST(
                dim,
                edge_dim=edge_dim,
                layers=parts.layers,
                heads=parts.heads,
                hidden=parts.hidden or None,
                dropout=parts.dropout,
                plain_start=parts.plain_start,
            )
            if parts.transfer == "ist"
            else None
        )
        # fitted after training, not learned: seen labels, which have photographs of their own, need none
        self.gain = nn.Parameter(torch.tensor(parts.gain), requires_grad=False) if parts.transfer == "scores" else None
        self.center = None if self.gain is None else nn.Parameter(torch.zeros(()), requires_grad=False)
        self.log_scales = (
            nn.Parameter(torch.tensor([math.log(logit_scale), math.log(parts.local_scale)]))
            if parts.score == "softmax"
            else None
        )

    @property
    def fitted(self) -> tuple[nn.Parameter, ...]:
        """What is fitted after training."""
        return () if self.gain is None or self.center is None else (self.gain, self.center)

    def forward(
        self,
        whole: Tensor,
        patches: Tensor,
        text: Tensor,
        layers: Sequence[Neighbours] = (),
        unseen: Tensor | None = None,
    ) -> Tensor:
        """Score labels on images.

        Args:
            whole: Global embeddings ``(B, D)``, of any norm; ``(B, 2 D)`` with the frozen ones behind.
            patches: ``(B, P, D)``, of any norm; ``(B, P, 2 D)`` likewise.
            text: Label embeddings ``(C, D)`` of norm 1.
            layers: For a transfer, the rows that each layer updates, as `Neighbours.closure` gives them.
            unseen: ``(C,)`` bool, the labels on which the frozen embeddings have a say.

        Returns:
            ``(B, C)`` float32; with a transfer, of the labels that the last layer updates.
        """
        return self.explain(whole, patches, text, layers, unseen).scores

    def explain(
        self,
        whole: Tensor,
        patches: Tensor,
        text: Tensor,
        layers: Sequence[Neighbours] = (),
        unseen: Tensor | None = None,
        *,
        truth: Tensor | None = None,
        plain: Tensor | None = None,
        fixed: bool = False,
    ) -> Explained:
        """The same with what the scores rest on.

        In training, ``truth`` ``(B, T)`` and frozen embeddings, ``plain`` ``(C, D)`` of the labels, let KCOT hear its
        teacher. ``fixed`` scores have the same scale whatever else is asked for; see `joined`.
        """
        frozen = None
        if whole.shape[-1] > text.shape[-1]:
            (whole, patches), frozen = self._halves(whole, patches)
        if self.parts.score == "mkt":
            return self._mkt(whole.float(), patches.float(), text)
        count = len(layers[-1].index) if layers else len(text)
        teacher = None
        if truth is not None and plain is not None and frozen is not None and self.parts.teaches and len(text):
            known = (
                truth if count == len(text) else torch.cat([truth, truth.new_zeros(len(truth), len(text) - count)], 1)
            )
            teacher = teacher_plan(_similarity(frozen[1].detach(), plain), known, self.logit_scale)
        attention = None
        if self.ist is not None:
            features, share = self.features(whole, patches, text, teacher)
            features, weights = self.ist(features, text, layers)
            attention = weights[-1].mean(-1)  # (B, T, K)
            scores = _cosines(features, text[:count])
        else:
            scores, share = self.own_scores(whole, patches, text, teacher)
        if frozen is not None and unseen is not None and self.parts.frozen:
            scores = self._with_frozen_say(scores, frozen, text, unseen)
        share = None if share is None else share[:, :count]
        logits = None if self.log_scales is None else (scores * self.log_scales.exp())[:, :count]
        scores, own = self.joined(scores, fixed=fixed), None
        if self.fitted:
            gain, center = self.fitted
            mean = center if logits is None or fixed else 1 / len(text)  # that of a softmax is known
            own, scores = scores, transfer_scores(scores, layers[0], gain, mean)
            attention = strengths(layers[0]).expand(len(scores), -1, -1)
        return Explained(scores, share, own, attention, logits)

    def joined(self, own: Tensor, *, fixed: bool = False) -> Tensor:
        """Own scores as one for each label: of global and local cosines, the mean of two softmaxes over the labels.

        Or, ``fixed``, the mean of their logits over the backbone's scale, which no other label has a part in.

        Args:
            own: ``(B, C)``, which stays as it is, or ``(B, C, 2)``.
            fixed: Without the softmaxes.
        """
        if self.log_scales is None:
            return own
        logits = own * self.log_scales.exp().to(own.device)
        return logits.mean(-1) / self.logit_scale if fixed else logits.softmax(1).mean(-1)

    @staticmethod
    def _halves(whole: Tensor, patches: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Trained global embeddings and patches, and the frozen ones that stand behind them."""
        (now, before), (now_patches, before_patches) = whole.chunk(2, -1), patches.chunk(2, -1)
        return (now, now_patches), (before, before_patches)

    def own_scores(
        self, whole: Tensor, patches: Tensor, text: Tensor, teacher: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """What images alone say of labels: cosines ``(B, C)``, or global and local ones ``(B, C, 2)`` for a softmax.

        The second is the share of patches behind each, as in `features`.
        """
        if self.parts.score == "cosine":
            features, share = self.features(whole, patches, text, teacher)
            return _cosines(features, text), share
        with torch.autocast(whole.device.type, enabled=False):
            text = text.float()
            cosines = normalize(whole.float(), dim=-1) @ text.T  # (B, C)
            if self.parts.local == "none":
                return torch.stack([cosines, cosines], -1), None
            patches = normalize(patches.float(), dim=-1)
            weights = self.weights(patches, text, teacher)
            # a mean cosine: RAM's sum, times C
            local = (weights * (text @ patches.transpose(1, 2))).sum(-1) / weights.sum(-1)
        return torch.stack([cosines, local], -1), _share(weights)

    def apart(self, whole: Tensor, patches: Tensor, text: Tensor, plain: Tensor) -> tuple[Tensor, Tensor]:
        """`own_scores` by trained embeddings, and by frozen ones, which stand behind those of images."""
        now, before = self._halves(whole, patches)
        return self.own_scores(*now, text)[0], self.own_scores(*before, plain)[0]

    def _with_frozen_say(self, scores: Tensor, frozen: tuple[Tensor, Tensor], text: Tensor, unseen: Tensor) -> Tensor:
        """Scores ``(B, T)`` or ``(B, T, 2)`` where frozen embeddings have their share in those of unseen labels."""
        columns = unseen[: scores.shape[1]].nonzero()[:, 0]
        if not len(columns):
            return scores
        if self.parts.local == "kcot":  # a plan is one for all labels
            before = self.own_scores(*frozen, text)[0][:, columns]
        else:
            before = self.own_scores(*frozen, text[columns])[0]
        return scores.index_copy(1, columns, torch.lerp(scores[:, columns], before, self.parts.frozen))

    def features(
        self, whole: Tensor, patches: Tensor, text: Tensor, teacher: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Each label's feature of each image, ``(f_L + f_G) / 2`` of unit vectors (C2SRT, eq. 6).

        Returns:
            ``(B, C, D)``, and the share of patches behind each, ``(B, C)``; None where the whole image speaks.
        """
        whole = normalize(whole.float(), dim=-1)[:, None]  # (B, 1, D)
        if self.parts.local == "none":
            return whole.expand(-1, len(text), -1), None
        patches = normalize(patches.float(), dim=-1)
        if self.parts.local == "mean":
            return ((normalize(patches.mean(1, keepdim=True), dim=-1) + whole) / 2).expand(-1, len(text), -1), None
        weights = self.weights(patches, text, teacher)
        return (normalize(weights @ patches, dim=-1) + whole) / 2, _share(weights)

    def weights(self, patches: Tensor, text: Tensor, teacher: Tensor | None = None) -> Tensor:
        """How much each unit patch ``(B, P, D)`` speaks for each label, ``(B, C, P)``, of any sum. Has no gradient."""
        with torch.no_grad():
            if self.parts.local == "kcot":
                return self._transported(patches, text, teacher)
            if self.parts.local == "mean":
                return patches.new_ones(len(patches), len(text), patches.shape[1])
            similarity = text @ patches.transpose(1, 2)  # (B, C, P)
            if self.parts.local == "isr":
                cap = patch_cap(patches.shape[1], self.parts.cap)
                return select_patches(similarity, logit_scale=self.logit_scale, alpha=self.parts.alpha, cap=cap).mask
            count = 1 if self.parts.local == "max" else patch_cap(patches.shape[1], self.parts.cap)
            return select_top(similarity, count).mask

    def _transported(self, patches: Tensor, text: Tensor, teacher: Tensor | None) -> Tensor:
        """Of each label's mass, what comes from each patch: ``(B, C, P)``, rows of sum 1."""
        found = transport(
            _similarity(patches, text),
            self.logit_scale,
            teacher,
            reg=self.parts.reg,
            teacher_weight=self.parts.teacher,
            temperature=self.parts.focus or math.inf,
        )
        self.unmatched += int((~found.converged).sum())
        return found.plan.transpose(1, 2) * len(text)

    def doubt(self) -> str:
        """What is to be said of the images since the last time; empty where all is well."""
        count, self.unmatched = self.unmatched, 0
        few = f"{count:,} images: regions and labels are not matched within {PUBLISHED.iterations} iterations"
        return f"{few}; a larger --reg than {self.parts.reg:g} would be" if count else ""

    def similarity(self, patches: Tensor, text: Tensor) -> Tensor:
        """By what the patches of an image ``(P, D)`` are chosen: cosines ``(C, P)``, or MKT's dot products."""
        patches = patches.float()[:, : text.shape[1]]
        return text @ (patches if self.parts.score == "mkt" else normalize(patches, dim=-1)).T

    def _mkt(self, whole: Tensor, patches: Tensor, text: Tensor) -> Explained:
        """MKT (arXiv 2207.01887): the mean of the largest dot products with patches, and that with the whole image."""
        cap = patch_cap(patches.shape[1], self.parts.cap)
        local = (text @ patches.transpose(1, 2)).topk(cap, dim=-1).values.mean(-1)  # (B, C)
        scores = (normalize(local, dim=-1) + normalize(whole @ text.T, dim=-1)) / 2
        return Explained(scores, torch.full_like(scores, cap / patches.shape[1]))


def _cosines(features: Tensor, text: Tensor) -> Tensor:
    """``(B, C, D)`` of any norm with ``(C, D)`` of norm 1: ``(B, C)`` float32."""
    return (normalize(features.float(), dim=-1) * text).sum(-1)


def _similarity(patches: Tensor, text: Tensor) -> Tensor:
    """Cosines ``(B, P, C)`` in float32, whatever the autocast: KCOT multiplies them by a hundred."""
    with torch.autocast(patches.device.type, enabled=False):
        return normalize(patches.float(), dim=-1) @ text.float().T


def _share(weights: Tensor) -> Tensor:
    """Share of the patches behind each label, ``(B, C)``: ``n / P`` for n of them with equal weights."""
    return weights.sum(-1).square() / (weights.square().sum(-1) * weights.shape[-1])
