"""Intra-category semantic refinement (ISR, C2SRT): per image and label, the patches that are evidence for the label."""

import math
from threading import Lock
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor


class Selection(NamedTuple):
    """Selected patches of every label.

    Attributes:
        mask: 1 for a selected patch, else 0; float32 ``(..., L, P)``.
        sizes: Selected patches, ``(..., L)``.
        total: Sum of the selected cosines, ``(..., L)``.
    """

    mask: Tensor
    sizes: Tensor
    total: Tensor


def patch_cap(patches: int, cap_at_196: int = 32) -> int:
    """The most patches to select: 32 of ViT-B/16's 196 (C2SRT), the same share of any other grid, rounded up."""
    return min(patches, math.ceil(cap_at_196 * patches / 196))


def select_patches(similarity: Tensor, *, logit_scale: float, alpha: float = 0.5, cap: int) -> Selection:
    """The fewest patches, best first, that hold the mass ``alpha`` of a softmax over patches (C2SRT, eq. 4-5).

    At most ``cap``; only the ``cap + 1`` largest entries of each row are ever ordered. Ties go to the first patch. The
    mask carries no gradient, the total does.

    Args:
        similarity: Cosines of labels and patches, ``(..., L, P)``, float32.
        logit_scale: Multiplies the cosines before the softmax (CLIP's own, about 100).
        alpha: Mass to reach, in (0, 1].
        cap: Most patches to select, from 1 to P.
    """
    top = _largest(similarity, min(cap + 1, similarity.shape[-1]))  # (..., L, cap + 1), descending
    best = top[..., :1]
    whole = (similarity - best).mul_(logit_scale).exp_().sum(-1, keepdim=True)  # (..., L, 1)
    mass = (top[..., :cap] - best).mul_(logit_scale).exp_().cumsum(-1)  # (..., L, cap)
    count = (mass < alpha * whole).sum(-1, keepdim=True).add_(1).clamp_(max=cap)  # (..., L, 1)
    threshold = top.gather(-1, count - 1).detach()
    mask = torch.empty(similarity.shape, device=similarity.device)
    torch.ge(similarity.detach(), threshold, out=mask)
    next_one = top.gather(-1, count.clamp(max=top.shape[-1] - 1))
    tied = (next_one == threshold) & (count < similarity.shape[-1])
    if tied.any():  # equal patches at the boundary, as on a blank wall: keep the first of them
        above = similarity > threshold
        ties = similarity == threshold
        room = count - above.sum(-1, keepdim=True)
        mask = (above | (ties & (ties.cumsum(-1) <= room))).float()
    total = top[..., :cap].cumsum(-1).gather(-1, count - 1).squeeze(-1)
    return Selection(mask, count.squeeze(-1), total)


def select_top(similarity: Tensor, k: int) -> Selection:
    """The ``k`` best patches of each row, the fixed number of MKT and BiAM. Shapes as in `select_patches`."""
    return select_patches(similarity, logit_scale=0.0, alpha=1.0, cap=k)


def pooled_cosines(selection: Selection, products: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines of the mean of the selected, L2-normalised patches: with each label, and with another unit vector.

    With unit patches ``p_i`` and selection ``S``, ``cos = sum_S <t, p_i> / |sum_S p_i|`` and
    ``|sum_S p_i|^2 = sum_{i,j in S} <p_i, p_j>``, so the pooled vectors ``(B, L, D)`` are never formed.

    Args:
        selection: Of ``(B, L, P)`` cosines.
        products: ``(B, P, P + 1)`` inner products of the unit patches with each other and, last, with that vector.

    Returns:
        Two ``(B, L)``, float32.
    """
    sums = selection.mask @ products  # (B, L, P + 1)
    norm = (sums[..., :-1] * selection.mask).sum(-1).clamp_min(1e-12).sqrt()  # (B, L)
    return selection.total / norm, sums[..., -1] / norm


def _largest(similarity: Tensor, k: int) -> Tensor:
    """The ``k`` largest of each row, descending."""
    if similarity.device.type != "cpu" or similarity.requires_grad or similarity.dtype != torch.float32:
        return similarity.topk(k, dim=-1).values
    if similarity.ndim == 3 and not similarity.is_contiguous():  # the rows in the order of memory
        return _largest(similarity.transpose(0, 1).contiguous(), k).transpose(0, 1)
    # numpy's vectorised sort is several times as fast as torch.topk on a CPU, and releases the interpreter lock
    rows = np.sort(similarity.reshape(-1, similarity.shape[-1]).numpy(), axis=-1)
    return torch.from_numpy(rows[:, : -k - 1 : -1].copy()).view(*similarity.shape[:-1], k)


class Bfloat16Products:
    """Lets float32 matrix products on the CPU multiply in bfloat16 (and add in float32) inside the block.

    The switch is the process's: it stays on while any thread is inside, and forward passes that run beside it are in
    bfloat16 wherever it is on.

    Args:
        enabled: Nothing is switched otherwise.
    """

    _inside, _before, _lock = 0, "none", Lock()

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled

    def __enter__(self) -> None:
        if self._enabled:
            self._count(1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._enabled:
            self._count(-1)

    @classmethod
    def _count(cls, one: int) -> None:
        matmul: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
        with cls._lock:
            if cls._inside == 0:
                cls._before = matmul.fp32_precision
            cls._inside += one
            matmul.fp32_precision = "bf16" if cls._inside else cls._before
