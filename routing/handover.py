"""A chunk's way through a worker: taken in hand, paced, given to the transport, recorded as answers come."""

import queue
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

import structlog
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connection

from routing import delivery, limits
from routing.contract import OperatorSettings, Outbound, Outcome, Transport
from routing.delivery import Carrier
from routing.desk import Desk
from routing.errors import OperatorDown
from routing.journal import Page

log = structlog.get_logger(__name__)

T = TypeVar("T")

# How often a waiting task looks whether it is told to stop.
LOOK_SECONDS = 0.5
# A bind that is lost may be back at once; after so long its messages go to wait, maybe for another operator.
PATIENCE_SECONDS = 1.0
# Between tries while the database is away.
AWAY_SECONDS = 0.3


class _Process:
    """The process's desk; the worker's bootstep puts it here."""

    desk: Desk | None = None


process = _Process()


def hand_over(*, delivery_ids: Sequence[str]) -> None:
    """Deliver a chunk; returns when every message of it has its outcome recorded or waits again."""
    desk = process.desk
    if desk is None:
        log.info("deliveries.left", reason="this worker is not serving operators")
        return  # the leases run out
    with desk:
        # Without its task the chunk would wait for its leases: longer than a database restarts.
        taken = _outlasting(
            desk, lambda: delivery.take(delivery_ids=delivery_ids, worker=desk.worker, now=_now())
        )
        for operator_id, messages in taken.items():
            _hand_over(desk, operator_id, messages)


def _outlasting(desk: Desk, work: Callable[[], T]) -> T:
    """Do a piece of work on the database, again and again while that is away.

    Raises:
        django.db.Error: it is still away and this process is to stop.
    """
    while True:
        try:
            return work()
        except (OperationalError, InterfaceError):
            log.warning("deliveries.database_away", exc_info=True)
            connection.close()
            if desk.stopping.wait(AWAY_SECONDS):
                raise


def _hand_over(desk: Desk, operator_id: int, messages: Sequence[Outbound]) -> None:
    try:
        settings, transport, carrier = desk.transport(operator_id)
    except OperatorDown:
        _outlasting(desk, lambda: _give_back(messages, desk.worker))
        return
    paced = _outlasting(desk, lambda: _paced(settings, messages))
    Chunk(desk, transport, carrier, paced).carry()


def _paced(settings: OperatorSettings, messages: Sequence[Outbound]) -> list[Outbound]:
    """Give each message its moment by the operator's rate, which all its workers share."""
    if settings.rate is None:
        return list(messages)
    moments = limits.moments(settings=settings, parts=[message.parts for message in messages])
    return [replace(message, not_before=moment) for message, moment in zip(messages, moments, strict=True)]


class Chunk:
    """Messages given to a transport, until the last one's outcome is recorded."""

    def __init__(
        self, desk: Desk, transport: Transport, carrier: Carrier, messages: Sequence[Outbound]
    ) -> None:
        self._desk = desk
        self._transport = transport
        self._carrier = carrier
        self._pending = {message.delivery_id: message for message in messages}
        self._answers: queue.SimpleQueue[tuple[list[Outcome], Page, int]] = queue.SimpleQueue()
        self._down_since: float | None = None

    def carry(self) -> None:
        """Submit all, and record outcomes in whatever batches they come while earlier ones are being written."""
        with self._desk.holding(self._pending):
            self._transport.submit(list(self._pending.values()), self._answered)
            self._follow()

    def _follow(self) -> None:
        while self._pending:
            batches = self._next()
            if batches:
                self._store(batches)
            elif self._desk.stopping.is_set() or self._is_down():
                self._withdraw()

    def _is_down(self) -> bool:
        """Whether the transport has had no bind for a while: what it was not able to send had better wait outside."""
        if self._transport.state().up:
            self._down_since = None
            return False
        now = time.monotonic()
        self._down_since = self._down_since or now
        return now - self._down_since >= PATIENCE_SECONDS

    def _answered(self, outcomes: list[Outcome]) -> None:
        """Outcomes have come: acceptances to disk at once, then to the waiting task. On the transport's thread."""
        page, kept = self._desk.journal.append(operator_id=self._carrier.operator_id, outcomes=outcomes)
        self._answers.put((outcomes, page, kept))

    def _next(self) -> list[tuple[list[Outcome], Page, int]]:
        """All outcomes that are there; waits a moment for the first."""
        batches: list[tuple[list[Outcome], Page, int]] = []
        try:
            batches.append(self._answers.get(timeout=LOOK_SECONDS))
            while True:
                batches.append(self._answers.get_nowait())
        except queue.Empty:
            return batches

    def _store(self, batches: Sequence[tuple[list[Outcome], Page, int]]) -> None:
        outcomes = [outcome for several, _page, _kept in batches for outcome in several]
        self._record(outcomes)
        for _several, page, kept in batches:
            page.stored(kept)
        for outcome in outcomes:
            self._pending.pop(outcome.delivery_id, None)

    def _record(self, outcomes: Sequence[Outcome]) -> None:
        """Write them, however long the database is away: they are the only memory of what the operator said."""
        while True:
            try:
                delivery.record(carrier=self._carrier, outcomes=outcomes)
            except DatabaseError:
                log.warning("outcomes.database_away", outcomes=len(outcomes), exc_info=True)
                connection.close()
                time.sleep(AWAY_SECONDS)
            else:
                return

    def _withdraw(self) -> None:
        """Give back what the operator has not been sent; the rest is waited for."""
        taken_back = self._transport.withdraw(list(self._pending))
        messages = [self._pending.pop(key) for key in taken_back if key in self._pending]
        _give_back(messages, self._carrier.worker)


def _give_back(messages: Sequence[Outbound], worker: str) -> None:
    keys: list[UUID] = [message.delivery_id for message in messages]
    if keys:
        delivery.give_back(
            delivery_ids=keys,
            message_ids=[message.message_id for message in messages],
            worker=worker,
            now=_now(),
        )


def _now() -> datetime:
    return datetime.now(tz=UTC)
