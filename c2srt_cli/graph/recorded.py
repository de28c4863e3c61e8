"""Every reply of a language model, as it came: paid for once, replayed as often as one likes."""

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from c2srt_cli.artifacts import disk_errors
from c2srt_cli.errors import InputError


@dataclass(frozen=True)
class Reply:
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

    request: str
    model: str
    date: str
    usage: dict[str, Any] | None
    finish_reason: str | None
    reply: str
    served: str | None = None
    block: dict[str, list[int]] | None = None


class Recorded:
    """The replies in a JSON Lines file, by request, in the order in which they came.

    Threads may add to it. A line that a crash cut off is passed over: its request is asked again.

    Args:
        path: The file; made by the first reply that is added.
        model: Replies of this model only; None takes those of the model that answered last.
        fresh: Take no reply from the file; the first one that is added replaces it.
    """

    def __init__(self, path: Path, model: str | None = None, *, fresh: bool = False) -> None:
        self.path = path
        self._fresh = fresh
        self._lock = threading.Lock()
        try:
            data = b"" if fresh else path.read_bytes()
        except FileNotFoundError:
            data = b""
        except OSError as error:
            raise InputError(f"the replies cannot be read ({error.strerror})", where=str(path)) from None
        self._torn = bool(data) and not data.endswith(b"\n")
        replies = list(_parse(data))
        self.model = model or (replies[-1].model if replies else None)
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
        record = {key: value for key, value in asdict(reply).items() if key not in ("served", "block") or value}
        line = json.dumps(record, ensure_ascii=True, allow_nan=False).encode() + b"\n"
        with self._lock, disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("wb" if self._fresh else "ab") as file:
                file.write(b"\n" * self._torn + line)
                file.flush()
                os.fsync(file.fileno())
            self._torn = self._fresh = False
            self._replies.setdefault(reply.request, []).append(reply)


def _parse(data: bytes) -> Iterator[Reply]:
    for line in data.splitlines():
        try:
            match json.loads(line):
                case {"request": str(), "model": str(), "date": str(), "reply": str()} as record:
                    known = {name: record.get(name) for name in Reply.__dataclass_fields__}
                    texts = (known["finish_reason"], known["served"])
                    if (
                        all(isinstance(text, str | None) for text in texts)
                        and _is_usage(known["usage"])
                        and _is_block(known["block"])
                    ):
                        yield Reply(**known)
        except (ValueError, RecursionError):
            continue


def _is_usage(value: object) -> bool:
    """Whether it is null, or an object of null and numbers that add up."""
    numbers = value.values() if isinstance(value, dict) else ()
    return isinstance(value, dict | None) and all(
        number is None or (type(number) in (int, float) and 0 <= number < 2**63) for number in numbers
    )


def _is_block(value: object) -> bool:
    """Whether it is null, or an object of lists of whole numbers."""
    lists = value.values() if isinstance(value, dict) else ()
    return isinstance(value, dict | None) and all(
        isinstance(numbers, list) and all(type(number) is int for number in numbers) for numbers in lists
    )
