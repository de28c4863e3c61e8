"""What asking the language model would take, before anything is asked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from c2srt_cli.graph.llm.prices import EXPECTED_REPLY_TOKENS, FAULT_TOKENS, REPLY_TOKENS, count_tokens, price
from c2srt_cli.graph.llm.prompt import Block, question
from c2srt_cli.graph.llm.service import address
from c2srt_cli.labels import LabelSet


@dataclass(frozen=True)
class Estimate:
    """What asking the language model would take.

    Attributes:
        labels: Labels to find sources for.
        requests: Requests still to send.
        prompt_tokens: In all of them.
        reply_tokens: That replies will take on average.
        cost: US dollars, or None where no price is known.
        most: US dollars if every reply took all the tokens that it may, and had to be repaired.
        model: The model.
    """

    labels: int
    requests: int
    prompt_tokens: int
    reply_tokens: int
    cost: float | None
    most: float | None
    model: str


def estimate(labels: LabelSet, blocks: Sequence[Block], model: str, base_url: str | None) -> Estimate:
    """What it takes to ask about these blocks.

    Raises:
        UsageError: the server's address is none.
    """
    sizes = [(count_tokens(question(labels, block)), len(block.targets)) for block in blocks]
    cost = most = None
    if priced := price(model, address(base_url)):
        cost = math.fsum(priced.of(prompt, targets * EXPECTED_REPLY_TOKENS) for prompt, targets in sizes)
        most = math.fsum(
            priced.of(prompt, targets * REPLY_TOKENS)
            # a repair shows the prompt and the reply again, with what is wrong
            + priced.of(prompt + targets * (REPLY_TOKENS + FAULT_TOKENS), targets * REPLY_TOKENS)
            for prompt, targets in sizes
        )
    asked = sum(targets for _, targets in sizes)
    return Estimate(
        labels=asked,
        requests=len(sizes),
        prompt_tokens=sum(prompt for prompt, _ in sizes),
        reply_tokens=asked * EXPECTED_REPLY_TOKENS,
        cost=cost,
        most=most,
        model=model,
    )
