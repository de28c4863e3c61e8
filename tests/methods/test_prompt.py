"""A prompt that has learned nothing embeds as the text tower does; what learns is its context alone."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import write_tiny_model
from torch.nn.functional import normalize

from c2srt_cli.backbone.registry import Backbone, load_backbone
from c2srt_cli.embeddings.text import embed_labels
from c2srt_cli.errors import UsageError
from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.methods import prompt
from c2srt_cli.methods.prompt import PromptLearner, Prompts, TextTokens
from c2srt_cli.progress import Progress

MKT = "There is a {} in the scene"
LABELS = LabelSet(
    (
        Label("cat"),
        Label("traffic light", synonyms=("stop light", "a signal in the scene")),
        Label("vehicle|fire engine"),
        Label("St. Bernard's"),
        Label("there is a dog in the scene"),
        Label("Zürich, 東京 & 👍"),
        Label("very long " * 60),
    )
)
TOWERS: dict[str, dict[str, Any]] = {
    "CLIP": {"quick_gelu": True},
    "TextTransformer": {"custom_text": True, "text_cfg": {"proj_bias": True}},
    "eos": {"custom_text": True, "text_cfg": {"pool_type": "eos", "eos_id": 49407}},
}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return load_backbone(write_tiny_model(tmp_path_factory.mktemp("model")))


def prompted(backbone: Backbone, template: str = MKT) -> PromptLearner:
    backbone.text.prompt = learner = PromptLearner.of(backbone, template)
    backbone.model.requires_grad_(False)
    return learner


@pytest.fixture(scope="module", params=[*TOWERS, "mini"])
def tower(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    if request.param == "mini":
        return load_backbone("mini")
    return load_backbone(write_tiny_model(tmp_path_factory.mktemp("tower"), **TOWERS[request.param]))


@pytest.mark.parametrize("template", [MKT, "a photo of a {}.", "{} there", "many {}s", "(({}))"])
def test_an_unlearned_prompt_changes_nothing(tower: Backbone, template: str) -> None:
    backbone = tower
    backbone.text.prompt = None
    plain = embed_labels(backbone, LABELS, (template,), Progress())
    prompted(backbone, template)
    torch.testing.assert_close(embed_labels(backbone, LABELS, (template,), Progress()), plain, rtol=0, atol=1e-6)
    some = torch.tensor([5, 1, 0, 6])
    got = Prompts.of(backbone, LABELS, (template,)).embed(backbone.text, some)
    torch.testing.assert_close(got, plain[some], rtol=0, atol=1e-6)


def test_the_context_stands_where_its_words_do(backbone: Backbone) -> None:
    """Word by word: each of MKT's is one token."""
    learner = prompted(backbone)
    texts = [MKT.format("stop light"), MKT.format("a there is a scene in the"), "there is cat", "cat", ""]
    tokens = backbone.tokenizer(texts)
    got = learner.slots(tokens, backbone.text.lengths(tokens))
    wanted = [
        [-1, 0, 1, 2, -1, -1, 3, 4, 5],
        [-1, 0, 1, 2, *[-1] * 7, 3, 4, 5],
        [-1, 0, 1, -1],
        [-1, -1],
        [-1],
    ]
    for row, places in zip(got.tolist(), wanted, strict=True):
        assert row == places + [-1] * (len(row) - len(places))


def test_what_melts_with_a_label_is_its_own(backbone: Backbone) -> None:
    learner = prompted(backbone, "a photo of a {}.")
    tokens = backbone.tokenizer(["a photo of a cat.", "a photo of a st.."])
    got = learner.slots(tokens, backbone.text.lengths(tokens))
    assert got[:, :8].tolist() == [[-1, 0, 1, 2, 3, -1, 4, -1], [-1, 0, 1, 2, 3, -1, -1, -1]]


def test_a_learned_context_equals_a_table_with_these_rows(backbone: Backbone) -> None:
    """The table changed by hand for the words of the context, which no label here has."""
    learner = prompted(backbone)
    with torch.no_grad():
        learner.context.add_(torch.randn(learner.context.shape, generator=torch.Generator().manual_seed(0)))
    labels = LabelSet((Label("cat"), Label("traffic light", synonyms=("lamp",))))
    got = embed_labels(backbone, labels, (MKT,), Progress())
    backbone.text.prompt = None
    table = backbone.text.text.token_embedding.weight
    before = table.detach().clone()
    assert (got - embed_labels(backbone, labels, (MKT,), Progress())).abs().max() > 1e-2
    with torch.no_grad():
        for word, vector in zip(("there", "is", "a", "in", "the", "scene"), learner.context, strict=True):
            (token,) = backbone.tokenizer.encode(word)
            table[token] = vector
    wanted = embed_labels(backbone, labels, (MKT,), Progress())
    with torch.no_grad():
        table.copy_(before)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("chunk", [prompt.CHUNK, 3])
def test_gradients_reach_the_context_only(chunk: int, backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same whether in one piece or in chunks, and that of a small step."""
    learner = prompted(backbone)
    prompts = Prompts.of(backbone, LABELS, (MKT,))
    direction = normalize(torch.randn(2, 32, generator=torch.Generator().manual_seed(1)), dim=-1)

    def value() -> torch.Tensor:
        return (prompts.embed(backbone.text, torch.tensor([1, 4])) * direction).sum()

    monkeypatch.setattr(prompt, "CHUNK", chunk)
    value().backward()  # type: ignore[no-untyped-call]
    gradient = learner.context.grad
    assert gradient is not None
    assert all(parameter.grad is None for parameter in backbone.model.parameters())
    assert (gradient.abs().amax(1) > 0).all()
    step = 2e-3 * gradient / gradient.norm()
    with torch.no_grad():
        learner.context.add_(step)
        above = float(value())
        learner.context.sub_(2 * step)
        below = float(value())
    assert above - below == pytest.approx(4e-3 * float(gradient.norm()), rel=1e-2)


@pytest.mark.parametrize(
    ("given", "template", "said"),
    [
        (
            {"custom_text": True, "text_cfg": {"no_causal_mask": True, "pool_type": "last"}},
            MKT,
            "cannot learn a prompt",
        ),
        ({"custom_text": True, "text_cfg": {"embed_cls": True}}, MKT, "cannot learn a prompt"),
        ({}, "{}", "no words beside the label"),
    ],
)
def test_what_cannot_learn_a_prompt(given: dict[str, Any], template: str, said: str, tmp_path: Path) -> None:
    backbone = load_backbone(write_tiny_model(tmp_path, **given))
    with pytest.raises(UsageError, match=said):
        PromptLearner.of(backbone, template)


@pytest.mark.parametrize("layers", [1, 2])
def test_tokens_enter_the_last_layers_and_leave_them(layers: int, tiny: str) -> None:
    """By open_clip's own blocks, over the whole context."""
    backbone = load_backbone(tiny)
    torch.manual_seed(0)
    added = TextTokens.of(backbone, layers, 3)
    assert len(added.vectors) == layers
    for vector in added.vectors:
        torch.nn.init.normal_(vector)
    texts = ["a photo of a cat", "dog", "a very long line of words about a horse and its rider"]
    tokens = backbone.tokenizer(texts)
    backbone.text.tokens = added
    got = backbone.embed_texts(texts)
    text = backbone.text.text
    x = text.token_embedding(tokens) + text.positional_embedding
    n, blocks = x.shape[1], text.transformer.resblocks
    mask = torch.full((n + 3, n + 3), -math.inf).triu(1)
    for layer, block in enumerate(blocks):
        if layer < len(blocks) - layers:
            x = block(x, attn_mask=mask[:n, :n])
            continue
        vectors = added.vectors[layer - len(blocks) + layers]
        longer = torch.stack([torch.cat([row[:1], vectors, row[1:]]) for row in x])
        longer = block(longer, attn_mask=mask)
        x = torch.stack([torch.cat([row[:1], row[4:]]) for row in longer])
    pooled = text.ln_final(x)[torch.arange(len(texts)), tokens.argmax(-1)]
    wanted = pooled @ text.text_projection
    torch.testing.assert_close(got, wanted.detach(), rtol=1e-4, atol=1e-5)
    backbone.text.tokens = None
    assert (backbone.embed_texts(texts) - got).abs().amax(1).min() > 1e-2


def test_tokens_in_more_layers_than_there_are(tiny: str) -> None:
    with pytest.raises(UsageError, match="has 2 layers, not 3"):
        TextTokens.of(load_backbone(tiny), 3, 4)


@torch.no_grad()
@pytest.mark.parametrize("layers", [1, 2])
def test_tokens_set_out_from_the_states_of_words(layers: int, tiny: str) -> None:
    """By open_clip's own blocks; five tokens, of which the last is the first word again, but no two are equal."""
    backbone = load_backbone(tiny)
    text, count = backbone.text.text, backbone.text.layers
    x = text.token_embedding(backbone.tokenizer(["a photo of the"])) + text.positional_embedding
    wanted = []
    for layer, block in enumerate(text.transformer.resblocks):
        if layer >= count - layers:
            wanted.append(x[0, [1, 2, 3, 4, 1]])
        x = block(x, attn_mask=text.attn_mask)
    torch.manual_seed(0)
    noise = TextTokens.of(backbone, layers, 5, random_init=True)
    torch.manual_seed(0)
    got = TextTokens.of(backbone, layers, 5)
    assert got.layers == noise.layers == range(count - layers, count)
    for vector, added, state in zip(got.vectors, noise.vectors, wanted, strict=True):
        torch.testing.assert_close(vector - added, state, rtol=1e-4, atol=1e-5)
        assert 0.015 < added.std() < 0.025
        assert (torch.cdist(vector, vector) + torch.eye(5)).min() > 0.05


@torch.no_grad()
def test_tokens_say_little_at_first() -> None:
    """Random ones make all labels of the embedded backbone one."""
    backbone = load_backbone("mini")
    texts = [f"a photo of a {word}." for word in ("cat", "horse", "cloud", "bridge")]
    plain = normalize(backbone.embed_texts(texts), dim=-1)
    torch.manual_seed(0)
    for random_init, low, high in ((False, 0.85, 1.0), (True, -1.0, 0.5)):
        backbone.text.tokens = TextTokens.of(backbone, 2, 4, random_init=random_init)
        with_tokens = normalize(backbone.embed_texts(texts), dim=-1)
        backbone.text.tokens = None
        kept = (plain * with_tokens).sum(-1)
        assert low < kept.min() <= kept.max() < high, random_init


def test_tokens_need_words_behind_a_start_token(tmp_path: Path) -> None:
    backbone = load_backbone(write_tiny_model(tmp_path, custom_text=True, text_cfg={"no_causal_mask": True}))
    with pytest.raises(UsageError, match="has no place for tokens"):
        TextTokens.of(backbone, 1, 4)
