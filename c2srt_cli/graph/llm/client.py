"""A language model behind any server that speaks OpenAI's chat completions, asked with patience."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx2
import openai
import tenacity

from c2srt_cli.errors import ServiceError
from c2srt_cli.graph.llm.advice import explain, models_of, shortened
from c2srt_cli.graph.llm.api_key import Mask
from c2srt_cli.graph.llm.bounds import BoundedClient, Endless
from c2srt_cli.graph.llm.budget import Budget
from c2srt_cli.graph.llm.completion import NO_COMPLETION, Completion, NoCompletion, read_completion
from c2srt_cli.graph.llm.connection import of_network
from c2srt_cli.graph.llm.dialect import FORMS, Dialect
from c2srt_cli.graph.llm.failure import Failure, Kind, of_response
from c2srt_cli.graph.llm.prices import count_tokens, price
from c2srt_cli.graph.llm.prompt import Messages, request_key
from c2srt_cli.graph.llm.rate_limit import RateLimit
from c2srt_cli.graph.llm.recorded import Reply
from c2srt_cli.graph.llm.service import OPENAI, Service, address

#: A server that asks for more patience than this, in seconds, is taken for one that does not answer.
LONGEST_WAIT = 600.0


class Stopped(Exception):  # noqa: N818 - no error, a wish
    """The run ends: nothing new is to be asked."""


class Unanswered(Exception):  # noqa: N818 - one request, not the run
    """A request got no reply, which may be otherwise the next time."""

    def __init__(self, failure: Failure, said: str) -> None:
        super().__init__(said)
        self.failure = failure


class Client:
    """Asks; any number of tasks at a time.

    Args:
        service: Whom to ask.
        note: Takes one line for people.

    Raises:
        ServiceError: the proxy cannot be used.
        UsageError: the address is none.

    Attributes:
        budget: The money.
        where: The server's address.
        price: Of the model, or None where it is not known.
        in_flight: Tasks whose request is on its way: it is paid for.
        stopping: Nothing new is to be asked.
    """

    def __init__(self, service: Service, note: Callable[[str], None] = lambda _: None) -> None:
        self.service = service
        self._mask = Mask(service.api_key)
        where = address(service.base_url)
        self.where = self._mask(where)
        self.budget = Budget(service.max_cost)
        self.price = price(service.model, where)
        self.in_flight: set[asyncio.Task[Any]] = set()
        self.stopping = False
        self._tell = note
        self._rate = RateLimit(service.requests_per_minute, service.tokens_per_minute)
        self._dialect = Dialect()
        self._reached = False
        try:
            self._openai = openai.AsyncOpenAI(
                api_key=service.api_key or "none",  # the client wants one, servers of one's own do not
                base_url=where,
                max_retries=0,  # its own waits would not hold back the other requests
                http_client=BoundedClient(service.timeout),
                default_headers={} if where == OPENAI else _NO_ACCOUNT,  # type: ignore[arg-type]
            )
        except (ValueError, ImportError) as error:
            raise ServiceError(
                "the proxy that the environment names cannot be used",
                where="HTTPS_PROXY, HTTP_PROXY, ALL_PROXY",
                problems=[shortened(str(error))],
                hint="mend it, or unset it",
            ) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._openai.close()

    def given_up(self, error: Unanswered) -> ServiceError:
        """The error that ends a run because a server does not answer."""
        return explain(error.failure, self.service.model, self.where, self._mask)

    async def ask(self, messages: Messages, reply_tokens: int) -> Reply:
        """Send a request until there is a reply to it.

        Args:
            messages: What to ask.
            reply_tokens: The most tokens that the reply may take.

        Raises:
            ServiceError: no request can succeed: key, model, quota or budget; with what to do about it.
            Stopped: the run ends first.
            Unanswered: the server did not answer this one.
        """
        failures: list[Failure] = []
        most = self.price.of(count_tokens(messages), reply_tokens) if self.price else 0.0
        async with self.budget.reserve(most):
            async for attempt in tenacity.AsyncRetrying(
                retry=tenacity.retry_if_exception_type(Unanswered),
                stop=lambda state: self._enough(state, failures),
                wait=self._seconds,
                before_sleep=self._before_sleep,
                sleep=asyncio.sleep,
                reraise=True,
            ):
                with attempt:
                    try:
                        # where a server breaks down over the same request twice, the form may be the reason
                        broken = sum(failure.status == 500 for failure in failures)
                        return await self._try(messages, reply_tokens, weaker=max(broken - 1, 0))
                    except Unanswered as error:
                        failures.append(error.failure)
                        raise
        raise AssertionError("the last attempt returns or raises")

    async def _try(self, messages: Messages, reply_tokens: int, weaker: int) -> Reply:
        """Ask once; again at once only where the server names what it does not take."""
        while True:
            self._go_on()
            await self._rate.acquire(count_tokens(messages) + reply_tokens)
            self._go_on()
            terms = self._dialect.weaker(weaker)
            answer = await self._send(messages, terms.options(reply_tokens))
            if isinstance(answer, Completion):
                self._agreed(self._dialect.settle(terms))
                return self._reply(messages, answer)
            kind = answer.kind
            if kind is Kind.FILTER:
                return self._reply(messages, Completion("", "content_filter", (0, 0)))
            names_form = kind is Kind.BUSY and (answer.status or 0) >= 500
            if kind in (Kind.REFUSED, Kind.CONTEXT) or names_form:
                before = self._dialect.terms
                if self._dialect.give_way(terms, answer, need_limit=self.budget.limit is not None):
                    self._agreed(self._dialect.terms.form > before.form)
                    continue
            if kind is Kind.BUSY or (kind is Kind.UNREACHABLE and self._reached):
                self._go_on()
                raise Unanswered(answer, self._said(answer))
            models = await models_of(self._openai) if kind is Kind.MODEL else []
            raise explain(answer, self.service.model, self.where, self._mask, models)

    def _go_on(self) -> None:
        if self.stopping:
            raise Stopped

    def _note(self, text: str) -> None:
        self._tell(self._mask(text))

    def _agreed(self, news: bool) -> None:
        """Say once that answers come in a form with less in it, where they do."""
        if news:
            form = FORMS[self._dialect.terms.form]
            self._note(f"the server takes no {FORMS[0]}: asking for {form or 'JSON in plain text'}")

    async def _send(self, messages: Messages, options: dict[str, Any]) -> Completion | Failure:
        task = asyncio.current_task()
        assert task is not None
        self.in_flight.add(task)
        try:
            raw = await self._openai.chat.completions.with_raw_response.create(
                model=self.service.model,
                messages=list(messages),  # type: ignore[arg-type] # plain dicts, as the client sends them
                **options,
            )
            self._reached = True
            return read_completion(raw.content)
        except NoCompletion as error:
            return error.failure
        except openai.APIStatusError as error:
            self._reached = True
            return of_response(error.response)
        except Endless as error:
            return Failure(str(error), plain=Kind.ENDLESS)
        except (openai.APIError, httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, ExceptionGroup) as error:
            return of_network(error)
        finally:
            self.in_flight.discard(task)

    def _reply(self, messages: Messages, answer: Completion) -> Reply:
        """What came back, as a record."""
        text, counts, usage = self._mask(answer.text), answer.counts, None
        cost = self.price.of(*(counts or (count_tokens(messages), len(text) // 3))) if self.price else None
        self.budget.spend(cost or 0.0)
        if counts is not None:
            usage = {
                "prompt_tokens": counts[0],
                "completion_tokens": counts[1],
                "cost_usd": None if cost is None else round(cost, 6),
            }
        return Reply(
            request=request_key(messages),
            model=self.service.model,
            date=datetime.now(UTC).date().isoformat(),
            usage=usage,
            finish_reason=answer.reason and self._mask(answer.reason),
            reply=text,
            served=answer.served and self._mask(answer.served),
        )

    def _said(self, failure: Failure) -> str:
        said = shortened(self._mask(failure.said))
        if failure.wait is None or failure.wait <= LONGEST_WAIT:
            return said
        return f"{said} (it wants to be asked again in {failure.wait:,.0f} s, which is too long to wait)"

    def _enough(self, state: tenacity.RetryCallState, failures: Sequence[Failure]) -> bool:
        # against what is no chat completion another form may help, time will not
        strange = sum(NO_COMPLETION in failure.said for failure in failures)
        tries = self.service.tries if strange <= len(FORMS) else 0
        return state.attempt_number >= tries or (failures[-1].wait or 0.0) > LONGEST_WAIT

    def _seconds(self, state: tenacity.RetryCallState) -> float:
        return _unanswered(state).failure.wait or self.service.backoff * 2.0 ** (state.attempt_number - 1)

    def _before_sleep(self, state: tenacity.RetryCallState) -> None:
        error, seconds = _unanswered(state), state.upcoming_sleep
        if seconds >= 1:
            self._note(f"{error}; trying again in {seconds:.0f} s")
        if error.failure.status == 429:
            self._rate.hold(seconds)


def _unanswered(state: tenacity.RetryCallState) -> Unanswered:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, Unanswered)
    return error


#: Who pays at OpenAI is no other server's business.
_NO_ACCOUNT = {"OpenAI-Organization": openai.Omit(), "OpenAI-Project": openai.Omit()}
