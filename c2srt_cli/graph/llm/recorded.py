"""Every reply of a language model, as it came: paid for once, replayed as often as one likes."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from c2srt_cli.artifacts import disk_errors, flush
from c2srt_cli.errors import InputError

#: What one reply may have taken: no server has that many tokens, and a graph's sums stay numbers.
MOST = 2**53

_Amount = Annotated[int, Field(ge=0, le=MOST)] | Annotated[float, Field(ge=0, le=MOST)] | None


class Reply(BaseModel):
    """One reply.

    Attributes:
        request: `prompt.request_key` of what was asked.
        model: The model that was asked for.
        date: Day of the reply, as ``2026-01-31``.
        usage: ``prompt_tokens``, ``completion_tokens`` and ``cost_usd`` (null where no price is known), or None.
        finish_reason: Why the model stopped: ``stop``, ``length``, ``content_filter``, ``refusal``, …
        reply: Its raw text.
        served: The model that the server says it ran.
        block: Targets and candidates, where candidates were shortlisted: what a replay asks again.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    request: str
    model: str
    date: str
    usage: dict[str, _Amount] | None = None
    finish_reason: str | None = None
    reply: str
    served: str | None = None
    block: dict[str, list[int]] | None = None


class Recorded:
    """The replies in a JSON Lines file, by request, in the order in which they came.

    A line that a crash cut off is passed over: its request is asked again.

    Args:
        path: The file; made by the first reply that is added.
        model: Replies of this model only; None takes those of the model that answered last.
        fresh: Take no reply from the file; the first one that is added replaces it.
    """

    def __init__(self, path: Path, model: str | None = None, *, fresh: bool = False) -> None:
        self.path = path
        self._fresh = fresh
        try:
            data = b"" if fresh else path.read_bytes()
        except FileNotFoundError:
            data = b""
        except OSError as error:
            raise InputError(f"the replies cannot be read ({error.strerror})", where=str(path)) from None
        self._torn = bool(data) and not data.endswith(b"\n")
        replies = list(_parse(data))
        self.model = model or (replies[-1].model if replies else None)
        #: How many replies of each model there are.
        self.models = Counter(reply.model for reply in replies)
        self._replies: dict[str, list[Reply]] = {}
        for reply in replies:
            if reply.model == self.model:
                self._replies.setdefault(reply.request, []).append(reply)

    def __len__(self) -> int:
        return len(self._replies)

    def __iter__(self) -> Iterator[Reply]:
        return (reply for replies in self._replies.values() for reply in replies)

    def of(self, request: str) -> tuple[Reply, ...]:
        """All replies to a request."""
        return tuple(self._replies.get(request, ()))

    def add(self, reply: Reply) -> None:
        """Keep a reply; it is on the disk when this returns.

        Raises:
            InputError: it cannot be written.
        """
        record = {key: value for key, value in reply.model_dump().items() if key not in ("served", "block") or value}
        line = json.dumps(record, ensure_ascii=True, allow_nan=False).encode() + b"\n"
        with disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("wb" if self._fresh else "ab") as file:
                file.write(b"\n" * self._torn + line)
                file.flush()
                flush(file.fileno(), self.path)
            self._torn = self._fresh = False
            self._replies.setdefault(reply.request, []).append(reply)


def _parse(data: bytes) -> Iterator[Reply]:
    for line in data.splitlines():
        try:
            record = json.loads(line)
            if isinstance(record, dict) and isinstance(record.get("reply"), str):
                record["reply"] = whole_characters(record["reply"])
            yield Reply.model_validate(record)
        except (ValueError, RecursionError):
            continue


def whole_characters(text: str) -> str:
    """The text without halves of characters, which no file can hold."""
    return text.encode(errors="replace").decode()
