"""An operators' worker process: its live transports, what arrives over them, and what it tells the relay.

One desk a process. It watches the operators' table, so that what an administrator adds or changes takes effect
without a restart; it reports each operator's state about once a second; and it writes receipts in batches, each
acknowledged to the operator only after its commit.
"""

import contextlib
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Self
from uuid import UUID

import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connection
from django.utils.module_loading import import_string

from routing import arrivals, delivery, journal, limits, operators, receipts
from routing.contract import Inbound, OperatorSettings, Receipt, Transport
from routing.delivery import Carrier
from routing.errors import OperatorDown, RoutingError, UnknownTransport
from routing.journal import Journal
from routing.models import Operator
from routing.transports.broken import BrokenTransport

log = structlog.get_logger(__name__)

WATCH_SECONDS = 1.0
DRAIN_SECONDS = 10.0
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
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._arrived: queue.SimpleQueue[tuple[Transport, Sequence[Receipt | Inbound]] | None] = (
            queue.SimpleQueue()
        )
        self._busy = 0
        self._idle = threading.Condition()
        self._held: list[Collection[UUID]] = []
        self.journal = Journal(folder=settings.JOURNAL_FOLDER, worker=self.worker)
        self._threads = [
            threading.Thread(target=self._watch, name="operators", daemon=True),
            threading.Thread(target=self._write_receipts, name="receipts", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take nothing more, let what is in flight be answered, say goodbye to the operators."""
        self.stopping.set()
        self._wake.set()
        with self._idle:
            self._idle.wait_for(lambda: self._busy == 0, timeout=DRAIN_SECONDS)
        with self._lock:
            opened = list(self._open.values())
        for each in opened:
            each.transport.stop(deadline=5.0)
        self._arrived.put(None)
        for thread in self._threads:
            thread.join(timeout=5.0)
        self.journal.close()
        operators.forget(worker=self.worker)

    def transport(self, operator_id: int) -> tuple[OperatorSettings, Transport, Carrier]:
        """The live transport of an operator.

        Raises:
            OperatorDown: this process has none: switched off, wrongly set up, or not its to serve.
        """
        with self._lock:
            each = self._open.get(operator_id)
        if each is None or self.stopping.is_set():
            raise OperatorDown(f"No transport for operator {operator_id} here.")
        carrier = Carrier(operator_id, each.settings.slug, self.worker, each.retries_unknown)
        return each.settings, each.transport, carrier

    def __enter__(self) -> Self:
        """Counts a task, so that stopping waits for it."""
        with self._idle:
            self._busy += 1
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self._idle:
            self._busy -= 1
            self._idle.notify_all()

    @contextlib.contextmanager
    def holding(self, delivery_ids: Collection[UUID]) -> Iterator[None]:
        """Keep the leases of these deliveries; the collection shrinks as they end."""
        with self._lock:
            self._held.append(delivery_ids)
        try:
            yield
        finally:
            with self._lock:
                self._held = [each for each in self._held if each is not delivery_ids]

    def receipts(self, transport: Transport, arrived: Sequence[Receipt | Inbound]) -> None:
        """The transports' sink: cheap, from any thread."""
        self._arrived.put((transport, arrived))

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
            except DatabaseError:
                log.warning("desk.database_away", exc_info=True)
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
        """Open, reopen and close transports until they are what the table says."""
        wanted = {row.pk: row for row in Operator.objects.filter(active=True) if self._is_ours(row.slug)}
        with self._lock:
            known = dict(self._open)
        for operator_id, each in known.items():
            row = wanted.get(operator_id)
            if row is None or row.updated_at != each.stamp:
                self._close(operator_id)
        for operator_id, row in wanted.items():
            if operator_id not in self._open:
                self._start(row)
        self._on_queues({row.queue for row in wanted.values()})

    def _is_ours(self, slug: str) -> bool:
        return self._serves is None or slug in self._serves

    def _start(self, row: Operator) -> None:
        try:
            each = _Open(row)
        except RoutingError as error:
            # Said once a change, not once a second.
            log.exception("operator.settings_refused", operator=row.slug, reason=str(error))
            each = _Open(row, BrokenTransport(str(error)))
        with self._lock:
            self._open[row.pk] = each
        each.transport.start(sink=self)
        log.info("operator.opened", operator=row.slug)

    def _close(self, operator_id: int) -> None:
        with self._lock:
            each = self._open.pop(operator_id)
        # Draining takes seconds; the other operators' news must not wait for it.
        threading.Thread(target=each.transport.stop, kwargs={"deadline": 5.0}, daemon=True).start()
        log.info("operator.closed", operator=each.settings.slug)

    def _report(self) -> None:
        with self._lock:
            states = {key: each.transport.state() for key, each in self._open.items()}
        now = time.monotonic()
        for key, state in states.items():
            if state.paused_until is not None and state.paused_until > now:
                # The other workers' next reservations start after the pause, too.
                limits.push_back(operator_id=key, delay=state.paused_until - now)
        operators.report(worker=self.worker, states=states)
        with self._lock:
            held = [key for keys in self._held for key in tuple(keys)]
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
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        if len(came) == 1:
            (lost,) = came
            log.exception("receipt.refused", operator=slugs.get(lost.operator_id), remote_id=lost.remote_id)
            return
        half = len(came) // 2
        _record(came[:half], slugs)
        _record(came[half:], slugs)


class _Open:
    """A transport that is open, and the row it was opened from."""

    def __init__(self, row: Operator, transport: Transport | None = None) -> None:
        self.settings = operators.settings_of(row)
        self.stamp = row.updated_at
        self.retries_unknown = row.on_unknown_outcome == Operator.UnknownOutcome.RETRY
        self.transport = transport or make(row.transport, self.settings)


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
