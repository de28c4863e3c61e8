import numpy as np
import pytest

from c2srt_cli.graph.category_graph import CategoryGraph, Edge
from c2srt_cli.graph.cooccurrence import cooccurrence_graph
from c2srt_cli.graph.random_graph import random_graph
from c2srt_cli.labels import Label, LabelSet

LABELS = LabelSet(tuple(Label(f"label {i}") for i in range(12)))


def test_strengths_are_smoothed_conditional_probabilities() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((400, 12)) < rng.random(12) * 0.4
    truth[:, 1] |= truth[:, 0] & (rng.random(400) < 0.9)  # 0 speaks for 1
    truth[:, 11] = False
    graph = cooccurrence_graph(LABELS, [np.flatnonzero(row).tolist() for row in truth], smoothing=2.0, threshold=0.1)
    counts = truth.T.astype(int) @ truth
    expected = {}
    for source in range(12):
        for target in range(12):
            both, one, other = counts[source, target], counts[source, source], counts[target, target]
            probability = (both + 2) / (one + 4)
            if source != target and both >= 3 and probability >= 0.1 and probability > (other + 2) / 404:
                expected[source, target] = probability
    found = {(edge.source, edge.target): edge.strength for edge in graph.edges}
    assert found == pytest.approx(expected, abs=1e-4)
    assert found[0, 1] > 0.8
    assert {(edge.relation, edge.origin) for edge in graph.edges} == {("co_occurrence", "cooccurrence")}


def test_a_label_twice_in_a_image_counts_once() -> None:
    images = [[0, 1], [0, 1], [0, 1], [2], [2], [2], [2]]
    assert cooccurrence_graph(LABELS, images) == cooccurrence_graph(LABELS, [image * 2 for image in images])


def test_independent_and_rare_pairs_are_left_out() -> None:
    assert cooccurrence_graph(LABELS, [[0, 1]] * 10).edges == ()  # always there, so told by nothing
    assert cooccurrence_graph(LABELS, [[0, 1]] * 2 + [[2]] * 90).edges == ()  # twice may be chance


def test_random_keeps_the_shape() -> None:
    edges = tuple(
        Edge(source, target, "is_a" if source % 2 else "functional", 1 / (source + 2), "llm")
        for target in range(12)
        for source in range(target)
    )
    like = CategoryGraph(LABELS, edges)
    drawn = random_graph(like, seed=3)

    def shape(graph: CategoryGraph) -> list[tuple[int, float, str]]:
        return sorted((edge.target, edge.strength, edge.relation) for edge in graph.edges)

    assert shape(drawn) == shape(like)
    assert drawn == random_graph(like, seed=3)
    assert drawn.edges != random_graph(like, seed=4).edges
    assert {edge.origin for edge in drawn.edges} == {"random"}


def test_random_draws_every_source_alike() -> None:
    like = CategoryGraph(LABELS, (Edge(0, 5, "is_a", 1.0, "llm"),))
    drawn = np.bincount([random_graph(like, seed).edges[0].source for seed in range(2200)], minlength=12)
    assert drawn[5] == 0
    assert abs(np.delete(drawn, 5) - 200).max() < 60  # over four standard deviations
