"""How much and how long a server may answer: an HTTP client that gives up on a reply without an end."""

import asyncio
from collections.abc import Iterable
from typing import Any

import httpcore2
import httpx2

#: Bytes of a reply, unpacked. The longest that can be asked for, 12,000 tokens with the thinking before them, has some
#: hundred thousand. (Headers: the HTTP library ends them at 100 KiB.)
REPLY_BYTES = 4 << 20
#: What has begun to come, headers or body, comes at least so fast, in bytes a second, after so many seconds' grace. A
#: model that still thinks sends nothing at all, or white space.
SLOWEST, GRACE = 1024, 15.0
#: Seconds until a connection is there.
CONNECT = 20.0


class Endless(Exception):  # noqa: N818 - what a reply is
    """A reply is longer, or comes more slowly, than any reply does."""


class BoundedClient(httpx2.AsyncClient):
    """An HTTP client whose every reply ends, and that goes where it was sent and nowhere else.

    Args:
        seconds: That a reply may take, from the request to its last byte.

    Raises:
        Endless: by `send`, of a reply that would not end.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(timeout=httpx2.Timeout(seconds, connect=min(seconds, CONNECT)))
        self._seconds = seconds
        for transport in (self._transport, *self._mounts.values()):
            if isinstance(transport, httpx2.AsyncHTTPTransport):
                transport._pool._network_backend = _Network()

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request and read the whole reply to it; a redirect is a reply like any other."""
        loop = asyncio.get_running_loop()
        body, began = bytearray(), None
        try:
            async with asyncio.timeout(self._seconds) as deadline:
                last = deadline.when() or 0.0
                response = await super().send(request, **{**options, "stream": True, "follow_redirects": False})
                try:
                    async for part in response.aiter_bytes():
                        body += part
                        if len(body) > REPLY_BYTES:
                            raise Endless(f"the reply has more than {REPLY_BYTES >> 20} MiB")
                        if began is None and ("content-length" in response.headers or part.strip()):
                            began = loop.time()
                        if began is not None:
                            deadline.reschedule(min(last, began + GRACE + len(body) / SLOWEST))
                finally:
                    await response.aclose()
        except TimeoutError:
            if began is not None and loop.time() < last:
                raise _slow() from None
            raise httpx2.ReadTimeout(f"no reply within {self._seconds:.0f} seconds", request=request) from None
        headers = [(name, value) for name, value in response.headers.raw if name.lower() != b"content-encoding"]
        return httpx2.Response(response.status_code, headers=headers, content=bytes(body), request=request)


def _slow() -> Endless:
    return Endless(f"the reply comes more slowly than {SLOWEST:,} bytes a second")


class _Network(httpcore2.AnyIOBackend):
    """The network, with an eye on how fast headers come."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        return _Stream(await super().connect_tcp(host, port, timeout, local_address, socket_options))


class _Stream(httpcore2.AsyncNetworkStream):
    """A connection on which headers that have begun come to an end."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self._head: bytearray | None = None  # of the reply that is coming; None once it is whole
        self._began = 0.0

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._head is None:
            return await self._stream.read(max_bytes, timeout)
        try:
            async with asyncio.timeout_at(self._began + GRACE + len(self._head) / SLOWEST if self._head else None):
                data = await self._stream.read(max_bytes, timeout)
        except TimeoutError:
            raise _slow() from None
        if not self._head:
            self._began = asyncio.get_running_loop().time()
        self._head += data
        if b"\n\r\n" in self._head or b"\n\n" in self._head or len(self._head) > REPLY_BYTES:
            self._head = None
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._head = bytearray()
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> Any:
        return _Stream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
