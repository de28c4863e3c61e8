"""A language model behind any server that speaks OpenAI's chat completions, and all that can go wrong with it."""

import difflib
import email.utils
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import openai

from c2srt_cli.errors import InputError, ServiceError, UsageError
from c2srt_cli.graph.pace import Budget, Pace, Unanswered
from c2srt_cli.graph.prices import count_tokens, price
from c2srt_cli.graph.prompt import Messages, reply_format, request_key
from c2srt_cli.graph.recorded import Reply

KEY = "OPENAI_API_KEY"
#: Forms of the answer to ask for, the strictest first; a server that refuses one with 400 gets the next.
FORMS = (reply_format(), {"type": "json_object"}, None)
#: A server that asks for more patience than this, in seconds, is taken for one that does not answer.
LONGEST_WAIT = 600.0
#: Codes of a 400 that speak of this request's content, not of its form.
FILTERED = ("content_filter", "content_policy_violation")


@dataclass(frozen=True)
class Service:
    """Where the language model is and how to treat it.

    Attributes:
        model: Its name there.
        base_url: Of the server; OpenAI's own (or ``OPENAI_BASE_URL``) where None.
        api_key: The key; servers of one's own need none.
        requests_per_minute: At most so many, or None.
        tokens_per_minute: At most so many, of prompts and replies, or None.
        max_cost: US dollars that may be spent, or None.
        timeout: Seconds without a sign of life.
        tries: How often to send a request.
        backoff: Seconds before the second try; each further wait is twice as long.
    """

    model: str
    base_url: str | None = None
    api_key: str = field(default="", repr=False)
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_cost: float | None = None
    timeout: float = 600.0
    tries: int = 6
    backoff: float = 1.0


def read_key(file: Path | None, base_url: str | None) -> str:
    """The API key: from the file, else from the environment.

    Raises:
        InputError: the file cannot be read or holds no key.
        UsageError: there is no key, and the server is OpenAI's.
    """
    if file is None:
        key = os.environ.get(KEY, "").strip()
        if not key and not (base_url or os.environ.get("OPENAI_BASE_URL")):
            raise UsageError(
                "a language model is asked, and there is no API key",
                where=KEY,
                hint=f"export {KEY}=…, or --api-key-file FILE; --base-url URL asks a server of your own, "
                "--source embedding needs no language model",
            )
    else:
        try:
            key = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise InputError(f"the API key cannot be read ({reason})", where=str(file)) from None
        if not key:
            raise InputError("there is no API key in the file", where=str(file))
    if not key.isascii() or any(character.isspace() or not character.isprintable() for character in key):
        raise InputError("the API key is not one word of printable ASCII", where=str(file or KEY))
    return key


class Client:
    """Asks, with patience. Threads may share it.

    Args:
        service: Whom to ask.
        note: Takes one line for people.
    """

    def __init__(self, service: Service, note: Callable[[str], None] = lambda _: None) -> None:
        self.service = service
        self.pace = Pace(service.requests_per_minute, service.tokens_per_minute)
        self.budget = Budget(service.max_cost)
        self.price = price(service.model)
        self._note = note
        self._form = 0
        try:
            self._openai = openai.OpenAI(
                api_key=service.api_key or "none",  # the client wants one, servers of one's own do not
                base_url=service.base_url,
                max_retries=0,  # its own waits could not be interrupted, and would not hold back the other threads
                timeout=httpx2.Timeout(service.timeout, connect=min(service.timeout, 20.0)),
            )
        except (httpx2.InvalidURL, ValueError) as error:
            raise UsageError(f"is no address ({error})", where=f"--base-url {service.base_url}") from None

    def close(self) -> None:
        """Close the connections."""
        self._openai.close()

    def ask(self, messages: Messages, reply_tokens: int) -> Reply:
        """Send a request until there is a reply to it.

        Args:
            messages: What to ask.
            reply_tokens: The most tokens that the reply may take.

        Raises:
            ServiceError: no request can succeed: key, model, quota or budget; with what to do about it.
            Stopped: the run ends first.
            Unanswered: the server did not answer this one.
        """
        tokens = count_tokens(messages)
        with self.budget.reserve(self.price.of(tokens, reply_tokens) if self.price else 0.0):
            failures = 0
            while True:
                self.pace.wait(tokens + reply_tokens)
                form = self._form
                try:
                    return self._reply(messages, self._send(messages, reply_tokens, form))
                except openai.BadRequestError as error:
                    if error.code in FILTERED:
                        return self._record(messages, "", "content_filter", (0, 0))
                    if form + 1 == len(FORMS) or error.code == "context_length_exceeded":
                        raise self._fatal(error) from None
                    self._form = max(self._form, form + 1)  # another thread may have found it out already
                except (openai.APIError, ValueError) as error:
                    failures += 1
                    self._pause(error, failures)

    def _send(self, messages: Messages, reply_tokens: int, form: int) -> Any:
        options: dict[str, Any] = {"response_format": FORMS[form]} if FORMS[form] else {}
        return self._openai.chat.completions.create(
            model=self.service.model,
            messages=list(messages),  # type: ignore[arg-type] # plain dicts, as the client sends them
            max_completion_tokens=reply_tokens,
            **options,
        )

    def _reply(self, messages: Messages, completion: Any) -> Reply:
        """What came back, as a record.

        Raises:
            ValueError: it is no chat completion.
        """
        try:  # the client does not check what it gets: a proxy's HTML comes as a string, missing fields as None
            choice, usage, served = completion.choices[0], completion.usage, completion.model
            text, reason = choice.message.content, choice.finish_reason
            if not text and choice.message.refusal:
                text, reason = choice.message.refusal, "refusal"
        except (AttributeError, IndexError, KeyError, TypeError):
            raise ValueError("the reply is not a chat completion") from None
        try:
            counts = int(usage.prompt_tokens), int(usage.completion_tokens)
        except (AttributeError, TypeError, ValueError, OverflowError):  # some servers do not count
            counts = None
        return self._record(messages, text if isinstance(text, str) else "", reason, counts, served)

    def _record(
        self,
        messages: Messages,
        text: str,
        reason: str | None,
        counts: tuple[int, int] | None = None,
        served: str | None = None,
    ) -> Reply:
        usage: dict[str, Any] | None = None
        cost = self.price.of(*(counts or (count_tokens(messages), len(text) // 3))) if self.price else None
        self.budget.spend(cost or 0.0)
        if counts is not None:
            usage = {
                "prompt_tokens": counts[0],
                "completion_tokens": counts[1],
                "cost_usd": None if cost is None else round(cost, 6),
            }
        today = datetime.now(UTC).date().isoformat()
        return Reply(request_key(messages), self.service.model, today, usage, reason, text, served or None)

    def _pause(self, error: Exception, failures: int) -> None:
        """Wait before the next try.

        Raises:
            ServiceError: no try can succeed.
            Stopped: the run ends first.
            Unanswered: there have been enough of them.
        """
        status = error.status_code if isinstance(error, openai.APIStatusError) else None
        quota = isinstance(error, openai.APIError) and "insufficient_quota" in (error.code, error.type)
        if quota or (status is not None and status < 500 and status not in (408, 409, 425, 429)):
            raise self._fatal(error) from None
        what = self._said(error)
        asked = _retry_after(error.response) if isinstance(error, openai.APIStatusError) else None
        if failures == self.service.tries or (asked or 0.0) > LONGEST_WAIT:
            raise Unanswered(what) from None
        wait = self.service.backoff * 2 ** (failures - 1) if asked is None else asked
        if wait >= 1:
            self._note(f"{what}; trying again in {wait:.0f} s")
        if status == 429:
            self.pace.hold(wait)
        else:
            self.pace.sleep(wait)

    def _fatal(self, error: Exception) -> ServiceError:
        """The error that ends the run."""
        status = error.status_code if isinstance(error, openai.APIStatusError) else 0
        code = error.code if isinstance(error, openai.APIError) else None
        again = "; then run the same command again, what is answered is kept"
        if status in (401, 403):
            what, hint = "the server does not accept the API key", f"check {KEY} or --api-key-file{again}"
        elif status == 404:
            what, hint = f"the server does not know the model {self.service.model!r}", self._models()
        elif status in (402, 429):
            what, hint = "the quota of this API key is used up", f"see to billing, or take another key{again}"
        elif code == "context_length_exceeded":
            what, hint = "the request is longer than the model can read", "choose a --model with a longer context"
        else:
            what, hint = "the server refuses the request", "check --model and --base-url"
        return ServiceError(what, where=self._where(), problems=[self._said(error)], hint=hint)

    def _models(self) -> str:
        """What to do about a model that is not there."""
        try:
            names = [model.id for model in self._openai.models.list()]
        except (openai.APIError, ValueError, AttributeError, TypeError):
            names = []
        close = difflib.get_close_matches(self.service.model, names, 1)
        if close:
            return f"did you mean --model {close[0]}?"
        return f"it has {', '.join(names[:10])}" if names else "check --model and --base-url"

    def _where(self) -> str:
        """The server's address, without user names and passwords in it."""
        url = self._openai.base_url
        return str(url.copy_with(userinfo=b"", query=None))

    def _said(self, error: Exception) -> str:
        """What the server said, in one line, without the key."""
        text = " ".join(str(getattr(error, "message", None) or error).split())
        if isinstance(error, openai.APIConnectionError) and error.__cause__ and str(error.__cause__):
            text = f"{text} {error.__cause__}"
        key = self.service.api_key
        text = text.replace(key, "…") if key else text
        return text if len(text) <= 300 else f"{text[:300]}…"


def _retry_after(response: httpx2.Response) -> float | None:
    """Seconds to wait, as the server says it: in milliseconds, in seconds or as a date."""
    for header, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            return max(float(response.headers[header]) * unit, 0.0)
        except (KeyError, ValueError):
            continue
    try:
        date = email.utils.parsedate_to_datetime(response.headers.get("retry-after", ""))
        return max(date.timestamp() - time.time(), 0.0)
    except ValueError:
        return None
