"""SMPP as one of routing's transports: messages into submits, answers into outcomes, deliver_sm into receipts."""

import itertools
import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
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
    Verdict,
)
from smpp_bind import accounts, dlr, encoding, errors, pdu
from smpp_bind.bind import Answer, BindGroup, GroupState, Incoming, Submit
from smpp_bind.connection import IoThread

log = structlog.get_logger(__name__)

# Statuses that say "not now" of one message; throttling, which says it of all, is the bind group's.
TEMPORARY = frozenset({pdu.ESME_RSYSERR, pdu.ESME_RINVBNDSTS, pdu.ESME_RX_T_APPN})
# What a permanent refusal is about, where the operator says.
ERROR_CODES = {
    pdu.ESME_RINVDSTADR: "INVALID_RECIPIENT",
    pdu.ESME_RINVSRCADR: "INVALID_SENDER",
}
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

_ALPHANUMERIC, _INTERNATIONAL, _NETWORK_SPECIFIC = (5, 0), (1, 1), (3, 0)
_SHORT_CODE_DIGITS = 8
_RECEIPT_WANTED = 1


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


class _Job:
    """A message whose parts are on their way; on the I/O thread from submit to outcome."""

    __slots__ = ("answered", "message", "parts", "refusal", "remote_ids", "report")

    def __init__(self, message: Outbound, parts: int, report: Callable[[list[Outcome]], None]) -> None:
        self.message = message
        self.parts = parts
        self.report = report
        self.answered = 0
        self.remote_ids: list[str] = [""] * parts
        # The first part's answer that was not an acceptance: (status or None, reason).
        self.refusal: tuple[int | None, str] | None = None


class SmppTransport:
    """One operator's binds in this process."""

    def __init__(self, operator: OperatorSettings) -> None:
        self._operator = operator
        self._account = accounts.read(operator)
        self._references = itertools.count(random.randrange(0x10000))
        self._sink: Sink | None = None
        self._group = BindGroup(
            _Io.get(),
            self._account.binds,
            name=operator.slug,
            on_answers=self._answered,
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
        for message in messages:
            try:
                submits += self._submits(message, on_outcomes)
            except (errors.UnencodableError, errors.PduError) as error:
                log.warning("submit.unencodable", message_id=str(message.message_id), reason=str(error))
                impossible.append(_outcome(message, Verdict.REFUSED, (), None, "UNENCODABLE"))
        if impossible:
            on_outcomes(impossible)
        self._group.submit(submits)

    def _submits(self, message: Outbound, on_outcomes: Callable[[list[Outcome]], None]) -> list[Submit]:
        """A submit a part; the parts of one message follow each other at the operator's pace."""
        segments = encoding.segment(
            text=message.text or "",
            coding=self._account.coding,
            concatenation=self._account.concatenation,
            reference=next(self._references) & 0xFFFF,
        )
        job = _Job(message, len(segments.parts), on_outcomes)
        gap = 1 / self._operator.rate if self._operator.rate else 0.0
        return [
            Submit((job, number), self._body(message, part), message.not_before + number * gap)
            for number, part in enumerate(segments.parts)
        ]

    def _body(self, message: Outbound, part: encoding.Part) -> bytes:
        ton, npi, source = self._source(message.sender)
        account = self._account
        encode = pdu.encode_data_sm_body if account.data_sm else pdu.encode_short_message_body
        return encode(
            pdu.ShortMessage(
                account.service_type,
                ton,
                npi,
                source,
                account.destination_ton,
                account.destination_npi,
                message.recipient.removeprefix("+"),
                part.esm_class,
                validity="" if message.expires_at is None else _absolute(message.expires_at),
                registered_delivery=_RECEIPT_WANTED,
                data_coding=part.data_coding,
                message=part.message,
                tlvs=part.tlvs,
            )
        )

    def _source(self, sender: str | None) -> tuple[int, int, str]:
        """Type of number, numbering plan and address of the sender."""
        if not sender:
            return self._account.source_ton or 0, self._account.source_npi or 0, ""
        digits = sender.removeprefix("+")
        if not digits.isdecimal():
            ton, npi = _ALPHANUMERIC
        elif len(digits) <= _SHORT_CODE_DIGITS and sender == digits:
            ton, npi = _NETWORK_SPECIFIC
        else:
            ton, npi = _INTERNATIONAL
        if self._account.source_ton is not None:
            ton = self._account.source_ton
        if self._account.source_npi is not None:
            npi = self._account.source_npi
        return ton, npi, digits

    def _answered(self, answers: list[Answer]) -> None:
        """Fold the answers of parts into outcomes of messages; one call a task that waits for them."""
        ready: dict[Callable[[list[Outcome]], None], list[Outcome]] = {}
        now = datetime.now(tz=UTC)
        for answer in answers:
            job, number = answer.token
            job.answered += 1
            if answer.status == 0:
                job.remote_ids[number] = dlr.canonical(answer.message_id)
            elif job.refusal is None:
                job.refusal = (answer.status, answer.reason)
            if job.answered == job.parts:
                ready.setdefault(job.report, []).append(_fold(job, now))
        for report, outcomes in ready.items():
            report(outcomes)

    def _delivered(self, incoming: list[Incoming]) -> None:
        assert self._sink is not None
        self._sink.receipts(self, [self._arrival(each) for each in incoming])

    def _arrival(self, incoming: Incoming) -> Receipt | Inbound:
        sm = incoming.sm
        parsed = dlr.parse(sm)
        now = datetime.now(tz=UTC)
        if parsed is None:
            return Inbound(
                operator_id=self._operator.id,
                sender=sm.source,
                recipient=sm.destination,
                text=encoding.text_of(sm),
                occurred_at=now,
                raw={"esmClass": sm.esm_class, "dataCoding": sm.data_coding, "message": sm.message.hex()},
                handle=incoming,
                part=encoding.place_of(sm),
            )
        raw = {"state": parsed.raw_state}
        if parsed.done_at is not None:
            raw["doneAt"] = parsed.done_at.isoformat()
        state = STATES.get(parsed.state, ReceiptState.UNKNOWN)
        return Receipt(
            operator_id=self._operator.id,
            remote_id=dlr.normalise_id(parsed.remote_id, self._operator.id_mode),  # type: ignore[arg-type]
            state=state if parsed.is_final or state is ReceiptState.UNKNOWN else ReceiptState.ENROUTE,
            occurred_at=now,
            code=f"{parsed.raw_state}:{parsed.error_code}" if parsed.error_code else parsed.raw_state,
            raw=raw,
            handle=incoming,
        )

    def withdraw(self, delivery_ids: Sequence[UUID]) -> list[UUID]:
        """Only messages none of whose parts was written: one that the handset may have a part of goes on."""
        wanted = set(delivery_ids)
        taken: dict[UUID, list[Submit]] = {}
        for submit in self._group.cancel_where(lambda token: token[0].message.delivery_id in wanted):
            taken.setdefault(submit.token[0].message.delivery_id, []).append(submit)
        whole = [key for key, submits in taken.items() if len(submits) == submits[0].token[0].parts]
        self._group.submit([each for key, several in taken.items() if key not in whole for each in several])
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
                "bound": group.bound,
                "binds": len(group.binds),
                "inFlight": group.in_flight,
                "pending": group.pending,
                "lastError": group.last_error,
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
        self._group.stop(timeout=deadline)


def _fold(job: _Job, now: datetime) -> Outcome:
    """What came of a message, from what came of its parts.

    A part that was accepted cannot be taken back: with any part accepted the message counts as sent, and the
    receipts tell the rest. Without an answer for a part, the whole is unknown.
    """
    if job.refusal is None:
        return _outcome(job.message, Verdict.ACCEPTED, tuple(job.remote_ids), None, None, now)
    status, reason = job.refusal
    if status is None:
        return _outcome(job.message, Verdict.UNKNOWN, (), reason, None, now)
    code = f"0x{status:08X}"
    if any(job.remote_ids):
        return _outcome(job.message, Verdict.REFUSED, (), code, "PARTLY_REJECTED_BY_OPERATOR", now)
    if status in TEMPORARY:
        return _outcome(job.message, Verdict.RETRY, (), code, None, now)
    return _outcome(job.message, Verdict.REFUSED, (), code, ERROR_CODES.get(status), now)


def _outcome(
    message: Outbound,
    verdict: Verdict,
    remote_ids: tuple[str, ...],
    code: str | None,
    error_code: str | None,
    now: datetime | None = None,
) -> Outcome:
    return Outcome(
        message.delivery_id,
        message.message_id,
        verdict,
        now or datetime.now(tz=UTC),
        remote_ids,
        code,
        error_code,
    )


def _absolute(moment: datetime) -> str:
    """SMPP 3.4 §7.1.1: YYMMDDhhmmss, tenths, quarter hours from UTC and their sign."""
    return moment.astimezone(UTC).strftime("%y%m%d%H%M%S") + "000+"
