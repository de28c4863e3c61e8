"""What a request costs: a dated list of prices, and a count of tokens without a tokeniser."""

from collections.abc import Mapping
from typing import NamedTuple

from c2srt_cli.graph.prompt import Messages

#: When the prices below were those that OpenAI asked for.
PRICED = "June 2026"

#: The most tokens a reply may take, a target: twelve sources of some 25, and as much again for a model that thinks.
REPLY_TOKENS = 600

#: The most tokens that a repair turn says of a target: three faults, each with 40 characters of the reply.
FAULT_TOKENS = 200

#: What a reply takes on average, a target: eight sources.
EXPECTED_REPLY_TOKENS = 200


class Price(NamedTuple):
    """US dollars for a million tokens of prompt and of reply."""

    prompt: float
    completion: float

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """US dollars for these tokens."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


_PRICES: Mapping[str, Price] = {
    "gpt-4o": Price(2.50, 10.00),
    "gpt-4o-mini": Price(0.15, 0.60),
    "gpt-4.1": Price(2.00, 8.00),
    "gpt-4.1-mini": Price(0.40, 1.60),
    "gpt-4.1-nano": Price(0.10, 0.40),
    "gpt-5": Price(1.25, 10.00),
    "gpt-5-mini": Price(0.25, 2.00),
    "gpt-5-nano": Price(0.05, 0.40),
    "gpt-5.1": Price(1.25, 10.00),
    "gpt-5.4": Price(2.50, 15.00),
    "gpt-5.4-mini": Price(0.75, 4.50),
    "gpt-5.4-nano": Price(0.20, 1.25),
    "gpt-5.5": Price(5.00, 30.00),
    "o3": Price(2.00, 8.00),
    "o4-mini": Price(1.10, 4.40),
}


def price(model: str) -> Price | None:
    """The price of a model of OpenAI's, dated snapshots (``gpt-4o-2024-08-06``) included; None where unknown."""
    return _PRICES.get(model) or _PRICES.get(model.partition("-20")[0])


def count_tokens(messages: Messages) -> int:
    """About how many tokens a prompt has: three bytes each, which for lists of ids and labels is on the high side."""
    return sum(len(message["content"].encode(errors="replace")) for message in messages) // 3
