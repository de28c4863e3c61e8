"""Vocabularies with more labels than a request can offer: candidates are chosen."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from llm_server import serving, true_sources
from torch import Tensor
from torch.nn.functional import normalize

from c2srt_cli.graph.build import Builder, build_graph
from c2srt_cli.graph.llm import shortlist
from c2srt_cli.graph.llm.prices import count_tokens, price
from c2srt_cli.graph.llm.prompt import question
from c2srt_cli.graph.llm.service import Service
from c2srt_cli.graph.llm.shortlist import plan_blocks
from c2srt_cli.graph.options import BuildOptions, replies_path
from c2srt_cli.labels import Label, LabelSet
from c2srt_cli.progress import Progress

COUNT = 300


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortlists for vocabularies of a test's size, in chunks that do not divide it."""
    for name, value in {"BLOCK": 7, "NEAREST": 9, "FREQUENT": 4, "ROWS": 32}.items():
        monkeypatch.setattr(shortlist, name, value)


LABELS = LabelSet(tuple(Label(f"label {i}") for i in range(COUNT)))
TEXT = normalize(torch.randn(COUNT, 16, generator=torch.Generator().manual_seed(1)), dim=-1)


def embed() -> Tensor:
    return TEXT


def nearest(target: int) -> list[int]:
    """Its nearest labels, one at a time."""
    cosine = {i: float(TEXT[i] @ TEXT[target]) for i in range(COUNT) if i != target}
    return sorted(cosine, key=lambda i: -cosine[i])[:9]


def test_candidates_are_the_nearest_and_the_hubs() -> None:
    blocks = plan_blocks(LABELS, range(COUNT), embed=embed)
    assert [t for block in blocks for t in block.targets] == list(range(COUNT))
    neighbours = [nearest(i) for i in range(COUNT)]
    counts = Counter(i for found in neighbours for i in found)
    hubs = sorted(range(COUNT), key=lambda i: (-counts[i], i))[:4]
    for block in blocks:
        assert len(block.targets) <= 7
        expected = {*block.targets, *hubs}.union(*(neighbours[t] for t in block.targets))
        assert block.candidates == tuple(sorted(expected))


def test_frequent_labels_by_annotations() -> None:
    counts = [0] * COUNT
    counts[5], counts[250], counts[9], counts[77] = 9, 8, 7, 6
    for block in plan_blocks(LABELS, range(50), embed=embed, counts=counts):
        assert {5, 9, 77, 250} <= set(block.candidates)


def test_few_labels_need_no_embeddings() -> None:
    few = LabelSet(LABELS.labels[: 7 * 13])

    def never() -> Tensor:
        raise AssertionError

    blocks = plan_blocks(few, range(91), embed=never)
    assert {block.candidates for block in blocks} == {tuple(range(91))}
    assert len(blocks) == 13


def test_every_label_can_be_offered_however_many(tmp_path: Path) -> None:
    """Few targets among many labels: no embeddings, nothing recorded that the request does not hold."""
    path, wanted = tmp_path / "labels.txt", tmp_path / "wanted.txt"
    path.write_text("".join(f"{label.name}\n" for label in LABELS))
    wanted.write_text("label 290\nLABEL 4\nlabel 17\n")

    def never(_: LabelSet) -> tuple[Tensor, str]:
        raise AssertionError

    def asking(**more: Any) -> BuildOptions:
        return BuildOptions(
            path, tmp_path / "g.json", neighbours=100, targets=wanted, **{"all_candidates": True, **more}
        )

    with serving() as server:
        service = Service("gpt-4o", server.url, "key", backoff=0.01, tries=1)
        graph = build_graph(asking(), never, Progress(), lambda: service).graph
        (body,) = server.requests
    content = json.loads(body["messages"][1]["content"])
    assert content["targets"] == [4, 17, 290]
    assert [i for i, _ in content["candidates"]] == list(range(COUNT))
    found = {(edge.source, edge.target) for edge in graph.edges}
    assert found == {(s["source"], t) for t in (4, 17, 290) for s in true_sources(t, range(COUNT))}
    assert graph.provenance["coverage"] == 0.01
    assert graph.provenance["sources"][0]["targets"] == 3
    whole = (tmp_path / "g.json").read_bytes()
    replies = replies_path(tmp_path / "g.json")
    assert "block" not in json.loads(replies.read_text())
    build_graph(asking(replay=replies), never, Progress())
    assert (tmp_path / "g.json").read_bytes() == whole


def test_the_cost_grows_linearly() -> None:
    sizes = []
    for count in (150, COUNT):
        some = LabelSet(LABELS.labels[:count])
        blocks = plan_blocks(some, range(count), embed=lambda count=count: TEXT[:count])  # type: ignore[misc]
        sizes.append(sum(count_tokens(question(some, block)) for block in blocks))
    assert sizes[1] < 2.2 * sizes[0]


def test_recorded_blocks_are_asked_as_they_were(tmp_path: Path) -> None:
    """A replay needs no embeddings, and a rerun with others pays only for what is missing."""
    path = tmp_path / "labels.txt"
    path.write_text("".join(f"{label.name}\n" for label in LABELS))

    current: Tensor | None = None

    def asking(text: Tensor | None, **more: Any) -> BuildOptions:
        nonlocal current
        current = text
        return BuildOptions(path, tmp_path / "g.json", neighbours=100, **more)

    def embed(_: LabelSet) -> tuple[Tensor, str]:
        assert current is not None
        return current, "test"

    with serving() as server:
        service = Service("gpt-4o", server.url, "key", backoff=0.01, tries=1)

        def lost(_: int, body: dict[str, Any]) -> str | None:
            return "503" if 100 in json.loads(body["messages"][1]["content"])["targets"] else None

        server.fault = lost
        result = build_graph(asking(TEXT, concurrency=1), embed, Progress(), lambda: service)
        assert len(result.failed) == 7
        asked = len(server.requests)
        for body in server.requests:
            content = json.loads(body["messages"][1]["content"])
            known = [i for i, _ in content["candidates"]]
            for target in set(content["targets"]).difference(range(98, 105)):
                found = {e.source for e in result.graph.edges if e.target == target}
                assert found == {s["source"] for s in true_sources(target, known)}
        server.fault = lambda _number, _body: None
        result = build_graph(asking(-TEXT), embed, Progress(), lambda: service)  # everything else is near now
        assert len(server.requests) == asked + 1
        assert not result.failed
    whole = (tmp_path / "g.json").read_bytes()
    replay = asking(None, replay=replies_path(tmp_path / "g.json"))
    build_graph(replay, embed, Progress())
    assert (tmp_path / "g.json").read_bytes() == whole


def test_the_estimate(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("".join(f"{label.name}\n" for label in LABELS))
    estimate = Builder(BuildOptions(path, tmp_path / "g.json"), lambda _: (TEXT, "test"), Progress()).estimate()
    blocks = plan_blocks(LABELS, range(COUNT), embed=embed)
    assert (estimate.labels, estimate.requests) == (COUNT, len(blocks))
    prompt = sum(len(m["content"].encode()) // 3 for block in blocks for m in question(LABELS, block))
    assert estimate.prompt_tokens == pytest.approx(prompt, rel=0.01)
    assert estimate.cost == pytest.approx(estimate.prompt_tokens * 2.5e-6 + estimate.reply_tokens * 10e-6)
    assert not (tmp_path / "g.json").exists()
    mine = BuildOptions(path, tmp_path / "g.json", model="mine")
    assert Builder(mine, lambda _: (TEXT, "test"), Progress()).estimate().cost is None


def test_prices() -> None:
    for name in ("gpt-4o", "gpt-4o-2024-08-06"):
        known = price(name)
        assert known is not None
        assert (known.of(10**6, 0), known.of(0, 10**6)) == (2.5, 10.0)
    assert price("gpt-4o-mini") != price("gpt-4o")
    assert price("llama3.1:8b") is None
