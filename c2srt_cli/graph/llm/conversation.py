"""The graph that a language model knows: blocks of targets → replies → edges, each label complete or named."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from c2srt_cli.errors import Interrupted
from c2srt_cli.graph.category_graph import CategoryGraph
from c2srt_cli.graph.llm.prices import REPLY_TOKENS, count_tokens
from c2srt_cli.graph.llm.prompt import PROMPT_VERSION, Block, Messages, question, repair, request_key
from c2srt_cli.graph.llm.recorded import Recorded, Reply
from c2srt_cli.graph.llm.reply import Answer, better, read_reply
from c2srt_cli.graph.llm.thinking import without_thinking
from c2srt_cli.labels import LabelSet
from c2srt_cli.progress import Progress

if TYPE_CHECKING:  # a replay needs no openai
    from c2srt_cli.graph.llm.client import Client

#: Requests in a row without a reply after which the server is given up.
GIVE_UP = 3
#: A reply with more characters than this a target is not shown to the model again: it is asked anew.
LONGEST_SHOWN = 6_000
#: A smaller number of tokens is no count of a prompt's: the marks around its messages alone have more.
LEAST_READ = 20
#: Contexts at which servers cut prompts off, and how many tokens they add: Ollama keeps a half of it, and two.
CONTEXTS, ADDED = (2_048, 4_096, 8_192, 16_384, 32_768), 3

_NOT_ANSWERED = Answer().fault
_AT_LIMIT = "the reply ended before it, at the limit of its tokens (thinking counts)"
#: What servers call it: OpenAI and most others, Mistral, Google.
_LIMITED = ("length", "model_length", "max_tokens", "MAX_TOKENS")
_WHY = {
    **dict.fromkeys(_LIMITED, _AT_LIMIT),
    "content_filter": "the server's filter held it back",
    "refusal": "the model refuses",
}


@dataclass(frozen=True)
class Resolved:
    """What is known about a block.

    Attributes:
        answers: By target.
        replies: What they were read from.
        read: Tokens of the prompt that the server read, and that there were, where it read a part only.
    """

    answers: dict[int, Answer]
    replies: tuple[Reply, ...]
    read: tuple[int, int] | None = None

    @property
    def faults(self) -> dict[int, str]:
        """What is wrong or missing, by target."""
        return {target: answer.fault for target, answer in self.answers.items() if answer.fault}


@dataclass(frozen=True)
class Conversation:
    """Blocks about one set of labels, and the replies to them.

    Attributes:
        labels: The labels.
        recorded: Replies there are; new ones are added.
        shortlisted: Whether candidates were chosen, which a reply then records.
    """

    labels: LabelSet
    recorded: Recorded
    shortlisted: bool = False

    def resolve(self, block: Block) -> Resolved:
        """What the recorded replies say about a block."""
        first, turn = self._first(block)
        if turn is None:
            return first
        resolved = self._merged(first, block, turn)
        why = _why(resolved.replies)
        answers = {
            target: replace(answer, fault=f"{answer.fault}{why}") if answer.fault == _NOT_ANSWERED else answer
            for target, answer in resolved.answers.items()
        }
        return replace(resolved, answers=answers)

    async def ask(self, block: Block, client: "Client") -> Resolved:
        """Ask for what is missing about a block, with one repair turn; each reply is kept as it comes.

        Raises:
            ServiceError: no request can succeed.
            Stopped: the run ends first.
            Unanswered: the server did not answer.
        """
        first, turn = self._first(block)
        if not first.replies or first.read:
            await self._ask(question(self.labels, block), len(block.targets), client, block)
            first, turn = self._first(block)
        if turn is not None and not first.read and self._merged(first, block, turn).faults:
            await self._ask(turn, len(first.faults), client)
        return self.resolve(block)

    def _first(self, block: Block) -> tuple[Resolved, Messages | None]:
        """What the reply to the question says, and the turn after it, where one is needed."""
        asked = question(self.labels, block)
        replies = self.recorded.of(request_key(asked))
        if not replies:
            return Resolved(dict.fromkeys(block.targets, Answer()), ()), None
        reply = next((reply for reply in replies if not read_in_part(reply, asked)), replies[-1])
        first = self._read(reply, asked, block)
        if not first.faults:
            return first, None
        text = without_thinking(reply.reply)
        if reply.finish_reason in _LIMITED or len(text) > LONGEST_SHOWN * len(block.targets):
            # to show it would take room that was too little already
            return first, question(self.labels, block._replace(targets=tuple(first.faults)))
        return first, repair(asked, text, first.faults)

    def _read(self, reply: Reply, asked: Messages, block: Block) -> Resolved:
        answers = read_reply(reply.reply, block.targets, block.candidates, self.labels.names)
        read = read_in_part(reply, asked)
        if read:
            fault = f"the server read {read[0]:,} of some {read[1]:,} tokens of the prompt"
            answers = {
                target: replace(answer, fault="; ".join(filter(None, (fault, answer.fault))))
                for target, answer in answers.items()
            }
        return Resolved(answers, (reply,), read)

    def _merged(self, first: Resolved, block: Block, turn: Messages) -> Resolved:
        answers, replies = dict(first.answers), list(first.replies)
        for reply in self.recorded.of(request_key(turn)):
            for target, answer in self._read(reply, turn, block).answers.items():
                answers[target] = better(answers[target], answer)
            if all(reply is not other for other in replies):
                replies.append(reply)
        return Resolved(answers, tuple(replies), first.read)

    async def _ask(self, messages: Messages, targets: int, client: "Client", block: Block | None = None) -> None:
        reply = await client.ask(messages, REPLY_TOKENS * targets)
        if block is not None and self.shortlisted:
            asked = {"targets": [*block.targets], "candidates": [*block.candidates]}
            reply = reply.model_copy(update={"block": asked})
        self.recorded.add(reply)


def read_in_part(reply: Reply, asked: Messages) -> tuple[int, int] | None:
    """Tokens of the prompt that the server read, and that there were, where it cut the prompt off without a word.

    It did where it counts less than a third of our estimate, or a round number that is well below.
    """
    read, sent = (reply.usage or {}).get("prompt_tokens") or 0, count_tokens(asked)
    round_number = any(0 <= read - context <= ADDED for context in CONTEXTS)
    if read < LEAST_READ or not (3 * read < sent or (round_number and 1.5 * read < sent)):
        return None
    return int(read), sent


def _why(replies: Sequence[Reply]) -> str:
    """Why the last reply holds no answer, as far as it says so."""
    if not replies:
        return ""
    reply = replies[-1]
    why = _WHY.get(reply.finish_reason or "") or ("" if without_thinking(reply.reply).strip() else "the reply is empty")
    return f": {why}" if why else ""


async def ask_all(
    conversation: Conversation, blocks: Sequence[Block], client: "Client", concurrency: int, progress: Progress
) -> None:
    """Ask about every block, several at a time; each reply is kept as it comes.

    A block without a reply is left out, and named by whoever reads the replies.

    Raises:
        Interrupted: the user stopped it.
        ServiceError: no request can succeed, or the server has gone.
    """
    from c2srt_cli.graph.llm.advice import cut_off_hint
    from c2srt_cli.graph.llm.client import Stopped, Unanswered

    waiting = iter(blocks)
    done = lost = 0
    warned = False

    async def work() -> None:
        nonlocal done, lost, warned
        for block in waiting:
            try:
                resolved = await conversation.ask(block, client)
            except Stopped:
                return
            except Unanswered as error:
                done, lost = done + 1, lost + 1
                if lost == min(GIVE_UP, len(blocks)):
                    raise client.given_up(error) from None
                progress.note(f"a request got no reply: {error}")
            else:
                done, lost = done + 1, 0
                if resolved.read and not warned:
                    warned = True
                    progress.note(cut_off_hint(*resolved.read))
            progress.advance(done, len(blocks))

    workers = [asyncio.create_task(work()) for _ in range(min(concurrency, len(blocks)))]
    pending = set(workers)
    try:
        while pending:
            finished, pending = await asyncio.wait(pending, timeout=0.1, return_when=asyncio.FIRST_COMPLETED)
            for task in finished:
                task.result()
            if progress.stopped():
                break
    finally:
        client.stopping = True
        for task in pending - client.in_flight:  # those that wait; what is on its way is paid for, and kept
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    if done < len(blocks):
        raise Interrupted(f"{done:,} of {len(blocks):,} requests are answered, their replies are kept")


def llm_graph(conversation: Conversation, blocks: Sequence[Block], targets: Sequence[int]) -> CategoryGraph:
    """The graph that the recorded replies make: the same one for the same replies.

    Labels without a complete answer stand in the provenance, by name, under ``failed``.
    """
    labels, names = conversation.labels, conversation.labels.names
    resolved = [conversation.resolve(block) for block in blocks]
    answers = {target: answer for part in resolved for target, answer in part.answers.items()}
    replies = {id(reply): reply for part in resolved for reply in part.replies}.values()
    failed = {names[i]: answers.get(i, Answer()).fault for i in targets if answers.get(i, Answer()).fault}
    edges = tuple(edge for i in targets for edge in answers.get(i, Answer()).edges)
    provenance: dict[str, Any] = {
        "source": "llm",
        "model": conversation.recorded.model,
        "served": sorted({reply.served for reply in replies if reply.served}),
        "prompt": PROMPT_VERSION,
        "date": max((reply.date for reply in replies), default=None),
        "requests": len(replies),
        "targets": len(targets),
        "failed": failed,
        **_usage([reply.usage for reply in replies if reply.usage]),
    }
    return CategoryGraph(labels, edges, {"sources": [provenance]})


def _usage(usages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Tokens and US dollars, as far as servers told them; None where none did."""

    def total(name: str) -> float | None:
        known = [usage[name] for usage in usages if isinstance(usage.get(name), int | float)]
        return math.fsum(known) if known else None  # the exact sum: replies come in any order

    cost = total("cost_usd")
    tokens = {name: total(name) for name in ("prompt_tokens", "completion_tokens")}
    return {
        **{name: None if value is None else int(value) for name, value in tokens.items()},
        "cost_usd": None if cost is None else round(cost, 4),
    }
