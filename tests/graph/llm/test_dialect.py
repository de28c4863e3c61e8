"""What is left out after which refusal."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from c2srt_cli.graph.llm.dialect import Dialect, Terms, reply_format
from c2srt_cli.graph.llm.failure import Failure, of_response

ALL = Terms()


def refusal(body: object, status: int = 400) -> Failure:
    return of_response(httpx2.Response(status, content=(body if isinstance(body, str) else json.dumps(body)).encode()))


def test_terms() -> None:
    assert Terms().options(9) == {"max_completion_tokens": 9, "response_format": reply_format()}
    assert Terms(1, 1).options(9) == {"max_tokens": 9, "response_format": {"type": "json_object"}}
    assert Terms(2, 2).options(9) == {}


LIMIT, FORM = Terms(1, 0), Terms(0, 1)


@pytest.mark.parametrize(
    ("body", "status", "then"),
    [
        ({"error": {"message": "Unsupported parameter", "param": "max_completion_tokens"}}, 400, LIMIT),
        ({"error": {"message": "Unrecognized request argument supplied: max_completion_tokens"}}, 404, LIMIT),
        ({"detail": [{"loc": ["body", "max_completion_tokens"], "msg": "extra fields not permitted"}]}, 422, LIMIT),
        ({"message": json.dumps({"detail": [{"loc": ["body", "max_completion_tokens"]}]})}, 422, LIMIT),
        ("unknown field `max_completion_tokens`, expected one of `model`, `messages`", 400, LIMIT),
        ({"error": "Unsupported param: max_completion_tokens"}, 500, LIMIT),
        ({"error": {"message": "no", "param": "response_format"}}, 400, FORM),
        ({"error": {"message": "no", "param": "response_format.json_schema.schema"}}, 400, FORM),
        ("response_format: unknown variant `json_schema`, expected `json_object`", 422, FORM),
        ("failed to parse grammar", 500, FORM),
        ("xgrammar: structured outputs are not available", 400, FORM),
        ({"error": {"message": "not supported"}}, 501, FORM),  # which, it does not say
        ({"error": {"message": "invalid request"}}, 400, FORM),
        ("", 415, FORM),
        ({"error": {"message": "no"}}, 500, ALL),  # an outage
        ({"error": {"message": "no"}}, 503, ALL),
        # both are named: the field tells which one is meant, the rest is a copy of the request
        ({"detail": [{"loc": ["body", "response_format"], "input": {"max_completion_tokens": 5}}]}, 422, FORM),
        ({"detail": [{"loc": ["body", "max_completion_tokens"], "input": {"response_format": {}}}]}, 422, LIMIT),
        ("mistral does not support parameters: {'max_completion_tokens': 1, 'response_format': 2}", 400, LIMIT),
        # room for the reply is taken off the prompt's
        ({"error": {"message": "This model's maximum context length is 4096 tokens"}}, 400, Terms(2, 0)),
    ],
)  # fmt: skip
def test_what_a_server_refuses_is_left_out(body: object, status: int, then: Terms) -> None:
    dialect = Dialect()
    assert dialect.give_way(ALL, refusal(body, status)) == (then != ALL)
    assert dialect.terms == then


def test_everything_can_be_left_out_once() -> None:
    dialect, seen = Dialect(), [ALL]
    while dialect.give_way(dialect.terms, refusal("no")):
        seen.append(dialect.terms)
    assert seen == [ALL, (0, 1), (0, 2), (1, 2), (2, 2)]


def test_requests_on_their_way_do_not_give_way_twice() -> None:
    dialect = Dialect()
    failure = refusal({"error": {"param": "max_completion_tokens"}})
    assert dialect.give_way(ALL, failure)
    assert dialect.give_way(ALL, failure)  # sent before the first refusal came
    assert dialect.terms == LIMIT


def test_a_limit_that_is_needed_stays() -> None:
    dialect = Dialect()
    failure = refusal({"error": {"param": "max_tokens"}})
    assert dialect.give_way(ALL, failure, need_limit=True)
    assert not dialect.give_way(dialect.terms, failure, need_limit=True)
    assert dialect.terms == LIMIT


def test_a_weaker_form_is_kept_where_it_is_answered() -> None:
    dialect = Dialect()
    assert dialect.weaker(1) == FORM
    assert dialect.weaker(3) == ALL  # there is none
    assert not dialect.settle(ALL)
    assert not dialect.give_way(dialect.weaker(1), refusal("no", 500))  # an outage, and nothing else is learnt
    assert dialect.terms == ALL
    assert dialect.settle(dialect.weaker(2))
    assert dialect.terms == (0, 2)
    assert not dialect.settle(dialect.terms)


def test_the_schema_is_what_strict_servers_demand() -> None:
    form = reply_format()["json_schema"]
    assert form["strict"] is True

    def objects(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
        assert not {"$ref", "$defs", "title", "anyOf", "minimum"} & schema.keys()
        if schema["type"] == "object":
            yield schema
        for inner in (*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else ())):
            yield from objects(inner)

    found = list(objects(form["schema"]))
    assert [list(schema["properties"]) for schema in found] == [
        ["targets"],
        ["target", "sources"],
        ["source", "relation", "strength"],
    ]
    for schema in found:  # what OpenAI's strict mode demands
        assert schema["additionalProperties"] is False
        assert schema["required"] == list(schema["properties"])
