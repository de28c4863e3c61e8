"""Zero-shot scores with a graph, against plain loops."""

from typing import Any

import numpy as np
import pytest
import torch
from tiny import bare
from torch.nn.functional import normalize

from c2srt_cli.backbone.embedding import ImageEmbedding
from c2srt_cli.graph.category_graph import CategoryGraph, Edge
from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.methods.scores import Scores
from c2srt_cli.methods.vocabulary import Vocabulary

DIM, SCALE, GAIN, SURE = 16, 20.0, 0.3, 1.2
EDGES = ((1, 0, 0.8), (2, 0, 0.5), (0, 1, 0.3), (4, 2, 0.9))
NAMES = ("a", "b", "c", "alone", "evidence")


def scene(count: int = 3, **given: Any) -> tuple[Any, ImageEmbedding, Vocabulary]:
    torch.manual_seed(0)
    model = bare("zero-shot", DIM, SCALE, **{"propagation.gain": GAIN, "sure": SURE, **given})
    image = ImageEmbedding(torch.randn(count, DIM), torch.randn(count, 9, DIM))
    edges = tuple(Edge(s, t, "co_occurrence", strength, "llm") for s, t, strength in EDGES)
    graph = CategoryGraph(LabelSet(tuple(Label(name) for name in NAMES)), edges)
    text, background = (normalize(torch.randn(n, DIM), dim=-1) for n in (5, 7))
    return model, image, Vocabulary(text, graph, np.ones(5, bool), 1, seen_targets=True, background=background)


def by_hand(own: np.ndarray, background: np.ndarray, asked: list[int]) -> dict[str, np.ndarray]:
    """Raised, standardised and even scores, and the base score standardised."""
    out = {name: np.zeros((len(own), len(asked))) for name in ("raised", "ranked", "even", "base")}
    for image, row in enumerate(own):
        mean, sd = background[image].mean(), background[image].std(ddof=1)
        usual = np.mean([max(value - mean, 0.0) for value in background[image]])
        for place, label in enumerate(asked):
            heard = [(strength, max(row[s] - mean, 0.0)) for s, t, strength in EDGES if t == label]
            doubt = max(1 - max(row[label] - mean, 0.0) / (SURE * sd), 0.0)
            raised = row[label] + GAIN * doubt * sum(strength * said for strength, said in heard)
            weight = GAIN * doubt * sum(strength for strength, _ in heard)
            out["raised"][image, place] = raised
            out["ranked"][image, place] = (raised - mean) / sd
            out["base"][image, place] = (row[label] - mean) / sd
            out["even"][image, place] = mean + (raised - weight * usual - mean) / np.sqrt(1 + weight)
    return out


def test_a_graph_raises_scores_by_evidence_above_the_background() -> None:
    model, image, vocabulary = scene()
    asked = [3, 0, 2, 1]
    found = model.scores(image, vocabulary.of(np.array(asked)))
    own, background = (
        model.base_scores(image, text)[0].double().numpy() for text in (vocabulary.text, vocabulary.background)
    )
    wanted = by_hand(own, background, asked)
    np.testing.assert_allclose(found.ranking, wanted["raised"], atol=1e-6)
    np.testing.assert_allclose(found.relative, wanted["raised"], atol=1e-6)
    np.testing.assert_allclose(found.logit, wanted["even"], atol=1e-6)
    np.testing.assert_allclose(found.standard, wanted["base"], atol=1e-5)
    above = (own[:, :3] - background.mean(1, keepdims=True)) / background.std(1, ddof=1, keepdims=True)
    assert (above > SURE).any()
    assert ((above > 0) & (above < SURE)).any()
    assert (own[:, [1, 2]] < background.mean(1, keepdims=True)).any()  # a source that is not seen says nothing
    assert torch.equal(found.ranking[:, 0], found.base[:, 0])  # nobody speaks: to the bit
    assert torch.equal(found.logit[:, 0], found.base[:, 0])


def test_standardised_scores() -> None:
    model, image, vocabulary = scene(standardise=True)
    asked = [0, 1, 2, 3]
    found = model.scores(image, vocabulary.of(np.array(asked)))
    own, background = (
        model.base_scores(image, text)[0].double().numpy() for text in (vocabulary.text, vocabulary.background)
    )
    wanted = by_hand(own, background, asked)
    np.testing.assert_allclose(found.ranking, wanted["ranked"], atol=1e-5)
    np.testing.assert_allclose(found.relative, wanted["raised"], atol=1e-6)
    np.testing.assert_allclose(found.base[:, :4], wanted["base"], atol=1e-5)
    np.testing.assert_allclose(found.base[:, :4] + found.contribution.sum(2), found.ranking, atol=1e-5)


@pytest.mark.parametrize("patches", ["isr", "topk", "max", "mean", "none"])
@pytest.mark.parametrize("standardise", [False, True])
def test_no_verdict_depends_on_the_other_labels(patches: str, standardise: bool) -> None:
    model, image, vocabulary = scene(patches=patches, standardise=standardise)
    whole: Scores = model.scores(image, vocabulary.of(np.arange(5)))
    for asked in ([0], [1, 2], [3]):
        some: Scores = model.scores(image, vocabulary.of(np.array(asked)))
        for name in ("ranking", "logit", "relative"):
            torch.testing.assert_close(getattr(some, name), getattr(whole, name)[:, asked], msg=name)


def test_a_gain_of_zero_is_zero_shot() -> None:
    model, image, vocabulary = scene(3, **{"propagation.gain": 0.0})
    found = model.scores(image, vocabulary.of(np.arange(5)))
    plain = model.base_scores(image, vocabulary.text)[0]
    for scores in (found.ranking, found.logit, found.relative):
        torch.testing.assert_close(scores, plain)
