import pytest

from c2srt_cli.errors import UsageError
from c2srt_cli.graph.category_graph import CategoryGraph, Edge
from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.predict.sources import sources_of


def labels(*names: str) -> LabelSet:
    return LabelSet(tuple(Label(name) for name in names))


def edge(source: int, target: int, strength: float) -> Edge:
    return Edge(source, target, "co_occurrence", strength, "llm")


#: saddle is evidence; hay speaks for nobody that is asked for below
GRAPH = CategoryGraph(
    labels("hay", "horse", "Rider", "saddle"),
    (edge(3, 1, 0.5), edge(2, 1, 0.4), edge(1, 2, 0.3), edge(1, 0, 0.9)),
    evidence=frozenset({3}),
)


def named(graph: CategoryGraph) -> set[tuple[str, str, float]]:
    names = graph.labels.names
    return {(names[one.source], names[one.target], one.strength) for one in graph.edges}


def test_sources_that_nobody_asked_for_come_behind_and_are_evidence() -> None:
    found = sources_of(labels("tree", "horse"), GRAPH)
    assert found.graph.labels.names == ("tree", "horse", "Rider", "saddle")
    assert named(found.graph) == {("saddle", "horse", 0.5), ("Rider", "horse", 0.4)}
    assert found.graph.evidence == {2, 3}
    assert found.note(2) == (
        "1 of 2 labels aggregate from 2 others over the graph, 2 of them are labels of the graph alone, never given"
    )


def test_evidence_that_is_asked_for_is_given() -> None:
    found = sources_of(labels("saddle", "rider", "horse"), GRAPH)
    assert found.graph.labels.names == ("saddle", "rider", "horse")
    assert named(found.graph) == {("saddle", "horse", 0.5), ("rider", "horse", 0.4), ("horse", "rider", 0.3)}
    assert not found.graph.evidence


def test_labels_with_ids_are_matched_by_name() -> None:
    asked = LabelSet((Label("Horse", id="/m/03k3r"),))
    assert named(sources_of(asked, GRAPH).graph) == {("saddle", "Horse", 0.5), ("Rider", "Horse", 0.4)}


def test_nothing_in_common_is_refused_and_both_are_named() -> None:
    with pytest.raises(UsageError, match="none in common") as refused:
        sources_of(labels("tree", "lake"), GRAPH, "--graph g.json")
    assert refused.value.where == "--graph g.json"
    assert refused.value.problems == ("in the graph: hay, horse, Rider, saddle", "asked for: tree, lake")


def test_no_edge_to_a_label_is_said() -> None:
    found = sources_of(labels("saddle", "tree"), GRAPH)
    assert found.graph.labels.names == ("saddle", "tree")
    assert not found.graph.edges
    assert found.note(2) == "the graph has no edge to any of these labels: their scores stay as they are"
