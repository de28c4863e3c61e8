"""What a request costs: prices by model and server, and a count of tokens without a tokeniser."""

from dataclasses import dataclass
from functools import cache
from importlib.metadata import version

from c2srt_cli.graph.llm.prompt import Messages

#: The most tokens a reply may take, a target: twelve sources of some 25, and as much again for a model that thinks.
REPLY_TOKENS = 600

#: The most tokens that a repair turn says of a target: three faults, each with 40 characters of the reply.
FAULT_TOKENS = 200

#: What a reply takes on average, a target: eight sources.
EXPECTED_REPLY_TOKENS = 200


@dataclass(frozen=True)
class Price:
    """What a model costs.

    Attributes:
        model: Its name.
        provider: Who asks for the money, as ``genai_prices`` names providers.
    """

    model: str
    provider: str

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """US dollars for a request with so many tokens and its reply."""
        from genai_prices import Usage, calc_price

        usage = Usage(input_tokens=prompt_tokens, output_tokens=completion_tokens)
        return float(calc_price(usage, self.model, provider_id=self.provider).total_price)


@cache
def price(model: str, base_url: str | None = None) -> Price | None:
    """The price of a model; None where unknown.

    A server that nobody has published prices of is taken for a gateway to OpenAI, if the model is one of OpenAI's.
    """
    from genai_prices import Usage, calc_price

    usage = Usage(input_tokens=1, output_tokens=1)
    for place in ({"provider_api_url": base_url}, {"provider_id": "openai"}):
        if None not in place.values():
            try:
                return Price(model, calc_price(usage, model, **place).provider.id)
            except LookupError as error:
                if "provider" not in str(error):  # known, and has no such model
                    return None
    return None


def priced() -> str:
    """Whose prices these are, and of when."""
    return f"genai-prices {version('genai-prices')}"


def count_tokens(messages: Messages) -> int:
    """About how many tokens a prompt has: three bytes each, which for lists of ids and labels is on the high side."""
    return sum(len(message["content"].encode(errors="replace")) for message in messages) // 3
