"""Neighbours by text embedding: the graph of users without a language model, and what it is measured against."""

from collections.abc import Collection

import torch
from torch import Tensor
from torch.nn.functional import normalize

from c2srt_cli.graph.category_graph import CategoryGraph, Edge
from c2srt_cli.labels import LabelSet

#: Targets compared with all labels at once: bounds the memory of 20,000 labels to 40 MB.
CHUNK = 256
#: Strength of a source that is only there so that an unseen label has one.
FAINT = 0.01


def embedding_graph(
    labels: LabelSet,
    text: Tensor,
    *,
    k: int,
    mutual: bool = False,
    seen: Collection[int] | None = None,
    least_seen: int = 0,
) -> CategoryGraph:
    """Each label's ``k`` nearest others, exact, as edges ``similar``.

    A strength is how far the pair's cosine lies above the mean cosine of all pairs, in units in which the same text has
    1: ``(cos - mean) / (1 - mean)``. Text embeddings crowd in a narrow cone, where the cosine itself says little; pairs
    no nearer than the average are left out.

    Args:
        labels: The labels.
        text: Their embeddings, ``(L, D)``.
        k: Sources a target.
        mutual: Keep only pairs of which each is among the other's ``k`` nearest.
        seen: Indices of the labels with training annotations; None where all have them.
        least_seen: Nearest seen labels that an unseen one has besides, however far they are.
    """
    count = len(labels)
    k = min(k, count - 1)
    if k < 1:
        return CategoryGraph(labels, (), _provenance(k, mutual))
    unit = normalize(text.double(), dim=-1)  # (L, D)
    # the mean over pairs, without forming them: |Σx|² = L + Σ over pairs
    mean = (float(unit.sum(0).square().sum()) - count) / (count * (count - 1))
    nearest: list[list[int]] = []
    strengths: list[list[float]] = []
    for start in range(0, count, CHUNK):
        cosine = unit[start : start + CHUNK] @ unit.T  # (C, L)
        rows = torch.arange(len(cosine))
        cosine[rows, rows + start] = -torch.inf
        value, index = cosine.topk(k)  # (C, k)
        nearest += index.tolist()
        strengths += ((value - mean) / max(1 - mean, 1e-12)).clamp(max=1.0).tolist()
    kept = [set(row) for row in nearest]
    if seen and least_seen and len(seen) < count and not mutual:
        columns = torch.tensor(sorted(seen))
        for target in sorted(set(range(count)) - set(seen)):
            value, place = (unit[columns] @ unit[target]).topk(min(least_seen, len(columns)))
            for source, cosine_ in zip(columns[place].tolist(), value.tolist(), strict=True):
                strength = max((cosine_ - mean) / max(1 - mean, 1e-12), FAINT)
                if source in kept[target]:
                    strengths[target][nearest[target].index(source)] = min(strength, 1.0)
                else:
                    nearest[target].append(source)
                    strengths[target].append(min(strength, 1.0))
    edges = (
        Edge(source, target, "similar", strength, "embedding")
        for target, row in enumerate(nearest)
        for source, strength in zip(row, strengths[target], strict=True)
        if strength > 0 and (not mutual or target in kept[source])
    )
    return CategoryGraph(labels, tuple(edges), _provenance(k, mutual))


def _provenance(k: int, mutual: bool) -> dict[str, object]:
    return {"sources": [{"source": "embedding", "neighbours": k, "mutual": mutual}]}
