"""Replies without an end, over a real socket."""

import asyncio
import gzip
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import httpx2
import pytest

from c2srt_cli.graph.llm import bounds
from c2srt_cli.graph.llm.bounds import REPLY_BYTES, BoundedClient, Endless
from c2srt_cli.graph.llm.connection import of_network
from c2srt_cli.graph.llm.failure import Kind

GRACE = 0.4
Parts = Callable[[], Iterable[bytes]]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "GRACE", GRACE)


@contextmanager
def sending(parts: Parts) -> Iterator[str]:
    """A server that answers any request with these parts, one after the other."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener:
            connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            try:
                for part in parts():
                    connection.sendall(part)
            except OSError:
                pass  # the client has had enough

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    thread.join(10)
    assert not thread.is_alive()


def get(url: str, seconds: float = 30) -> httpx2.Response:
    async def ask() -> httpx2.Response:
        async with BoundedClient(seconds) as client:
            return await client.get(url)

    return asyncio.run(ask())


def slowly(data: Iterable[bytes], pause: float = 0.02) -> Iterator[bytes]:
    for part in data:
        yield part
        time.sleep(pause)


def chunks(data: Iterable[bytes]) -> Iterator[bytes]:
    for part in data:
        yield b"%x\r\n%b\r\n" % (len(part), part)
    yield b"0\r\n\r\n"


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MEGABYTE = b" " * (1 << 20)
BOMB = gzip.compress(bytes(64 << 20))

ENDLESS: dict[str, Parts] = {
    "a chunk after the other": lambda: (CHUNKED, *chunks(itertools.repeat(MEGABYTE, 64))),
    "a length of 600 MiB": lambda: (
        b"HTTP/1.1 200 OK\r\nContent-Length: 629145600\r\n\r\n",
        *itertools.repeat(MEGABYTE, 64),
    ),
    "no length": lambda: (b"HTTP/1.1 200 OK\r\n\r\n", *itertools.repeat(MEGABYTE, 64)),
    "a gzip bomb": lambda: (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB),
        BOMB,
    ),
    "a gzip bomb in a gzip": lambda: (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\n\r\n", gzip.compress(BOMB)),
    "an error without an end": lambda: (b"HTTP/1.1 500 X\r\n\r\n", *itertools.repeat(MEGABYTE, 64)),
}
SLOW: dict[str, Parts] = {
    "a byte at a time": lambda: slowly((b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", *[b" "] * 200)),
    "a chunk at a time": lambda: slowly((CHUNKED, *chunks([b"{", *[b" "] * 200]))),
    "a header at a time": lambda: slowly((b"HTTP/1.1 200 OK\r\n", *[b"X: a\r\n"] * 200)),
    "half a reply": lambda: slowly([b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n{", *[b""] * 3], GRACE),
    "half a header": lambda: slowly([b"HTTP/1.1 200 OK\r\nX: ", *[b""] * 3], GRACE),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_reply_without_an_end_is_given_up(name: str) -> None:
    with sending(ENDLESS[name]) as url, pytest.raises(Endless, match="more than 4 MiB"):
        get(url)


@pytest.mark.parametrize("name", SLOW)
def test_a_reply_that_drips_is_given_up(name: str) -> None:
    with sending(SLOW[name]) as url:
        started = time.monotonic()
        with pytest.raises(Endless, match="more slowly than"):
            get(url)
        assert GRACE <= time.monotonic() - started < GRACE + 3


def test_a_model_that_works_is_waited_for() -> None:
    """Silence, or white space against it, is no drip."""
    with sending(
        lambda: itertools.chain(slowly([b""], 2 * GRACE), [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"])
    ) as url:
        assert get(url).content == b"{}"
    with sending(lambda: slowly((CHUNKED, *chunks([*[b"\n"] * 15, b"{}"])), GRACE / 5)) as url:
        assert get(url).json() == {}


def test_the_patience_with_a_model_that_works_has_an_end() -> None:
    for parts in (lambda: slowly([b""] * 4, GRACE), lambda: slowly((CHUNKED, *chunks([b"\n"] * 80)))):
        with sending(parts) as url, pytest.raises(httpx2.ReadTimeout, match="no reply within"):
            get(url, seconds=2 * GRACE)


def test_a_long_reply_is_read_whole() -> None:
    body = b"x" * REPLY_BYTES
    with sending(lambda: (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body)) as url:
        assert get(url).content == body
    packed = gzip.compress(b'{"a": 1}')
    with sending(lambda: (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", packed)) as url:
        assert get(url).json() == {"a": 1}


def test_long_headers_are_given_up() -> None:
    parts = b"HTTP/1.1 200 OK\r\nX: ", *itertools.repeat(b"a" * 65_536, 100)
    with sending(lambda: parts) as url, pytest.raises(httpx2.RemoteProtocolError) as caught:
        get(url)
    assert of_network(caught.value).kind is Kind.ENDLESS
    assert "100 KiB" in of_network(caught.value).said


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int) -> None:
    with sending(lambda: (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",)) as other:
        head = b"HTTP/1.1 %d X\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % (status, other.encode())
        with sending(lambda: (head,)) as url:
            assert get(url).status_code == status
        assert get(other).status_code == 200  # nobody had been there: it answers once
