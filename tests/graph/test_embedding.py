import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from c2srt_cli.graph import embedding
from c2srt_cli.graph.embedding import embedding_graph
from c2srt_cli.labels import Label, LabelSet


def labels(count: int) -> LabelSet:
    return LabelSet(tuple(Label(f"label {i}") for i in range(count)))


def vectors(count: int) -> torch.Tensor:
    return torch.randn(count, 16, generator=torch.Generator().manual_seed(0)) + 1.0  # a cone, as text embeddings are


def test_neighbours_and_strengths_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "CHUNK", 7)  # several, the last one short
    text = vectors(60)
    graph = embedding_graph(labels(60), text, k=5)
    found = {(edge.source, edge.target): edge.strength for edge in graph.edges}
    array = text.numpy().astype(np.float64)
    distance, index = NearestNeighbors(n_neighbors=6, metric="cosine").fit(array).kneighbors(array)
    unit = array / np.linalg.norm(array, axis=1, keepdims=True)
    mean = np.mean([unit[i] @ unit[j] for i in range(60) for j in range(60) if i != j])
    expected = {
        (int(source), target): (1 - far - mean) / (1 - mean)
        for target in range(60)
        for far, source in zip(distance[target, 1:], index[target, 1:], strict=True)
        if 1 - far > mean
    }
    assert found.keys() == expected.keys()
    assert all(abs(found[pair] - expected[pair]) < 1e-4 for pair in found)
    assert {(edge.relation, edge.origin) for edge in graph.edges} == {("similar", "embedding")}


def test_mutual_keeps_pairs_that_choose_each_other() -> None:
    text = vectors(40)
    plain = {(edge.source, edge.target) for edge in embedding_graph(labels(40), text, k=4).edges}
    mutual = {(edge.source, edge.target) for edge in embedding_graph(labels(40), text, k=4, mutual=True).edges}
    assert mutual == {(s, t) for s, t in plain if (t, s) in plain}
    assert 0 < len(mutual) < len(plain)


def test_the_same_text_has_strength_one_and_average_pairs_none() -> None:
    text = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    graph = embedding_graph(labels(3), text, k=9)
    assert [(edge.source, edge.target, edge.strength) for edge in graph.edges] == [(1, 0, 1.0), (0, 1, 1.0)]


def test_one_label_has_no_neighbour() -> None:
    assert embedding_graph(labels(1), torch.ones(1, 4), k=3).edges == ()


def test_every_unseen_label_has_its_nearest_seen_ones() -> None:
    torch.manual_seed(4)
    text = torch.randn(40, 6)
    seen = range(5)
    graph = embedding_graph(labels(40), text, k=3, seen=seen, least_seen=2)
    unit = torch.nn.functional.normalize(text.double(), dim=-1)
    for target in range(5, 40):
        nearest = sorted(seen, key=lambda s: -float(unit[s] @ unit[target]))[:2]
        assert set(nearest) <= {edge.source for edge in graph.edges if edge.target == target}
