"""What a server's refusals and outages are taken for, in whatever form they come."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2srt_cli.graph.llm.failure import Kind, of_body, of_response


def response(status: int, body: object = "", headers: dict[str, str] | None = None) -> httpx2.Response:
    content = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    return httpx2.Response(status, content=content, headers=headers or {})


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, "", Kind.KEY),
        (401, {"detail": "Unauthorized"}, Kind.KEY),
        (403, "<html><title>Attention Required! | Cloudflare</title></html>", Kind.KEY),
        (400, {"error": {"message": "Incorrect API key provided: sk-…"}}, Kind.KEY),
        (402, {"error": {"message": "Insufficient Balance"}}, Kind.QUOTA),
        (400, {"error": {"message": "Your credit balance is too low to access the API."}}, Kind.QUOTA),
        (429, {"error": {"message": "x", "code": "insufficient_quota"}}, Kind.QUOTA),
        (429, {"error": {"message": "x"}}, Kind.BUSY),
        (408, "", Kind.BUSY),
        (500, "Internal Server Error", Kind.BUSY),
        (503, {"error": {"message": "The model is overloaded. Please try again later."}}, Kind.BUSY),
        (503, {"error": {"message": "The model m is currently not available"}}, Kind.BUSY),
        (529, {"error": {"type": "overloaded_error"}}, Kind.BUSY),
        (501, {"error": {"message": "not supported"}}, Kind.REFUSED),
        (400, {"error": {"message": "something"}}, Kind.REFUSED),
        (422, {"detail": [{"loc": ["body", "max_tokens"], "msg": "extra fields not permitted"}]}, Kind.REFUSED),
        (400, {"error": {"message": "content filtered", "code": "content_filter"}}, Kind.FILTER),
        (400, {"error": {"message": "data_inspection_failed"}}, Kind.FILTER),
        (400, {"error": {"message": "Input is too long for this model"}}, Kind.CONTEXT),
        (413, "Payload Too Large", Kind.CONTEXT),
        (422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096"}, Kind.CONTEXT),
        (429, "Limit 6000, Requested 6294, please reduce your message size", Kind.CONTEXT),
        (429, "Limit 6000, Used 5034, Requested 1443. Please try again in 4.77s.", Kind.BUSY),
        (404, {"error": {"message": "model 'x' not found, try pulling it first"}}, Kind.MODEL),
        (400, {"error": {"message": "Model Not Exist"}}, Kind.MODEL),
        (404, {"detail": "Not Found"}, Kind.ADDRESS),
        (404, "404 page not found", Kind.ADDRESS),
        (405, {"detail": "Method Not Allowed"}, Kind.ADDRESS),
        (404, {"error": {"message": "No endpoints found that can handle the requested parameters."}}, Kind.REFUSED),
        (404, {"error": {"message": "No endpoints found for x/y:free."}}, Kind.MODEL),
        (307, "", Kind.REDIRECT),
    ],
)  # fmt: skip
def test_kinds(status: int, body: object, kind: Kind) -> None:
    assert of_response(response(status, body)).kind is kind


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "slow down"}}, "slow down"),
        ({"error": "slow down"}, "slow down"),
        ({"message": "slow down"}, "slow down"),
        ({"detail": "slow down"}, "slow down"),
        ({"errors": [{"message": "slow down"}]}, "slow down"),
        ([{"error": {"message": "slow down"}}], "slow down"),
        ({"error": {"message": json.dumps({"error": {"message": "slow down"}})}}, "slow down"),
        ({"object": "error", "message": {"detail": [{"loc": ["body", "n"], "msg": "too many"}]}}, "body.n: too many"),
        ({"error": {"message": "slow down", "metadata": {"raw": "no room"}}}, "slow down; no room"),
        ("slow\n\ndown", "slow down"),
        ("<html><head><title>slow down</title></head><body><p>x</p></body></html>", "slow down"),
        ("<p>slow</p> <p>down</p>", "slow down"),
        ("", "Bad Request"),
        ({}, "Bad Request"),
    ],
)
def test_a_server_is_quoted_in_its_own_words(body: object, said: str) -> None:
    assert of_response(response(400, body)).said == f"400: {said}"


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after": "7"}, "", 7),
        ({"retry-after": "0.5"}, "", 0.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, "", 0.25),
        ({"retry-after": "Thu, 01 Jan 2015 00:00:00 GMT"}, "", 0),
        ({"retry-after": "-1e308"}, "", 0),
        ({"retry-after": "inf"}, "", float("inf")),
        ({"retry-after": "nan"}, "", None),
        ({"retry-after": "soon"}, "", None),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 -2359"}, "", pytest.approx(2.5e11, rel=0.1)),
        ({}, "Please try again in 20s. Contact us", 20),
        ({}, "Please try again in 1m2.5s.", 62.5),
        ({}, "Please try again in 644ms", 0.644),
        ({}, "Please retry after 3 seconds", 3),
        ({}, json.dumps([{"error": {"details": [{"retryDelay": "34s"}]}}]), 34),
        ({}, "slow", None),
    ],
)
def test_when_to_ask_again(headers: dict[str, str], body: str, seconds: Any) -> None:
    assert of_response(response(429, body, headers)).wait == seconds


def test_when_to_ask_again_by_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert of_response(response(429, "", {"retry-after": soon})).wait == pytest.approx(90, abs=5)


def test_a_limit_a_minute_is_no_used_up_quota() -> None:
    words = "You exceeded your current quota, please check your plan and billing details."
    assert of_response(response(429, words)).kind is Kind.QUOTA
    assert of_response(response(429, words, {"retry-after": "5"})).kind is Kind.BUSY


def test_a_redirect_is_shown_without_what_may_be_secret() -> None:
    failure = of_response(response(302, "", {"location": "https://me:secret@other.org/v1/x?key=secret#y"}))
    assert failure.said == "302: go to https://other.org/v1/x"


@pytest.mark.parametrize(
    ("error", "status"),
    [({"code": 429}, 429), ({"code": "503"}, 503), ({"code": 7}, 500), ({}, 500), ("text", 500), ([], 500)],
)
def test_an_error_with_status_200(error: object, status: int) -> None:
    failure = of_body(error)
    assert failure.status == status
    assert failure.kind is Kind.BUSY


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "detail", "loc", "msg", "param", "code", "errors", "metadata", "raw"]),
            inner,
        )
    ),
    max_leaves=20,
)


@given(st.integers(300, 599), values.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=60))
def test_no_error_body_breaks_it(status: int, body: bytes) -> None:
    failure = of_response(response(status, body))
    assert failure.kind in Kind
    assert failure.said.startswith(str(status))


@given(values)
def test_no_error_in_a_reply_breaks_it(value: object) -> None:
    assert of_body(value).kind in Kind


HOSTILE = ["[" * 100_000, '{"error":' * 50_000, '{"message":"' * 9, "1" * 9_999, "try again in " * 9, "model " * 9_999]


@pytest.mark.parametrize("body", HOSTILE)
def test_hostile_bodies(body: str) -> None:
    assert of_response(response(400, body)).kind in Kind
