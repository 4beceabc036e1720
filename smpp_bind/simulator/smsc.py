"""The simulated SMSC: its connections, and what it may be told to do to them."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any, Final

from smpp_bind import pdu
from smpp_bind.simulator import mo
from smpp_bind.simulator.acceptance import Acceptance
from smpp_bind.simulator.accounts import Accounts
from smpp_bind.simulator.session import Session
from smpp_bind.simulator.settings import Settings, SettingsError
from smpp_bind.simulator.stats import Stats

_UNBIND_TIMEOUT: Final = 2.0


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
        self._traffic = mo.Traffic(
            settings=settings, loop=loop, inject=self.inject_mo, ready=self._can_deliver
        )
        self._sessions: set[Session] = set()
        self._server: asyncio.Server | None = None
        self._last_gone: asyncio.Event | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._relisten: asyncio.Task[None] | None = None
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
        if self._relisten is not None:
            self._relisten.cancel()
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
        return found

    # What it may be told to do.

    def inject_mo(self, sender: str, recipient: str, text: str) -> int:
        """Sends a text to the next account that can receive, or the first to bind; answers its parts."""
        bodies = mo.bodies(sender=sender, recipient=recipient, text=text)
        self.accounts.give(bodies)
        self.flush()
        return len(bodies)

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

    def bind(self, session: Session, command: int, asked: pdu.Bind) -> int:
        """The command_status of a bind; on ESME_ROK the session is one of its account's."""
        settings = self.settings
        if session.account is not None:
            return pdu.ESME_RALYBND
        if settings.system_id is not None and asked.system_id != settings.system_id:
            return pdu.ESME_RINVSYSID
        if settings.password is not None and asked.password != settings.password:
            return pdu.ESME_RINVPASWD
        account = self.accounts.of(asked.system_id)
        if settings.max_binds is not None and len(account.sessions) >= settings.max_binds:
            return pdu.ESME_RALYBND
        self.stats.binds += 1
        session.bound(account, command)
        if session.can_receive:
            self.accounts.claim(account)
            self._traffic.start()
        return pdu.ESME_ROK

    def lost(self, session: Session) -> None:
        self._sessions.discard(session)
        if self._last_gone is not None and not self._sessions:
            self._last_gone.set()
        if session.account is not None:
            self.accounts.take_back(session, session.account)
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
