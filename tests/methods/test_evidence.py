"""IST of evidence against loops and PyTorch Geometric's attention; episodes against labels that are truly unseen."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from tiny import bare
from torch import Tensor
from torch.nn.functional import gelu, normalize

from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.graph.category_graph import RELATIONS, CategoryGraph, Edge
from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.methods.fusion import fused_features
from c2srt_cli.methods.losses import ranking_loss, ranking_loss_over_images
from c2srt_cli.methods.scores import Scores
from c2srt_cli.methods.vocabulary import Labels, Vocabulary

with warnings.catch_warnings():  # it deprecates its own parts
    warnings.simplefilter("ignore")
    from torch_geometric.nn import GATv2Conv

DIM, SEEN, COUNT = 16, 5, 7
EDGES = (
    Edge(0, 5, "functional", 0.5, "llm"),
    Edge(1, 5, "part_whole", 0.25, "llm"),
    Edge(2, 6, "is_a", 1.0, "llm"),
    Edge(3, 1, "co_occurrence", 0.75, "llm"),
    Edge(0, 1, "synonym", 0.5, "llm"),
    Edge(1, 4, "functional", 0.4, "llm"),
    Edge(4, 0, "functional", 0.8, "llm"),
)


def vocabulary(hops: int = 1) -> Vocabulary:
    torch.manual_seed(3)
    labels = LabelSet(tuple(Label(f"thing {i}") for i in range(COUNT)))
    text = normalize(torch.randn(COUNT, DIM), dim=-1)
    return Vocabulary(text, CategoryGraph(labels, EDGES), np.arange(COUNT) < SEEN, hops, seen_targets=True)


def images(seed: int) -> ImageEmbedding:
    torch.manual_seed(seed)
    frozen = ImageEmbedding(torch.randn(3, DIM), torch.randn(3, 9, DIM))
    return ImageEmbedding(torch.randn(3, DIM), torch.randn(3, 9, DIM), frozen)


def method(**given: Any) -> Any:
    torch.manual_seed(1)
    return bare("c2srt", DIM, 100.0, **given)


def moved_off(model: Any) -> Any:
    """Not at its start, where all attention is equal."""
    torch.manual_seed(2)
    for parameter in model.ist.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model


def features_of(image: ImageEmbedding, text: Tensor) -> Tensor:
    """Of norm 1; three quarters the frozen backbone's for unseen labels."""
    model = method()
    assert image.frozen is not None
    own, before = (
        normalize(fused_features(one, text, model.pooling, model.weigh)[0], dim=-1) for one in (image, image.frozen)
    )
    own[:, SEEN:] = 0.25 * own[:, SEEN:] + 0.75 * before[:, SEEN:]
    return own


def own_scores(image: ImageEmbedding, text: Tensor) -> Tensor:
    """What an image alone says, as label propagation has it."""
    found: Tensor = bare("label-propagation", DIM, 100.0).base_scores(image, text)[0]
    return found


@pytest.mark.parametrize("every", [True, False], ids=["all labels", "some"])
def test_step_0_is_propagation_of_scores(every: bool) -> None:
    given, image = vocabulary(), images(0)
    asked = np.arange(COUNT) if every else np.array([6, 1, 5])
    got = method(gain=0.7, seen_gain=0.2).scores(image, given.of(asked))
    assert image.frozen is not None
    own = own_scores(image, given.text)
    own[:, SEEN:] = 0.25 * own[:, SEEN:] + 0.75 * own_scores(image.frozen, given.text)[:, SEEN:]
    wanted = own.clone()
    for edge in EDGES:
        wanted[:, edge.target] += (0.7 if edge.target >= SEEN else 0.2) * edge.strength * own[:, edge.source]
    torch.testing.assert_close(got.ranking, wanted[:, asked])
    torch.testing.assert_close(got.contribution.sum(2), (wanted - own)[:, asked])


def test_attention_is_that_of_pytorch_geometric() -> None:
    model, given, image = moved_off(method(heads=2, width=4, gain=0.6, seen_gain=0.3)), vocabulary(), images(1)
    got = model.scores(image, given.of(np.arange(COUNT)))
    ist, text = model.ist, given.text
    peer = GATv2Conv(DIM, 4, heads=2, edge_dim=len(RELATIONS) + 1, add_self_loops=False)
    own = {"lin_l": ist.source[0], "lin_r": ist.target[0], "lin_edge": ist.edge[0]}
    state = {f"{name}.{part}": value for name, one in own.items() for part, value in one.state_dict().items()}
    peer.load_state_dict(state | {"att": ist.att[:1], "bias": torch.zeros(8)})
    features = features_of(image, text)
    assert given.graph is not None
    data, edges = given.graph.data(), {(edge.source, edge.target): edge for edge in EDGES}
    for b, h in enumerate(features):
        node = h + ist.out(gelu(ist.mix(torch.cat([h, text], 1))))
        _, (index, weights) = peer(node, data.edge_index, data.edge_attr, return_attention_weights=True)
        wanted = (h * text).sum(1)
        scores = wanted.clone()
        for ends, share in zip(index.T.tolist(), weights.mean(1), strict=True):
            edge = edges[tuple(ends)]
            gate = (0.6 if edge.target >= SEEN else 0.3) * ist.gate[RELATIONS.index(edge.relation)]
            degree = sum(other.target == edge.target for other in EDGES)
            wanted[edge.target] += gate * edge.strength * degree * share * (scores[edge.source] - ist.center)
        torch.testing.assert_close(got.ranking[b], wanted, atol=1e-5, rtol=1e-5)


def test_a_feature_as_evidence_is_read_by_the_targets_text() -> None:
    model, given, image = method(message="features", gain=0.5, seen_gain=0.0), vocabulary(), images(2)
    labels = given.of(np.arange(COUNT))
    features = features_of(image, given.text)
    got = model.scores(image, labels).ranking
    wanted = (features * given.text).sum(-1)
    for edge in EDGES:
        if edge.target >= SEEN:
            wanted[:, edge.target] += 0.5 * edge.strength * features[:, edge.source] @ given.text[edge.target]
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("hops", [1, 2])
@pytest.mark.parametrize("attention", [True, False])
def test_some_labels_are_scored_as_among_all(hops: int, attention: bool) -> None:
    model, given, image = moved_off(method(layers=hops, attention=attention)), vocabulary(hops), images(3)
    whole = model.scores(image, given.of(np.arange(COUNT)))
    part = model.scores(image, given.of(np.array([5, 2, 0])))
    torch.testing.assert_close(part.ranking, whole.ranking[:, [5, 2, 0]], atol=1e-5, rtol=1e-5)
    assert bool(((whole.attention - 1).abs() * whole.attention > 1e-3).any()) == attention


def playing(model: Any, labels: Labels, seed: int = 0) -> Labels:
    found: Labels = model.episode(labels, np.random.default_rng(seed))
    return found


def test_who_plays_unseen_is_scored_as_if_it_were() -> None:
    """Its own trained feature counts for nothing, neither for itself nor for whom it is a source of."""
    model, given = moved_off(method(share=0.5, edge_dropout=0.0)).train(), vocabulary()
    labels = playing(model, given.of(np.arange(SEEN)), 1)
    drawn = labels.unseen.nonzero()[:, 0].tolist()
    assert 0 < len(drawn) < SEEN
    got = model.scores(images(4), labels, torch.ones(3, SEEN))
    assert got.playing.nonzero()[:, 0].tolist() == drawn
    truly = given.without(np.array(drawn)).of(np.arange(SEEN))
    whole = method(share=0.5, edge_dropout=0.0, zero_shot_weight=1.0)
    whole.load_state_dict(model.state_dict())
    wanted = whole.eval().scores(images(4), truly)
    torch.testing.assert_close(got.ranking[:, drawn], wanted.ranking[:, drawn])
    assert (wanted.contribution[:, drawn].abs().sum((0, 2)) > 0).any()
    torch.testing.assert_close(got.own, own_scores(images(4), given.text[:SEEN]))


def test_seen_labels_stand_in_for_an_unseen_one_each_by_itself() -> None:
    model, given, image = method(seen_gain=0.3, zero_shot_weight=1.0), vocabulary(), images(11)
    (gain,) = model.fitted
    assert {"ist.gain"} == model.learned().keys() - method(gain=0.6).learned().keys()
    assert not method(gain=0.6).fitted
    assert not method(layers=2).fitted
    moved_off(model)
    gain.data.fill_(0.4)
    own, added = model.eval().as_unseen(image, given.of(np.arange(SEEN)))
    for label in range(SEEN):
        alone = given.without(np.array([label])).of(np.array([label]))
        wanted = model.scores(image, alone)
        torch.testing.assert_close(own[:, label], wanted.base[:, 0])
        torch.testing.assert_close(own[:, label] + 0.4 * added[:, label], wanted.ranking[:, 0])
    assert (added != 0).any(0).tolist() == [any(e.target == i and e.source < SEEN for e in EDGES) for i in range(SEEN)]


@pytest.mark.parametrize("hops", [1, 2])
def test_only_who_plays_hears_and_what_nobody_needs_is_left_out(hops: int) -> None:
    given, plays = vocabulary(hops), torch.tensor([True, False, False, True, False])
    labels = given.of(np.arange(2)).playing(plays[given.of(np.arange(2)).nodes])
    # 0 plays and hears 4, which is heard by nobody else; 3 plays, and is no source of 1
    assert labels.nodes.tolist() == [0, 1, 4]
    assert labels.layers[-1].edge_index.T.tolist() == [[0, 0], [2, 0], [1, 1]]
    model = moved_off(method(layers=hops)).eval()
    image = images(9)
    got = model.scores(image, labels).ranking[:, 0]
    whole = given.of(np.arange(COUNT))
    wanted = model.scores(image, whole.playing(plays.new_tensor([1, 0, 0, 1, 0, 0, 0]).bool())).ranking[:, 0]
    torch.testing.assert_close(got, wanted)


def test_a_share_of_the_labels_plays_and_held_out_ones_never_do() -> None:
    model, text = method(share=0.25, held_out=0.2).train(), normalize(torch.randn(400, DIM), dim=-1)
    labels = Vocabulary(text, None, np.arange(400) < 300).of(np.arange(400))
    held = model.held_out(np.arange(300))
    assert 0.1 < len(held) / 300 < 0.3
    assert set(held) >= set(model.held_out(np.arange(100, 200)))
    drawn = torch.stack([playing(model, labels, seed).unseen for seed in range(40)])[:, :300]
    assert drawn[:, held].sum() == 0
    free = np.setdiff1d(np.arange(300), held)
    assert drawn[:, free].float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert (drawn[:, free].float().mean(0) > 0).all()
    assert torch.equal(playing(model, labels, 7).unseen, playing(model, labels, 7).unseen)
    off = method(share=0.0).train()
    assert playing(off, labels) is labels
    assert not off.reads_frozen(labels)


def test_the_loss_is_of_what_labels_say_themselves_and_of_who_plays() -> None:
    model, image = method(**{"episodes.weight": 0.5}).train(), images(5)
    torch.manual_seed(6)
    own, ranking, truth = torch.randn(3, SEEN, requires_grad=True), torch.randn(3, SEEN), torch.randn(3, SEEN).sign()
    chosen = torch.tensor([True, False, True, True, False])
    target = torch.randn(3, DIM)
    found = model.losses(Scores(ranking, ranking, playing=chosen, own=own), truth, image, target)
    plain = model.losses(Scores(own, own), truth, image, target)
    assert plain.items() <= found.items()
    hidden, known = 10 * ranking[:, chosen], truth[:, chosen]
    wanted = 0.5 * (ranking_loss(hidden, known) + ranking_loss_over_images(hidden, known))
    rest = torch.stack([found[name] for name in found.keys() - plain.keys()]).sum()
    torch.testing.assert_close(rest, wanted)
    assert not rest.requires_grad  # the factor of scores learns from what labels say themselves
    none = model.losses(Scores(ranking, ranking, playing=chosen & False, own=own), truth, image, target)
    assert none.keys() == plain.keys()


@pytest.mark.parametrize("gate", [True, False])
def test_gates_learn_unless_they_shall_not(gate: bool) -> None:
    model, labels = method(gate=gate, edge_dropout=0.0).train(), vocabulary().of(np.arange(COUNT))
    model.scores(images(6), labels, torch.ones(3, COUNT)).ranking.square().sum().backward()
    assert (model.ist.gate.grad is not None) == gate
    assert model.ist.att.grad.abs().sum() > 0
    assert not any("value" in name for name in model.state_dict())


def test_edges_drop_out_in_training_alone() -> None:
    model, labels, image = method(edge_dropout=0.9, share=0.0), vocabulary().of(np.arange(COUNT)), images(7)
    whole = (model.scores(image, labels).attention > 0).sum().item()
    torch.manual_seed(8)
    model.train()
    kept = [(model.scores(image, labels).attention > 0).sum().item() for _ in range(60)]
    assert whole == 3 * len(EDGES)
    assert np.mean(kept) / whole == pytest.approx(0.1, abs=0.05)
