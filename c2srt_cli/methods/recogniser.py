"""The frame that trained methods share: a label's feature of an image, transfer between labels, a score.

A method is a choice of parts: `clip_ft`, `mkt` and `c2srt` name theirs. Every part can be changed alone, so that an
ablation is an option and not a fork.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from c2srt_cli.methods.isr import patch_cap, select_patches, select_top
from c2srt_cli.methods.ist import IST, Neighbours
from c2srt_cli.methods.options import Parts
from c2srt_cli.methods.score_transfer import ScoreTransfer


class Explained(NamedTuple):
    """Scores, and what they rest on.

    Attributes:
        scores: ``(B, T)`` float32.
        share: Share of the patches that speak for each label, ``(B, T)`` in (0, 1]; None where the whole image does.
        own: Of all ``C`` labels that took part, before scores were transferred, ``(B, C)``; None without that.
        attention: To the sources of each label, in the places of the last layer's rows: ``(B, T, K)``, the mean over
            heads; None without a transfer.
    """

    scores: Tensor
    share: Tensor | None
    own: Tensor | None = None
    attention: Tensor | None = None


class Recogniser(nn.Module):
    """Embeddings of images and labels to scores.

    Args:
        parts: What it is made of.
        dim: D, of the joint space.
        logit_scale: Of the backbone, as a factor: the temperature of ISR's softmax.
        edge_dim: Attributes of an edge of the category graph.
    """

    def __init__(self, parts: Parts, dim: int, logit_scale: float, edge_dim: int) -> None:
        super().__init__()
        self.parts, self.logit_scale = parts, logit_scale
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
        self.score_transfer = (
            ScoreTransfer(dim, parts.hidden or dim, edge_dim, parts.gain) if parts.transfer == "scores" else None
        )

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
    ) -> Explained:
        """The same with what the scores rest on."""
        frozen = None
        if whole.shape[-1] > text.shape[-1]:
            (whole, patches), frozen = self._halves(whole, patches)
        if self.parts.score == "mkt":
            return self._mkt(whole.float(), patches.float(), text)
        features, share = self.features(whole, patches, text)
        count = len(layers[-1].index) if layers else len(text)
        attention = None
        if self.ist is not None:
            features, weights = self.ist(features, text, layers)
            attention = weights[-1].mean(-1)  # (B, T, K)
        scores = _cosines(features, text[: features.shape[1]])
        if frozen is not None and unseen is not None:
            columns = unseen[: scores.shape[1]].nonzero()[:, 0]
            before = _cosines(self.features(*frozen, text[columns])[0], text[columns])
            scores = scores.index_copy(1, columns, torch.lerp(scores[:, columns], before, self.parts.frozen))
        share = None if share is None else share[:, :count]
        if self.score_transfer is None:
            return Explained(scores, share, None, attention)
        mixing = self.score_transfer.attention(text, *layers)  # (T, K)
        mixed = self.score_transfer.transfer(scores, mixing, *layers)
        return Explained(mixed, share, scores, mixing.expand(len(scores), -1, -1))

    @staticmethod
    def _halves(whole: Tensor, patches: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Trained global embeddings and patches, and the frozen ones that stand behind them."""
        (now, before), (now_patches, before_patches) = whole.chunk(2, -1), patches.chunk(2, -1)
        return (now, now_patches), (before, before_patches)

    def features(self, whole: Tensor, patches: Tensor, text: Tensor) -> tuple[Tensor, Tensor | None]:
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
        mask = self.select(patches, text)
        return (normalize(mask @ patches, dim=-1) + whole) / 2, mask.mean(-1)

    def select(self, patches: Tensor, text: Tensor) -> Tensor:
        """Which unit patches ``(B, P, D)`` speak for each label: 1 or 0, ``(B, C, P)``. Carries no gradient."""
        with torch.no_grad():
            similarity = text @ patches.transpose(1, 2)  # (B, C, P)
            if self.parts.local == "isr":
                cap = patch_cap(patches.shape[1], self.parts.cap)
                return select_patches(similarity, logit_scale=self.logit_scale, alpha=self.parts.alpha, cap=cap).mask
            count = 1 if self.parts.local == "max" else patch_cap(patches.shape[1], self.parts.cap)
            return select_top(similarity, count).mask

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
