"""Thoughts of models, and the answers between them."""

import time

import pytest

from c2srt_cli.graph.llm.thinking import without_thinking


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("answer", "answer"),
        ("<think>hm</think>answer", "answer"),
        ("<THINK>hm</Think>answer", "answer"),
        ("<thinking>hm</thinking>\nanswer", "\nanswer"),
        ('<thought type="x">hm</thought>answer', "answer"),
        ("<seed:think>hm</seed:think>answer", "answer"),
        ("<reasoning>a</reasoning><reflection>b</reflection>answer", "answer"),
        ("[THINK]hm[/THINK]answer", "answer"),
        ("◁think▷hm◁/think▷answer", "answer"),
        ("<|begin_of_thought|>hm<|end_of_thought|>answer", "answer"),
        ("<unused94>thought\nhm<unused95>answer", "answer"),
        ("hm</think>answer", "answer"),
        ("<think>a<think>b</think>c</think>answer", "answer"),
        ("one <think>hm</think>two", "one two"),
        ("<think>hm", ""),
        ("answer<think>hm", "answer"),
        ("<think>", ""),
        ("<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>answer", "answer"),
        ("<|channel|>analysis<|message|>hm<|end|><|channel|>final<|message|>answer<|return|>", "answer"),
        ("<|channel|>commentary to=x <|constrain|>json<|message|>answer<|call|>", "answer"),
        ("<|channel|>analysis<|message|>hm", ""),
        ("<|channel>thought\nhm<channel|>answer", "answer"),
        ("analysisWe need it.assistantfinal{answer}", "{answer}"),
        ("analysis of the labels", "analysis of the labels"),
        ("I think < therefore > I am", "I think < therefore > I am"),
    ],
)  # fmt: skip
def test_what_is_left(text: str, answer: str) -> None:
    assert without_thinking(text) == answer


PARTS = (
    "<think>",
    "</think>",
    "<think></think>",
    "<|channel|>",
    "<",
    "[THINK]",
    "analysis",
    "<|channel|>final<|message|>",
)


@pytest.mark.parametrize("part", PARTS)
def test_the_time_grows_with_the_length(part: str) -> None:
    text = part * (1_000_000 // len(part))
    started = time.perf_counter()
    without_thinking(text)
    assert time.perf_counter() - started < 5  # a fraction of a second, and hours where it grew with the square
