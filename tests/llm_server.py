"""A server that speaks OpenAI's chat completions over a real socket, answers for any labels, and fails on demand."""

import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

KEY = "sk-secret-0123456789"
RELATIONS = ("synonym", "is_a", "part_whole", "functional", "co_occurrence")

#: Faults that go away when the same request is sent again.
PASSING = ("429", "429-date", "429-plain", "500", "503", "408", "slow", "drop", "half", "html", "no-choices")
#: Faults of a reply, which a repair turn mends.
REPAIRABLE = (
    "prose", "empty", "cut", "refusal", "filtered", "unknown-id", "self-loop", "too-strong", "not-a-number",
    "relation", "missing", "deep",
)  # fmt: skip


def true_sources(target: int, candidates: Sequence[int]) -> list[dict[str, Any]]:
    """What this server knows about a target: the same in any block."""
    found = []
    for source in candidates:
        digest = hashlib.sha256(f"{source}>{target}".encode()).digest()
        if source != target and digest[0] < 2560 // max(len(candidates), 10):  # some ten of them
            relation = RELATIONS[digest[1] % 5]
            found.append({"source": source, "relation": relation, "strength": (1 + digest[2] % 20) / 20})
    return sorted(found, key=lambda s: (-s["strength"], s["source"]))


def tokens(body: dict[str, Any]) -> int:
    """Tokens of a prompt, as this server counts them."""
    return sum(len(message["content"]) for message in body["messages"]) // 4


class Raw(NamedTuple):
    """A reply to the byte."""

    status: int
    body: bytes
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed


class Server:
    """What happened at a server, and what is to happen.

    Attributes:
        fault: Takes the number of the request and its body, gives the name of a fault or None.
        raw: Takes the same, gives a whole reply or None.
        models: Their names.
        structured: Whether it has structured outputs and JSON mode.
        requests: Bodies, as they came.
        headers: Headers, as they came.
        most: Most requests that were under way together.
    """

    def __init__(self) -> None:
        self.fault: Callable[[int, dict[str, Any]], str | None] = lambda _number, _body: None
        self.raw: Callable[[int, dict[str, Any]], Raw | None] = lambda _number, _body: None
        self.models = ["gpt-4o"]
        self.structured: tuple[str, ...] = ("json_schema", "json_object")
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answered = 0
        self.most = self._now = 0
        self.lock = threading.Lock()
        self.url = ""

    def content(self, body: dict[str, Any], fault: str | None) -> str:
        """The text of a reply."""
        asked: list[dict[str, Any]] = [json.loads(m["content"]) for m in body["messages"] if m["role"] == "user"]
        candidates = [i for i, _ in asked[0]["candidates"]]
        targets = [{"target": target, "sources": true_sources(target, candidates)} for target in asked[-1]["targets"]]
        first = targets[0]["sources"]
        match fault:
            case "prose":
                return "I would say that they are all related."
            case "empty":
                return ""
            case "unknown-id":
                first.append({"source": 10**6, "relation": "is_a", "strength": 0.5})
            case "self-loop":
                first.append({"source": targets[0]["target"], "relation": "is_a", "strength": 1.0})
            case "too-strong":
                first.append({"source": candidates[-1], "relation": "is_a", "strength": 1.5})
            case "not-a-number":
                first.append({"source": candidates[-1], "relation": "is_a", "strength": float("nan")})
            case "relation":
                first.append({"source": candidates[-1], "relation": "friend", "strength": 0.5})
            case "missing":
                targets = targets[: len(targets) // 2]
            case "deep":
                return "[" * 100_000
        text = json.dumps({"targets": targets})
        return text[: len(text) // 2] if fault == "cut" else text


#: Where `echoed` has the key.
PLACES = (
    "text", "escaped", "relation", "names", "error", "outage", "error with 200", "redirect", "page", "models", "wait",
)  # fmt: skip


def echoed(key: str, where: str) -> Raw:
    """A reply that sends the key back."""
    escaped = "".join(f"\\u{ord(character):04x}" for character in key)
    answer = {"targets": [{"target": 0, "sources": [{"source": 1, "relation": key, "strength": 0.5}]}]}
    contents = {
        "text": f"Your key is {key}.",
        "escaped": f'{{"target":0,"sources":[{{"source":"{escaped}"}}]}}',
    }
    content = contents.get(where, json.dumps(answer))
    name = {"names": key}.get(where, "stop")
    choice = {"message": {"content": content}, "finish_reason": name}
    completion = json.dumps({"choices": [choice], "model": name}).encode()
    error = json.dumps({"error": {"message": f"bad {key}", "code": key, "type": escaped}}).encode()
    return {
        "error": Raw(401, error),
        "outage": Raw(503, error),
        "error with 200": Raw(200, error),
        "redirect": Raw(302, b"", {"Location": f"https://{key}:x@{key}.org/{key}?{key}"}),
        "page": Raw(200, f"<html>{key}</html>".encode()),
        "models": Raw(404, b'{"error":"model not found"}'),
        "wait": Raw(429, error, {"Retry-After": "1000000000"}),
    }.get(where, Raw(200, completion, {"X-Key": key, "Set-Cookie": f"key={key}"}))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Http"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._send(200, {"object": "list", "data": [{"id": name} for name in self.server.state.models]})

    def do_POST(self) -> None:
        state = self.server.state
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with state.lock:
            number = len(state.requests)
            state.requests.append(body)
            state.headers.append({name.lower(): value for name, value in self.headers.items()})
            state._now += 1
            state.most = max(state.most, state._now)
        try:
            if raw := state.raw(number, body):
                return self._send(raw.status, raw.body, headers=raw.headers)
            self._answer(state, body, state.fault(number, body))
        finally:
            with state.lock:
                state._now -= 1

    def _answer(self, state: Server, body: dict[str, Any], fault: str | None) -> None:
        form = body.get("response_format", {}).get("type")
        if form and form not in state.structured:
            return self._error(400, f"response_format {form} is not supported", "invalid_request_error")
        match fault:
            case "429":
                return self._error(429, "slow down", "rate_limit_exceeded", {"Retry-After": "0.01"})
            case "429-date":
                return self._error(429, "slow down", "x", {"Retry-After": "Thu, 01 Jan 2026 00:00:00 GMT"})
            case "429-plain":
                return self._error(429, "slow down", "x")
            case "500" | "503" | "408":
                return self._error(int(fault), "out of order", "server_error")
            case "slow":
                self.server.released.wait(60)  # longer than any client of the tests waits
                return self._drop()
            case "drop":
                return self._drop()
            case "half":
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b'{"id": "x", ')
                return self._drop()
            case "html":
                return self._send(200, "<html>a proxy's greeting</html>", "text/html")
            case "no-choices":
                return self._send(200, {"id": "x", "object": "chat.completion", "model": "m", "choices": []})
            case "filtered":
                return self._error(400, "the content is filtered", "content_filter")
            case "key":
                return self._error(401, f"Incorrect API key provided: {KEY}", "invalid_api_key")
            case "model":
                return self._error(404, "The model does not exist", "model_not_found")
            case "quota":
                return self._error(429, "You exceeded your current quota", "insufficient_quota")
            case "long":
                return self._error(400, "maximum context length", "context_length_exceeded")
        text = state.content(body, fault)
        message: dict[str, str | None] = {"role": "assistant", "content": text}
        if fault == "refusal":
            message = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
        with state.lock:
            state.answered += 1
        return self._send(
            200,
            {
                "id": "x",
                "object": "chat.completion",
                "created": 0,
                "model": f"{body['model']}-2024-08-06",
                "choices": [{"index": 0, "message": message, "finish_reason": "length" if fault == "cut" else "stop"}],
                "usage": {"prompt_tokens": tokens(body), "completion_tokens": 100, "total_tokens": tokens(body) + 100},
            },
        )

    def _drop(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _error(self, status: int, message: str, code: str, headers: dict[str, str] | None = None) -> None:
        self._send(status, {"error": {"message": message, "type": "error", "code": code}}, headers=headers)

    def _send(
        self, status: int, value: object, kind: str = "application/json", headers: dict[str, str] | None = None
    ) -> None:
        data = value if isinstance(value, bytes) else (value if isinstance(value, str) else json.dumps(value)).encode()
        self.send_response(status)
        for name, text in {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, state: Server) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state = state
        self.released = threading.Event()

    def handle_error(self, *_: object) -> None:
        """A client that has gone is no news."""


@contextmanager
def serving() -> Iterator[Server]:
    """A server at ``url``, until the end of the context."""
    state = Server()
    http = _Http(state)
    state.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        http.released.set()
        http.shutdown()
        http.server_close()
        thread.join()
