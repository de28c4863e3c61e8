import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from c2srt_cli.graph.category_graph import Edge
from c2srt_cli.graph.llm.reply import Answer, better
from c2srt_cli.graph.llm.reply import read_reply as read

NAMES = tuple(f"thing {i}" for i in range(10))

GOOD = {"source": 2, "relation": "is_a", "strength": 0.5}


def read_reply(text: str, targets: Sequence[int], candidates: Sequence[int]) -> dict[int, Answer]:
    return read(text, targets, candidates, NAMES)


def reply(*sources: Any, target: Any = 1) -> str:
    return json.dumps({"targets": [{"target": target, "sources": list(sources)}]})


def test_a_good_reply() -> None:
    text = reply(GOOD, {"source": 3, "relation": "synonym", "strength": 1})
    assert read_reply(text, [1], [1, 2, 3]) == {
        1: Answer((Edge(2, 1, "is_a", 0.5, "llm"), Edge(3, 1, "synonym", 1.0, "llm")), "")
    }
    assert read_reply(reply(), [1], [1, 2]) == {1: Answer((), "")}  # none is an answer too


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ({**GOOD, "source": 9}, "source 9 is not in the list"),
        ({**GOOD, "source": "9"}, 'source "9" is not in the list'),
        ({**GOOD, "source": "thing 9"}, 'source "thing 9" is not in the list'),
        ({**GOOD, "source": "2: thing 3"}, 'source "2: thing 3" is not in the list'),
        ({**GOOD, "source": [2, "thing 3"]}, 'source [2, "thing 3"] is not in the list'),
        ({**GOOD, "source": ["", ""]}, 'source ["", ""] is not in the list'),
        ({**GOOD, "source": ["cat", "thing 2"]}, 'source ["cat", "thing 2"] is not in the list'),
        ({**GOOD, "source": {"id": "2.0", "name": "thing 2"}}, 'source {"id": "2.0", "name": "thing 2"} is not in'),
        ({**GOOD, "source": ["2" * 5000, "thing 2"]}, f'source ["{"2" * 38}… is not in the list'),
        ({**GOOD, "source": True}, "source true is not in the list"),
        ({**GOOD, "source": 2.5}, "source 2.5 is not in the list"),
        ({**GOOD, "source": None}, "source null is not in the list"),
        ({}, "source null is not in the list"),
        (7, "source null is not in the list"),
        ({**GOOD, "source": 1}, "is its own source"),
        ({**GOOD, "relation": "friend"}, 'relation "friend" is none of'),
        ({**GOOD, "relation": "similar"}, 'relation "similar" is none of'),  # a graph's, but not a model's to give
        ({**GOOD, "relation": ["is_a"]}, 'relation ["is_a"] is none of'),
        ({**GOOD, "relation": "x" * 900}, f'relation "{"x" * 39}… is none of'),
        ({**GOOD, "strength": 1.01}, "strength 1.01 is not above 0"),
        ({**GOOD, "strength": 0}, "strength 0 is not above 0"),
        ({**GOOD, "strength": -0.5}, "strength -0.5 is not above 0"),
        ({**GOOD, "strength": "80"}, 'strength "80" is not above 0'),  # of what?
        ({**GOOD, "strength": 80}, "strength 80 is not above 0"),
        ({**GOOD, "strength": "120%"}, 'strength "120%" is not above 0'),
        ({**GOOD, "strength": "high"}, 'strength "high" is not above 0'),
        ({**GOOD, "strength": True}, "strength true is not above 0"),
        ({**GOOD, "strength": float("nan")}, "strength NaN is not above 0"),
        ({**GOOD, "strength": float("inf")}, "strength Infinity is not above 0"),
    ],
)
def test_what_is_wrong_is_said_and_the_rest_is_kept(source: Any, fault: str) -> None:
    other = {**GOOD, "source": 3}
    answer = read_reply(reply(source, other), [1], [1, 2, 3])[1]
    assert answer.fault.startswith(fault)
    assert answer.edges == (Edge(3, 1, "is_a", 0.5, "llm"),)


@pytest.mark.parametrize(
    "named",
    [2, 2.0, "2", " 2 ", "thing 2", "Thing 2", "THING  2", "2: thing 2", "2 (thing 2)", "[2] thing 2", "#2", "id 2",
     "2.", "thing 2 (2)", "thing 2 (id 2)", "'thing 2'", [2], [2, "thing 2"], ["2", "Thing 2"], {"id": 2},
     {"name": "thing 2"}, {"id": 2, "name": "thing 2"}],
    ids=str,
)  # fmt: skip
def test_ways_to_name_a_label(named: Any) -> None:
    answer = Answer((Edge(2, 1, "is_a", 0.5, "llm"),), "")
    assert read_reply(reply({**GOOD, "source": named}), [1], [1, 2]) == {1: answer}
    edge = Edge(1, 2, "is_a", 0.5, "llm")
    assert read_reply(reply({**GOOD, "source": 1}, target=named), [2], [1, 2]) == {2: Answer((edge,), "")}


def test_a_name_that_is_another_labels_number_is_asked_again() -> None:
    names = ("0", "2", "dog", "Dog")
    text = reply({**GOOD, "source": "2"}, {**GOOD, "source": "dog"}, target=0)
    faults = read(text, [0], range(4), names)[0].fault
    assert faults == 'source "2" is not in the list; source "dog" is not in the list'
    assert not read(reply({**GOOD, "source": "0"}, target=1), [1], [0, 1], names)[1].fault  # number and name agree


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("0.8", 0.8), (".8", 0.8), ("0,8", 0.8), (" 0.8 ", 0.8), ("1", 1.0), ("1.0", 1.0), ("80%", 0.8), ("80 %", 0.8),
        ("7.5%", 0.075), ("100%", 1.0), (1, 1.0), (0.8, 0.8),
    ],
)  # fmt: skip
def test_strengths(said: Any, meant: float) -> None:
    (edge,) = read_reply(reply({**GOOD, "strength": said}), [1], [1, 2])[1].edges
    assert edge.strength == pytest.approx(meant)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Is A", "is_a"), ("isA", "is_a"), ("IS-A", "is_a"), ("co-occurrence", "co_occurrence"),
        ("cooccurrence", "co_occurrence"), ("part whole", "part_whole"), ("Functional", "functional"),
    ],
)  # fmt: skip
def test_relations(said: str, meant: str) -> None:
    (edge,) = read_reply(reply({**GOOD, "relation": said}), [1], [1, 2])[1].edges
    assert edge.relation == meant


TARGET = {"target": 1, "sources": [GOOD]}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"targets": [TARGET]}, indent=2),
        json.dumps([TARGET]),
        json.dumps(TARGET),
        json.dumps({"targets": [dict(reversed(TARGET.items()))]}),
        json.dumps({"Targets": [{"Target": 1, "Sources": [{"Source": 2, "Relation": "is_a", "Strength": 0.5}]}]}),
        json.dumps({"answer": {"targets": [TARGET]}}),
        json.dumps({"targets": {"1": [GOOD]}}),
        json.dumps({"targets": {"thing 1": {"sources": [GOOD]}}}),
        json.dumps({"targets": [{**TARGET, "note": "x", "sources": [{**GOOD, "why": "x"}]}]}),
        f"```json\n{json.dumps({'targets': [TARGET]}, indent=2)}\n```",
        f"~~~\n{json.dumps([TARGET])}\n~~~",
        f"``` JSON5 x=1\n{json.dumps(TARGET)}\n```\n",
        f'Of "x" [1] and {{y}}: {json.dumps(TARGET)} (see {{z}}).',
        f"<think>{json.dumps({**TARGET, 'sources': []})}</think>{json.dumps(TARGET)}",
        f"Thinking Process:\n\n1. {json.dumps({**TARGET, 'sources': []})}? No.\n\n{json.dumps({'targets': [TARGET]})}",
        f"\ufeff{json.dumps(TARGET)}",
        json.dumps({"targets": [TARGET, {**TARGET, "sources": []}]}),  # in one place, the first complete one
    ],
)
def test_an_answer_in_any_wrapping(text: str) -> None:
    assert read_reply(text, [1], [1, 2]) == {1: Answer((Edge(2, 1, "is_a", 0.5, "llm"),), "")}


def test_what_there_is_of_an_answer_that_is_cut_off_is_kept_and_asked_again() -> None:
    text = reply(GOOD, {**GOOD, "source": 3})
    answer = read_reply(text[: text.index(', {"source": 3') + 14], [1], [1, 2, 3])[1]
    assert answer.edges == (Edge(2, 1, "is_a", 0.5, "llm"),)
    assert answer.fault.startswith("is cut off")


def test_of_a_source_that_stands_twice_the_strongest_word_counts() -> None:
    twice = reply(GOOD, {"source": 2, "relation": "functional", "strength": 0.9}, {**GOOD, "strength": 0.1})
    assert read_reply(twice, [1], [1, 2])[1] == Answer((Edge(2, 1, "functional", 0.9, "llm"),), "")


def test_other_targets_are_passed_over_and_missing_ones_named() -> None:
    answers = read_reply(reply(GOOD, target=3), [1], [1, 2, 3])
    assert answers == {1: Answer((), "is not answered")}
    assert read_reply(reply(GOOD, target="one"), [1], [1, 2])[1].fault == "is not answered"
    no_list = json.dumps({"targets": [{"target": 1, "sources": {"2": 0.5}}]})
    assert read_reply(no_list, [1], [1, 2])[1].fault == "has no list of sources"


def test_whole_answers_in_a_cut_or_wrapped_reply_are_taken() -> None:
    text = json.dumps(
        {"targets": [{"target": t, "sources": [{**GOOD, "source": 9}]} for t in range(5)]}, separators=(",", ":")
    )
    for end in range(len(text)):
        answers = read_reply(text[:end], range(5), range(10))
        whole = text[:end].count("]}")  # how many answers end before the cut
        assert [not answer.fault for answer in answers.values()] == [t < whole for t in range(5)]
    wrapped = f"Sure! Here it is:\n```json\n{text}\n```\nAnything else?"
    assert read_reply(wrapped, range(5), range(10)) == read_reply(text, range(5), range(10))
    bare = json.dumps(json.loads(text)["targets"])
    assert read_reply(bare, range(5), range(10)) == read_reply(text, range(5), range(10))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["targets", "target", "sources", "source", "relation", "strength"]), inner)
    ),
    max_leaves=20,
)


@example('{"targets": [{"target": ["", ""]}]}')
@given(st.text() | json_values.map(json.dumps) | json_values.map(lambda v: json.dumps({"targets": [v]})))
def test_no_reply_breaks_it_or_leaves_the_closed_set(text: str) -> None:
    for target, answer in read_reply(text, [0, 1], [0, 1, 2]).items():
        assert all(e.target == target != e.source in (0, 1, 2) and 0 < e.strength <= 1 for e in answer.edges)


def test_many_sources_are_bounded() -> None:
    answer = read_reply(reply(*[GOOD] * 10_001), [1], [1, 2])[1]
    assert answer == Answer((Edge(2, 1, "is_a", 0.5, "llm"),), "has 10,001 sources")


DEEP = (
    "[" * 900 + "1," * 400_000,
    '{"a":' * 300_000,
    '{"target": ' * 90_000,
    ("[" * 900 + "]" * 900) * 500,
    "{" * 2_000_000,
)


@pytest.mark.parametrize("text", DEEP, ids=range(len(DEEP)))
def test_the_time_is_bounded(text: str) -> None:
    started = time.perf_counter()
    assert read_reply(text, [1], [1, 2])[1].fault
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize("text", ["[" * 100_000, '{"target":' * 50_000, "1" * 10_000, "\x00", '"', '{"target":1e999}'])
def test_hostile_replies(text: str) -> None:
    assert read_reply(text, [1], [1, 2]) == {1: Answer((), "is not answered")}


def test_the_better_answer() -> None:
    edge = Edge(2, 1, "is_a", 0.5, "llm")
    complete, partial, nothing = Answer((), ""), Answer((edge,), "x"), Answer()
    for first in (complete, partial, nothing):
        assert better(complete, first) == better(first, complete) == complete
    assert better(partial, nothing) == better(nothing, partial) == partial
