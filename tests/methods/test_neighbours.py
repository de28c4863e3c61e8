"""Rows of a graph by hand, closures against a search by networkx, and what needs PyTorch Geometric."""

import networkx as nx
import numpy as np
import pytest
import torch
from tiny import neighbours
from torch import Tensor

from c2srt_cli.graph.category_graph import RELATIONS, CategoryGraph, Edge
from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.methods.neighbours import Neighbours
from c2srt_cli.methods.vocabulary import Vocabulary

SELF = torch.eye(len(RELATIONS) + 1)[RELATIONS.index("self")] + torch.eye(len(RELATIONS) + 1)[-1]


def test_rows_hold_each_edge_once_and_the_self_edge_first() -> None:
    """Sources stand strongest first, as in the graph."""
    labels = LabelSet(tuple(Label(name) for name in ("sky", "cloud", "dog")))
    edges = (Edge(1, 0, "part_whole", 0.5, "llm"), Edge(2, 0, "similar", 0.75, "embedding"))
    rows = Neighbours.of(CategoryGraph(labels, edges).data())
    assert rows.index.tolist() == [[0, 2, 1], [1, 1, 1], [2, 2, 2]]
    assert rows.mask.tolist() == [[True, True, True], [True, False, False], [True, False, False]]
    assert rows.attr[0, 2].tolist() == [float(relation == "part_whole") for relation in RELATIONS] + [0.5]
    assert rows.attr[:, 0].tolist() == SELF.repeat(3, 1).tolist()
    assert not rows.attr[1:, 1:].any()
    assert sorted(map(tuple, rows.edge_index.T.tolist())) == [(0, 0), (1, 0), (1, 1), (2, 0), (2, 2)]


def sparse(seed: int, nodes: int, edges: int) -> Tensor:
    """With nodes that have no edge, in no order."""
    random = np.random.default_rng(seed)
    pairs = {(int(s), int(t)) for s, t in (random.random((edges, 2)) ** 2 * (nodes - 3)).astype(int) if s != t}
    return torch.tensor(random.permutation(sorted(pairs)).T)


@pytest.mark.parametrize("hops", [1, 2, 3])
def test_a_closure_goes_from_the_targets_outwards(hops: int) -> None:
    index, count = sparse(3, 60, 110), 60
    targets = [40, 7, 59, 0]
    rows = neighbours(index, torch.rand(index.shape[1], len(RELATIONS) + 1), count)
    nodes, layers = rows.closure(torch.tensor(targets), hops)
    against = nx.DiGraph([(t, s) for s, t in index.T.tolist()])
    against.add_nodes_from(range(count))
    far = nx.multi_source_dijkstra_path_length(against, set(targets), cutoff=hops)
    wanted = targets + [node for step in range(1, hops + 1) for node in sorted(far) if far[node] == step]
    assert nodes.tolist() == wanted
    assert len(layers) == hops
    for layer, left in zip(layers, reversed(range(hops)), strict=True):
        assert len(layer.index) == sum(distance <= left for distance in far.values())
        for place, node in enumerate(wanted[: len(layer.index)]):
            heard = [wanted[i] for i in layer.index[place][layer.mask[place]].tolist()]
            assert heard == rows.index[node][rows.mask[node]].tolist()


@pytest.mark.parametrize(
    ("hops", "all_hear", "heard"),
    [(1, True, {(0, 1), (0, 2), (1, 2), (1, 0)}), (1, False, {(0, 2), (1, 2)}), (0, True, None)],
)
def test_only_seen_labels_are_sources(hops: int, all_hear: bool, heard: set[tuple[int, int]] | None) -> None:
    pairs = [(0, 1), (0, 2), (1, 2), (2, 1), (1, 0), (2, 0)]
    graph = CategoryGraph(
        LabelSet(tuple(Label(name) for name in "abc")), tuple(Edge(s, t, "is_a", 0.5, "llm") for s, t in pairs)
    )
    rows = Vocabulary(torch.eye(3), graph, np.array([True, True, False]), hops, all_hear).neighbours
    assert (rows is None) == (heard is None)
    if rows is not None:
        assert {(s, t) for s, t in rows.edge_index.T.tolist() if s != t} == heard
