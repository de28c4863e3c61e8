"""Labels that a run has never seen, attached to its graph: knowledge flows to them from the labels it has seen."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from c2srt_cli.graph.category_graph import CategoryGraph, Edge
from c2srt_cli.labels import LabelSet
from c2srt_cli.methods.vocabulary import Vocabulary
from c2srt_cli.training.run import Run, vocabulary_of

#: Labels compared with all seen ones at once.
CHUNK = 256


@dataclass(frozen=True, eq=False)
class Attached:
    """A run's labels and, behind them, new ones.

    Attributes:
        labels: All of them.
        vocabulary: Their embeddings, and which aggregates from which.
        columns: Ids of the T labels that were asked for, ``(T,)``.
        seen: ``(T,)`` bool: the run was trained on the label.
        graph: The run's, and the edges to the new labels; None where the run has none.
        new: How many labels the run has not.
        by_text: How many of them have their sources by their texts alone.
        other_wordings: How many labels that the run has are asked for under synonyms that it was not trained with.
    """

    labels: LabelSet
    vocabulary: Vocabulary
    columns: np.ndarray
    seen: np.ndarray
    graph: CategoryGraph | None
    new: int
    by_text: int
    other_wordings: int = 0


def attach(
    run: Run, requested: LabelSet, embed: Callable[[LabelSet], Tensor], graph: CategoryGraph | None = None
) -> Attached:
    """Add the labels that a run lacks to its vocabulary.

    A label that the run has, by `LabelSet.match`, is that label: its node, its embedding, its edges. The run's own
    edges stay as they are, and new labels are sources of nothing, so no score of the run's labels changes through the
    graph.

    Args:
        run: The run.
        requested: Any labels.
        embed: Embeddings ``(n, D)``, of norm 1, of those that are new.
        graph: Edges to the new labels, its labels matched by `LabelSet.match`; only those from labels that the run has
            seen are taken. A label without any, as all of them where there is no graph, gets its neighbours by text:
            `edges_by_text`.
    """
    known = np.array(run.labels.match(requested), dtype=np.int64)
    count = len(run.labels)
    new = LabelSet(tuple(label for label, place in zip(requested, known, strict=True) if place < 0))
    renamed = sum(
        place >= 0 and bool(set(label.synonyms) - set(run.labels.labels[place].synonyms))
        for label, place in zip(requested, known.tolist(), strict=True)
    )
    columns = known.copy()
    columns[known < 0] = count + np.arange(len(new))
    seen = np.append(run.seen, False)[np.minimum(columns, count)]
    labels = LabelSet((*run.labels, *new))
    text = torch.cat([run.text, embed(new)]) if len(new) else run.text
    known_seen = np.append(run.seen, np.zeros(len(new), bool))
    if run.graph is None:
        vocabulary = vocabulary_of(run.options, text, None, known_seen)
        return Attached(labels, vocabulary, columns, seen, None, len(new), 0, renamed)
    most = run.options.neighbours
    attached: list[Edge] = []
    if graph is not None:
        place = labels.match(graph.labels)
        moved = (edge._replace(source=place[edge.source], target=place[edge.target]) for edge in graph.edges)
        edges = (edge for edge in moved if edge.target >= count)
        given = tuple(edge for edge in edges if 0 <= edge.source < count and run.seen[edge.source])
        attached += CategoryGraph(labels, given).prune(most).edges
    lonely = sorted(set(range(count, len(labels))) - {edge.target for edge in attached})
    attached += edges_by_text(text, lonely, np.flatnonzero(run.seen), _strengths(run.graph), most)
    whole = CategoryGraph(labels, (*run.graph.edges, *attached), run.graph.provenance)
    vocabulary = vocabulary_of(run.options, text, whole, known_seen)
    return Attached(labels, vocabulary, columns, seen, whole, len(new), len(lonely), renamed)


def edges_by_text(text: Tensor, targets: list[int], seen: np.ndarray, strengths: np.ndarray, k: int) -> list[Edge]:
    """Each target's ``k`` nearest seen labels by text, as edges ``similar``, as strong as edges of the run are.

    Cosines of texts say little by themselves, so they are mapped by quantiles: the cosine that is larger than a share
    ``q`` of those of seen labels and their own ``k`` nearest becomes the strength that is larger than a share ``q`` of
    the run's. What a label gets does not depend on which others are asked for.

    Args:
        text: Embeddings ``(L, D)``, of norm 1.
        targets: Ids of labels that are not seen.
        seen: Ids of seen labels, ``(S,)``.
        strengths: Of the run's edges, ascending, at least one.
        k: Sources a label.
    """
    k = min(k, len(seen))
    if not targets or not k:
        return []
    sources = text[torch.from_numpy(seen)].double()  # (S, D)
    # of a seen label's k + 1 nearest the first is itself
    usual = [(part @ sources.T).topk(min(k + 1, len(seen))).values[:, 1:] for part in torch.split(sources, CHUNK)]
    reference = torch.cat(usual).flatten().sort().values
    edges = []
    for part in torch.split(torch.tensor(targets), CHUNK):
        cosine, nearest = (text[part].double() @ sources.T).topk(k)  # (n, k)
        rank = torch.searchsorted(reference, cosine, right=True).numpy() / max(len(reference), 1)
        strength = np.quantile(strengths, rank)
        edges += [
            Edge(int(seen[source]), target, "similar", float(strength[i, j]), "attached")
            for i, target in enumerate(part.tolist())
            for j, source in enumerate(nearest[i].tolist())
        ]
    return edges


def _strengths(graph: CategoryGraph) -> np.ndarray:
    """Of a graph's edges, ascending; 1 where there are none."""
    return np.sort([edge.strength for edge in graph.edges] or [1.0])
