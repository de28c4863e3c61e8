"""How many requests and tokens a minute may go out."""

import asyncio

from aiolimiter import AsyncLimiter

#: Parts of a minute's tokens that may go out at once: requests are spaced by their size, not sent in bursts.
PARTS = 600


class RateLimit:
    """Spaces requests so that no minute has more of them, or of their tokens, than allowed.

    Args:
        requests: A minute, or None.
        tokens: A minute, or None.
    """

    def __init__(self, requests: int | None = None, tokens: int | None = None) -> None:
        self._requests = AsyncLimiter(1, 60 / requests) if requests else None
        self._tokens = AsyncLimiter(tokens / PARTS, 60 / PARTS) if tokens else None
        self._free_at = 0.0  # loop time from which requests may go out
        self._turn = asyncio.Lock()

    async def acquire(self, tokens: int) -> None:
        """Return when a request of ``tokens`` may go out; first come, first served."""
        async with self._turn:
            if self._requests:
                await self._requests.acquire()
            if self._tokens:
                whole, rest = divmod(tokens, self._tokens.max_rate)
                for part in (*[self._tokens.max_rate] * int(whole), rest):
                    await self._tokens.acquire(part)
            while (seconds := self._free_at - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(seconds)

    def hold(self, seconds: float) -> None:
        """Let no request go out for that long: the server said so."""
        self._free_at = max(self._free_at, asyncio.get_running_loop().time() + seconds)
