"""The graph that a language model knows: blocks of targets → replies → edges, each label complete or named."""

import math
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from c2srt_cli.errors import Interrupted, ServiceError
from c2srt_cli.graph.category_graph import CategoryGraph
from c2srt_cli.graph.pace import Stopped, Unanswered
from c2srt_cli.graph.prices import REPLY_TOKENS
from c2srt_cli.graph.prompt import PROMPT_VERSION, Block, Messages, question, repair, request_key
from c2srt_cli.graph.recorded import Recorded, Reply
from c2srt_cli.graph.reply import Answer, better, read_reply
from c2srt_cli.labels import LabelSet
from c2srt_cli.progress import Progress

if TYPE_CHECKING:  # a replay needs no openai
    from c2srt_cli.graph.client import Client

#: Requests in a row without a reply after which the server is given up.
GIVE_UP = 3


@dataclass(frozen=True)
class Resolved:
    """What is known about a block.

    Attributes:
        answers: By target.
        replies: What they were read from.
    """

    answers: dict[int, Answer]
    replies: tuple[Reply, ...]

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

    def resolve(self, block: Block, client: "Client | None" = None) -> Resolved:
        """Read what is recorded about a block; with a client ask for what is missing, with one repair turn.

        Raises:
            ServiceError: no request can succeed.
            Stopped: the run ends first.
            Unanswered: the server did not answer.
        """
        asked = question(self.labels, block)
        replies = self._replies(asked, block, client)
        if not replies:
            return Resolved(dict.fromkeys(block.targets, Answer()), ())
        first = Resolved(read_reply(replies[0].reply, block.targets, block.candidates), replies[:1])
        if not first.faults:
            return first
        if replies[0].finish_reason == "length":  # to show it would take room that was too little already
            left = block._replace(targets=tuple(first.faults))
            turn = question(self.labels, left)
        else:
            turn = repair(asked, replies[0].reply, first.faults)
        second = self._merged(first, block, self.recorded.of(request_key(turn)))
        if second.faults and client is not None:
            self._ask(turn, len(first.faults), client)
            second = self._merged(first, block, self.recorded.of(request_key(turn)))
        return second

    def _replies(self, asked: Messages, block: Block, client: "Client | None") -> tuple[Reply, ...]:
        if not self.recorded.of(request_key(asked)) and client is not None:
            self._ask(asked, len(block.targets), client, block if self.shortlisted else None)
        return self.recorded.of(request_key(asked))

    def _ask(self, messages: Messages, targets: int, client: "Client", block: Block | None = None) -> None:
        reply = client.ask(messages, REPLY_TOKENS * targets)
        if block is not None:
            reply = replace(reply, block={"targets": [*block.targets], "candidates": [*block.candidates]})
        self.recorded.add(reply)

    @staticmethod
    def _merged(first: Resolved, block: Block, replies: Sequence[Reply]) -> Resolved:
        answers = dict(first.answers)
        for reply in replies:
            for target, answer in read_reply(reply.reply, block.targets, block.candidates).items():
                answers[target] = better(answers[target], answer)
        return Resolved(answers, (*first.replies, *(reply for reply in replies if reply not in first.replies)))


def ask_all(
    conversation: Conversation, blocks: Sequence[Block], client: "Client", concurrency: int, progress: Progress
) -> None:
    """Ask about every block, several at a time; each reply is kept as it comes.

    A block without a reply is left out, and named by whoever reads the replies.

    Raises:
        Interrupted: the user stopped it.
        ServiceError: no request can succeed, or the server has gone.
    """
    waiting: queue.SimpleQueue[Block] = queue.SimpleQueue()
    for block in blocks:
        waiting.put(block)
    results: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def work() -> None:
        while not client.pace.stop.is_set():
            try:
                block = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                conversation.resolve(block, client)
                results.put(None)
            except Stopped:
                return
            except Unanswered as error:
                results.put(error)
            except Exception as error:
                client.pace.stop.set()  # before anybody asks once more
                results.put(error)

    # daemons: a second Ctrl-C does not wait for a server that may take minutes to answer
    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(concurrency, len(blocks)))]
    for thread in threads:
        thread.start()
    try:
        _collect(results, len(blocks), progress)
    finally:
        client.pace.stop.set()
        for thread in threads:
            thread.join()  # what is on its way is paid for, and kept


def _collect(results: "queue.SimpleQueue[Exception | None]", total: int, progress: Progress) -> None:
    answered = lost = 0
    for done in range(1, total + 1):
        while True:
            if progress.stopped():
                raise Interrupted(f"{done - 1:,} of {total:,} requests are answered, their replies are kept")
            try:
                error = results.get(timeout=0.2)
                break
            except queue.Empty:
                continue
        if error is None:
            answered, lost = answered + 1, 0
        elif not isinstance(error, Unanswered):
            raise error
        else:
            lost += 1
            progress.note(f"a request got no reply: {error}")
            if lost == GIVE_UP or (done == total and not answered):
                raise ServiceError(
                    "the language model does not answer",
                    problems=[str(error)],
                    hint="run the same command again later: what is answered is kept",
                )
        progress.advance(done, total)


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
