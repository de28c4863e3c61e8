"""Money that may be spent on requests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from c2srt_cli.errors import ServiceError


class Budget:
    """Money that may be spent. What a request costs at most is set aside before it goes out.

    Args:
        limit: US dollars, or None.
    """

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self.spent = 0.0
        self._reserved = 0.0
        self._settled = asyncio.Condition()

    @asynccontextmanager
    async def reserve(self, most: float) -> AsyncIterator[None]:
        """Set ``most`` aside for as long as a request runs; waits where that needs others to come in cheaper.

        Raises:
            ServiceError: it could cost more than is left.
        """
        async with self._settled:
            while self.limit is not None and self.spent + self._reserved + most > self.limit:
                if not self._reserved:
                    raise ServiceError(
                        f"the next request could cost ${most:.2f}; ${self.spent:.2f} of ${self.limit:.2f} are spent",
                        where="--max-cost",
                        hint="raise --max-cost and run the same command again: what is answered is kept",
                    )
                await self._settled.wait()
            self._reserved += most
        try:
            yield
        finally:
            async with self._settled:
                self._reserved -= most
                self._settled.notify_all()

    def spend(self, cost: float) -> None:
        """Count what a reply did cost."""
        self.spent += cost
