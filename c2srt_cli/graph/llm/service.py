"""Where the language model is, and how it is to be treated."""

import os
from dataclasses import dataclass, field

from c2srt_cli.errors import UsageError
from c2srt_cli.graph.llm.api_key import VARIABLE

#: OpenAI's own server.
OPENAI = "https://api.openai.com/v1"
#: The environment variable with the address of another one.
ADDRESS = "OPENAI_BASE_URL"


@dataclass(frozen=True)
class Service:
    """A server, a model there, and the limits that we keep to.

    Attributes:
        model: The model's name there.
        base_url: Of the server; OpenAI's own (or ``OPENAI_BASE_URL``) where None.
        api_key: The key; servers of one's own need none.
        requests_per_minute: At most so many, or None.
        tokens_per_minute: At most so many, of prompts and replies, or None.
        max_cost: US dollars that may be spent, or None.
        timeout: Seconds that a reply may take.
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


def address(base_url: str | None) -> str:
    """The server's address: the given one, else the environment's, else OpenAI's.

    Raises:
        UsageError: it is none, or holds what must not stand in an address.
    """
    import httpx2

    where = "--base-url" if base_url else ADDRESS
    text = base_url or os.environ.get(ADDRESS, "").strip() or OPENAI
    example = f"such as {where} http://localhost:11434/v1"
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL as error:
        raise UsageError(f"is no address ({error})", where=where, hint=example) from None
    if url.userinfo:
        raise UsageError(
            "there is a user name or a password in the address",
            where=where,
            hint=f"leave it out: the key comes from {VARIABLE} or from --api-key-file",
        )
    if url.scheme not in ("http", "https") or not url.host or not 0 < (url.port or 80) < 65536:
        raise UsageError(f"{text[:200]!r} is no address of a server", where=where, hint=example)
    if url.query or url.fragment:
        raise UsageError(
            "an address ends where its ? or # would start",
            where=where,
            hint="leave that out; Azure answers without it at https://NAME.openai.azure.com/openai/v1",
        )
    return str(url).rstrip("/").removesuffix("/chat/completions")
