"""A language model's reply → edges: checked, and closed over the labels that were given."""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, ValidationInfo
from pydantic_core import PydanticCustomError, from_json

from c2srt_cli.graph.category_graph import Edge
from c2srt_cli.graph.llm.thinking import without_thinking
from c2srt_cli.graph.llm.vocabulary import Vocabulary

#: What a language model may answer with; `similar` and `self` are not its to give.
ASKED_RELATIONS = ("synonym", "is_a", "part_whole", "functional", "co_occurrence")

#: Characters that are read again and again, at most, in search of the JSON in a reply that is not JSON as a whole.
SEARCHED = 16 << 20
#: A reply nests deeper than this only to do harm.
DEEPEST = 64
#: Sources of one target that are looked at.
MOST_SOURCES = 10_000

_OPENING = re.compile(r"[\[{]")
_NUMBER = re.compile(r"(?:0?[.,]\d{1,12}|[01](?:[.,]\d{1,12})?)")
_PERCENT = re.compile(r"(\d{1,3}(?:[.,]\d{1,12})?)\s*%")
_RELATIONS = {re.sub(r"[^a-z]", "", relation): relation for relation in ASKED_RELATIONS}


def _as_id(value: object, info: ValidationInfo) -> int:
    found = info.context.find(value) if info.context else value
    if found is None:
        raise _fault(f"source {_shown(value)} is not in the list")
    assert isinstance(found, int)
    return found


def _as_relation(value: object) -> str:
    plain = re.sub(r"[^a-z]", "", value.lower()) if isinstance(value, str) and len(value) < 100 else ""
    if plain not in _RELATIONS:
        raise _fault(f"relation {_shown(value)} is none of {', '.join(ASKED_RELATIONS)}")
    return _RELATIONS[plain]


def _as_strength(value: object) -> float:
    number = value
    if isinstance(value, str):
        text = value.strip()
        if match := _PERCENT.fullmatch(text):
            number = float(match[1].replace(",", ".")) / 100
        elif _NUMBER.fullmatch(text):
            number = float(text.replace(",", "."))
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number <= 1:
        raise _fault(f"strength {_shown(value)} is not above 0 and at most 1")
    return float(number)


def _fault(text: str) -> PydanticCustomError:
    return PydanticCustomError("fault", "{text}", {"text": text})


class Source(BaseModel):
    """One source of a target, as a model answers."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})  # strict mode asks for it

    source: Annotated[int, BeforeValidator(_as_id)]
    relation: Annotated[
        Literal["synonym", "is_a", "part_whole", "functional", "co_occurrence"], BeforeValidator(_as_relation)
    ]
    strength: Annotated[float, BeforeValidator(_as_strength)]


class Target(BaseModel):
    """The answer for one target."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    target: int
    sources: list[Source]


class Answers(BaseModel):
    """A whole reply, as it is asked for."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": False})

    targets: list[Target]


@dataclass(frozen=True)
class Answer:
    """What a reply says about one target.

    Attributes:
        edges: What can be used of it.
        fault: What cannot; the empty string where the answer is complete.
    """

    edges: tuple[Edge, ...] = ()
    fault: str = "is not answered"


def read_reply(
    text: str, targets: Sequence[int], candidates: Collection[int], names: Sequence[str]
) -> dict[int, Answer]:
    """The answer for each of ``targets``, whatever ``text`` may be.

    Thinking is left out. Of a reply that is cut off, or wrapped in other words, the answers that stand in it whole are
    taken, and what there is of the last one. A target that is answered in two places has the later answer, drafts come
    first; in one place, the first complete one. Other targets than the given ones are passed over; of a source that
    stands twice, the strongest word counts.

    Args:
        text: What the model wrote.
        targets: Ids of the labels that were asked about.
        candidates: Ids of the labels that can be a source.
        names: The names of all labels, by id.
    """
    vocabulary = Vocabulary({*candidates, *targets}, names)
    allowed = frozenset(candidates)
    answers = dict.fromkeys(targets, Answer())
    for place in _places(without_thinking(text)):
        found: dict[int, Answer] = {}
        for record in place.records:
            target = vocabulary.find(record.get("target"))
            if target in answers and (target not in found or found[target].fault):
                found[target] = _answer(target, record.get("sources"), allowed, vocabulary, cut_off=place.cut_off)
        answers |= found
    return answers


def better(first: Answer, second: Answer) -> Answer:
    """The answer to keep of two: a complete one, else the one with more edges, else the first."""
    if not first.fault or not second.fault:
        return second if first.fault else first
    return second if len(second.edges) > len(first.edges) else first


@dataclass(frozen=True)
class _Place:
    """JSON that stands in a reply."""

    records: Sequence[Mapping[str, Any]]
    cut_off: bool = False


def _places(text: str) -> Iterator[_Place]:
    """All JSON in a text that answers for targets, in order; last what is cut off."""
    decoder = json.JSONDecoder()
    position, left = 0, SEARCHED
    unread: int | None = None  # where what could not be read starts, behind the last answer
    while left > 0 and (opening := _OPENING.search(text, position)):
        start = opening.start()
        try:
            value, position = decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            left -= error.pos - start + error.pos // 16 + 50  # the error itself counts the lines before it
        except (RecursionError, ValueError):  # too deep, which takes a millisecond to find out; or a number without end
            left -= SEARCHED // 100
        else:
            left -= position - start
            if records := list(_records(value)):
                unread = None
                yield _Place(records)
            continue
        position = start + 1
        if unread is None and text[start] == "{":
            unread = start
    if unread is not None:
        try:
            value = from_json(text[unread:], allow_partial=True)
        except ValueError:
            return
        yield _Place(list(_records(value)), cut_off=True)


def _records(value: object) -> Iterator[Mapping[str, Any]]:
    """The objects in a JSON value that answer for one target each, in order."""
    waiting = [(value, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > DEEPEST:
            continue
        if isinstance(value, dict):
            plain = {key.strip().lower(): inner for key, inner in value.items()}
            if "target" in plain:
                yield plain
                continue
            by_id = plain.get("targets")
            if isinstance(by_id, dict) and "target" not in by_id:  # {"targets": {"3": [...]}}
                yield from ({"target": key, "sources": _listed(inner)} for key, inner in by_id.items())
                continue
        inner_values = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
        waiting += [(inner, depth + 1) for inner in reversed(inner_values) if isinstance(inner, dict | list)]


def _listed(value: object) -> object:
    return value.get("sources") if isinstance(value, dict) else value


def _answer(target: int, sources: object, allowed: frozenset[int], vocabulary: Vocabulary, *, cut_off: bool) -> Answer:
    if not isinstance(sources, list):
        return Answer((), "has no list of sources")
    edges: dict[int, Edge] = {}
    faults = ["is cut off"] if cut_off else []
    for record in sources[:MOST_SOURCES]:
        given = {key.strip().lower(): value for key, value in record.items()} if isinstance(record, dict) else {}
        try:
            read = Source.model_validate(dict.fromkeys(Source.model_fields) | given, context=vocabulary)
        except ValidationError as error:
            faults.append(error.errors(include_url=False)[0]["msg"])
            continue
        if read.source == target:
            faults.append("is its own source")
        elif read.source not in allowed:
            faults.append(f"source {read.source} is not in the list")
        elif read.source not in edges or read.strength > edges[read.source].strength:
            edges[read.source] = Edge(read.source, target, read.relation, read.strength, "llm")
    if len(sources) > MOST_SOURCES:
        faults.append(f"has {len(sources):,} sources")
    return Answer(tuple(edges.values()), "; ".join(dict.fromkeys(faults[:3])))


def _shown(value: object) -> str:
    """A value from a reply, short enough for a message."""
    try:
        text = json.dumps(value)
    except (ValueError, RecursionError):
        text = "…"
    return text if len(text) <= 40 else f"{text[:40]}…"
