from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import HIDDEN, LABELS, SEEN, train_run, whole_graph, write_inputs
from torch import Tensor

from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.backbone.registry import load_backbone
from c2srt_cli.embeddings.text import embed_labels
from c2srt_cli.graph.category_graph import CategoryGraph, Edge
from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.methods.vocabulary import Vocabulary
from c2srt_cli.predict.attach import attach, edges_by_text
from c2srt_cli.progress import Progress
from c2srt_cli.training.run import Run

GRAPHICAL = ("c2srt", "label-propagation")
Embed = Callable[[LabelSet], Tensor]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def runs(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("runs")
    return {method: train_run(inputs, folder / method, method) for method in (*GRAPHICAL, "clip-ft")}


@pytest.fixture(scope="module")
def embed(inputs: Path) -> Embed:
    backbone = load_backbone(f"local-dir:{inputs / 'model'}")
    return lambda labels: embed_labels(backbone, labels, ("a photo of a {}.",), Progress())


def label_set(*names: str) -> LabelSet:
    return LabelSet(tuple(Label(name) for name in names))


@torch.inference_mode()
def scores(run: Run, vocabulary: Vocabulary, columns: np.ndarray) -> Tensor:
    """Of random images, always the same."""
    random = torch.Generator().manual_seed(0)
    whole, patches = torch.randn(3, 32, generator=random), torch.randn(3, 16, 32, generator=random)
    image = ImageEmbedding(whole, patches, ImageEmbedding(whole, patches))
    found: Tensor = run.method().scores(image, vocabulary.of(columns)).ranking
    return found


@pytest.mark.parametrize("method", GRAPHICAL)
def test_labels_hidden_from_the_run_score_as_if_its_graph_had_had_them(
    method: str, runs: dict[str, Run], embed: Embed
) -> None:
    """The vocabulary is built by hand: another order of labels, the three strongest seen sources of each by a loop."""
    run, graph = runs[method], whole_graph()
    wanted = label_set("thing 6", HIDDEN[1], "thing 1", HIDDEN[0])
    attached = attach(run, wanted, embed, graph)
    assert (attached.new, attached.by_text) == (2, 0)
    assert attached.seen.tolist() == [False, False, True, False]

    names = [label.name for label in graph.labels][:-1]
    seen = {f"thing {i}" for i in range(SEEN)}
    text = embed(label_set(*names))
    for i in range(LABELS):
        text[names.index(f"thing {i}")] = run.text[i]
    kept = []
    for target in range(len(names)):
        mine = [edge for edge in graph.edges if edge.target == target and names[edge.source] in seen]
        kept += sorted(mine, key=lambda edge: (-edge.strength, edge.source))[:3]
    by_hand = Vocabulary(
        text,
        CategoryGraph(label_set(*names), tuple(kept)),
        np.array([name in seen for name in names]),
        run.vocabulary().hops,
        run.vocabulary().seen_targets,
    )
    columns = np.array([names.index(label.name) for label in wanted])
    got = scores(run, attached.vocabulary, attached.columns)
    torch.testing.assert_close(got, scores(run, by_hand, columns), rtol=0, atol=1e-6)
    without = attach(run, wanted, embed, CategoryGraph(graph.labels, ()))
    assert (scores(run, without.vocabulary, without.columns) - got)[:, [1, 3]].abs().amax(0).min() > 1e-4
    torch.testing.assert_close(scores(run, without.vocabulary, without.columns)[:, [0, 2]], got[:, [0, 2]])


@pytest.mark.parametrize("method", GRAPHICAL)
def test_the_closure_of_what_is_asked_for_equals_the_whole_graph(
    method: str, runs: dict[str, Run], embed: Embed
) -> None:
    run = runs[method]
    attached = attach(run, label_set("new", HIDDEN[1], "thing 7", "newer", "thing 0"), embed, whole_graph())
    assert (attached.new, attached.by_text) == (3, 2)
    everything = scores(run, attached.vocabulary, np.arange(len(attached.labels)))
    for some in (attached.columns, attached.columns[:1], attached.columns[[3, 1]]):
        got = scores(run, attached.vocabulary, some)
        torch.testing.assert_close(got, everything[:, some], rtol=0, atol=1e-6)
    own = scores(run, run.vocabulary(), np.arange(LABELS))
    torch.testing.assert_close(everything[:, :LABELS], own, rtol=0, atol=1e-6)


def test_the_edges_of_the_run_never_change(runs: dict[str, Run], embed: Embed) -> None:
    run = runs["c2srt"]
    assert run.graph is not None
    attached = attach(run, label_set("THING 3", "new", HIDDEN[0], "Thing 6"), embed, whole_graph())
    assert attached.graph is not None
    assert [edge for edge in attached.graph.edges if edge.target < LABELS] == list(run.graph.edges)
    added = [edge for edge in attached.graph.edges if edge.target >= LABELS]
    assert {edge.source for edge in added} <= set(range(SEEN))
    assert {(edge.target, edge.relation, edge.origin) for edge in added if edge.target == LABELS} == {
        (LABELS, "similar", "attached")
    }
    assert {edge.origin for edge in added if edge.target > LABELS} == {"llm"}
    assert torch.equal(attached.vocabulary.text[:LABELS], run.text)


def test_an_equal_key_is_that_label(runs: dict[str, Run]) -> None:
    """Nothing is embedded, nothing attached; seen or not is as the run says."""
    run = runs["c2srt"]
    wanted = LabelSet((Label("THING 7", synonyms=("another",)), Label("Thing 2")))
    attached = attach(run, wanted, lambda _: pytest.fail("embedded"))
    assert attached.columns.tolist() == [7, 2]
    assert attached.seen.tolist() == [False, True]
    assert attached.graph == run.graph
    assert (attached.new, attached.by_text) == (0, 0)


def test_a_run_without_a_graph_needs_texts_only(runs: dict[str, Run], embed: Embed) -> None:
    attached = attach(runs["clip-ft"], label_set("new", "thing 1"), embed)
    assert attached.graph is None
    labels = attached.vocabulary.of(attached.columns)
    assert labels.layers == ()
    torch.testing.assert_close(labels.text, torch.cat([embed(label_set("new")), runs["clip-ft"].text[1:2]]))


def test_labels_with_ids() -> None:
    ours = LabelSet((Label("Cat", id="/m/1"), Label("Crane", id="/m/2"), Label("Crane", id="/m/3"), Label("dog")))
    asked = [Label("cat"), Label("crane"), Label("Crane", id="/m/3"), Label("Cat", id="/m/9"), Label("DOG"), Label("x")]
    # a name that two labels have names neither, an id that none has is another label
    assert ours.match(LabelSet(tuple(asked))) == [0, -1, 2, -1, 3, -1]
    assert ours.match(LabelSet((Label("cat"), Label("tom", id="/m/1")))) == [-1, 0]
    # an id that only one side gives does not part a label from its name, unless several have the name
    named = LabelSet((Label("Cat"), Label("crane"), Label("dog", id="/m/4")))
    assert named.match(ours) == [0, -1, -1, 2]


def test_strengths_are_mapped_by_quantiles() -> None:
    random = torch.Generator().manual_seed(0)
    text = torch.nn.functional.normalize(torch.randn(9, 5, generator=random), dim=-1)
    seen, strengths, k = np.array([0, 2, 3, 5, 6, 8]), np.array([0.2, 0.3, 0.5, 0.6, 0.9]), 2
    edges = edges_by_text(text, [1, 7], seen, strengths, k)
    usual = []
    for i in seen:
        cosines = sorted((float(text[i].double() @ text[j].double()) for j in seen if j != i), reverse=True)
        usual += cosines[:k]
    for target in (1, 7):
        cosine = {int(j): float(text[target].double() @ text[j].double()) for j in seen}
        best = sorted(cosine, key=lambda j: -cosine[j])[:k]
        mine = [edge for edge in edges if edge.target == target]
        assert [edge.source for edge in mine] == best
        for edge in mine:
            share = sum(value <= cosine[edge.source] for value in usual) / len(usual)
            place = share * 4  # between which of the five strengths
            low = min(int(place), 3)
            between = strengths[low] + (place - low) * (strengths[low + 1] - strengths[low])
            assert edge.strength == pytest.approx(between, abs=1e-12)
    assert edges_by_text(text, [1], seen, strengths, k) == [edge for edge in edges if edge.target == 1]


def test_one_seen_label_is_enough_and_none_is_no_source() -> None:
    text = torch.eye(3)
    assert edges_by_text(text, [2], np.array([0]), np.array([0.4]), 5) == [Edge(0, 2, "similar", 0.4, "attached")]
    assert edges_by_text(text, [2], np.array([], dtype=np.int64), np.array([0.4]), 5) == []


def test_a_run_whose_graph_is_empty(runs: dict[str, Run], embed: Embed) -> None:
    run = runs["label-propagation"]
    assert run.graph is not None
    bare = replace(run, graph=CategoryGraph(run.labels, ()))
    attached = attach(bare, label_set("new"), embed)
    assert attached.graph is not None
    assert [edge.strength for edge in attached.graph.edges] == [1.0] * 3


@pytest.mark.parametrize("method", GRAPHICAL)
def test_labels_of_the_graph_are_found_by_name_where_the_run_has_ids(
    method: str, runs: dict[str, Run], embed: Embed
) -> None:
    run = runs[method]
    named = LabelSet(tuple(Label(label.name.upper(), id=f"/m/{i}") for i, label in enumerate(run.labels)))
    assert run.graph is not None
    with_ids = replace(run, labels=named, graph=replace(run.graph, labels=named))
    wanted = label_set(HIDDEN[1], HIDDEN[0])
    plain, by_name = (attach(one, wanted, embed, whole_graph()) for one in (run, with_ids))
    assert (by_name.new, by_name.by_text) == (2, 0)
    assert by_name.graph is not None
    assert plain.graph is not None
    assert by_name.graph.edges == plain.graph.edges
