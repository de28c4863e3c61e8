"""Zero-shot scoring: the mean of the global cosine and a local one over selected patches."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad

from c2srt_cli.methods.isr import bfloat16_matmul, patch_cap, pooled_cosine, select_patches, select_top

Pool = Literal["isr", "topk", "max", "mean", "global"]
POOLS: tuple[Pool, ...] = get_args(Pool)

#: Entries of one (images, labels, patches) block; a block costs about five float32 tensors of this size.
BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Pooling:
    """How patches become the local score.

    Attributes:
        pool: ``isr``, ``topk`` (a fixed number), ``max``, ``mean``, or ``global`` (no local score at all).
        alpha: Mass of the softmax over patches that ISR gathers.
        cap: Most patches of a 14x14 grid that ISR takes, and the number that ``topk`` takes; scaled to other grids.
    """

    pool: Pool = "isr"
    alpha: float = 0.5
    cap: int = 32


def score(
    global_embedding: Tensor, patches: Tensor, text: Tensor, *, logit_scale: float, pooling: Pooling
) -> tuple[Tensor, Tensor | None]:
    """Score every label on every image (C2SRT, eq. 4-6 and 10, without the transfer over the graph).

    Memory stays bounded for any number of labels: no ``(B, L, D)`` tensor, and ``(B, L, P)`` in blocks.

    Args:
        global_embedding: ``(B, D)``, of any norm.
        patches: ``(B, P, D)``, of any norm.
        text: ``(L, D)`` label embeddings, of any norm.
        logit_scale: CLIP's, as a factor.
        pooling: How patches are selected.

    Returns:
        Scores ``(B, L)`` in [-1, 1], float32, and the share of patches behind each, ``(B, L)`` in (0, 1]; None for
        ``mean`` and ``global``, where the whole image speaks.
    """
    # products in bfloat16 lose nothing that bfloat16 embeddings had
    with bfloat16_matmul(patches.dtype == torch.bfloat16 and patches.device.type == "cpu"):
        text = normalize(text.float(), dim=-1)
        scores = _cosines(global_embedding, text)
        if pooling.pool == "global":
            return scores, None
        patches = normalize(patches.float(), dim=-1)
        if pooling.pool == "mean":
            return (scores + _cosines(patches.mean(1), text)) / 2, None
        share = torch.empty_like(scores)
        step = max(1, BLOCK // (patches.shape[0] * patches.shape[1]))
        gram = patches @ patches.transpose(1, 2)  # (B, P, P)
        for start in range(0, len(text), step):
            block = slice(start, start + step)
            local, share[:, block] = _local(patches, text[block], gram, logit_scale, pooling)
            scores[:, block] += local
        return scores / 2, share


def _cosines(embedding: Tensor, text: Tensor) -> Tensor:
    """Cosines ``(B, L)``, in which a row's last bit does not depend on its position.

    Libraries multiply full tiles of rows and the rows left over by different code, so the tiles are filled up.
    """
    count = len(embedding)
    rows = pad(normalize(embedding.float(), dim=-1), (0, 0, 0, -count % 16))
    return (rows @ text.T)[:count]


def _local(patches: Tensor, text: Tensor, gram: Tensor, logit_scale: float, pooling: Pooling) -> tuple[Tensor, Tensor]:
    images, count, dim = patches.shape
    # one product for all images; each row of P entries stays contiguous
    similarity = (text @ patches.reshape(-1, dim).T).view(-1, images, count).transpose(0, 1)  # (B, L, P)
    if pooling.pool == "max":
        return similarity.amax(-1), torch.full(similarity.shape[:2], 1 / count, device=similarity.device)
    cap = patch_cap(count, pooling.cap)
    if pooling.pool == "topk":
        selection = select_top(similarity, cap)
    else:
        selection = select_patches(similarity, logit_scale=logit_scale, alpha=pooling.alpha, cap=cap)
    return pooled_cosine(selection, gram), selection.sizes / count
