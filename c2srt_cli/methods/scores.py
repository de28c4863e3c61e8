"""What a method reads, and what it gives."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor


class TokenNeed(NamedTuple):
    """What a method reads of an image tower's tokens.

    Attributes:
        split_stage: Latest stage before which they may be taken.
        patch_attention: Blocks whose value-value attention gives the patches (``value``, ``value-all``), or None.
        streams: ``global``, ``both``, or ``local`` where nothing is left to run behind the split.
    """

    split_stage: int
    patch_attention: str | None
    streams: str


class Scores(NamedTuple):
    """Scores of B images, and what they rest on.

    Attributes:
        ranking: The method's published score, by which labels are ranked, ``(B, T)`` float32.
        logit: The same without a part that the other labels have in it, as a softmax over labels has: what
            probabilities and thresholds are made from, ``(B, T)``. Nearly so with KCOT and with adapters. Of raised
            zero-shot scores, with the spread that a calibration of plain ones holds for.
        share: Share of the patches that are evidence for each label, ``(B, T)`` in (0, 1]; None where all are.
        base: Of all ``C`` labels that took part, before others' were added, ``(B, C)``; None without propagation.
        attention: To the sources of each label, in the places of the last layer's rows, ``(B, T, K)``: of IST the mean
            over heads, of propagation the strengths; None without a graph.
        contribution: What each source adds to the score, ``(B, T, K)``; None without propagation.
        sides: Logits of the global and the local side, ``(B, T, 2)``, that RAM's losses look at; None otherwise.
        relative: At which the relative rule looks, ``(B, T)``; None where that is `logit`.
        standard: What each label has to say by itself, in standard deviations above the mean of background labels,
            ``(B, T)``; None where these are not asked.
        playing: Labels that play unseen in a step of training, ``(T,)`` bool; None where none do.
        own: There what each label, in that step too, has to say by itself, ``(B, T)``.
    """

    ranking: Tensor
    logit: Tensor
    share: Tensor | None = None
    base: Tensor | None = None
    attention: Tensor | None = None
    contribution: Tensor | None = None
    sides: Tensor | None = None
    relative: Tensor | None = None
    standard: Tensor | None = None
    playing: Tensor | None = None
    own: Tensor | None = None


def best_of(scores: Scores, rows: Sequence[int]) -> Scores:
    """Of images that are several rows each, label by label all that the row says in which the label scores highest.

    Args:
        scores: Of the rows, and of others behind them.
        rows: How many each image has.

    Returns:
        A row an image.
    """
    bounds = [*pairwise([0, *accumulate(rows)])]
    best = torch.stack([start + scores.ranking[start:stop].argmax(0) for start, stop in bounds])  # (n, T)

    def chosen(part: Tensor | None) -> Any:
        if part is None or part.dim() == 1:
            return part
        if part.shape[1] != best.shape[1]:  # of all labels that took part
            return torch.stack([part[start:stop].amax(0) for start, stop in bounds])
        return part.gather(0, best.view(*best.shape, *[1] * (part.dim() - 2)).expand(-1, -1, *part.shape[2:]))

    return Scores(*map(chosen, scores))
