"""Why a server was not reached, or its connection broke off: the innermost cause, in words."""

import socket
import ssl
from collections.abc import Iterator

import httpx2

from c2srt_cli.graph.llm.failure import Failure, Kind


def of_network(error: BaseException) -> Failure:
    """The failure behind an exception of the HTTP client: its innermost cause, in words."""
    chain = list(_causes(error))
    for cause in chain:
        match cause:
            case ssl.SSLCertVerificationError():
                return Failure(f"its certificate is not valid: {cause.verify_message}", plain=Kind.UNREACHABLE)
            case ssl.SSLError() if "WRONG_VERSION" in str(cause) or "RECORD_LAYER" in str(cause):
                return Failure("it does not speak TLS there: http:// instead of https://?", plain=Kind.UNREACHABLE)
            case ssl.SSLError():
                return Failure(f"no secure connection: {cause.reason or cause}", plain=Kind.UNREACHABLE)
            case socket.gaierror():
                return Failure("its name is not known (no such host)", plain=Kind.UNREACHABLE)
            case httpx2.ProxyError():
                return Failure(f"the proxy refuses: {cause}", plain=Kind.UNREACHABLE)
            case httpx2.UnsupportedProtocol() | httpx2.InvalidURL():
                return Failure(str(cause), plain=Kind.UNREACHABLE)
            case httpx2.RemoteProtocolError() if "buffer too long" in str(cause):
                return Failure("its headers have more than 100 KiB", plain=Kind.ENDLESS)
            case ConnectionRefusedError():
                return Failure("the connection is refused: no server is running there", plain=Kind.UNREACHABLE)
    text = next((text for text in map(_network_words, chain) if text), type(error).__name__)
    unreached = any(isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout) for cause in chain)
    return Failure(text, plain=Kind.UNREACHABLE if unreached else None)


def _network_words(cause: BaseException) -> str:
    """What an exception says, where it says more than that something went wrong."""
    match cause:
        case httpx2.ConnectTimeout():
            return "no connection in time"
        case httpx2.ReadError() | httpx2.WriteError() | httpx2.CloseError():
            return "the connection broke off"
        case httpx2.HTTPError() if not isinstance(cause, httpx2.ConnectError):
            return str(cause)
        case OSError():
            return cause.strerror or str(cause)
        case ValueError() | OverflowError():
            return str(cause)
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        cause = waiting.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        if isinstance(cause, BaseExceptionGroup):
            waiting += cause.exceptions
        waiting += [inner for inner in (cause.__cause__, cause.__context__) if inner is not None]
