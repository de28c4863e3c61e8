"""Chat completions in the forms in which servers write them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2srt_cli.graph.llm.completion import NoCompletion, read_completion
from c2srt_cli.graph.llm.failure import Kind


def body(message: object, **more: Any) -> bytes:
    choice = {"message": message, "finish_reason": more.pop("reason", "stop")}
    return json.dumps({"choices": [choice], **more}).encode()


@pytest.mark.parametrize(
    "message",
    [
        {"content": '{"a":1}'},
        {"content": [{"type": "text", "text": '{"a"'}, {"type": "text", "text": ":1}"}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, '{"a":1}']},
        {"content": [{"type": "reasoning", "text": "hm"}, {"type": "output_text", "text": '{"a":1}'}]},
        {"content": None, "tool_calls": [{"function": {"name": "x", "arguments": '{"a":1}'}}]},
        {"content": "", "function_call": {"arguments": '{"a":1}'}},
        {"content": None, "reasoning_content": '{"a":1}'},
        {"content": "", "reasoning": ' {"a":1} '},
        {"content": " ", "reasoning": '{"a":1}', "refusal": None},
    ],
)
def test_the_answer_wherever_it_stands(message: object) -> None:
    assert json.loads(read_completion(body(message)).text) == {"a": 1}


def test_an_answer_that_a_server_has_parsed() -> None:
    assert json.loads(read_completion(body({"content": {"targets": []}})).text) == {"targets": []}
    assert json.loads(read_completion(body({"content": [{"target": 1}]})).text) == [{"target": 1}]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"content": None, "refusal": "I cannot."}, "refusal"),
        ({"content": None, "reasoning": "hm"}, "stop"),
        ({}, "stop"),
    ],
)
def test_no_answer(message: object, reason: str) -> None:
    completion = read_completion(body(message))
    assert (completion.text, completion.reason) == (("I cannot." if reason == "refusal" else ""), reason)


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 1}, (9, 1)),
        ({"prompt_tokens": 9.0, "completion_tokens": 1}, (9, 1)),
        (None, None),
        ("many", None),
        ({}, None),
        ({"prompt_tokens": 9}, None),
        *(({"prompt_tokens": odd, "completion_tokens": 1}, None) for odd in (10**400, 2**70, -1, True, "9", 1e400)),
    ],
)
def test_counts_that_can_be_true(usage: object, counts: object) -> None:
    assert read_completion(body({"content": "x"}, usage=usage)).counts == counts


ODD: list[object] = [["x"], {"x": 1}, 7, None, True, 10**400]


@pytest.mark.parametrize("odd", ODD)
def test_names_of_any_type(odd: object) -> None:
    completion = read_completion(body({"content": "x"}, model=odd, reason=odd))
    assert (completion.served, completion.reason) == (None, None)


def test_names_are_bounded_and_whole() -> None:
    assert read_completion(body({"content": "x\ud800"}, model="m" * 9_999)).served == "m" * 200
    assert read_completion(body({"content": "x\ud800"})).text == "x?"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"<html>Open WebUI</html>", "<html>Open WebUI</html>"),
        (b"data: {}\n\n", "it is a stream"),
        (b"[1,2]", "it is no object"),
        (b"7", "it is no object"),
        (b"{}", "it has no choices"),
        (b'{"choices":null}', "it has no choices"),
        (b'{"choices":[]}', "it has no choices"),
        (b'{"choices":{"0":1}}', "it has no choices"),
        (b'{"choices":[1]}', "it has no choices"),
        (b"[" * 100_000, "it starts with"),
        (b'{"error":{"message":"no room","code":503}}', "503: no room"),
        (b'{"object":"error","message":"no room"}', "200: no room"),
        (b'{"detail":"no room"}', "200: no room"),
        (b'[{"error":{"message":"no room"}}]', "200: no room"),
        (b'{"choices":[{"message":{"content":""},"error":{"message":"no room","code":502}}]}', "502: no room"),
    ],
)
def test_what_is_no_completion_says_so(content: bytes, said: str) -> None:
    with pytest.raises(NoCompletion) as caught:
        read_completion(content)
    assert said in caught.value.failure.said
    assert caught.value.failure.kind is Kind.BUSY


NAMES = "choices message content finish_reason usage model error tool_calls function arguments text type prompt_tokens"
fields = st.sampled_from(NAMES.split())
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(fields, inner),
    max_leaves=25,
)


@given(values.map(json.dumps) | values.map(lambda value: json.dumps({"choices": [{"message": value}]})) | st.text())
def test_no_body_breaks_it(text: str) -> None:
    try:
        completion = read_completion(text.encode(errors="surrogatepass"))
    except NoCompletion as error:
        assert error.failure.said
    else:
        completion.text.encode()
