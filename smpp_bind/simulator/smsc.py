"""The simulated SMSC: its connections, and what it may be told to do to them."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any, Final

from smpp_bind import pdu
from smpp_bind.simulator import menus, mo, texts, unasked
from smpp_bind.simulator.acceptance import Acceptance
from smpp_bind.simulator.accounts import Account, Accounts
from smpp_bind.simulator.reading import SettingsError
from smpp_bind.simulator.session import Session
from smpp_bind.simulator.settings import Settings
from smpp_bind.simulator.stats import Stats

_UNBIND_TIMEOUT: Final = 2.0
_OUTBIND_TIMEOUT: Final = 5.0
_KINDS: Final = {
    pdu.BIND_TRANSMITTER: "transmitter",
    pdu.BIND_RECEIVER: "receiver",
    pdu.BIND_TRANSCEIVER: "transceiver",
}


class Smsc:
    """Everything here runs on `loop`; `start` first. Nothing survives the process."""

    def __init__(self, *, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        self.settings = settings
        self.loop = loop
        self.stats = Stats()
        self.port = settings.port
        self.paused = False
        self.to_flush: list[Session] = []
        self.accounts = Accounts(settings=settings, loop=loop, stats=self.stats, flush=self.flush)
        self.acceptance = Acceptance(
            settings=settings, loop=loop, stats=self.stats, accounts=self.accounts, flush=self.flush
        )
        self._mo_format = menus.words(settings.mo_format, menus.MO_FORMAT)
        self._traffic = mo.Traffic(
            settings=settings, loop=loop, inject=self.inject_mo, ready=self._can_deliver
        )
        self._sessions: set[Session] = set()
        self._server: asyncio.Server | None = None
        self._last_gone: asyncio.Event | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._relisten: asyncio.Task[None] | None = None
        self._outbound: asyncio.Task[None] | None = None
        self._tls = _tls_context(settings)

    async def start(self) -> None:
        """Listens; `port` is then the one chosen. Raises OSError when the port is taken."""
        self._server = await self.loop.create_server(
            lambda: Session(self), self.settings.host, self.port, ssl=self._tls, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]
        if self.settings.enquire_link and "enquire_link" not in self._timers:
            self._enquire(self.settings.enquire_link)

    async def stop(self) -> None:
        """Unbinds every client, gives them two seconds, and closes."""
        for task in (self._relisten, self._outbound):
            if task is not None:
                task.cancel()
        if self._server is not None:
            self._server.close()
        self._resume()
        for timer in self._timers.values():
            timer.cancel()
        self._traffic.stop()
        self.unbind()
        if self._sessions:
            self._last_gone = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._last_gone.wait(), _UNBIND_TIMEOUT)
        for session in tuple(self._sessions):
            session.abort()
        self.acceptance.wheel.close()
        self.accounts.wheel.close()
        self.acceptance.record.close()
        await asyncio.sleep(0)

    def snapshot(self) -> dict[str, Any]:
        """Counters, as Stats.snapshot; `distinct` and `duplicates` where they are counted."""
        found = self.stats.snapshot()
        found |= {"connected": len(self._sessions), "bound": self.accounts.bound()}
        record = self.acceptance.record
        if record.wanted:
            found |= {"distinct": record.distinct, "duplicates": record.duplicates}
        if struck := self.acceptance.faults.struck():
            found["faults"] = struck
        return found

    # What it may be told to do.

    def inject_mo(self, sender: str, recipient: str, text: str, *, words: str | None = None) -> int:
        """Sends a text to the next account that can receive, or the first to bind; answers the number of
        deliver_sm that this takes. `words` of menus.MO_FORMAT take the place of the settings'; raises
        ValueError when they or the text cannot be.
        """
        chosen = self._mo_format if words is None else menus.words(words, menus.MO_FORMAT)
        return self.deliver(*texts.bodies(sender=sender, recipient=recipient, text=text, words=chosen))

    def deliver(self, command: int, bodies: list[bytes]) -> int:
        """Sends bodies of deliver_sm or data_sm as they are."""
        self.accounts.give(bodies, command=command)
        self.flush()
        return len(bodies)

    def act(self, name: str) -> int:
        """Does one of `unasked.ACTIONS` on every bound connection; answers how many."""
        return self._on_all(unasked.ACTIONS[name].do)

    def send(self, octets: bytes) -> int:
        """Writes `octets` to every bound connection; answers how many."""
        return self._on_all(lambda session: session.send(octets))

    def _on_all(self, do: Callable[[Session], None]) -> int:
        bound = [session for session in self._sessions if session.account is not None]
        for session in bound:
            do(session)
        self.flush()
        return len(bound)

    def outbind(self, host: str, port: int) -> None:
        """Connects to a client that listens, and asks it to bind; what fails is counted as `outbinds_failed`."""
        self._outbound = self.loop.create_task(self._outbind(host, port))

    async def _outbind(self, host: str, port: int) -> None:
        settings = self.settings
        try:
            async with asyncio.timeout(_OUTBIND_TIMEOUT):
                _, session = await self.loop.create_connection(lambda: Session(self), host, port)
        except (OSError, TimeoutError):
            self.stats.outbinds_failed += 1
            return
        body = unasked.outbind(
            system_id=settings.system_id or "SMSC", password=settings.password or "password"
        )
        session.request(pdu.OUTBIND, body)
        self.stats.outbinds += 1
        self.flush()

    def pause(self, seconds: float) -> None:
        """Falls silent: connections stay open, nothing is read or written."""
        self.paused = True
        self.acceptance.wheel.hold()
        self.accounts.wheel.hold()
        for session in self._sessions:
            session.set_reading(on=False)
        self._restart_timer("resume", seconds, self._resume)

    def close_connections(self) -> int:
        """Ends every connection in the middle of a PDU; answers how many."""
        sessions = tuple(self._sessions)
        for session in sessions:
            session.break_off()
        return len(sessions)

    def unbind(self) -> int:
        """Asks every bound client to go, and closes the other connections; answers how many."""
        sessions = tuple(self._sessions)
        for session in sessions:
            if session.account is None:
                session.close()
            else:
                session.request(pdu.UNBIND)
        self.flush()
        return len(sessions)

    def refuse(self, seconds: float) -> None:
        """Refuses new connections; those that are open stay."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._restart_timer("listen", seconds, self._listen_again)

    # What sessions report.

    def connected(self, session: Session) -> None:
        self.stats.connections += 1
        self._sessions.add(session)
        if self.paused:
            session.set_reading(on=False)

    def bind(self, session: Session, command: int, asked: pdu.Bind) -> tuple[int, dict[str, Any]]:
        """The command_status of a bind, and the faults that struck it; on ESME_ROK the session is one of its
        account's.
        """
        settings = self.settings
        if session.account is not None:
            return pdu.ESME_RALYBND, {}
        if settings.system_id is not None and asked.system_id != settings.system_id:
            return pdu.ESME_RINVSYSID, {}
        if settings.password is not None and asked.password != settings.password:
            return pdu.ESME_RINVPASWD, {}
        account = self.accounts.of(asked.system_id)
        bound = len(account.sessions)
        if settings.max_binds is not None and bound >= settings.max_binds:
            return pdu.ESME_RALYBND, {}
        if self.loop.time() < account.closed_until:
            return pdu.ESME_RALYBND, {}
        struck = self.acceptance.faults.at_bind(kind=_KINDS[command], bound=bound)
        if "refuse-bind" in struck:
            return int(struck["refuse-bind"]), struck
        if "no-bind-answer" in struck:
            return pdu.ESME_ROK, struck
        self._bound(session, account, command)
        return pdu.ESME_ROK, struck

    def _bound(self, session: Session, account: Account, command: int) -> None:
        self.stats.binds += 1
        session.bound(account, command)
        if session.can_receive:
            self.accounts.claim(account)
            self._traffic.start()

    def lost(self, session: Session) -> None:
        self._sessions.discard(session)
        if self._last_gone is not None and not self._sessions:
            self._last_gone.set()
        account = session.account
        if account is not None:
            if session.lingers:
                account.closed_until = self.loop.time() + session.lingers
            self.accounts.take_back(session, account)
        self.flush()

    def flush(self) -> None:
        """Sends what is ready and writes what sessions were told to; nothing while paused."""
        if self.paused:
            return
        self.accounts.pump()
        for session in self.to_flush:
            session.flush()
        self.to_flush.clear()

    def _can_deliver(self) -> bool:
        return not self.paused and self.accounts.can_receive()

    def _resume(self) -> None:
        if not self.paused:
            return
        self.paused = False
        for session in self._sessions:
            session.set_reading(on=True)
        self.acceptance.wheel.release()
        self.accounts.wheel.release()
        self.accounts.pump_all()
        self.flush()

    def _listen_again(self) -> None:
        self._relisten = self.loop.create_task(self._start_when_free())

    async def _start_when_free(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                try:
                    await self.start()
                    return
                except OSError:
                    await asyncio.sleep(0.1)

    def _restart_timer(self, name: str, seconds: float, call: Callable[[], None]) -> None:
        if name in self._timers:
            self._timers[name].cancel()
        self._timers[name] = self.loop.call_later(seconds, call)

    def _enquire(self, seconds: float) -> None:
        """Asks clients whether they are there, and drops those that said nothing since the last time."""
        for session in () if self.paused else tuple(self._sessions):
            if session.silent_since_enquiry and not session.choked:
                session.abort()
            elif session.account is not None:
                session.silent_since_enquiry = True
                session.request(pdu.ENQUIRE_LINK)
        self.flush()
        self._restart_timer("enquire_link", seconds, lambda: self._enquire(seconds))


def _tls_context(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except OSError as error:
        raise SettingsError(f"tls_cert, tls_key: {error}.") from error
    return context
