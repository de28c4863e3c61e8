import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from c2srt_cli.graph.category_graph import RELATIONS
from c2srt_cli.methods.ist import Neighbours
from c2srt_cli.methods.options import Parts
from c2srt_cli.methods.recogniser import Explained, Recogniser

IMAGES, LABELS, PATCHES, DIM, SCALE = 3, 6, 16, 12, 30.0
EDGE = len(RELATIONS) + 1
#: Sources above targets; label 5 hears nobody.
INDEX = torch.tensor([[1, 2, 4, 0, 3, 0, 5], [0, 0, 1, 2, 2, 3, 4]])
ASKED = torch.tensor([2, 0, 5])


def graph() -> Neighbours:
    attr = torch.zeros(INDEX.shape[1], EDGE)
    attr[torch.arange(len(attr)), torch.arange(len(attr)) % 6] = 1.0
    attr[:, -1] = torch.linspace(0.2, 0.9, len(attr))
    return Neighbours.from_graph(INDEX, attr, LABELS)


def recogniser(parts: Parts) -> Recogniser:
    torch.manual_seed(0)
    made = Recogniser(parts, DIM, SCALE, EDGE).eval()
    for name, parameter in made.named_parameters():
        if "norm" not in name and name not in {"gain", "center"}:
            torch.nn.init.normal_(parameter, std=0.4)
    return made


def embeddings() -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    text = normalize(torch.randn(LABELS, DIM, generator=random), dim=-1)
    return torch.randn(IMAGES, DIM, generator=random), torch.randn(IMAGES, PATCHES, DIM, generator=random), text


@torch.inference_mode()
def explained(parts: Parts) -> tuple[Recogniser, Explained, tuple[Neighbours, ...], Tensor]:
    """Three labels of a graph of six, the ids of all that took part."""
    one, (whole, patches, text) = recogniser(parts), embeddings()
    nodes, layers = graph().closure(ASKED, parts.hops) if parts.hops else (ASKED, ())
    found = one.explain(whole, patches, text[nodes], layers)
    torch.testing.assert_close(found.scores, one(whole, patches, text[nodes], layers), rtol=0, atol=0)
    return one, found, layers, nodes


@pytest.mark.parametrize("transfer", ["none", "scores", "ist"])
def test_the_share_is_that_of_the_fewest_patches_that_hold_the_mass(transfer: str) -> None:
    alpha = 0.7
    _, found, _, _ = explained(Parts(transfer=transfer, alpha=alpha, cap=196))  # type: ignore[arg-type]
    _, patches, text = embeddings()
    assert found.share is not None
    assert found.share.shape == (IMAGES, len(ASKED))
    for i in range(IMAGES):
        for j, label in enumerate(ASKED.tolist()):
            cosines = [float(text[label] @ patch / patch.norm()) for patch in patches[i]]
            weights = sorted((math.exp(SCALE * cosine) for cosine in cosines), reverse=True)
            count, mass = 0, 0.0
            while mass < alpha * sum(weights):
                mass += weights[count]
                count += 1
            assert float(found.share[i, j]) == pytest.approx(count / PATCHES)


@pytest.mark.parametrize(("local", "share"), [("topk", 3 / 16), ("max", 1 / 16), ("mean", None), ("none", None)])
def test_the_share_of_other_poolings(local: str, share: float | None) -> None:
    _, found, _, _ = explained(Parts(transfer="none", local=local, cap=32))  # type: ignore[arg-type]
    assert (found.own, found.attention) == (None, None)
    if share is None:
        assert found.share is None
    else:
        assert found.share is not None
        assert torch.equal(found.share, torch.full((IMAGES, 3), share))


def test_what_scores_add_is_the_score_minus_its_own() -> None:
    one, found, (rows,), nodes = explained(Parts(transfer="scores", gain=0.8))
    assert found.own is not None
    assert found.attention is not None
    whole, patches, text = embeddings()
    alone = recogniser(Parts(transfer="none"))
    with torch.inference_mode():
        torch.testing.assert_close(found.own, alone(whole, patches, text)[:, nodes])
    for i in range(IMAGES):
        for j, label in enumerate(ASKED.tolist()):
            heard = {
                int(nodes[rows.index[j, place]]): float(found.attention[i, j, place])
                for place in range(1, rows.index.shape[1])
                if rows.mask[j, place]
            }
            assert heard.keys() == {int(s) for s, t in INDEX.T if t == label}
            added = sum(0.8 * weight * float(found.own[i, nodes.tolist().index(s)]) for s, weight in heard.items())
            assert added == pytest.approx(float(found.scores[i, j] - found.own[i, j]), abs=1e-6)
    assert one.gain is not None


def test_attention_of_ist_is_the_mean_over_heads_of_its_last_layer() -> None:
    one, found, layers, nodes = explained(Parts(transfer="ist", heads=3))
    whole, patches, text = embeddings()
    assert one.ist is not None
    assert found.own is None
    with torch.inference_mode():
        features, _ = one.features(whole, patches, text)
        _, attention = one.ist(features, text, graph())  # over the whole graph
    assert found.attention is not None
    full = graph()
    for j, label in enumerate(ASKED.tolist()):
        there = {int(full.index[label, p]): attention[-1][:, label, p] for p in full.mask[label].nonzero()[:, 0]}
        here = layers[-1].mask[j].nonzero()[:, 0].tolist()
        assert {int(nodes[layers[-1].index[j, p]]) for p in here} == there.keys()
        for place in here:
            wanted = there[int(nodes[layers[-1].index[j, place]])].sum(-1) / 3
            torch.testing.assert_close(found.attention[:, j, place], wanted)
        torch.testing.assert_close(found.attention[:, j, here].sum(-1), torch.ones(IMAGES))


def test_mkt_chooses_by_dot_products() -> None:
    parts = Parts(local="topk", cap=32, transfer="none", score="mkt")
    one, found, _, _ = explained(parts)
    whole, patches, text = embeddings()
    assert found.share is not None
    assert torch.equal(found.share, torch.full((IMAGES, 3), 3 / 16))
    for i in range(IMAGES):
        local = torch.stack([(text[ASKED] @ patch) for patch in patches[i]], 1)  # (T, P)
        torch.testing.assert_close(one.similarity(patches[i], text[ASKED]), local)
        best = torch.stack([row.sort().values[-3:].sum() / 3 for row in local])
        globally = text[ASKED] @ whole[i]
        wanted = (best / best.square().sum().sqrt() + globally / globally.square().sum().sqrt()) / 2
        torch.testing.assert_close(found.scores[i], wanted)
