"""Who is bound, and what is on its way to them: receipts and texts from handsets, until a client has them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from smpp_bind import pdu
from smpp_bind.simulator.settings import Settings
from smpp_bind.simulator.stats import Stats
from smpp_bind.simulator.wheel import Wheel

if TYPE_CHECKING:
    from smpp_bind.simulator.session import Session

_PERMANENT: Final = frozenset({pdu.ESME_RX_P_APPN, pdu.ESME_RX_R_APPN})
_RETRY_AFTER: Final = 1.0


class Outgoing(NamedTuple):
    """The body of a deliver_sm or data_sm; kept until a client has acknowledged it."""

    body: bytes
    is_receipt: bool
    command: int = pdu.DELIVER_SM


class Account:
    """One system_id: its binds, its rate, and what waits for a bind that can receive."""

    def __init__(self, *, system_id: str, throttle_above: int | None) -> None:
        self.octets = system_id.encode("latin-1", "replace")
        self.sessions: deque[Session] = deque()
        self.waiting: deque[Outgoing] = deque()
        self.closed_until = 0.0
        self._recent: deque[float] | None = deque(maxlen=throttle_above) if throttle_above else None

    def admits(self, now: float) -> bool:
        """Whether a submit at `now`, in seconds, keeps the last second within the rate; counts it if so."""
        recent = self._recent
        if recent is None:
            return True
        if len(recent) == recent.maxlen and now - recent[0] < 1.0:
            return False
        recent.append(now)
        return True

    def can_receive(self) -> bool:
        return any(session.can_receive for session in self.sessions)

    def pump(self) -> None:
        """Sends what waits, as far as the binds have room; another bind comes first each time."""
        self.sessions.rotate(-1)
        for session in tuple(self.sessions):
            session.pump()


Due: TypeAlias = tuple["Session | None", Account, Outgoing]
"""Something for an account, and the session that should get it while it can."""


class Accounts:
    """All of them, and what falls due for them later."""

    def __init__(
        self,
        *,
        settings: Settings,
        loop: asyncio.AbstractEventLoop,
        stats: Stats,
        flush: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._stats = stats
        self._flush = flush
        self._throttle_above = settings.throttle_above
        self._elsewhere = settings.receipt_bind == "other"
        self._by_system_id: dict[str, Account] = {}
        self._ready: set[Account] = set()
        self._unclaimed: deque[Outgoing] = deque()
        self.wheel: Wheel[Due] = Wheel(loop=loop, handle=self._fall_due)

    def of(self, system_id: str) -> Account:
        account = self._by_system_id.get(system_id)
        if account is None:
            account = Account(system_id=system_id, throttle_above=self._throttle_above)
            self._by_system_id[system_id] = account
        return account

    def bound(self) -> int:
        return sum(len(account.sessions) for account in self._by_system_id.values())

    def can_receive(self) -> bool:
        return any(account.can_receive() for account in self._by_system_id.values())

    def schedule_receipt(self, at: float, due: Due) -> None:
        """Sends at `at` in the loop's time, or as soon as there is a bind."""
        self._stats.receipts_made += 1
        if at > self._loop.time():
            self.wheel.add(at, due)
        else:
            self._queue(due)

    def hold_receipt(self, session: Session, item: Outgoing) -> None:
        """Sends it once `session` is gone."""
        self._stats.receipts_made += 1
        session.held.append(item)

    def give(self, bodies: list[bytes], *, command: int = pdu.DELIVER_SM) -> None:
        """A text from a handset: to the next account that can receive, or to the first that binds."""
        items = [Outgoing(body, False, command) for body in bodies]
        self._stats.mo_made += len(items)
        account = self._next_receiver()
        if account is None:
            self._unclaimed.extend(items)
        else:
            account.waiting.extend(items)
            self._ready.add(account)

    def claim(self, account: Account) -> None:
        """What came for nobody goes to this account."""
        account.waiting.extend(self._unclaimed)
        self._unclaimed.clear()

    def settle(self, session: Session, item: Outgoing, status: int) -> None:
        """A client answered a deliver_sm. One refused for the moment is sent again after a second."""
        if status and status not in _PERMANENT:
            assert session.account is not None
            self.wheel.add(self._loop.time() + _RETRY_AFTER, (session, session.account, item))
        else:
            self._stats.settled(is_receipt=item.is_receipt, dropped=bool(status))

    def take_back(self, session: Session, account: Account) -> None:
        """What a session that ended had not acknowledged goes first to the next."""
        if session in account.sessions:
            account.sessions.remove(session)
        account.waiting.extendleft(reversed([*session.in_flight.values(), *session.waiting]))
        account.waiting.extend(session.held)
        session.held.clear()
        session.in_flight.clear()
        session.waiting.clear()
        self._ready.add(account)

    def pump(self) -> None:
        """Sends to the accounts for which something has come."""
        for account in self._ready:
            account.pump()
        self._ready.clear()

    def pump_all(self) -> None:
        for account in self._by_system_id.values():
            account.pump()

    def _fall_due(self, due: list[Due]) -> None:
        for each in due:
            self._queue(each)
        self._flush()

    def _queue(self, due: Due) -> None:
        origin, account, item = due
        if self._elsewhere and item.is_receipt:
            origin = next(
                (each for each in account.sessions if each is not origin and each.can_receive), None
            )
        if origin is not None and origin.can_receive:
            origin.waiting.append(item)
        else:
            account.waiting.append(item)
        self._ready.add(account)

    def _next_receiver(self) -> Account | None:
        for system_id, account in self._by_system_id.items():
            if account.can_receive():
                # Last in the order now, so that the accounts take turns.
                self._by_system_id[system_id] = self._by_system_id.pop(system_id)
                return account
        return None
