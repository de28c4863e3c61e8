"""Why a server gave no reply: its own words, whatever form they come in, and what kind of failure they tell of."""

import email.utils
import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import httpx2

#: Characters of a server's words that are shown, and that are read.
SHOWN, READ = 300, 65_536


class Kind(Enum):
    """What a failure is about."""

    ADDRESS = "nothing that answers chat completions is at this address"
    BUSY = "the server does not answer"
    CONTEXT = "the request is longer than the model can read"
    ENDLESS = "the server's reply does not come to an end"
    FILTER = "the server does not let this content through"
    KEY = "the server does not accept the API key"
    MODEL = "the server does not know the model"
    QUOTA = "the quota of this API key is used up"
    REDIRECT = "the server sends us elsewhere"
    REFUSED = "the server refuses the request"
    UNREACHABLE = "no server is reached"


#: Words by which servers tell of a kind of failure, most telling kind first; each has been seen at some server.
_WORDS: tuple[tuple[Kind, str], ...] = (
    (
        Kind.FILTER,
        r"content_?filter|content[ _-](?:management )?policy|data_?inspection_?failed|requires moderation"
        r"|flagged (?:by|as|for)",
    ),
    (
        Kind.CONTEXT,
        r"context_length_exceeded|exceed_context_size|context[ _](?:length|size|window)|maximum context|n_ctx"
        r"|(?:prompt|input|request|messages?) (?:is |are )?too (?:long|large)|too many (?:input |prompt )?tokens"
        r"|input validation error: .inputs. tokens|max_tokens must be at least 1",
    ),
    (
        Kind.KEY,
        r"api[ _-]?key[ _](?:is )?(?:not valid|invalid|expired|missing|required)|(?:invalid|incorrect|no|missing|bad)"
        r"[ _](?:api[ _-]?key|credentials)|authentication_?(?:error|failed|required)|unauthori[sz]ed",
    ),
    (
        Kind.QUOTA,
        r"insufficient[ _](?:quota|balance|credits?|funds)|credit balance|requires more credits"
        r"|quota.{0,80}billing|payment required",
    ),
    (
        Kind.MODEL,
        r"model_not_found|invalid_model|deploymentnotfound|(?:invalid|unknown|no such|not a valid) model"
        r"|no endpoints (?:found|available)(?! that (?:can|support))"
        r"|no models? (?:is |are )?loaded|model.{0,200}?(?:not found|(?:does )?not exist|not available)"
        r"|api deployment.{0,40}does not exist|pull(?:ing)? it first",
    ),
)
_KINDS = tuple((kind, re.compile(words, re.DOTALL)) for kind, words in _WORDS)

#: What a server may say instead of a Retry-After: "try again in 1m2.5s", "retryDelay": "34s".
_AGAIN = re.compile(
    r'(?:try again|retry) (?:in|after) ~?((?:[\d.]+\s*(?:ms|h|m|s)[a-z]*\s*)+)|"retrydelay":\s*"([\d.]+s)"'
)
_TIME = re.compile(r"([\d.]+)\s*(ms|h|m|s)")
_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TOO_LARGE = re.compile(r"limit (\d+)\D.{0,60}?requested ~?(\d+)", re.DOTALL)


@dataclass(frozen=True)
class Failure:
    """A request without a reply.

    Attributes:
        said: What the server, or the network, says.
        status: Of the reply, or the one that it names; None where there was no reply.
        text: All that it said, in lower case; of a redirect, its target.
        named: Parameters that it names as the fault.
        wait: Seconds after which it wants to be asked again, where it says so.
        plain: Its kind, where that needs no reading.
    """

    said: str
    status: int | None = None
    text: str = ""
    named: frozenset[str] = field(default_factory=frozenset)
    wait: float | None = None
    plain: Kind | None = None

    @property
    def kind(self) -> Kind:
        """What it is about, by its status, and by its words where a status means many things."""
        status = self.status
        if self.plain is not None:
            return self.plain
        if status is not None and 300 <= status < 400:
            return Kind.REDIRECT
        found = next((kind for kind, words in _KINDS if words.search(self.text)), None)
        if found is Kind.QUOTA and self.wait is not None:  # a limit a minute, by its old name
            found = None
        if status in (401, 403):
            return found if found in (Kind.FILTER, Kind.QUOTA, Kind.MODEL) else Kind.KEY
        if status == 402:
            return Kind.QUOTA
        if status == 413 or self._asks_too_much():
            return Kind.CONTEXT
        if status is None or status in (408, 409, 423, 425, 429) or (status >= 500 and status != 501):
            return found if found in (Kind.QUOTA, Kind.CONTEXT) else Kind.BUSY
        if found is not None:
            return found
        if status in (404, 405) and not self.named and "param" not in self.text:
            return Kind.MODEL if "model" in self.text else Kind.ADDRESS
        return Kind.REFUSED

    def _asks_too_much(self) -> bool:
        found = _TOO_LARGE.search(self.text)
        return found is not None and int(found[2][:18]) > int(found[1][:18])

    def about(self, *words: str) -> bool:
        """Whether one of the words stands in what the server said."""
        return not self.named.isdisjoint(words) or any(word in self.text for word in words)


def of_response(response: httpx2.Response) -> Failure:
    """The failure that a response tells of by its status."""
    text = response.content[:READ].decode(errors="replace")
    if response.is_redirect:
        target = _bare(response.headers.get("location", "nowhere")[:READ])
        return Failure(f"{response.status_code}: go to {target}", response.status_code, target)
    value = _json(text)
    said = _said(value) if value is not None else _plain(text)
    reason = said or response.reason_phrase or "no explanation"
    return Failure(
        f"{response.status_code}: {reason}", response.status_code, text.lower(), _named(value), _wait(response, text)
    )


def of_body(value: object) -> Failure:
    """The failure that an error in a reply with status 200 tells of."""
    text = json.dumps(value)[:READ].lower()
    code = value.get("code") if isinstance(value, dict) else None
    if isinstance(code, str) and code.isdecimal() and len(code) == 3:
        code = int(code)
    status = code if isinstance(code, int) and 400 <= code < 600 else 200
    said = _said(value) or "an error without words"
    again = _seconds(text)
    return Failure(f"{status}: {said}", 500 if status == 200 else status, text, _named(value), again)


def _bare(url: str) -> str:
    """An address without user names, passwords and query."""
    return re.sub(r"(://)[^/?#]*@", r"\1", url.partition("?")[0])


def _json(text: str) -> object | None:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def _plain(text: str) -> str:
    """The words of a page that a proxy or another program sends."""
    title = re.search(r"<title[^>]{0,200}>([^<]{1,300})", text, re.IGNORECASE)
    return " ".join((title[1] if title else re.sub(r"<[^>]{0,1000}>", " ", text[:4_096])).split())


def _said(value: object) -> str:
    words = list(dict.fromkeys(" ".join(word.split()) for word in _texts(value, 0)))
    return "; ".join(word for word in words if word)


def _texts(value: object, depth: int) -> Iterator[str]:
    """What is meant for people in an error, whoever wrote it: OpenAI, FastAPI, Mistral, Google, OpenRouter."""
    if depth > 6:
        return
    match value:
        case str():
            inner = _json(value) if value.lstrip()[:1] in ("{", "[") else None
            if isinstance(inner, dict | list):
                yield from _texts(inner, depth + 1)
            else:
                yield value
        case list():
            for inner in value[:3]:
                yield from _texts(inner, depth + 1)
        case {"loc": list() as loc, "msg": str() as msg}:
            yield f"{'.'.join(map(str, loc[:8]))}: {msg}"
        case dict():
            for name in (
                "error",
                "errors",
                "message",
                "detail",
                "msg",
                "error_description",
                "raw",
                "metadata",
                "reason",
            ):
                yield from _texts(value.get(name), depth + 1)


def _named(value: object) -> frozenset[str]:
    """Parameters that an error names in a field of its own."""
    found: set[str] = set()
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, str) and value.lstrip()[:1] == "{":
            value = _json(value)
        if isinstance(value, Mapping):
            if isinstance(value.get("param"), str):
                found.add(value["param"])
            if isinstance(value.get("loc"), list):
                found.update(part for part in value["loc"] if isinstance(part, str))
        if isinstance(value, Mapping | list) and depth < 6:
            inner = value.values() if isinstance(value, Mapping) else value
            waiting += [(part, depth + 1) for part in list(inner)[:20]]
    return frozenset(found)


def _wait(response: httpx2.Response, text: str) -> float | None:
    """Seconds to wait, as the server says it: in milliseconds, in seconds, as a date, or in its words."""
    for header, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(response.headers[header]) * unit
        except (KeyError, ValueError):
            continue
        if not math.isnan(seconds):
            return max(seconds, 0.0)
    try:
        date = email.utils.parsedate_to_datetime(response.headers.get("retry-after", ""))
        return max(date.timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError, OSError):
        return _seconds(text.lower())


def _seconds(text: str) -> float | None:
    found = _AGAIN.search(text)
    parts = _TIME.findall(found[1] or found[2]) if found else []
    try:
        return math.fsum(float(number) * _SECONDS[unit] for number, unit in parts) if parts else None
    except ValueError:
        return None
