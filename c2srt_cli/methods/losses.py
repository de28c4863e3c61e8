"""Losses on scores and known truth, and the distance to the frozen backbone; float32 whatever the autocast."""

from typing import Annotated, ClassVar, Literal, get_args

import torch
from pydantic import Field, SerializeAsAny
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cosine_similarity, l1_loss, logsigmoid

from c2srt_cli.methods.options import Choice, one_of

Norm = Literal["l1", "l2", "cosine"]
NORMS: tuple[Norm, ...] = get_args(Norm)

#: Least base of a power or a logarithm: at 0 their gradients are infinite. As in the code published with the paper.
TINY = 1e-8


def ranking_loss(scores: Tensor, truth: Tensor, margin: float = 1.0) -> Tensor:
    """Every present label should score ``margin`` above every absent one (LESA, BiAM, MKT; C2SRT with margin 1).

    For each image ``sum max(0, margin + s_n - s_p) / V`` over pairs of a present ``p`` and an absent ``n``, where ``V``
    pairs are above zero; then the mean over images, of which those without such pairs add nothing.

    Only counts of violated pairs are needed: with ``v_c`` of them at label ``c``, the sum is
    ``margin V + sum_n v_n s_n - sum_p v_p s_p``, which has the published gradient too, as counts have none. So it takes
    O(B C log C) time and O(B C) memory.

    Args:
        scores: ``(B, C)``.
        truth: ``(B, C)``, 1 present, -1 absent, 0 unknown and ignored.
        margin: In units of the scores; on bare cosines, 1 leaves nearly all pairs violated.
    """
    scores = scores.float()
    fixed = scores.detach()
    present, absent = truth > 0, truth < 0
    # margin added to the absent ones alone, as published, so that both counts agree on every pair to the last bit
    raised = (fixed + margin).masked_fill(~absent, -torch.inf)
    lowest_first = fixed.masked_fill(~present, torch.inf).sort(-1).values
    overtaken = torch.searchsorted(lowest_first, raised)  # (B, C) present labels below each absent one's raised score
    overtaking = fixed.shape[-1] - torch.searchsorted(raised.sort(-1).values, fixed, right=True)
    counts = overtaken * absent - overtaking * present  # (B, C)
    violated = counts.clamp_min(0).sum(-1, keepdim=True)  # (B, 1)
    weights = counts / violated.clamp_min(1)
    return ((weights * scores).sum(-1) + margin * (violated.squeeze(-1) > 0)).mean()


def ranking_loss_over_images(scores: Tensor, truth: Tensor, margin: float = 1.0) -> Tensor:
    """`ranking_loss` turned about: every image with a label should score ``margin`` above every one without it.

    That is what average precision looks at, a label at a time. Labels that no image of the batch has do not count.
    Shapes as in `ranking_loss`.
    """
    occurs = (truth > 0).any(0)
    if not occurs.any():
        return scores.float().sum() * 0.0
    return ranking_loss(scores.T[occurs].contiguous(), truth.T[occurs].contiguous(), margin)


def sigmoid_loss(scores: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy of logits, mean over the known entries. Shapes as in `ranking_loss`."""
    loss = binary_cross_entropy_with_logits(scores.float(), (truth > 0).float(), reduction="none")
    known = truth != 0
    return (loss * known).sum() / known.sum().clamp_min(1)


def siglip_loss(scores: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy of logits, summed over the known labels of an image, mean over images (SigLIP)."""
    loss = binary_cross_entropy_with_logits(scores.float(), (truth > 0).float(), reduction="none")
    return (loss * (truth != 0)).sum(-1).mean()


def asymmetric_loss(
    scores: Tensor, truth: Tensor, *, gamma_pos: float = 1.0, gamma_neg: float = 4.0, clip: float = 0.05
) -> Tensor:
    """Asymmetric loss (arXiv 2009.14119, eq. 7): a focal loss that forgets easy absent labels sooner.

    With ``p = sigmoid(s)`` and ``q = max(p - clip, 0)`` a present label costs ``-(1 - p)^gamma_pos log p`` and an
    absent one ``-q^gamma_neg log(1 - q)``. Summed over labels as published, but averaged over images.

    Args:
        scores: ``(B, C)`` logits.
        truth: ``(B, C)``, 1 present, -1 absent, 0 unknown and ignored.
        gamma_pos: Focus on present labels that score low.
        gamma_neg: Focus on absent labels that score high.
        clip: Probability below which an absent label costs nothing.
    """
    scores = scores.float()
    probability = scores.sigmoid()
    shifted = (probability - clip).clamp_min(TINY)
    present = (1 - probability).clamp_min(TINY).pow(gamma_pos) * logsigmoid(scores)
    absent = shifted.pow(gamma_neg) * (1 - shifted).clamp_min(TINY).log()
    return -(present * (truth > 0) + absent * (truth < 0)).sum(-1).mean()


def mmc_loss(scores: Tensor, truth: Tensor) -> Tensor:
    """Multi-matching contrastive loss (RAM, arXiv 2503.15337): one softmax over all pairs of an image and a label.

    ``-mean over present pairs of log(exp(s_bc) / sum exp(s))``, where the sum is over all known pairs; 0 where none is
    present. So images compete as labels do.

    Args:
        scores: ``(B, C)`` logits, that is divided by the temperature.
        truth: ``(B, C)``, 1 present, -1 absent, 0 unknown and ignored.
    """
    present = truth > 0
    if not present.any():
        return scores.float().sum() * 0.0
    log_all = scores.float()[truth != 0].logsumexp(0)
    return log_all - scores.float()[present].mean()


def distillation(student: Tensor, teacher: Tensor, norm: Norm = "l1") -> Tensor:
    """Distance of trained embeddings to those of the frozen backbone, zero where they are equal.

    Args:
        student: ``(B, D)``, not normalised.
        teacher: ``(B, D)``; no gradient flows to it.
        norm: ``l1``, the mean absolute difference (MKT); ``l2``, the Euclidean distance, or ``cosine``, one minus the
            cosine, each averaged over images.
    """
    student, teacher = student.float(), teacher.detach().float()
    if norm == "l1":
        return l1_loss(student, teacher)
    if norm == "l2":
        distance: Tensor = torch.linalg.vector_norm(student - teacher, dim=-1)
        return distance.mean()
    return (1 - cosine_similarity(student, teacher, dim=-1)).mean()


class Loss(Choice):
    """What training minimises between present and absent labels."""

    #: Whether it looks at probabilities, which cosines alone are not: a bias is added to the scores, and learns.
    has_bias: ClassVar[bool] = False

    def terms(self, scores: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Terms of the loss by name, of scores ``(B, C)`` and truth ``(B, C)`` as in `ranking_loss`."""
        raise NotImplementedError


class Ranking(Loss):
    """C2SRT's ranking loss."""

    kind: Literal["ranking"] = "ranking"
    margin: float = Field(1.0, ge=0, description="Margin of the ranking loss (C2SRT).")
    rank: Literal["labels", "images", "both"] = Field(
        "labels", description="What is compared: labels of an image (C2SRT), images under a label (ours), both."
    )

    def terms(self, scores: Tensor, truth: Tensor) -> dict[str, Tensor]:  # noqa: D102
        ways = {"labels": ranking_loss, "images": ranking_loss_over_images}
        return {
            f"rank_{way}": loss(scores, truth, self.margin) for way, loss in ways.items() if self.rank in (way, "both")
        }


class WithBias(Loss):
    """Losses on probabilities."""

    has_bias: ClassVar[bool] = True
    bias: float = Field(-6.0, description="Added to scores at the start, and learns: cosines alone are above 0.")


class Sigmoid(WithBias):
    """Binary cross-entropy, mean over the known entries."""

    kind: Literal["sigmoid"] = "sigmoid"

    def terms(self, scores: Tensor, truth: Tensor) -> dict[str, Tensor]:  # noqa: D102
        return {"sigmoid": sigmoid_loss(scores, truth)}


class SigLIP(WithBias):
    """Binary cross-entropy, summed over labels, mean over images (SigLIP, arXiv 2303.15343)."""

    kind: Literal["siglip"] = "siglip"

    def terms(self, scores: Tensor, truth: Tensor) -> dict[str, Tensor]:  # noqa: D102
        return {"siglip": siglip_loss(scores, truth)}


class Asymmetric(WithBias):
    """ASL (arXiv 2009.14119)."""

    kind: Literal["asymmetric"] = "asymmetric"

    def terms(self, scores: Tensor, truth: Tensor) -> dict[str, Tensor]:  # noqa: D102
        return {"asymmetric": asymmetric_loss(scores, truth)}


class MMC(Loss):
    """RAM's contrastive loss over all pairs of an image and a label."""

    kind: Literal["mmc"] = "mmc"

    def terms(self, scores: Tensor, truth: Tensor) -> dict[str, Tensor]:  # noqa: D102
        return {"mmc": mmc_loss(scores, truth)}


LOSSES: dict[str, type[Loss]] = {
    "ranking": Ranking,
    "sigmoid": Sigmoid,
    "siglip": SigLIP,
    "asymmetric": Asymmetric,
    "mmc": MMC,
}

#: A field of a method's options.
LossOption = Annotated[SerializeAsAny[Loss], one_of(LOSSES)]
