"""The HTTP client of callbacks: connections to checked addresses, one request at a time on each.

Callbacks go out by the thousand with a body each that is rendered already, so this is a socket protocol and a
reader, no more: a request is one write, an answer one function call, and neither makes a task or a future.
The caller keeps the deadline: whatever the peer drips, :meth:`Connection.abort` ends it.
"""

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from webhooks import addresses
from webhooks.errors import (
    BlockedAddress,
    CallbackError,
    ConnectFailed,
    ProtocolFailed,
    ResolveFailed,
    TimedOut,
    TlsFailed,
)
from webhooks.http1 import Response, ResponseReader
from webhooks.targets import Target

# Seconds an unused connection is kept, and seconds after which its address is looked up and checked again.
IDLE_SECONDS = 15.0
LONGEST_LIFE = 60.0
# Seconds a resolved name is believed.
RESOLVED_SECONDS = 30.0
# Seconds for one of several addresses, so that a dead first one leaves time for the second.
CONNECT_SECONDS = 5.0
_RESOLVERS = 32
_REMEMBERED = 10_000

Lookup = Callable[[str, int], Sequence[str]]
# Told the answer, or why there is none.
OnDone = Callable[[Response | CallbackError], None]


def look_up(host: str, port: int) -> list[str]:
    """Numeric addresses of a host, by the system's resolver; every spelling of an address resolves to itself."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Resolver:
    """Names to addresses, off the loop: a name server that hangs holds up its own names only."""

    def __init__(self, *, lookup: Lookup = look_up) -> None:
        self._lookup = lookup
        self._pool = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="resolve")
        self._known: dict[tuple[str, int], tuple[float, asyncio.Future[Sequence[str]]]] = {}

    async def allowed(self, *, host: str, port: int) -> list[str]:
        """The addresses of a host that callbacks may reach, at least one.

        Raises:
            ResolveFailed: there is no address at all.
            BlockedAddress: there is none that is allowed.
        """
        found = await self._addresses(host, port)
        allowed = [address for address in found if addresses.is_allowed(address=address)]
        if not allowed:
            raise BlockedAddress("the host's address is not one that callbacks may reach")
        return allowed

    def close(self) -> None:
        """Forget what is being looked up; on the loop, before that is closed."""
        for _until, asked in self._known.values():
            asked.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        now = time.monotonic()
        known = self._known.get((host, port))
        if known is None or known[0] < now:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            asked = asyncio.get_running_loop().run_in_executor(self._pool, self._lookup, host, port)
            known = (now + RESOLVED_SECONDS, asked)
            self._known[host, port] = known
        try:
            # Shielded: the deadline of one attempt must not cancel the look-up that others wait for.
            return await asyncio.shield(known[1])
        except (OSError, UnicodeError) as error:
            if self._known.get((host, port)) is known:
                del self._known[host, port]
            raise ResolveFailed(f"the host has no address: {error}") from error


class Connection(asyncio.Protocol):
    """One connection. Not open, idle, or with one request on its way; the owner keeps it and its deadline."""

    __slots__ = (
        "_on_done",
        "_reader",
        "_transport",
        "answering",
        "born_at",
        "idle_since",
        "is_open",
        "place",
        "used",
    )

    def __init__(self, target: Target) -> None:
        # Where it leads, and whether nobody else can read on the way there.
        self.place = (target.host, target.port, target.tls)
        self._transport: asyncio.Transport | None = None
        self._reader: ResponseReader | None = None
        self._on_done: OnDone | None = None
        self.is_open = False
        # Whether a request was answered on it, and whether any of the last answer came.
        self.used = False
        self.answering = False
        self.born_at = time.monotonic()
        self.idle_since = self.born_at

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self.is_open = True

    def send(self, *, request: bytes, on_done: OnDone) -> None:
        """Write a request; ``on_done`` is called once, on the loop, never from within this call."""
        assert self._transport is not None
        assert self._on_done is None
        self._reader = ResponseReader()
        self._on_done = on_done
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        if reader is None:
            # Nothing was asked: whatever this is must not become the answer to the next request.
            self.abort()
            return
        try:
            response = reader.feed(data)
        except ProtocolFailed as error:
            self._finish(error)
            return
        if response is not None:
            self._finish(response)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        reader = self._reader
        if reader is None:
            return
        if exc is not None:
            self._finish(ProtocolFailed(f"the connection broke: {exc}"))
            return
        try:
            self._finish(reader.eof())
        except ProtocolFailed as error:
            self._finish(error)

    def expire(self) -> int | None:
        """End an unanswered request at its deadline, unheard; returns the status read so far, if any."""
        status = None if self._reader is None else self._reader.status
        self._on_done = self._reader = None
        self.abort()
        return status

    def fresh(self, *, now: float) -> bool:
        """Whether an idle connection may take another request."""
        return self.is_open and now - self.idle_since < IDLE_SECONDS and now - self.born_at < LONGEST_LIFE

    def leads_to(self, target: Target) -> bool:
        """Whether it is a connection to that host and port, and encrypted if it must be.

        An endpoint may have several: its URL was changed, or messages name both http and https.
        """
        return self.place == (target.host, target.port, target.tls)

    def abort(self) -> None:
        self.is_open = False
        if self._transport is not None:
            self._transport.abort()

    def _finish(self, result: Response | CallbackError) -> None:
        # All is put away before `on_done`, which may send the next request.
        on_done, self._on_done = self._on_done, None
        reader, self._reader = self._reader, None
        self.answering = reader is not None and reader.started
        if isinstance(result, Response) and result.reusable and self.is_open:
            self.used = True
            self.idle_since = time.monotonic()
        else:
            self.abort()
        if on_done is not None:
            on_done(result)


class Connector:
    """Opens connections to addresses that pass the check."""

    def __init__(self, *, resolver: Resolver | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._resolver = resolver or Resolver()
        self._tls = tls or ssl.create_default_context()
        self._tls.set_alpn_protocols(["http/1.1"])

    async def open(self, *, target: Target, deadline: float) -> Connection:
        """A connection to the first allowed address that takes one, before the loop's clock reads ``deadline``.

        Raises:
            CallbackError: BlockedAddress, ResolveFailed, ConnectFailed, TlsFailed or TimedOut.
        """
        try:
            async with asyncio.timeout_at(deadline):
                found = await self._resolver.allowed(host=target.host, port=target.port)
                return await self._first(target, found)
        except TimeoutError as error:
            raise TimedOut("no connection before the deadline") from error

    def close(self) -> None:
        self._resolver.close()

    async def _first(self, target: Target, found: Sequence[str]) -> Connection:
        failure: CallbackError = ConnectFailed("no address")
        for address in found:
            try:
                # The last address has all the time that is left.
                async with asyncio.timeout(None if address == found[-1] else CONNECT_SECONDS):
                    return await self._connect(target, address)
            except ssl.SSLError as error:
                failure = TlsFailed(f"no trusted connection: {error.reason or error}")
            except TimeoutError:
                failure = ConnectFailed("an address did not answer")
            except OSError as error:
                # By its number: asyncio's own words for it name the address.
                failure = ConnectFailed(
                    f"no connection: {os.strerror(error.errno) if error.errno else error}"
                )
        raise failure

    async def _connect(self, target: Target, address: str) -> Connection:
        """``address`` is numeric, so nothing is resolved again between the check and the connection."""
        _transport, protocol = await asyncio.get_running_loop().create_connection(
            lambda: Connection(target),
            address,
            target.port,
            ssl=self._tls if target.tls else None,
            server_hostname=target.host if target.tls else None,
        )
        return protocol
