"""How patches become a label's local feature: a registry of ways to weigh each patch for each label."""

import math
from typing import Annotated, Literal

import torch
from pydantic import Field, SerializeAsAny
from torch import Tensor
from torch.nn.functional import normalize

from c2srt_cli.methods.isr import patch_cap, select_patches, select_top
from c2srt_cli.methods.kcot import transport
from c2srt_cli.methods.options import Choice, one_of


class Pooling(Choice):
    """How much each patch is evidence for each label."""

    @property
    def vocabulary_dependent(self) -> bool:
        """Whether a label's weights depend on which others are asked for."""
        return False

    @property
    def needs_teacher(self) -> bool:
        """Whether the frozen backbone says in training where labels are."""
        return False

    def weights(
        self, patches: Tensor, text: Tensor, logit_scale: float, teacher: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Weights ``(B, C, P)``, of any sum, of unit patches ``(B, P, D)`` for label embeddings ``(C, D)``.

        Args:
            patches: Of norm 1.
            text: Of norm 1.
            logit_scale: Of the backbone, as a factor.
            teacher: While training, ``log P`` of `kcot.teacher_plan`; most ways have no use for it.

        Returns:
            The weights, and which images were not matched to labels within the iterations, ``(B,)`` bool; None where
            nothing is iterated.
        """
        raise NotImplementedError


class ISR(Pooling):
    """An adaptive number of the best patches (C2SRT, eq. 4-5)."""

    kind: Literal["isr"] = "isr"
    alpha: float = Field(0.5, gt=0, le=1, description="Mass of a softmax over patches that is gathered (C2SRT).")
    max_patches: int = Field(32, ge=1, description="Most patches of a 14x14 grid, scaled to other grids (C2SRT).")

    def weights(  # noqa: D102
        self,
        patches: Tensor,
        text: Tensor,
        logit_scale: float,
        teacher: Tensor | None = None,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor | None]:
        similarity, cap = text @ patches.transpose(1, 2), patch_cap(patches.shape[1], self.max_patches)
        return select_patches(similarity, logit_scale=logit_scale, alpha=self.alpha, cap=cap).mask, None


class TopK(Pooling):
    """A fixed number of the best patches (MKT, BiAM)."""

    kind: Literal["topk"] = "topk"
    k: int = Field(16, ge=1, description="How many patches of a 14x14 grid, scaled to other grids (MKT: 16).")

    def weights(  # noqa: D102
        self,
        patches: Tensor,
        text: Tensor,
        logit_scale: float,  # noqa: ARG002
        teacher: Tensor | None = None,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor | None]:
        count = patch_cap(patches.shape[1], self.k)
        return select_top(text @ patches.transpose(1, 2), count).mask, None


class Best(Pooling):
    """The best patch."""

    kind: Literal["max"] = "max"

    def weights(  # noqa: D102
        self,
        patches: Tensor,
        text: Tensor,
        logit_scale: float,  # noqa: ARG002
        teacher: Tensor | None = None,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor | None]:
        return select_top(text @ patches.transpose(1, 2), 1).mask, None


class Mean(Pooling):
    """All patches alike."""

    kind: Literal["mean"] = "mean"

    def weights(  # noqa: D102
        self,
        patches: Tensor,
        text: Tensor,
        logit_scale: float,  # noqa: ARG002
        teacher: Tensor | None = None,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor | None]:
        return patches.new_ones(len(patches), len(text), patches.shape[1]), None


class Global(Pooling):
    """No patches: the global embedding alone."""

    kind: Literal["none"] = "none"

    def weights(  # noqa: D102
        self,
        patches: Tensor,
        text: Tensor,
        logit_scale: float,  # noqa: ARG002
        teacher: Tensor | None = None,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor | None]:
        return patches.new_zeros(len(patches), len(text), patches.shape[1]), None


class KCOT(Pooling):
    """The share of each patch that optimal transport moves to the label (RAM)."""

    kind: Literal["kcot"] = "kcot"
    ot_reg: float = Field(0.1, gt=0, description="Weight of the entropy (RAM).")
    tkt_weight: float = Field(
        0.05, ge=0, description="Weight of where the frozen backbone sees a label, in training (RAM's TKT); 0 for none."
    )
    lpd_temperature: float = Field(
        0.1, ge=0, description="Temperature of a softmax that gives patches their mass (RAM's LPD); 0 for equal masses."
    )

    @property
    def vocabulary_dependent(self) -> bool:
        """A plan is one for all labels."""
        return True

    @property
    def needs_teacher(self) -> bool:
        """The teacher of TKT."""
        return self.tkt_weight > 0

    def weights(  # noqa: D102
        self, patches: Tensor, text: Tensor, logit_scale: float, teacher: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        found = transport(
            similarity(patches, text),
            logit_scale,
            teacher,
            reg=self.ot_reg,
            teacher_weight=self.tkt_weight,
            temperature=self.lpd_temperature or math.inf,
        )
        return found.plan.transpose(1, 2) * len(text), ~found.converged


POOLINGS: dict[str, type[Pooling]] = {
    "isr": ISR,
    "kcot": KCOT,
    "topk": TopK,
    "max": Best,
    "mean": Mean,
    "none": Global,
}

#: A field of a method's options.
PoolingOption = Annotated[SerializeAsAny[Pooling], one_of(POOLINGS)]


def similarity(patches: Tensor, text: Tensor) -> Tensor:
    """Cosines ``(B, P, C)`` in float32, whatever the autocast: KCOT multiplies them by a hundred."""
    with torch.autocast(patches.device.type, enabled=False):
        return normalize(patches.float(), dim=-1) @ text.float().T


def cosines(features: Tensor, text: Tensor) -> Tensor:
    """``(B, C, D)`` of any norm with ``(C, D)`` of norm 1: ``(B, C)`` float32."""
    return (normalize(features.float(), dim=-1) * text).sum(-1)


def share(weights: Tensor) -> Tensor:
    """Share of the patches behind each label, ``(B, C)``: ``n / P`` for n of them with equal weights."""
    return weights.sum(-1).square() / (weights.square().sum(-1) * weights.shape[-1])
