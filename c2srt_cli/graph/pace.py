"""How fast, how often and for how much money requests may go out."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from c2srt_cli.errors import ServiceError


class Stopped(Exception):  # noqa: N818 - no error, a wish
    """The run ends: nothing new is to be asked."""


class Unanswered(Exception):  # noqa: N818 - one request, not the run
    """A request got no reply, however often it was sent."""


class Pace:
    """Spaces requests so that no minute has more of them, or of their tokens, than allowed.

    Args:
        requests: A minute, or None.
        tokens: A minute, or None.
    """

    def __init__(self, requests: int | None = None, tokens: int | None = None) -> None:
        self.stop = threading.Event()
        self._requests, self._tokens = requests, tokens
        self._next = 0.0  # time.monotonic() from which the next request may go out
        self._lock = threading.Lock()

    def wait(self, tokens: int) -> None:
        """Return when a request of ``tokens`` may go out.

        Raises:
            Stopped: the run ends first.
        """
        minutes = max(1 / self._requests if self._requests else 0.0, tokens / self._tokens if self._tokens else 0.0)
        while True:
            with self._lock:
                now = time.monotonic()
                if now >= self._next:
                    self._next = now + 60 * minutes
                    break
                delay = self._next - now
            self.sleep(delay)
        self.sleep(0.0)

    def hold(self, seconds: float) -> None:
        """Let no request go out for that long: the server said so."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)

    def sleep(self, seconds: float) -> None:
        """Sleep.

        Raises:
            Stopped: the run ends first.
        """
        if self.stop.wait(seconds):
            raise Stopped


class Budget:
    """Money that may be spent. What a request costs at most is set aside before it goes out.

    Args:
        limit: US dollars, or None.
    """

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self.spent = 0.0
        self._reserved = 0.0
        self._settled = threading.Condition()

    @contextmanager
    def reserve(self, most: float) -> Iterator[None]:
        """Set ``most`` aside for as long as a request runs; waits where that needs others to come in cheaper.

        Raises:
            ServiceError: it could cost more than is left.
        """
        with self._settled:
            while self.limit is not None and self.spent + self._reserved + most > self.limit:
                if not self._reserved:
                    raise ServiceError(
                        f"the next request could cost ${most:.2f}; ${self.spent:.2f} of ${self.limit:.2f} are spent",
                        where="--max-cost",
                        hint="raise --max-cost and run the same command again: what is answered is kept",
                    )
                self._settled.wait()
            self._reserved += most
        try:
            yield
        finally:
            with self._settled:
                self._reserved -= most
                self._settled.notify_all()

    def spend(self, cost: float) -> None:
        """Count what a reply did cost."""
        with self._settled:
            self.spent += cost
