"""A chat completion, as servers write it: the text of the answer, why it ends, what it took."""

import json
from dataclasses import dataclass

from c2srt_cli.graph.llm.failure import Failure, of_body
from c2srt_cli.graph.llm.recorded import MOST, whole_characters

#: Characters of a name or a reason that are kept.
LONGEST_NAME = 200
#: What is said of a reply that is none.
NO_COMPLETION = "the reply is not a chat completion"


class NoCompletion(Exception):  # noqa: N818 - a failure has its own name
    """What came back is no chat completion, or says that there is none.

    Args:
        failure: Why.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.said)
        self.failure = failure


@dataclass(frozen=True)
class Completion:
    """What a model answered.

    Attributes:
        text: Its words.
        reason: Why it stopped.
        counts: Tokens of prompt and answer, where the server counts them.
        served: The model that the server says it ran.
    """

    text: str
    reason: str | None = None
    counts: tuple[int, int] | None = None
    served: str | None = None


def read_completion(body: bytes) -> Completion:
    """Read the body of a reply with status 200.

    Raises:
        NoCompletion: it is none.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        if body.lstrip().startswith(b"data:"):
            raise _none("it is a stream, which was not asked for") from None
        start = " ".join(body[:80].decode(errors="replace").split())
        raise _none(f"it starts with {start!r}" if start else "it is empty") from None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        raise _none("it is no object")
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        if value.get("error") or value.get("detail") or value.get("object") == "error":
            raise NoCompletion(of_body(value.get("error") or value))
        raise _none("it has no choices")
    choice = choices[0]
    message = choice.get("message")
    message = message if isinstance(message, dict) else {"content": choice.get("text")}
    text, reason = _text(message), _name(choice.get("finish_reason"))
    if not text.strip():
        if error := choice.get("error") or value.get("error"):
            raise NoCompletion(of_body(error))
        refusal = message.get("refusal")
        if isinstance(refusal, str) and refusal:
            text, reason = refusal, "refusal"
    return Completion(whole_characters(text), reason, _counts(value.get("usage")), _name(value.get("model")))


def _none(why: str) -> NoCompletion:
    return NoCompletion(Failure(f"{NO_COMPLETION}: {why}", status=500))


def _text(message: dict[str, object]) -> str:
    """The answer in a message: its content, the arguments of a tool, or reasoning that is nothing but JSON."""
    text = _joined(message.get("content"))
    if text.strip():
        return text
    calls = message.get("tool_calls")
    for call in (*(calls if isinstance(calls, list) else ()), {"function": message.get("function_call")}):
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict) and function.get("arguments"):
            return _joined(function["arguments"])
    for name in ("reasoning_content", "reasoning"):  # vLLM puts an answer in JSON there with some models
        reasoning = message.get(name)
        if isinstance(reasoning, str) and reasoning.lstrip()[:1] == "{":
            try:
                json.loads(reasoning)
            except (ValueError, RecursionError):
                continue
            return reasoning
    return text


def _joined(content: object) -> str:
    """Content as text: as it is, in parts of which those count that are no thoughts, or as the JSON it stands for."""
    match content:
        case str():
            return content
        case {"type": "text" | "output_text", "text": str() as text}:
            return text
        case {"type": str()}:
            return ""
        case dict():
            return json.dumps(content)
        case list() if all(
            isinstance(part, str) or (isinstance(part, dict) and "target" not in part) for part in content
        ):
            return "".join(map(_joined, content))
        case list():
            return json.dumps(content)
    return ""


def _name(value: object) -> str | None:
    return whole_characters(value[:LONGEST_NAME]) or None if isinstance(value, str) else None


def _counts(usage: object) -> tuple[int, int] | None:
    """Tokens as the server counted them; None where it did not, or where it cannot be true."""
    if not isinstance(usage, dict):
        return None
    counts = usage.get("prompt_tokens"), usage.get("completion_tokens")
    prompt, completion = (
        int(count) if isinstance(count, int | float) and not isinstance(count, bool) and 0 <= count <= MOST else None
        for count in counts
    )
    return None if prompt is None or completion is None else (prompt, completion)
