import networkx as nx
import numpy as np
import pytest

from c2srt_cli.graph.category_graph import CategoryGraph, Edge
from c2srt_cli.graph.summary import Degrees, summarise
from c2srt_cli.labels import Label, LabelSet


def graph(count: int, pairs: list[tuple[int, int]]) -> CategoryGraph:
    labels = LabelSet(tuple(Label(f"label {i}") for i in range(count)))
    return CategoryGraph(labels, tuple(Edge(s, t, "is_a" if s < t else "synonym", 0.5, "llm") for s, t in pairs))


@pytest.mark.parametrize("density", [0.003, 0.02, 0.2])
def test_the_figures_are_those_of_networkx(density: float) -> None:
    peer = nx.gnp_random_graph(80, density, seed=1, directed=True)
    summary = summarise(graph(80, list(peer.edges)))
    parts = list(nx.weakly_connected_components(peer))
    into, out = ([degree for _, degree in view] for view in (peer.in_degree, peer.out_degree))
    assert summary.edges == peer.number_of_edges()
    assert summary.reciprocity == pytest.approx(nx.reciprocity(peer))
    assert (summary.components, summary.largest) == (len(parts), max(map(len, parts)))
    assert summary.isolated == tuple(f"label {i}" for i in nx.isolates(peer))
    assert summary.sources == Degrees(min(into), float(np.median(into)), max(into))
    assert summary.targets == Degrees(min(out), float(np.median(out)), max(out))
    assert summary.coverage == pytest.approx(np.mean(np.array(into) > 0))
    assert sum(summary.relations.values()) == summary.edges == summary.origins["llm"]
    assert summary.unseen is None


def test_what_reaches_unseen_labels() -> None:
    unseen = summarise(graph(6, [(0, 3), (1, 3), (4, 3), (3, 4), (2, 5), (3, 0)]), unseen=[3, 4, 5]).unseen
    assert unseen is not None
    assert (unseen.labels, unseen.reached, unseen.edges, unseen.fewest) == (3, 2, 3, 0)
    assert unseen.without == ("label 4",)


def test_no_edges() -> None:
    summary = summarise(graph(3, []))
    assert (summary.components, summary.largest, summary.reciprocity, summary.coverage) == (3, 1, 0.0, 0.0)
    assert len(summary.isolated) == 3
