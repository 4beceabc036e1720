"""SMPP as one of routing's transports: messages into submits, answers into outcomes, deliver_sm into receipts.

Each part of a message is a submit; once all are answered the message has its outcome (:mod:`smpp_bind.jobs`). A part
that the operator puts off while it took others is sent again, for about half a minute: what was accepted cannot be
taken back, and a handset shows a long message only when it has all of it.
"""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog

from routing.contract import (
    Inbound,
    OperatorSettings,
    Outbound,
    Outcome,
    Receipt,
    ReceiptState,
    Sink,
    TransportState,
)
from smpp_bind import accounts, decoding, dlr, jobs
from smpp_bind.bind import BindState, Incoming
from smpp_bind.group import Answer, BindGroup, GroupState, Submit
from smpp_bind.io_thread import IoThread
from smpp_bind.jobs import Job
from smpp_bind.outgoing import Writer

log = structlog.get_logger(__name__)

_TELL_SECONDS = 1.0
STATES = {
    "delivered": ReceiptState.DELIVERED,
    "expired": ReceiptState.EXPIRED,
    "deleted": ReceiptState.DELETED,
    "undeliverable": ReceiptState.UNDELIVERABLE,
    "accepted": ReceiptState.ACCEPTED,
    "rejected": ReceiptState.REJECTED,
    "enroute": ReceiptState.ENROUTE,
    "scheduled": ReceiptState.ENROUTE,
}


class _Io:
    """The process's I/O thread, started with the first operator and kept."""

    lock = threading.Lock()
    thread: IoThread | None = None

    @classmethod
    def get(cls) -> IoThread:
        with cls.lock:
            if cls.thread is None or not cls.thread.is_alive:
                cls.thread = IoThread()
                cls.thread.start()
            return cls.thread


class SmppTransport:
    """One operator's binds in this process."""

    def __init__(self, operator: OperatorSettings) -> None:
        self._operator = operator
        self._account = accounts.read(operator)
        self._writer = Writer(self._account.form)
        self._gap = 1 / operator.rate if operator.rate else 0.0
        # Where texts make more submits than the rate was asked for: how far this process is behind its pace.
        self._pace = threading.Lock()
        self._surplus = 0.0
        self._reserved = 0.0
        self._late = 0
        self._stopped = False
        self._sink: Sink | None = None
        self._io = _Io.get()
        self._group = BindGroup(
            self._io,
            self._account.binds,
            name=operator.slug,
            throttling=self._account.refusals.throttling,
            on_answers=self._answered,
            on_late=self._answered_late,
            on_delivered=self._delivered,
            on_throttled=self._throttled,
            on_state=self._changed,
        )

    def start(self, *, sink: Sink) -> None:
        self._sink = sink
        self._group.start()

    def submit(self, messages: Sequence[Outbound], on_outcomes: Callable[[list[Outcome]], None]) -> None:
        submits: list[Submit] = []
        impossible: list[Outcome] = []
        now, clock = datetime.now(tz=UTC), time.monotonic()
        for message in messages:
            wait = message.not_before - clock
            at = now if wait <= 0 else now + timedelta(seconds=wait)
            try:
                bodies = self._writer.bodies(message, at=at)
            except Exception as error:  # noqa: BLE001 (logged; one without a form must not keep its chunk)
                impossible.append(jobs.unwritable(message, error, now))
            else:
                self._queue(submits, Job(message, bodies, on_outcomes))
        if impossible:
            on_outcomes(impossible)
        self._group.submit(submits)
        if self._stopped:
            self._io.call_soon(self._end_unsent)

    def _queue(self, submits: list[Submit], job: Job) -> None:
        """A submit a part; the parts of one message follow each other at the operator's pace."""
        start, count = job.message.not_before, len(job.bodies)
        if self._gap and self._account.recounts:
            start += self._behind(job.message, count)
        submits.append(Submit((job, 0), job.bodies[0], start))
        if count > 1:
            submits += [
                Submit((job, number), job.bodies[number], start + number * self._gap, 0, True)
                for number in range(1, count)
            ]

    def _behind(self, message: Outbound, count: int) -> float:
        """Seconds by which a message is to go later, since those before it took more than they had asked for."""
        with self._pace:
            self._surplus = max(0.0, self._surplus - max(0.0, message.not_before - self._reserved))
            behind = self._surplus
            self._reserved = max(self._reserved, message.not_before + message.parts * self._gap)
            self._surplus += max(0, count - message.parts) * self._gap
        return behind

    def parts(self, messages: Sequence[Outbound]) -> list[int]:
        """What the operator's rate is to count for each of these messages."""
        if not self._account.recounts:
            return [message.parts for message in messages]
        return [self._writer.count(message) for message in messages]

    def _answered(self, answers: list[Answer]) -> None:
        """Fold the answers of parts into outcomes of messages; one call a task that waits for them."""
        ended: list[Job] = []
        now = datetime.now(tz=UTC)
        refusals = self._account.refusals
        for answer in answers:
            job, number = answer.token
            job.take(number, answer, refusals)
            if not job.open and not (job.put_off and self._again(job, now)):
                ended.append(job)
        _report(ended, now)

    def _again(self, job: Job, now: datetime) -> bool:
        """Send the parts of a message that were put off once more, where that makes sense; whether it is so."""
        delay = job.again_after(now)
        if delay is None:
            return False
        if self._stopped:
            job.unsent = True
            return False
        start = time.monotonic() + delay
        numbers = job.again()
        log.info("submit.again", message_id=str(job.message.message_id), parts=len(numbers), seconds=delay)
        self._group.submit(
            [
                Submit((job, number), job.bodies[number], start + place * self._gap)
                for place, number in enumerate(numbers)
            ]
        )
        return True

    def _answered_late(self, answers: list[Answer]) -> None:
        """Answers of submits that counted as lost; a message that was told as unknown may turn out as accepted."""
        self._late += len(answers)
        known: list[Job] = []
        for answer in answers:
            job, number = answer.token
            if job.take_late(number, answer):
                known.append(job)
            log.warning(
                "submit.answered_late",
                operator=self._operator.slug,
                message_id=str(job.message.message_id),
                status=answer.status,
                remote_id=answer.message_id,
                seconds=round(time.monotonic() - answer.sent_at, 1),
            )
        if known and self._sink is not None:
            now = datetime.now(tz=UTC)
            self._sink.late(self, [job.outcome(now) for job in known])

    def _delivered(self, incoming: list[Incoming]) -> None:
        assert self._sink is not None
        self._sink.receipts(self, [self._read(each) for each in incoming])

    def _read(self, incoming: Incoming) -> Receipt | Inbound:
        """One arrival; what cannot be read is kept as it came, and costs the others nothing."""
        try:
            return self._arrival(incoming)
        except Exception:
            log.exception("deliver_sm.unreadable", operator=self._operator.slug)
            return Inbound(
                operator_id=self._operator.id,
                sender=incoming.sm.source,
                recipient=incoming.sm.destination,
                text="",
                occurred_at=datetime.now(tz=UTC),
                raw={"esmClass": incoming.sm.esm_class, "message": incoming.sm.message.hex()},
                handle=incoming,
            )

    def _arrival(self, incoming: Incoming) -> Receipt | Inbound:
        sm = incoming.sm
        parsed = dlr.parse(sm)
        now = datetime.now(tz=UTC)
        if parsed is None:
            return Inbound(
                operator_id=self._operator.id,
                sender=sm.source,
                recipient=sm.destination,
                text=decoding.text_of(sm, self._account.alphabets),
                occurred_at=now,
                raw={"esmClass": sm.esm_class, "dataCoding": sm.data_coding, "message": sm.message.hex()},
                handle=incoming,
                part=decoding.place_of(sm),
            )
        raw = {"state": parsed.raw_state}
        if parsed.done_at is not None:
            raw["doneAt"] = parsed.done_at.isoformat()
        state = STATES.get(parsed.state, ReceiptState.UNKNOWN)
        return Receipt(
            operator_id=self._operator.id,
            remote_id=dlr.canonical(parsed.remote_id),
            state=state if parsed.is_final or state is ReceiptState.UNKNOWN else ReceiptState.ENROUTE,
            occurred_at=now,
            code=f"{parsed.raw_state}:{parsed.error_code}" if parsed.error_code else parsed.raw_state,
            raw=raw,
            handle=incoming,
            other_ids=(dlr.canonical(parsed.other_id),) if parsed.other_id else (),
        )

    def withdraw(self, delivery_ids: Sequence[UUID]) -> list[UUID]:
        """Only messages none of whose parts was written: one that the handset may have a part of goes on."""
        wanted = set(delivery_ids)
        taken: dict[UUID, list[Submit]] = {}
        for submit in self._group.cancel_where(lambda token: token[0].message.delivery_id in wanted):
            taken.setdefault(submit.token[0].message.delivery_id, []).append(submit)
        whole = [key for key, submits in taken.items() if len(submits) == len(submits[0].token[0].bodies)]
        self._group.submit([each for key, several in taken.items() if key not in whole for each in several])
        if self._stopped:
            self._io.call_soon(self._end_unsent)
        return whole

    def acknowledge(self, arrived: Sequence[Receipt | Inbound]) -> None:
        self._group.answer([each.handle for each in arrived])

    def state(self) -> TransportState:
        group = self._group.state()
        return TransportState(
            up=group.sending > 0,
            window=self._account.window,
            paused_until=time.monotonic() + group.paused_for if group.paused_for else None,
            detail={
                "state": group.summary,
                "bound": group.bound,
                "binds": [_shown(bind) for bind in group.binds],
                "inFlight": group.in_flight,
                "pending": group.pending,
                "lastError": group.last_error,
                "lateAnswers": self._late,
            },
        )

    def _changed(self, state: GroupState) -> None:
        if self._sink is not None:
            self._sink.changed()

    def _throttled(self, delay: float) -> None:
        log.warning("operator.throttled", operator=self._operator.slug, seconds=delay)
        if self._sink is not None:
            self._sink.changed()

    def stop(self, *, deadline: float) -> None:
        """What is in flight is awaited; what was not sent waits in the ledger again, for whoever comes next."""
        self._stopped = True
        self._group.stop(timeout=deadline)
        told = threading.Event()
        self._io.call_soon(self._end_unsent)
        self._io.call_soon(told.set)
        told.wait(_TELL_SECONDS)

    def _end_unsent(self) -> None:
        """Outcomes of messages with parts that no bind will carry any more. On the I/O thread."""
        ended: list[Job] = []
        for submit in self._group.cancel_where(lambda _token: True):
            job = submit.token[0]
            job.open -= 1
            job.unsent = True
            if not job.open:
                ended.append(job)
        _report(ended, datetime.now(tz=UTC))


def _shown(bind: BindState) -> dict[str, str | int]:
    """A bind as the operator's page in the admin shows it."""
    return {
        "kind": bind.kind,
        "phase": bind.phase,
        "since": bind.since.isoformat(timespec="seconds"),
        "inFlight": bind.in_flight,
        "lastError": bind.last_error,
    }


def _report(ended: Sequence[Job], now: datetime) -> None:
    """Tell outcomes, all that one task waits for at once."""
    ready: dict[Callable[[list[Outcome]], None], list[Outcome]] = {}
    for job in ended:
        ready.setdefault(job.report, []).append(job.outcome(now))
    for report, outcomes in ready.items():
        try:
            report(outcomes)
        except Exception:
            # The failure of one that waits must not keep the others waiting.
            log.exception("submit.report_failed")
