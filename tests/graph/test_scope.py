"""What is asked about which labels, against sets worked out by hand."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from llm_server import serving, true_sources

from c2srt_cli.errors import InputError
from c2srt_cli.graph.build import build_graph
from c2srt_cli.graph.category_graph import CategoryGraph, Edge, read_graph, write_graph
from c2srt_cli.graph.llm.service import Service
from c2srt_cli.graph.options import BuildOptions, replies_path
from c2srt_cli.graph.scope import read_scope
from c2srt_cli.graph.summary import summarise
from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.progress import Progress


def names(scope: Any, indices: Any) -> list[str]:
    return [scope.labels.names[i] for i in sorted(indices)]


def graph(path: Path, evidence: frozenset[int] = frozenset(), failed: tuple[str, ...] = ()) -> str:
    labels = LabelSet(tuple(map(Label, ("cat", "dog", "leash", "bowl"))))
    provenance = {"sources": [{"source": "llm", "failed": dict.fromkeys(failed, "is not answered")}]}
    write_graph(path, CategoryGraph(labels, (Edge(2, 1, "functional", 0.5, "llm"),), provenance, evidence))
    return str(path)


def test_evidence_is_what_nobody_wants() -> None:
    scope = read_scope("Cat, sofa", evidence="cat, leash, bowl")
    assert scope.labels.names == ("Cat", "sofa", "leash", "bowl")
    assert names(scope, scope.targets) == ["Cat", "sofa"]
    assert names(scope, scope.evidence) == ["leash", "bowl"]


def test_evidence_by_the_name_of_a_shipped_graph() -> None:
    scope = read_scope("person, grand piano", evidence="voc-20")
    assert len(scope.labels) == 21  # person is wanted, and one of the 20
    assert len(scope.evidence) == 19
    assert names(scope, scope.targets) == ["person", "grand piano"]


def test_a_file_comes_before_a_shipped_graph_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "voc-20").write_text("leash\n")
    monkeypatch.chdir(tmp_path)
    assert read_scope("cat, dog", evidence="voc-20").labels.names == ("cat", "dog", "leash")


def test_a_label_with_an_id_is_not_evidence_for_itself(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("label,id\nCat,/m/1\n")
    scope = read_scope(tmp_path / "labels.csv", evidence="cat, leash")
    assert scope.labels.names == ("Cat", "leash")


def test_extended_graphs_keep_their_evidence_until_it_is_wanted(tmp_path: Path) -> None:
    base = graph(tmp_path / "g.json", frozenset({2, 3}))
    scope = read_scope("dog, sofa, bowl", extend=base, evidence="rug, cat")
    assert scope.labels.names == ("cat", "dog", "leash", "bowl", "sofa", "rug")
    assert names(scope, scope.evidence) == ["leash", "rug"]
    assert names(scope, scope.targets) == ["bowl", "sofa"]  # bowl was evidence, and was never asked about


@pytest.mark.parametrize(("targets", "left"), [(None, ()), ("dog", ("cat",)), ("dog, cat", ())])
def test_what_failed_is_asked_again(targets: str | None, left: tuple[str, ...], tmp_path: Path) -> None:
    base = graph(tmp_path / "g.json", failed=("cat",))
    scope = read_scope("dog", extend=base, targets=targets)
    assert names(scope, scope.targets) == ([*sorted(targets.split(", "))] if targets else ["cat"])
    assert scope.base is not None
    (source,) = scope.base.provenance["sources"]
    assert tuple(source.get("failed", ())) == left


def test_evidence_cannot_be_a_target() -> None:
    with pytest.raises(InputError, match="cannot be targets") as caught:
        read_scope("cat, dog", evidence="leash", targets="leash, dog")
    assert caught.value.problems == ("'leash' is evidence, and in no list of labels",)


def test_evidence_has_no_annotations(tmp_path: Path) -> None:
    """An unseen label is to keep sources that were trained: evidence is none of them."""
    options = BuildOptions("cat, dog, sofa", tmp_path / "g.json", ("embedding",), evidence="leash", unseen="sofa")
    text = torch.tensor([[1.0, 0.0], [0.9, 0.436], [0.8, 0.6], [0.8, 0.6]])  # leash is as near to sofa as can be
    built = build_graph(replace(options, neighbours=1, least_seen=1), lambda _: (text, "test"), Progress()).graph
    assert {(edge.source, edge.target) for edge in built.edges if edge.target == 2} == {(1, 2)}
    assert built.provenance["unseen"] == 1


def test_evidence_from_the_question_to_the_file(tmp_path: Path) -> None:
    """Offered as sources, asked about never, and told apart by whoever reads the graph."""
    options: dict[str, Any] = {"labels": "a cat, a dog, a sofa", "evidence": "a leash, a bowl", "neighbours": 100}

    def never(_: LabelSet) -> Any:
        raise AssertionError

    out = tmp_path / "g.json"
    with serving() as server:
        service = Service("gpt-4o", server.url, "key", backoff=0.01, tries=1)
        built = build_graph(BuildOptions(out=out, **options), never, Progress(), lambda: service).graph
        (body,) = server.requests
    content = json.loads(body["messages"][1]["content"])
    assert (content["targets"], len(content["candidates"])) == ([0, 1, 2], 5)
    found = {(edge.source, edge.target) for edge in built.edges}
    assert found == {(s["source"], t) for t in range(3) for s in true_sources(t, range(5))}
    again = read_graph(out)
    assert again == built
    assert again.evidence == {3, 4}
    assert again.over(again.labels).evidence == frozenset()
    assert again.fingerprint != again.over(again.labels).fingerprint
    assert [record.get("evidence") for record in json.loads(out.read_text())["labels"]] == [None] * 3 + [True] * 2
    assert again.provenance["coverage"] == summarise(again).coverage == 1.0
    whole = out.read_bytes()
    replay = BuildOptions(out=out, replay=replies_path(out), **options)
    build_graph(replay, never, Progress())
    assert out.read_bytes() == whole


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ('{"label":"cat"},{"label":"dog","evidence":true}', "evidence has no sources"),
        ('{"label":"cat","evidence":1},{"label":"dog"}', "labels[0].evidence: must be true or false, is 1"),
    ],
)
def test_evidence_that_cannot_be_read(labels: str, problem: str, tmp_path: Path) -> None:
    edges = '[[0,1,"is_a",0.5,"llm"]]'
    (tmp_path / "g.json").write_text(
        f'{{"kind":"graph","schema":1,"provenance":{{}},"labels":[{labels}],"edges":{edges}}}'
    )
    with pytest.raises(InputError) as caught:
        read_graph(tmp_path / "g.json")
    assert any(problem in found for found in caught.value.problems)
