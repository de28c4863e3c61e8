import math
from typing import Any

import pytest
import torch
from tiny import bare, neighbours
from torch import Tensor
from torch.nn.functional import normalize

from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.graph.category_graph import RELATIONS
from c2srt_cli.methods.fusion import fused_features
from c2srt_cli.methods.kcot import transport
from c2srt_cli.methods.neighbours import Neighbours
from c2srt_cli.methods.scores import Scores
from c2srt_cli.methods.vocabulary import Labels

IMAGES, LABELS, PATCHES, DIM, SCALE = 3, 6, 16, 12, 30.0
EDGE = len(RELATIONS) + 1
#: Sources above targets; label 5 hears nobody.
INDEX = torch.tensor([[1, 2, 4, 0, 3, 0, 5], [0, 0, 1, 2, 2, 3, 4]])
ASKED = torch.tensor([2, 0, 5])


def graph() -> Neighbours:
    attr = torch.zeros(INDEX.shape[1], EDGE)
    attr[torch.arange(len(attr)), torch.arange(len(attr)) % 6] = 1.0
    attr[:, -1] = torch.linspace(0.2, 0.9, len(attr))
    return neighbours(INDEX, attr, LABELS)


def randomised(method: str, **given: Any) -> Any:
    torch.manual_seed(0)
    made = bare(method, DIM, SCALE, **given)
    for name, parameter in made.named_parameters():
        if "norm" not in name and name.split(".")[-1] not in {"gain", "center"}:
            torch.nn.init.normal_(parameter, std=0.4)
    return made


def embeddings() -> tuple[ImageEmbedding, Tensor]:
    random = torch.Generator().manual_seed(1)
    text = normalize(torch.randn(LABELS, DIM, generator=random), dim=-1)
    whole = torch.randn(IMAGES, DIM, generator=random)
    return ImageEmbedding(whole, torch.randn(IMAGES, PATCHES, DIM, generator=random)), text


def labels(nodes: Tensor, layers: tuple[Neighbours, ...] = (), asked: int | None = None) -> Labels:
    _, text = embeddings()
    unseen = torch.ones(len(nodes), dtype=torch.bool)
    return Labels(text[nodes], text[nodes], layers, nodes, unseen, len(nodes) if asked is None else asked)


@torch.inference_mode()
def explained(method: str, **given: Any) -> tuple[Any, Scores, tuple[Neighbours, ...], Tensor]:
    """Three labels of a graph of six, the ids of all that took part."""
    one, (image, _) = randomised(method, **given), embeddings()
    hops = one.hops(one.options)
    nodes, layers = graph().closure(ASKED, hops) if hops else (ASKED, ())
    return one, one.scores(image, labels(nodes, layers, len(ASKED))), layers, nodes


@pytest.mark.parametrize("method", ["zero-shot", "label-propagation", "c2srt"])
def test_the_share_is_that_of_the_fewest_patches_that_hold_the_mass(method: str) -> None:
    alpha = 0.7
    _, found, _, _ = explained(method, alpha=alpha, max_patches=196)
    image, text = embeddings()
    patches = image.patches
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


@pytest.mark.parametrize(("kind", "share"), [("topk", 3 / 16), ("max", 1 / 16), ("mean", None), ("none", None)])
@pytest.mark.parametrize("method", ["zero-shot", "label-propagation"])
def test_the_share_of_other_poolings(method: str, kind: str, share: float | None) -> None:
    _, found, _, _ = explained(method, patches={"kind": kind, **({"k": 32} if kind == "topk" else {})})
    assert (found.base is None) == (found.attention is None) == (method == "zero-shot")
    if share is None:
        assert found.share is None
    else:
        assert found.share is not None
        assert torch.equal(found.share, torch.full((IMAGES, 3), share))


def test_what_scores_add_is_the_score_minus_its_own() -> None:
    one, found, (rows,), nodes = explained("label-propagation", gain=0.8)
    assert found.base is not None
    assert found.attention is not None
    assert found.contribution is not None
    with torch.inference_mode():
        alone = bare("zero-shot", DIM, SCALE).scores(embeddings()[0], labels(torch.arange(LABELS)))
    torch.testing.assert_close(found.base, alone.ranking[:, nodes])
    for i in range(IMAGES):
        for j, label in enumerate(ASKED.tolist()):
            heard = {
                int(nodes[rows.index[j, place]]): float(found.attention[i, j, place])
                for place in range(1, rows.index.shape[1])
                if rows.mask[j, place]
            }
            assert heard.keys() == {int(s) for s, t in INDEX.T if t == label}
            added = sum(0.8 * weight * float(found.base[i, nodes.tolist().index(s)]) for s, weight in heard.items())
            assert added == pytest.approx(float(found.ranking[i, j] - found.base[i, j]), abs=1e-6)
            assert added == pytest.approx(float(found.contribution[i, j].sum()), abs=1e-6)
    assert float(one.propagation.gain) == pytest.approx(0.8)


def test_attention_of_ist_is_the_mean_over_heads_of_its_last_layer() -> None:
    one, found, layers, nodes = explained("c2srt", ist={"kind": "values", "heads": 3})
    image, text = embeddings()
    assert found.base is None
    with torch.inference_mode():
        features, _ = fused_features(image, text, one.pooling, one.weigh)
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
    one, found, _, _ = explained("mkt", k=32)
    image, text = embeddings()
    whole, patches = image.global_, image.patches
    assert found.share is not None
    assert torch.equal(found.share, torch.full((IMAGES, 3), 3 / 16))
    for i in range(IMAGES):
        local = torch.stack([(text[ASKED] @ patch) for patch in patches[i]], 1)  # (T, P)
        torch.testing.assert_close(one.similarity(patches[i], text[ASKED]), local)
        best = torch.stack([row.sort().values[-3:].sum() / 3 for row in local])
        globally = text[ASKED] @ whole[i]
        wanted = (best / best.square().sum().sqrt() + globally / globally.square().sum().sqrt()) / 2
        torch.testing.assert_close(found.ranking[i], wanted)


def test_kcot_lists_the_patches_that_its_plan_weighs_most() -> None:
    """By cosine they would be others."""
    one, _, _, _ = explained("ram")
    image, text = embeddings()
    weights, likeness = one.patch_weights(image.patches[0], labels(torch.arange(LABELS)), ASKED)
    cosines = normalize(image.patches[0], dim=-1) @ text.T  # (P, C)
    plan = transport(cosines[None], SCALE).plan[0]
    torch.testing.assert_close(weights, (plan.T * LABELS)[ASKED])
    torch.testing.assert_close(likeness, cosines.T[ASKED])
    assert (weights.argsort(1) != likeness.argsort(1)).any()
