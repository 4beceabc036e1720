"""One exchange with an HTTP operator, by aiohttp: the whole of it within a deadline, the answer's body bounded.

What failed before anything was written is told from what failed after: of the first the operator knows nothing.
"""

import asyncio
import contextlib
import email.utils
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

# An answer's body is read this far; a larger one is no answer to a message.
MOST_BODY = 64 * 1024
# An unused connection is kept so long: shorter than most servers keep theirs.
IDLE_SECONDS = 15.0
_RESOLVED_SECONDS = 30
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Request:
    """``url`` is encoded as it is to be sent."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """``retry_after`` is in seconds. ``whole`` is false when the body was longer than :data:`MOST_BODY`."""

    status: int
    body: bytes = b""
    retry_after: float | None = None
    whole: bool = True


class NotSentError(Exception):
    """No connection: the operator knows nothing of the request."""


class NoAnswerError(Exception):
    """The request was, or may have been, written, and no whole answer came."""


class Client:
    """Connections to one operator. Made and used on the loop."""

    def __init__(self, *, timeout: float, connect_timeout: float, tls: ssl.SSLContext) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, ssl=tls, keepalive_timeout=IDLE_SECONDS, ttl_dns_cache=_RESOLVED_SECONDS
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=timeout, connect=connect_timeout, ceil_threshold=3600),
            headers={"User-Agent": "Trunkline", "Accept-Encoding": "identity"},
            auto_decompress=False,
        )
        # By itself it sends GET and PUT again when a kept connection ends without an answer: whether a message
        # is sent again is the operator's setting.
        self._session._retry_connection = False

    async def send(self, request: Request) -> Answer:
        """The operator's answer.

        Raises:
            NotSentError: no connection came about.
            NoAnswerError: the deadline passed, the connection ended, or what came was not HTTP.
        """
        try:
            async with self._session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
            ) as response:
                body = await _bounded(response.content)
                whole = len(body) <= MOST_BODY
                if not whole:
                    response.close()
                wait = retry_after(response.headers.get("Retry-After"), now=datetime.now(tz=UTC))
                return Answer(response.status, body[:MOST_BODY], wait, whole)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSentError(_reason(error)) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NoAnswerError(_reason(error)) from error

    async def close(self) -> None:
        await self._session.close()
        # A turn of the loop for the connections to close.
        await asyncio.sleep(0)


async def _bounded(stream: aiohttp.StreamReader) -> bytes:
    """The body, or a little more than :data:`MOST_BODY` of it."""
    chunks: list[bytes] = []
    size = 0
    while size <= MOST_BODY and (chunk := await stream.readany()):
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "no connection before the deadline"
    if isinstance(error, TimeoutError):
        return "no whole answer before the deadline"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection: {error.os_error.strerror or error.os_error}"
    return f"no answer: {str(error) or type(error).__name__}"[:200]


async def reach(*, url: str, tls: ssl.SSLContext, seconds: float) -> None:
    """Open a connection to the URL's host, and close it.

    Raises:
        OSError: it does not take one; TimeoutError among them.
    """
    parts = urlsplit(url)
    async with asyncio.timeout(seconds):
        _reader, writer = await asyncio.open_connection(
            parts.hostname, parts.port or _PORTS[parts.scheme], ssl=tls if parts.scheme == "https" else None
        )
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def retry_after(value: str | None, *, now: datetime) -> float | None:
    """RFC 9110 §10.2.3: seconds, or a moment; None for anything else."""
    if value is None:
        return None
    given = value.strip()
    if given.isascii() and given.isdecimal():
        return float(given[:9])
    try:
        moment = email.utils.parsedate_to_datetime(given)
    except (TypeError, ValueError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - now).total_seconds())
