"""Non-blocking TCP and TLS connections on the I/O thread.

Names are resolved and trust stores read on threads of their own, since neither can be told not to block.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import ssl
import threading
from typing import Final, Protocol

from smpp_bind.io_thread import IoThread, Timer

_READ_SIZE: Final = 256 * 1024
_BACKLOG_LIMIT: Final = 256 * 1024
_IN_PROGRESS: Final = frozenset({0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY})

_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})


class Owner(Protocol):
    """What a connection tells of itself, always on the I/O thread."""

    def connected(self) -> None: ...

    def received(self, data: bytes) -> None: ...

    def lost(self, reason: str) -> None: ...


class Target(Protocol):
    """Where to connect; `BindSettings` is one."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def tls(self) -> bool: ...
    @property
    def tls_verify(self) -> bool: ...
    @property
    def tls_ca_file(self) -> str: ...
    @property
    def tls_server_name(self) -> str: ...
    @property
    def connect_timeout(self) -> float: ...


_Address = tuple[int, tuple[str, int] | tuple[str, int, int, int]]


def tls_context(*, verify: bool = True, ca_file: str = "") -> ssl.SSLContext:
    """TLS 1.2 or later. `ca_file` replaces the system's trust store. Raises OSError for an unreadable
    file.
    """
    context = ssl.create_default_context(cafile=ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _tls_reason(error: Exception) -> str:
    """What is wrong, without the library's file and line numbers."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: certificate verify failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        spoken = " (no TLS is spoken at this port)" if error.reason in _NOT_TLS else ""
        return f"tls: {error.reason}{spoken}"
    return f"tls: {error or type(error).__name__}"


def _resolve(target: Target) -> list[_Address]:
    found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    addresses: list[_Address] = []
    for family, _type, _protocol, _name, address in found:
        if (family, address) not in addresses:
            addresses.append((family, address))  # type: ignore[arg-type]
    return addresses


class Connection:
    """One try at one connection: `connected` then `lost` are told at most once each; a new try takes a new
    one.

    Every address of the host is tried in turn, within `connect_timeout` altogether, TLS handshake included.
    """

    def __init__(self, io: IoThread, target: Target, owner: Owner) -> None:
        self._io = io
        self._target = target
        self._owner = owner
        self._sock: socket.socket | None = None
        self._context: ssl.SSLContext | None = None
        self._addresses: list[_Address] = []
        self._error = "no address"
        self._open = False
        self._closed = False
        self._backlog = bytearray()
        self._want = 0
        self._attempt: Timer | None = None
        self._deadline: Timer | None = None

    def connect(self) -> None:
        timeout = self._target.connect_timeout
        self._deadline = self._io.call_later(timeout, lambda: self._fail("connect timed out"))
        # A thread a try: one that the resolver holds for minutes hinders no other.
        threading.Thread(target=self._prepare, name="smpp-resolve", daemon=True).start()

    def write(self, data: bytes) -> None:
        """Sends now what the socket takes and the rest when it can."""
        if not self._open or not data:
            return
        if self._backlog:
            self._backlog += data
        else:
            sent = self._send(data)
            if sent < len(data):
                self._backlog += data[sent:]
        self._watch()

    def close(self) -> None:
        """Closes without telling the owner; written octets that the socket took are still sent."""
        self._closed = True
        self._open = False
        for timer in (self._attempt, self._deadline):
            if timer is not None:
                timer.cancel()
        self._drop_socket()

    def _drop_socket(self) -> None:
        if self._sock is not None:
            self._io.unwatch(self._sock)
            self._sock.close()
            self._sock = None
        self._want = 0

    def _fail(self, reason: str) -> None:
        if not self._closed:
            self.close()
            self._owner.lost(reason)

    def _prepare(self) -> None:
        target = self._target
        try:
            context = None
            if target.tls:
                context = tls_context(verify=target.tls_verify, ca_file=target.tls_ca_file)
            addresses = _resolve(target)
        except (OSError, UnicodeError) as error:
            reason = f"{target.host}: {error}"
            self._io.call_soon(lambda: self._fail(reason))
        else:
            self._io.call_soon(lambda: self._prepared(addresses, context))

    def _prepared(self, addresses: list[_Address], context: ssl.SSLContext | None) -> None:
        self._addresses = addresses
        self._context = context
        self._try_next()

    def _try_next(self) -> None:
        if self._closed:
            return
        self._drop_socket()
        if not self._addresses:
            self._fail(self._error)
            return
        share = self._target.connect_timeout / (len(self._addresses) + 1)
        family, address = self._addresses.pop(0)
        if self._addresses:
            self._attempt = self._io.call_later(share, lambda: self._next_after("timed out"))
        try:
            self._sock = socket.socket(family, socket.SOCK_STREAM)
            self._sock.setblocking(False)
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Where enquire_link is switched off, only this tells of a peer that has gone without a word.
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            code = self._sock.connect_ex(address)
        except OSError as error:
            self._next_after(str(error))
            return
        if code in _IN_PROGRESS:
            self._io.watch(self._sock, selectors.EVENT_WRITE, self._on_connected)
        else:
            self._next_after(os.strerror(code))

    def _next_after(self, error: str) -> None:
        self._error = f"connect: {error}"
        if self._attempt is not None:
            self._attempt.cancel()
        self._try_next()

    def _on_connected(self, _events: int) -> None:
        assert self._sock is not None
        code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._next_after(os.strerror(code))
            return
        if self._attempt is not None:
            self._attempt.cancel()
        if self._context is None:
            self._opened()
            return
        try:
            name = self._target.tls_server_name or self._target.host
            self._sock = self._wrapped(self._context, self._sock, name)
        except (OSError, ValueError) as error:
            self._fail(_tls_reason(error))
        else:
            self._handshake(0)

    def _wrapped(self, context: ssl.SSLContext, sock: socket.socket, name: str) -> ssl.SSLSocket:
        self._io.unwatch(sock)
        return context.wrap_socket(sock, server_hostname=name, do_handshake_on_connect=False)

    def _handshake(self, _events: int) -> None:
        assert isinstance(self._sock, ssl.SSLSocket)
        try:
            self._sock.do_handshake()
        except ssl.SSLWantReadError:
            self._io.watch(self._sock, selectors.EVENT_READ, self._handshake)
        except ssl.SSLWantWriteError:
            self._io.watch(self._sock, selectors.EVENT_WRITE, self._handshake)
        except OSError as error:
            self._fail(_tls_reason(error))
        else:
            self._opened()

    def _opened(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._open = True
        self._want = 0
        self._watch()
        self._owner.connected()

    def _watch(self) -> None:
        """Reads unless the peer takes nothing: its answers would only pile up here."""
        if self._sock is None:
            return
        want = selectors.EVENT_READ if len(self._backlog) < _BACKLOG_LIMIT else 0
        if self._backlog:
            want |= selectors.EVENT_WRITE
        if want != self._want:
            self._want = want
            self._io.watch(self._sock, want, self._on_ready)

    def _on_ready(self, events: int) -> None:
        if events & selectors.EVENT_WRITE or (self._context is not None and self._backlog):
            self._flush()
        if events & selectors.EVENT_READ and self._open:
            self._read()

    def _flush(self) -> None:
        if self._backlog:
            del self._backlog[: self._send(self._backlog)]
        self._watch()

    def _send(self, data: bytes | bytearray) -> int:
        """Octets taken by the socket. An error is told later, so that no owner is called back from a
        write.
        """
        assert self._sock is not None
        try:
            return self._sock.send(data)
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        except OSError as error:
            reason = f"write: {error}"
            self._io.call_soon(lambda: self._fail(reason))
            return len(data)

    def _read(self) -> None:
        assert self._sock is not None
        pending = True
        while pending and self._sock is not None:
            try:
                data = self._sock.recv(_READ_SIZE)
            except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError as error:
                self._fail(f"read: {error}")
                return
            if not data:
                self._fail("closed by the SMSC")
                return
            # TLS may hold a decrypted rest that no selector sees.
            pending = isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0
            self._owner.received(data)
