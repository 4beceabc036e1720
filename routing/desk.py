"""An operators' worker process: its live transports, what arrives over them, and what it tells the relay.

One desk a process. It watches the operators' table, so that what an administrator adds or changes takes effect
without a restart; it reports each operator's state about once a second; and it writes receipts in batches, each
acknowledged to the operator only after its commit. Of an operator that it has no bind to, while other processes
have, it takes no tasks.
"""

import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Self

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.utils.module_loading import import_string

from gateway import outages
from routing import arrivals, bind_slots, delivery, journal, limits, operators, receipts
from routing.contract import Inbound, OperatorSettings, Outcome, Receipt, Transport
from routing.delivery import Carrier
from routing.errors import OperatorDown, UnknownTransport
from routing.hands import Hand, Hands
from routing.journal import Journal
from routing.models import Operator
from routing.transports.broken import BrokenTransport

log = structlog.get_logger(__name__)

WATCH_SECONDS = 1.0
DRAIN_SECONDS = 7.0
RECEIPT_BATCH = 1000


class Desk:
    """``serves`` limits it to some operators' slugs; None is all of them. ``on_queues`` is told the queues to
    consume whenever they change."""

    def __init__(self, *, serves: frozenset[str] | None, on_queues: Callable[[set[str]], None]) -> None:
        self.worker = f"{socket.gethostname()}:{os.getpid()}:{time.time_ns() % 10**9}"
        self.stopping = threading.Event()
        self._serves = serves
        self._on_queues = on_queues
        self._open: dict[int, _Open] = {}
        self._slots = bind_slots.Slots()
        # Operators whose transport is being closed here: their binds and slots are still in use.
        self._closing: dict[int, threading.Thread] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._arrived: queue.SimpleQueue[tuple[Transport, Sequence[Receipt | Inbound]] | None] = (
            queue.SimpleQueue()
        )
        self._busy = 0
        self._idle = threading.Condition()
        self.journal = Journal(folder=settings.JOURNAL_FOLDER, worker=self.worker)
        self.hands = Hands(journal=self.journal, stopping=self.stopping, on_behind=self._tell_queues)
        self._telling = threading.Lock()
        self._threads = [
            threading.Thread(target=self._watch, name="operators", daemon=True),
            threading.Thread(target=self._write_receipts, name="receipts", daemon=True),
        ]

    def start(self) -> None:
        self.hands.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take nothing more, let what is in flight be answered, say goodbye to the operators."""
        self.stopping.set()
        self._wake.set()
        with self._idle:
            self._idle.wait_for(lambda: self._busy == 0, timeout=DRAIN_SECONDS)
        self.hands.look()
        self.hands.settle(seconds=DRAIN_SECONDS)
        with self._lock:
            opened = list(self._open.values())
        # All at once: whoever asked for the stop does not wait for long.
        ends = [threading.Thread(target=self._end, args=[each], daemon=True) for each in opened]
        for thread in ends:
            thread.start()
        for thread in (*ends, *self._closing.values()):
            thread.join(timeout=6.0)
        self.hands.stop()
        self._arrived.put(None)
        for thread in self._threads:
            thread.join(timeout=5.0)
        self._slots.close()
        self.journal.close()
        operators.forget(worker=self.worker)

    def hand(self, operator_id: int) -> Hand:
        """What to give an operator's messages to.

        Raises:
            OperatorDown: this process has no transport: switched off, wrongly set up, or not its to serve.
        """
        with self._lock:
            each = self._open.get(operator_id)
        if each is None or self.stopping.is_set() or isinstance(each.transport, BrokenTransport):
            raise OperatorDown(f"No transport for operator {operator_id} here.")
        return each.hand

    def __enter__(self) -> Self:
        """Counts a task, so that stopping waits for it."""
        with self._idle:
            self._busy += 1
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self._idle:
            self._busy -= 1
            self._idle.notify_all()

    def receipts(self, transport: Transport, arrived: Sequence[Receipt | Inbound]) -> None:
        """The transports' sink: cheap, from any thread."""
        self._arrived.put((transport, arrived))

    def late(self, transport: Transport, outcomes: Sequence[Outcome]) -> None:
        """Acceptances of what had been reported as unknown: cheap, from any thread."""
        hand = self.hands.of(transport)
        if hand is not None:
            hand.answered(outcomes)

    def changed(self) -> None:
        """A bind went up or down: report now, not at the next second."""
        self._wake.set()

    def _watch(self) -> None:
        replayed = False
        while not self.stopping.is_set():
            try:
                # Before any bind is opened: what a killed worker knew must not be sent again.
                replayed = replayed or self._replay()
                self._reload()
                self._report()
                self._tell_queues()
            except DatabaseError:
                log.warning("desk.database_away", exc_info=True)
                connection.close()
            except Exception:
                # Without this thread no operator is reported, and no lease is kept.
                log.exception("desk.turn_failed")
                connection.close()
            self._wake.wait(WATCH_SECONDS)
            # Several binds that come up together make one report.
            if self._wake.is_set():
                time.sleep(0.02)
            self._wake.clear()
        connection.close()

    def _replay(self) -> bool:
        """Store the acceptances that dead workers of this machine left behind; true when all is stored."""
        for path, groups in journal.left_behind(settings.JOURNAL_FOLDER):
            for (operator_id, worker), outcomes in groups.items():
                slug = Operator.objects.filter(pk=operator_id).values_list("slug", flat=True).first()
                carrier = Carrier(operator_id, slug or "", worker)
                for start in range(0, len(outcomes), RECEIPT_BATCH):
                    delivery.record(carrier=carrier, outcomes=outcomes[start : start + RECEIPT_BATCH])
                log.warning("journal.replayed", operator=slug, worker=worker, acceptances=len(outcomes))
            path.unlink(missing_ok=True)
        return True

    def _reload(self) -> None:
        """Open, reopen and close transports until they are what the table, and the slots, say."""
        wanted = {row.pk: row for row in Operator.objects.filter(active=True) if self._is_ours(row.slug)}
        for operator_id, each in list(self._open.items()):
            row = wanted.get(operator_id)
            if row is None or row.updated_at != each.stamp:
                self._close(operator_id)
        binds = self._binds(wanted)
        for operator_id, each in list(self._open.items()):
            if binds.get(operator_id) != each.binds:
                self._close(operator_id)
        for operator_id, row in wanted.items():
            # One that is still saying goodbye has the binds that its successor wants.
            if operator_id not in self._open and operator_id not in self._closing:
                self._start(row, binds.get(operator_id))

    def _is_ours(self, slug: str) -> bool:
        return self._serves is None or slug in self._serves

    def _binds(self, wanted: Mapping[int, Operator]) -> dict[int, int]:
        """How many binds this process may open to each operator that allows so many over all processes."""
        self._closing = {key: thread for key, thread in self._closing.items() if thread.is_alive()}
        wishes = {key: wish for key, row in wanted.items() if (wish := bind_slots.wish_of(row)) is not None}
        return self._slots.hold(wishes=wishes, keep=self._closing)

    def _tell_queues(self) -> None:
        with self._telling:
            self._on_queues(self._queues())

    def _queues(self) -> set[str]:
        """The queues to take tasks from: what this process can not carry, or not soon, another had better take."""
        with self._lock:
            states = {key: each.transport.state().up for key, each in self._open.items()}
            queues = {key: each.queue for key, each in self._open.items() if not each.hand.is_behind()}
        if not all(states.values()):
            for operator_id in operators.up_elsewhere(worker=self.worker):
                if not states.get(operator_id, True):
                    queues.pop(operator_id, None)
        return set(queues.values())

    def _start(self, row: Operator, binds: int | None) -> None:
        try:
            each = _Open(row, operators.settings_of(row), binds)
        except Exception as error:
            # Said once a change, not once a second.
            log.exception("operator.settings_refused", operator=row.slug, reason=str(error))
            each = _Open(row, operators.settings_of(row, closed=True), binds, BrokenTransport(str(error)))
        each.hand = self.hands.open(
            settings=each.settings,
            transport=each.transport,
            carrier=Carrier(row.pk, each.settings.slug, self.worker, each.retries_unknown),
        )
        with self._lock:
            self._open[row.pk] = each
        each.transport.start(sink=self)
        log.info("operator.opened", operator=row.slug, binds=binds)

    def _close(self, operator_id: int) -> None:
        with self._lock:
            each = self._open.pop(operator_id)
        # Draining takes seconds; the other operators' news must not wait for it.
        thread = threading.Thread(target=self._end, args=[each], daemon=True)
        self._closing[operator_id] = thread
        thread.start()
        log.info("operator.closed", operator=each.settings.slug)

    def _end(self, each: "_Open") -> None:
        try:
            each.transport.stop(deadline=5.0)
        finally:
            each.hand.close()
            # Its slots may be used for a new one.
            self._wake.set()

    def _report(self) -> None:
        with self._lock:
            states = {key: each.transport.state() for key, each in self._open.items()}
        now = time.monotonic()
        for key, state in states.items():
            if state.paused_until is not None and state.paused_until > now:
                # The other workers' next reservations start after the pause, too.
                limits.push_back(operator_id=key, delay=state.paused_until - now)
        operators.report(worker=self.worker, states=states)
        held = self.hands.held()
        if held:
            delivery.renew(delivery_ids=held, worker=self.worker)

    def _write_receipts(self) -> None:
        while (first := self._arrived.get()) is not None:
            batch = [first, *self._more(RECEIPT_BATCH)]
            self._write(batch)
        connection.close()

    def _more(self, limit: int) -> Iterable[tuple[Transport, Sequence[Receipt | Inbound]]]:
        """What else has come; nothing when there is no more."""
        taken = 0
        while taken < limit:
            try:
                item = self._arrived.get_nowait()
            except queue.Empty:
                return
            if item is None:
                self._arrived.put(None)
                return
            taken += len(item[1])
            yield item

    def _write(self, batch: Sequence[tuple[Transport, Sequence[Receipt | Inbound]]]) -> None:
        """Store a batch, however long the database is away, then answer the operators."""
        arrived = [each for _transport, several in batch for each in several]
        while True:
            try:
                self._store(arrived)
                break
            except DatabaseError:
                log.warning("receipts.database_away", arrived=len(arrived), exc_info=True)
                connection.close()
                if self.stopping.wait(0.5):
                    return  # not stored, not answered: the operator sends them again
        for transport, several in batch:
            transport.acknowledge(several)

    def _store(self, arrived: Sequence[Receipt | Inbound]) -> None:
        with self._lock:
            slugs = {key: each.settings.slug for key, each in self._open.items()}
        came = [each for each in arrived if isinstance(each, Receipt)]
        if came:
            _record(came, slugs)
        arrivals.keep(arrived=[each for each in arrived if isinstance(each, Inbound)], slugs=slugs)


def _record(came: Sequence[Receipt], slugs: dict[int, str]) -> None:
    """Record receipts; one that fails for a reason of its own is found by halves, and only logged."""
    try:
        receipts.record(arrived=came, slugs=slugs, now=datetime.now(tz=UTC))
    except Exception as error:
        if isinstance(error, DatabaseError) and outages.is_away(error):
            raise
        if len(came) == 1:
            (lost,) = came
            log.exception("receipt.refused", operator=slugs.get(lost.operator_id), remote_id=lost.remote_id)
            return
        half = len(came) // 2
        _record(came[:half], slugs)
        _record(came[half:], slugs)


class _Open:
    """A transport that is open, and the row it was opened from.

    ``binds`` is how many it may have here; None where nobody counts.
    """

    def __init__(
        self, row: Operator, of: OperatorSettings, binds: int | None, transport: Transport | None = None
    ) -> None:
        self.settings = of
        self.stamp = row.updated_at
        self.queue = row.queue
        self.binds = binds
        self.retries_unknown = row.on_unknown_outcome == Operator.UnknownOutcome.RETRY
        self.transport = transport or self._made(row)
        self.hand: Hand

    def _made(self, row: Operator) -> Transport:
        if self.binds is None:
            return make(row.transport, self.settings)
        if self.binds == 0:
            return BrokenTransport("Other processes have all the binds that max_binds allows.")
        allowed = self.settings.settings | {"binds": self.binds}
        return make(row.transport, replace(self.settings, settings=allowed))


def make(kind: str, of: OperatorSettings) -> Transport:
    """A new transport of a kind.

    Raises:
        UnknownTransport: settings.TRANSPORTS has no such kind.
        OperatorSettingsError: the operator's settings do not make sense to it.
    """
    path = settings.TRANSPORTS.get(kind)
    if path is None:
        raise UnknownTransport(f"There is no transport {kind!r}; there are {', '.join(settings.TRANSPORTS)}.")
    transport: Transport = import_string(path)(of)
    return transport
