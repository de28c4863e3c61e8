import itertools
import json
import random
import subprocess
import sys
import warnings
from pathlib import Path

import networkx as nx
import pytest
import torch

from c2srt_cli.errors import InputError
from c2srt_cli.graph.category_graph import RELATIONS, CategoryGraph, Edge, read_graph, write_graph
from c2srt_cli.labels import Label, LabelSet

with warnings.catch_warnings():  # importing it makes torch complain
    warnings.simplefilter("ignore")
    from torch_geometric.nn import GATv2Conv
    from torch_geometric.utils import coalesce, to_networkx

LABELS = LabelSet((Label("dog"), Label("cat", ("kitty",), 0.4), Label("crane", id="/m/1"), Label("crane", id="/m/2")))


def edge(source: int, target: int, strength: float, relation: str = "is_a", origin: str = "llm") -> Edge:
    return Edge(source, target, relation, strength, origin)


def many(count: int, degree: int, seed: int = 0) -> CategoryGraph:
    """A random graph over ``count`` labels."""
    lottery = random.Random(seed)
    edges = [
        edge(source, target, lottery.randint(1, 100) / 100, lottery.choice(RELATIONS[:5]))
        for target in range(count)
        for source in lottery.sample([i for i in range(count) if i != target], degree)
    ]
    lottery.shuffle(edges)
    return CategoryGraph(LabelSet(tuple(Label(f"label {i}") for i in range(count))), tuple(edges))


def test_edges_are_sorted_and_rounded() -> None:
    graph = CategoryGraph(LABELS, (edge(3, 1, 0.5), edge(0, 1, 0.5), edge(2, 1, 0.123456), edge(1, 0, 1e-9)))
    assert graph.edges == (edge(1, 0, 0.0001), edge(0, 1, 0.5), edge(3, 1, 0.5), edge(2, 1, 0.1235))


@pytest.mark.parametrize(
    ("edges", "fault"),
    [
        ([edge(0, 0, 0.5)], "own source"),
        ([edge(0, 4, 0.5)], "there are 4 labels"),
        ([edge(-1, 0, 0.5)], "there are 4 labels"),
        ([edge(0, 1, 0.5), edge(0, 1, 0.6)], "stands twice"),
        ([edge(0, 1, 0.0)], "not above 0"),
        ([edge(0, 1, 1.01)], "not above 0"),
        ([edge(0, 1, float("nan"))], "not above 0"),
        ([edge(0, 1, 0.5, "friend")], "'friend' is none of"),
        ([edge(0, 1, 0.5, origin="me")], "'me' is none of"),
    ],
)
def test_other_edges_are_refused(edges: list[Edge], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        CategoryGraph(LABELS, tuple(edges))


def test_there_and_back(tmp_path: Path) -> None:
    graph = CategoryGraph(LABELS, (edge(3, 1, 0.5), edge(0, 1, 1 / 3)), {"sources": [{"source": "llm", "failed": {}}]})
    write_graph(tmp_path / "g.json", graph)
    assert read_graph(tmp_path / "g.json") == graph
    assert read_graph(tmp_path / "g.json").fingerprint == graph.fingerprint
    assert json.loads((tmp_path / "g.json").read_bytes())["edges"][0] == [3, 1, "is_a", 0.5, "llm"]
    turned = CategoryGraph(LABELS, graph.edges[::-1], graph.provenance)
    write_graph(tmp_path / "h.json", turned)
    assert (tmp_path / "h.json").read_bytes() == (tmp_path / "g.json").read_bytes()
    lines = (tmp_path / "g.json").read_text().splitlines()
    assert '[0,1,"is_a",0.3333,"llm"]],' not in lines
    assert '[0,1,"is_a",0.3333,"llm"]' in lines  # one edge a line
    write_graph(tmp_path / "e.json", CategoryGraph(LABELS, ()))
    assert read_graph(tmp_path / "e.json").edges == ()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("0.5,", None),
        (f"{10**400},", r"edges\[0\]\[3\]: must be a finite number"),
        (f"-{10**400},", r"edges\[0\]\[3\]: must be a finite number"),
        ("1e400,", r"edges\[0\]\[3\]: must be a finite number"),
        ("NaN,", r"edges\[0\]\[3\]: must be a finite number"),
        ("true,", r"edges\[0\]\[3\]: must be a number, is true"),
        ("null,", r"edges\[0\]\[3\]: must be a number, is null"),
        ("0,", "edge 0 → 1: strength 0.0 is not above 0 and at most 1"),
    ],
)
def test_a_strength_of_any_kind_is_read_or_refused(tmp_path: Path, written: str, said: str | None) -> None:
    path = tmp_path / "g.json"
    write_graph(path, CategoryGraph(LABELS, (edge(0, 1, 0.5),)))
    path.write_text(path.read_text().replace("0.5,", written))
    if said is None:
        assert read_graph(path).edges == (edge(0, 1, 0.5),)
    else:
        with pytest.raises(InputError, match=said):
            read_graph(path)


@pytest.mark.parametrize(
    ("there", "written"),
    [
        ("[0,1,", "[false,1,"),
        ("[0,1,", f"[0,{10**400},"),
        ('"provenance":{}', '"provenance":{"sources":7}'),
        *(('"label":"', f'"threshold":{number},"label":"') for number in (10**400, "NaN", "true", "1.5")),
    ],
)
def test_odd_values_in_a_graph_are_refused(tmp_path: Path, there: str, written: str) -> None:
    path = tmp_path / "g.json"
    write_graph(path, CategoryGraph(LABELS, (edge(0, 1, 0.5),)))
    assert there in path.read_text()
    path.write_text(path.read_text().replace(there, written))
    with pytest.raises(InputError, match=r"this graph cannot be used|cannot be read as JSON"):
        read_graph(path)


def test_the_fingerprint_follows_labels_and_edges() -> None:
    graph = CategoryGraph(LABELS, (edge(0, 1, 0.5),))
    others = [
        CategoryGraph(LABELS, (edge(0, 1, 0.6),)),
        CategoryGraph(LABELS, (edge(0, 1, 0.5, "synonym"),)),
        CategoryGraph(LabelSet(LABELS.labels[:3]), (edge(0, 1, 0.5),)),
    ]
    assert graph.fingerprint not in {other.fingerprint for other in others}
    assert graph.fingerprint == CategoryGraph(LABELS, graph.edges, {"date": "today"}).fingerprint


def test_tensors_against_pytorch_geometric_and_networkx() -> None:
    graph = many(30, 4)
    data = graph.data()
    index, attr = data.edge_index, data.edge_attr
    assert data.validate()
    assert (index.dtype, index.shape) == (torch.int64, (2, 120))
    assert attr.shape == (120, len(RELATIONS) + 1)
    there = to_networkx(data, edge_attrs=["edge_attr"])
    assert set(there.edges) == {(e.source, e.target) for e in graph.edges}  # networkx too goes from source to target
    for e in graph.edges:
        *kind, strength = there.edges[e.source, e.target]["edge_attr"]
        assert kind == [float(name == e.relation) for name in RELATIONS]
        assert strength == pytest.approx(e.strength)


def test_knowledge_flows_from_source_to_target() -> None:
    graph = CategoryGraph(LABELS, (edge(0, 1, 0.5),))
    layer = GATv2Conv(3, 3, edge_dim=len(RELATIONS) + 1, add_self_loops=False, bias=False)
    x = torch.randn(4, 3)
    changed = x + torch.eye(4, 3)  # the first three labels differ
    data = graph.data()
    after, before = (layer(features, data.edge_index, data.edge_attr) for features in (changed, x))
    difference = after - before
    assert difference.abs().sum(1).ne(0).tolist() == [False, True, False, False]


def test_an_empty_graph_has_tensors_too() -> None:
    graph = CategoryGraph(LABELS, ())
    data = graph.data()
    assert (data.edge_index.shape, data.edge_attr.shape) == ((2, 0), (0, len(RELATIONS) + 1))
    assert data.num_nodes == len(LABELS)


def test_merging_keeps_the_strengths_that_pytorch_geometric_coalesces_to() -> None:
    both = [many(30, 4), many(30, 4, seed=1)]
    merged = CategoryGraph.merge(*both).data()
    index = torch.cat([graph.data().edge_index for graph in both], 1)
    wanted = coalesce(index, torch.cat([graph.data().edge_attr[:, -1] for graph in both]), reduce="max")
    found = coalesce(merged.edge_index, merged.edge_attr[:, -1])
    assert torch.equal(found[0], wanted[0])
    assert torch.equal(found[1], wanted[1])
    assert merged.num_edges == wanted[0].shape[1] < 240


def test_prune_against_networkx() -> None:
    graph = many(40, 12)
    there = nx.DiGraph()
    there.add_weighted_edges_from((e.source, e.target, e.strength) for e in graph.edges)
    kept = graph.prune(5)
    for target in range(40):
        strengths = sorted((w for _, _, w in there.in_edges(target, data="weight")), reverse=True)
        assert [e.strength for e in kept.edges if e.target == target] == strengths[:5]
    assert graph.prune(12) == graph
    assert graph.prune(0).edges == ()


@pytest.mark.parametrize(("k", "least"), [*itertools.product([1, 3, 6], [0, 2, 5])])
def test_unseen_labels_keep_seen_sources(k: int, least: int) -> None:
    graph = many(40, 12)
    seen = set(range(0, 40, 4))  # few, so that they are seldom among the strongest
    kept = graph.prune(k, seen=seen, least_seen=least)
    assert set(kept.edges) <= set(graph.edges)
    for target in range(40):
        mine = [e for e in kept.edges if e.target == target]
        all_mine = [e for e in graph.edges if e.target == target]
        if target in seen:
            assert mine == all_mine[:k]
            continue
        known = [e for e in all_mine if e.source in seen]
        assert len(mine) == max(k, min(least, len(known)))
        assert set(known[:least]) <= set(mine)
        rest = [e for e in mine if e not in known[:least]]
        others = [e for e in all_mine if e not in mine]
        assert not rest or not others or min(e.strength for e in rest) >= max(e.strength for e in others)


def test_merge_takes_the_strongest_and_the_first_of_equals() -> None:
    one = CategoryGraph(LABELS, (edge(0, 1, 0.5), edge(0, 2, 0.5)), {"sources": [{"source": "llm"}]})
    two = CategoryGraph(
        LABELS,
        (edge(0, 1, 0.6, "similar", "embedding"), edge(0, 2, 0.5, "similar", "embedding"), edge(1, 2, 0.1)),
        {"sources": [{"source": "embedding"}]},
    )
    assert CategoryGraph.merge(one, two).edges == (two.edges[0], one.edges[1], edge(1, 2, 0.1))
    assert CategoryGraph.merge(two, one).edges == two.edges
    assert CategoryGraph.merge(one, two).provenance == {"sources": [{"source": "llm"}, {"source": "embedding"}]}
    with pytest.raises(ValueError, match="different labels"):
        CategoryGraph.merge(one, CategoryGraph(LabelSet(LABELS.labels[:3]), ()))


def test_over_other_labels() -> None:
    graph = CategoryGraph(LABELS, (edge(0, 1, 0.5), edge(2, 3, 0.4), edge(3, 0, 0.2)))
    other = LabelSet((Label("new"), Label("red crane", id="/m/2"), Label("DOG"), Label("crane", id="/m/1")))
    assert graph.over(other).edges == (edge(3, 1, 0.4), edge(1, 2, 0.2))
    assert graph.over(LABELS) == graph


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"edges": [[0, 0, "is_a", 0.5, "llm"]]}, "edge 0 → 0: a label cannot be its own source"),
        ({"edges": [[0, 1, "is_a", 0.5]]}, "edges[0][4]: is missing"),
        ({"edges": [[0, 1, "is_a", "x", "llm"]]}, 'edges[0][3]: must be a number, is "x"'),
        ({"edges": [[0, 1, "is_a", 5, "llm"]]}, "edge 0 → 1: strength 5.0 is not above 0 and at most 1"),
        ({"edges": None}, "edges: must be a list, is null"),
        ({"labels": []}, "there is no label in it"),
        ({"labels": [{"label": "a"}, {"label": "A"}]}, "label 'a' stands twice"),
        ({"labels": [{"label": " "}, {"name": "b"}]}, "labels[1].label: is missing"),
        ({"labels": [{"label": "a", "threshold": "high"}]}, 'labels[0].threshold: must be a number, is "high"'),
        ({"labels": [{"label": "a", "synonyms": "bc"}]}, 'labels[0].synonyms: must be a list, is "bc"'),
        ({"provenance": []}, "provenance: must be an object, is []"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, change: dict[str, object], problem: str) -> None:
    good = {"kind": "graph", "schema": 1, "labels": [{"label": "a"}, {"label": "b"}], "edges": [], "provenance": {}}
    path = tmp_path / "g.json"
    path.write_text(json.dumps(good))
    assert read_graph(path).labels.names == ("a", "b")
    path.write_text(json.dumps({**good, **change}))
    with pytest.raises(InputError, match="cannot be used") as caught:
        read_graph(path)
    assert problem in caught.value.problems


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "cannot be read as JSON"), ("[]", "is not a graph"), ('{"kind": "embeddings"}', "is not a graph")],
)
def test_other_files_are_refused(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "g.json").write_text(content)
    with pytest.raises(InputError, match=words):
        read_graph(tmp_path / "g.json")
    (tmp_path / "g.json").write_text('{"kind": "graph", "schema": 99}')
    with pytest.raises(InputError, match="has layout 99"):
        read_graph(tmp_path / "g.json")
    with pytest.raises(InputError, match="neither a graph file nor the name"):
        read_graph("nowhere")


def test_reading_needs_no_torch(tmp_path: Path) -> None:
    write_graph(tmp_path / "g.json", many(20, 3))
    code = (
        "import sys\nfrom c2srt_cli.graph.category_graph import read_graph\n"
        f"read_graph({str(tmp_path / 'g.json')!r}).prune(2).fingerprint\n"
        "print([name for name in ('torch', 'openai', 'numpy') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
