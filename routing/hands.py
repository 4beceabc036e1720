"""What a worker process has in hand: messages given to its transports, until what came of each is recorded.

No task waits for an operator. A hand is one open transport's; the operator answers in whatever batches it likes, and
a few recorders, shared by all hands, write what has come. So an operator that stalls costs the others nothing, and
itself no more than the places of its window.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar
from uuid import UUID

import structlog
from django.db import Error as DatabaseError
from django.db import connection

from gateway import outages
from routing import delivery, queues
from routing.contract import OperatorSettings, Outbound, Outcome, Transport
from routing.delivery import Carrier
from routing.journal import Journal, Page

log = structlog.get_logger(__name__)

T = TypeVar("T")
_Batch = tuple[Sequence[Outcome], Page | None, int]

RECORDERS = 2
# How often hands are looked at for what their operator will not be sent.
LOOK_SECONDS = 0.5
# A bind that is lost may be back at once; after so long its messages go to wait, maybe for another operator.
PATIENCE_SECONDS = 1.0
# Between tries while the database is away.
AWAY_SECONDS = 0.3
# A transport that was stopped has told all outcomes; what it still owes after so long it has lost.
LOST_SECONDS = 10.0
# A chunk or more of which the oldest has waited so long: another process had better take the next one.
BEHIND_SECONDS = 0.5


class Hand:
    """The messages that one transport has, by delivery id, with the moment at which it got each."""

    def __init__(
        self, *, settings: OperatorSettings, transport: Transport, carrier: Carrier, hands: "Hands"
    ) -> None:
        self.settings = settings
        self.transport = transport
        self.carrier = carrier
        self._closed_at: float | None = None
        self._behind = False
        self._hands = hands
        self._lock = threading.Lock()
        self._pending: dict[UUID, tuple[Outbound, float]] = {}
        self._answers: queue.SimpleQueue[_Batch] = queue.SimpleQueue()
        self._down_since: float | None = None

    def carry(self, messages: Sequence[Outbound]) -> None:
        """Give messages to the transport; returns at once. Each is in hand until its outcome is recorded."""
        now = time.monotonic()
        with self._lock:
            self._pending.update({message.delivery_id: (message, now) for message in messages})
        try:
            self.transport.submit(messages, self.answered)
        except Exception:
            # Their leases run out.
            self._let_go(message.delivery_id for message in messages)
            raise

    def answered(self, outcomes: Sequence[Outcome]) -> None:
        """Outcomes have come: acceptances to disk at once, then to a recorder. From any thread."""
        try:
            page, kept = self._hands.journal.append(operator_id=self.carrier.operator_id, outcomes=outcomes)
        except OSError:
            # The database takes them all the same.
            log.exception("journal.not_written")
            page, kept = None, 0
        self._answers.put((outcomes, page, kept))
        self._hands.ready(self)

    def close(self) -> None:
        """Its transport has been stopped: no more is given to it."""
        self._closed_at = time.monotonic()

    def held(self) -> list[UUID]:
        with self._lock:
            return list(self._pending)

    def is_empty(self) -> bool:
        return not self._pending and self._answers.empty()

    def is_over(self) -> bool:
        return self._closed_at is not None and self.is_empty()

    def is_behind(self) -> bool:
        """Whether it has more in hand than its operator takes soon; stays so until little is left."""
        chunk, window = queues.chunk_size(rate=self.settings.rate), self.transport.state().window
        with self._lock:
            # What the operator has and did not answer yet is no backlog.
            count = len(self._pending) - window
            if self._behind:
                self._behind = count * 2 >= chunk
            elif count >= chunk:
                _message, since = next(iter(self._pending.values()))
                self._behind = time.monotonic() - since > BEHIND_SECONDS
            return self._behind

    def store(self) -> None:
        """Record what has come so far."""
        batches = self._come()
        if not batches:
            return
        outcomes = [outcome for several, _page, _kept in batches for outcome in several]
        was_behind = self._behind
        try:
            self._hands.outlasting(lambda: _record(self.carrier, outcomes), patient=True)
            for _several, page, kept in batches:
                if page is not None:
                    page.stored(kept)
        finally:
            # What nobody can record is not held for ever: its lease runs out.
            self._let_go(outcome.delivery_id for outcome in outcomes)
        if was_behind and not self.is_behind():
            self._hands.on_behind()

    def look(self, *, stopping: bool) -> None:
        """Give back what the operator has not been sent, if it will not be sent soon."""
        was_behind = self._behind
        if self.is_behind() != was_behind:
            self._hands.on_behind()
        if self._pending and (stopping or self._closed_at is not None or self._is_down()):
            self._withdraw()
        if (
            self._pending
            and self._closed_at is not None
            and time.monotonic() - self._closed_at > LOST_SECONDS
        ):
            lost = self._let_go(self.held())
            log.error("deliveries.without_outcome", operator=self.carrier.slug, messages=len(lost))

    def _come(self) -> list[_Batch]:
        batches: list[_Batch] = []
        try:
            while True:
                batches.append(self._answers.get_nowait())
        except queue.Empty:
            return batches

    def _let_go(self, delivery_ids: Iterable[UUID]) -> list[Outbound]:
        with self._lock:
            taken = [self._pending.pop(key, None) for key in delivery_ids]
        return [each[0] for each in taken if each is not None]

    def _is_down(self) -> bool:
        """Whether the transport has had no bind for a while: what it was not able to send had better wait outside."""
        if self.transport.state().up:
            self._down_since = None
            return False
        now = time.monotonic()
        self._down_since = self._down_since or now
        return now - self._down_since >= PATIENCE_SECONDS

    def _withdraw(self) -> None:
        messages = self._let_go(self.transport.withdraw(self.held()))
        if messages:
            self._hands.outlasting(lambda: give_back(messages=messages, worker=self.carrier.worker))


class Hands:
    """All hands of a process, and the threads that record what comes to them.

    ``on_behind`` is called, from any thread, when a hand has come to be behind or is so no more.
    """

    def __init__(self, *, journal: Journal, stopping: threading.Event, on_behind: Callable[[], None]) -> None:
        self.journal = journal
        self.on_behind = on_behind
        self._stopping = stopping
        self._lock = threading.Lock()
        self._all: list[Hand] = []
        self._ready: queue.SimpleQueue[Hand | None] = queue.SimpleQueue()
        self._look_at = 0.0
        self._threads = [
            threading.Thread(target=self._run, name=f"recorder-{number}", daemon=True)
            for number in range(RECORDERS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Record what has come, and end."""
        for _thread in self._threads:
            self._ready.put(None)
        for thread in self._threads:
            thread.join(timeout=5.0)

    def open(self, *, settings: OperatorSettings, transport: Transport, carrier: Carrier) -> Hand:
        hand = Hand(settings=settings, transport=transport, carrier=carrier, hands=self)
        with self._lock:
            self._all.append(hand)
        return hand

    def of(self, transport: Transport) -> Hand | None:
        """The hand of a transport; None once it is closed and empty."""
        return next((hand for hand in self._hands() if hand.transport is transport), None)

    def ready(self, hand: Hand) -> None:
        """Something has come to a hand."""
        self._ready.put(hand)

    def held(self) -> list[UUID]:
        """The deliveries whose leases are to be kept."""
        return [key for hand in self._hands() for key in hand.held()]

    def settle(self, *, seconds: float) -> bool:
        """Wait until nothing is in hand; false when it took longer."""
        deadline = time.monotonic() + seconds
        while not all(hand.is_empty() for hand in self._hands()):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def look(self) -> None:
        """Look at all hands, and forget those that are closed and empty."""
        for hand in self._hands():
            self._guarded(partial(hand.look, stopping=self._stopping.is_set()))
        with self._lock:
            self._all = [hand for hand in self._all if not hand.is_over()]

    def outlasting(self, work: Callable[[], T], *, patient: bool = False) -> T:
        """Do a piece of work on the database, again and again while that is away; ``patient``: even at the end.

        Raises:
            django.db.Error: it is still away and this process is to stop; or it refuses the work.
        """
        while True:
            try:
                return work()
            except DatabaseError as error:
                if not outages.is_away(error):
                    raise
                log.warning("deliveries.database_away", exc_info=True)
                connection.close()
                if patient:
                    time.sleep(AWAY_SECONDS)
                elif self._stopping.wait(AWAY_SECONDS):
                    raise

    def _hands(self) -> list[Hand]:
        with self._lock:
            return list(self._all)

    def _run(self) -> None:
        while True:
            try:
                hand = self._ready.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                pass
            else:
                if hand is None:
                    break
                self._guarded(hand.store)
            if time.monotonic() >= self._look_at:
                self._look_at = time.monotonic() + LOOK_SECONDS
                self.look()
        connection.close()

    def _guarded(self, work: Callable[[], None]) -> None:
        """All outlive what goes wrong with one hand; leases run out and rows are claimed again."""
        try:
            work()
        except Exception:
            log.exception("deliveries.not_recorded")
            connection.close()


def _record(carrier: Carrier, outcomes: Sequence[Outcome]) -> None:
    """Record outcomes; one that fails for a reason of its own is found by halves, and only logged."""
    try:
        delivery.record(carrier=carrier, outcomes=outcomes)
    except Exception as error:
        if isinstance(error, DatabaseError) and outages.is_away(error):
            raise
        if len(outcomes) == 1:
            log.exception("outcome.refused", operator=carrier.slug, delivery_id=str(outcomes[0].delivery_id))
            return
        half = len(outcomes) // 2
        _record(carrier, outcomes[:half])
        _record(carrier, outcomes[half:])


def give_back(*, messages: Sequence[Outbound], worker: str) -> None:
    """Let messages that a worker has in hand wait again: their operator has not seen them."""
    if messages:
        delivery.give_back(
            delivery_ids=[message.delivery_id for message in messages],
            message_ids=[message.message_id for message in messages],
            worker=worker,
            now=datetime.now(tz=UTC),
        )
