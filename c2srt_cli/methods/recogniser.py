"""The frame that trained methods share: a label's feature of an image, transfer between labels, a score.

A method is a choice of parts: `clip_ft`, `mkt` and `c2srt` name theirs. Every part can be changed alone, so that an
ablation is an option and not a fork.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from c2srt_cli.methods.isr import patch_cap, select_patches, select_top
from c2srt_cli.methods.ist import IST, Neighbours
from c2srt_cli.methods.options import Parts
from c2srt_cli.methods.score_transfer import ScoreTransfer


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

    def forward(self, whole: Tensor, patches: Tensor, text: Tensor, layers: Sequence[Neighbours] = ()) -> Tensor:
        """Score labels on images.

        Args:
            whole: Global embeddings ``(B, D)``, of any norm.
            patches: ``(B, P, D)``, of any norm.
            text: Label embeddings ``(C, D)`` of norm 1.
            layers: For a transfer, the rows that each layer updates, as `Neighbours.closure` gives them.

        Returns:
            ``(B, C)`` float32; with a transfer, of the labels that the last layer updates.
        """
        if self.parts.score == "mkt":
            return self._mkt(whole.float(), patches.float(), text)
        features = self.features(whole, patches, text)
        if self.ist is not None:
            features, _ = self.ist(features, text, layers)
        scores = (normalize(features.float(), dim=-1) * text[: features.shape[1]]).sum(-1)
        return scores if self.score_transfer is None else self.score_transfer(scores, text, *layers)

    def features(self, whole: Tensor, patches: Tensor, text: Tensor) -> Tensor:
        """Each label's feature of each image, ``(f_L + f_G) / 2`` of unit vectors (C2SRT, eq. 6): ``(B, C, D)``."""
        whole = normalize(whole.float(), dim=-1)[:, None]  # (B, 1, D)
        if self.parts.local == "none":
            return whole.expand(-1, len(text), -1)
        patches = normalize(patches.float(), dim=-1)
        if self.parts.local == "mean":
            return ((normalize(patches.mean(1, keepdim=True), dim=-1) + whole) / 2).expand(-1, len(text), -1)
        mask = self.select(patches, text)
        return (normalize(mask @ patches, dim=-1) + whole) / 2

    def select(self, patches: Tensor, text: Tensor) -> Tensor:
        """Which unit patches ``(B, P, D)`` speak for each label: 1 or 0, ``(B, C, P)``. Carries no gradient."""
        with torch.no_grad():
            similarity = text @ patches.transpose(1, 2)  # (B, C, P)
            if self.parts.local == "isr":
                cap = patch_cap(patches.shape[1], self.parts.cap)
                return select_patches(similarity, logit_scale=self.logit_scale, alpha=self.parts.alpha, cap=cap).mask
            count = 1 if self.parts.local == "max" else patch_cap(patches.shape[1], self.parts.cap)
            return select_top(similarity, count).mask

    def _mkt(self, whole: Tensor, patches: Tensor, text: Tensor) -> Tensor:
        """MKT (arXiv 2207.01887): the mean of the largest dot products with patches, and that with the whole image."""
        cap = patch_cap(patches.shape[1], self.parts.cap)
        local = (text @ patches.transpose(1, 2)).topk(cap, dim=-1).values.mean(-1)  # (B, C)
        return (normalize(local, dim=-1) + normalize(whole @ text.T, dim=-1)) / 2
