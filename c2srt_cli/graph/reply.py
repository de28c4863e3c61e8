"""A language model's reply → edges: checked, and closed over the labels that were given."""

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from c2srt_cli.graph.category_graph import Edge
from c2srt_cli.graph.prompt import ASKED_RELATIONS

#: Where the answer for one target starts, in a reply that is not JSON as a whole.
_START = re.compile(r'\{\s*"target"\s*:')


@dataclass(frozen=True)
class Answer:
    """What a reply says about one target.

    Attributes:
        edges: What can be used of it.
        fault: What cannot; the empty string where the answer is complete.
    """

    edges: tuple[Edge, ...] = ()
    fault: str = "is not answered"


def read_reply(text: str, targets: Sequence[int], candidates: Collection[int]) -> dict[int, Answer]:
    """The answer for each of ``targets``, whatever ``text`` may be.

    Of a reply that is cut off, or wrapped in other words, the answers that stand in it whole are taken. Other targets
    than the given ones are passed over; of a source that stands twice, the strongest word counts.
    """
    allowed = frozenset(candidates)
    answers = dict.fromkeys(targets, Answer())
    for record in _records(text):
        target = record.get("target")
        if _is_index(target) and target in answers and answers[target].fault:  # the first complete one counts
            answers[target] = _answer(target, record.get("sources"), allowed)
    return answers


def better(first: Answer, second: Answer) -> Answer:
    """The answer to keep of two: a complete one, else the one with more edges, else the first."""
    if not first.fault or not second.fault:
        return second if first.fault else first
    return second if len(second.edges) > len(first.edges) else first


def _records(text: str) -> Iterator[dict[str, object]]:
    """The objects that answer for one target each."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        decoder = json.JSONDecoder()
        position = 0
        while found := _START.search(text, position):
            try:
                value, position = decoder.raw_decode(text, found.start())
                yield value
            except (ValueError, RecursionError):
                position = found.end()
        return
    records = value.get("targets") if isinstance(value, dict) else value
    yield from (record for record in (records if isinstance(records, list) else ()) if isinstance(record, dict))


def _answer(target: int, sources: object, allowed: frozenset[int]) -> Answer:
    if not isinstance(sources, list):
        return Answer((), "has no list of sources")
    edges: dict[int, Edge] = {}
    faults: list[str] = []
    for record in sources:
        source, relation, strength = (
            (record.get("source"), record.get("relation"), record.get("strength"))
            if isinstance(record, dict)
            else (None, None, None)
        )
        if not _is_index(source) or source not in allowed:
            faults.append(f"source {_shown(source)} is not in the list")
        elif source == target:
            faults.append("is its own source")
        elif not isinstance(relation, str) or relation not in ASKED_RELATIONS:
            faults.append(f"relation {_shown(relation)} is none of {', '.join(ASKED_RELATIONS)}")
        elif isinstance(strength, bool) or not isinstance(strength, int | float) or not 0 < strength <= 1:
            faults.append(f"strength {_shown(strength)} is not above 0 and at most 1")
        elif source not in edges or strength > edges[source].strength:
            edges[source] = Edge(source, target, relation, float(strength), "llm")
    return Answer(tuple(edges.values()), "; ".join(dict.fromkeys(faults[:3])))


def _is_index(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(value: object) -> str:
    """A value from a reply, short enough for a message."""
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
