"""One ESME session without its socket: octets and times go in, events and octets come out (SMPP 3.4,
section 2).

    BINDING ──bind_resp ok──▶ BOUND ──unbind()──▶ DRAINING ──window empty──▶ UNBINDING ──unbind_resp──▶ OVER
       │                        └──unbind from the SMSC──▶ LINGERING ──window empty, or 1 s──────────────▶
       OVER └──refused, timed out, connection lost: from every
       state────────────────────────────────────────▶ OVER

The last event of a session is exactly one of `BindRefused`, `Unbound` and `Dead`; an `OutcomeUnknown` for
each submit still in flight comes before it. After any call that returns events, send what `bytes_to_send`
holds.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Final

from smpp_bind import errors, framing, notices, pdu
from smpp_bind.events import (
    Answered,
    AnsweredLate,
    BindRefused,
    Bound,
    Dead,
    Delivered,
    Event,
    Last,
    Noticed,
    OutcomeUnknown,
    Unbound,
)
from smpp_bind.settings import BindKind, BindSettings
from smpp_bind.timers import Due, Timers
from smpp_bind.window import Window

LINGER_SECONDS: Final = 1.0
"""How long answers are awaited after the SMSC's unbind: several send it ahead of answers under way."""

FEWEST_LOST: Final = 10
"""A link is given up when a whole window of submits, and no fewer than these, went unanswered in a row."""

_SUBMIT_ANSWERS: Final = (pdu.SUBMIT_SM_RESP, pdu.DATA_SM_RESP)
_BIND_COMMANDS: Final[dict[BindKind, int]] = {
    "transceiver": pdu.BIND_TRANSCEIVER,
    "transmitter": pdu.BIND_TRANSMITTER,
    "receiver": pdu.BIND_RECEIVER,
}


class State(enum.Enum):
    BINDING = "binding"
    BOUND = "bound"
    DRAINING = "draining"
    UNBINDING = "unbinding"
    LINGERING = "lingering"
    OVER = "over"


class Session:
    """One bind, from its first octet to its last; a new connection takes a new session.

    `token` is whatever the caller knows a submit by. Counters: `late_answers` came for no submit in flight,
    `malformed` PDUs were answered with an error, or have no answer and were dropped.
    """

    def __init__(self, settings: BindSettings, *, first_sequence: int = 1) -> None:
        self.settings = settings
        self.state = State.BINDING
        self.late_answers = 0
        self.malformed = 0
        self._framer = framing.Framer()
        self._control: dict[int, int] = {}
        self._window: Window[Any] = Window(
            size=settings.window,
            timeout=settings.response_timeout,
            first=first_sequence,
            reserved=self._control,
        )
        self._timers = Timers(
            enquire_link_seconds=settings.enquire_link_seconds,
            enquire_link_timeout=settings.enquire_link_timeout,
            bind_timeout=settings.bind_timeout,
            inactivity_seconds=settings.inactivity_seconds,
        )
        self._submit_command = pdu.DATA_SM if settings.data_sm else pdu.SUBMIT_SM
        self._out: list[bytes] = []
        self._lost_in_a_row = 0

    @property
    def in_flight(self) -> int:
        return len(self._window)

    @property
    def room(self) -> int:
        """Submits that may be sent now: 0 unless bound as transceiver or transmitter."""
        if self.state is not State.BOUND or self.settings.bind == "receiver":
            return 0
        return self._window.room

    def bytes_to_send(self) -> bytes:
        """What is to be written, once: the next call has only what came since."""
        if not self._out:
            return b""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def bind(self, now: float) -> None:
        """Asks to be bound. Raises PduError where a setting has no form on the wire."""
        command_id = _BIND_COMMANDS[self.settings.bind]
        sequence = self._window.next_sequence()
        self._out.append(
            pdu.encode_bind(
                command_id=command_id,
                sequence=sequence,
                system_id=self.settings.system_id,
                password=self.settings.password,
                system_type=self.settings.system_type,
                interface_version=self.settings.interface_version,
                addr_ton=self.settings.addr_ton,
                addr_npi=self.settings.addr_npi,
                address_range=self.settings.address_range,
            )
        )
        self._control[sequence] = command_id
        self._timers.binding(now)

    def submit(self, token: Any, body: bytes, now: float) -> int:
        """Queues one submit_sm (or data_sm) of an encoded body; its sequence number.

        Raises NotBoundError and WindowFullError; `room` tells beforehand.
        """
        if self.state is not State.BOUND or self.settings.bind == "receiver":
            raise errors.NotBoundError(f"A {self.settings.bind} that is {self.state.value} cannot submit.")
        sequence = self._window.add(token, now)
        self._out.append(pdu.HEADER.pack(16 + len(body), self._submit_command, 0, sequence))
        self._out.append(body)
        self._timers.worked(now)
        return sequence

    def answer(self, sequence: int, status: int = 0, *, command_id: int = pdu.DELIVER_SM) -> None:
        """Answers one `Delivered`; nothing happens when the session is over."""
        if self.state is not State.OVER:
            self._out.append(pdu.HEADER.pack(17, command_id | pdu.RESP, status, sequence) + b"\0")

    def unbind(self, now: float) -> list[Event]:
        """Takes no more submits, awaits the answers under way, then unbinds; bounded by `unbind_timeout`."""
        events: list[Event] = []
        if self.state is State.BINDING:
            self._end(Dead("stopped before the bind was answered"), events)
        elif self.state is State.BOUND:
            self.state = State.DRAINING
            self._timers.closing(now, within=self.settings.unbind_timeout)
            self._finish_when_empty(now, events)
        return events

    def connection_lost(self, reason: str) -> list[Event]:
        events: list[Event] = []
        if self.state is State.LINGERING:
            self._end(Unbound(by_peer=True), events)
        elif self.state is not State.OVER:
            self._end(Dead(reason), events)
        return events

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """What `data` completes, in order."""
        events: list[Event] = []
        try:
            frames = self._framer.feed(data)
        except errors.FramingError:
            frames = []
        if frames:
            self._timers.heard(now)
        take = self._window.take
        for header, body in frames:
            if header.command_id in _SUBMIT_ANSWERS:
                sent = take(header.sequence)
                if sent is None:
                    self._answered_late(header, body, events)
                else:
                    message_id = pdu.decode_id(body)
                    events.append(Answered(sent.token, header.status, message_id, sent.sent_at))
            elif self.state is not State.OVER:
                self._receive(header, body, now, events)
        if events:
            self._timers.worked(now)
            if self._lost_in_a_row and any(isinstance(each, Answered | AnsweredLate) for each in events):
                self._lost_in_a_row = 0
        if self._framer.broken is not None and self.state is not State.OVER:
            self._send(pdu.GENERIC_NACK, 0, pdu.ESME_RINVCMDLEN)
            self._end(Dead(str(self._framer.broken)), events)
        self._finish_when_empty(now, events)
        return events

    def next_tick(self) -> float | None:
        """When `tick` has something to do next."""
        if self.state is State.OVER:
            return None
        coming = self._timers.next_due()
        expiry = self._window.next_expiry()
        if coming is None:
            return expiry
        return coming[0] if expiry is None else min(coming[0], expiry)

    def tick(self, now: float) -> list[Event]:
        """What falls due by `now`: lost answers, enquire_link, the deadlines of bind and unbind."""
        events: list[Event] = []
        if self.state is State.OVER:
            return events
        if self._expire(now, events):
            return events
        due = self._timers.due(now)
        if due is Due.ENQUIRE_LINK:
            self._request(pdu.ENQUIRE_LINK)
            self._timers.enquired(now)
        elif due is Due.INACTIVE:
            events += self.unbind(now)
        elif due is Due.CLOSE_TIMEOUT:
            self._close_timed_out(now, events)
        elif due is not None:
            self._end(Dead(due.value), events)
        self._finish_when_empty(now, events)
        return events

    def _expire(self, now: float, events: list[Event]) -> bool:
        """Whether the link is given up."""
        lost = self._window.expire(now)
        if not lost:
            return False
        events += [OutcomeUnknown(sent.token, sent.sent_at, "response_timeout") for sent in lost]
        self._lost_in_a_row += len(lost)
        # Some SMSCs go on answering enquire_link when what is behind them has gone.
        dead = self._lost_in_a_row >= max(self._window.size, FEWEST_LOST) and self.state is State.BOUND
        if dead:
            self._end(Dead(f"the last {self._lost_in_a_row} submits were not answered"), events)
        return dead

    def _answered_late(self, header: pdu.Header, body: bytes, events: list[Event]) -> None:
        self.late_answers += 1
        sent = self._window.take_expired(header.sequence)
        if sent is not None and self.state is not State.OVER:
            events.append(AnsweredLate(sent.token, header.status, pdu.decode_id(body), sent.sent_at))

    def _close_timed_out(self, now: float, events: list[Event]) -> None:
        if self.state is State.DRAINING:
            self._send_unbind(now)
        elif self.state is State.LINGERING:
            self._end(Unbound(by_peer=True), events)
        else:
            self._end(Dead(Due.CLOSE_TIMEOUT.value), events)

    def _finish_when_empty(self, now: float, events: list[Event]) -> None:
        if self.state is State.BOUND or self._window:
            return
        if self.state is State.DRAINING:
            self._send_unbind(now)
        elif self.state is State.LINGERING:
            self._end(Unbound(by_peer=True), events)

    def _send_unbind(self, now: float) -> None:
        self.state = State.UNBINDING
        self._request(pdu.UNBIND)
        self._timers.closing(now, within=min(self.settings.unbind_timeout, LINGER_SECONDS))

    def _end(self, last: Last, events: list[Event]) -> None:
        reason = last.reason if isinstance(last, Dead) else "unbound"
        lost = self._window.drain()
        events += [OutcomeUnknown(sent.token, sent.sent_at, reason) for sent in lost]
        self.state = State.OVER
        self._control.clear()
        events.append(last)

    def _send(self, command_id: int, sequence: int, status: int = 0) -> None:
        self._out.append(pdu.HEADER.pack(16, command_id, status, sequence))

    def _request(self, command_id: int) -> None:
        self._control.clear()  # an enquire_link that other PDUs have answered for
        sequence = self._window.next_sequence()
        self._control[sequence] = command_id
        self._send(command_id, sequence)

    def _receive(self, header: pdu.Header, body: bytes, now: float, events: list[Event]) -> None:
        method = _RECEIVERS.get(header.command_id)
        if method is not None:
            method(self, header, body, now, events)
        elif not header.command_id & pdu.RESP:
            self.malformed += 1
            self._send(pdu.GENERIC_NACK, header.sequence, pdu.ESME_RINVCMDID)

    def _on_message(self, header: pdu.Header, body: bytes, now: float, events: list[Event]) -> None:
        # A transmitter is never to get one; those SMSCs that send it receipts want them taken all the same.
        read = pdu.decode_short_message if header.command_id == pdu.DELIVER_SM else pdu.decode_data_sm
        try:
            sm = read(body)
        except errors.PduError as error:
            self.malformed += 1
            self.answer(header.sequence, error.status, command_id=header.command_id)
        else:
            events.append(Delivered(header.sequence, sm, header.command_id))

    def _on_enquire_link(self, header: pdu.Header, body: bytes, now: float, events: list[Event]) -> None:
        self._send(pdu.ENQUIRE_LINK_RESP, header.sequence)

    def _on_enquire_link_resp(self, header: pdu.Header, body: bytes, now: float, events: list[Event]) -> None:
        self._control.pop(header.sequence, None)

    def _on_bind_resp(self, header: pdu.Header, body: bytes, now: float, events: list[Event]) -> None:
        if self.state is not State.BINDING:
            return
        if header.status:
            self._end(BindRefused(header.status), events)
            return
        self._control.clear()
        self.state = State.BOUND
        self._timers.bound(now)
        answer = pdu.decode_bind_resp(body)
        version = dict(answer.tlvs).get(pdu.TLV_SC_INTERFACE_VERSION)
        events.append(Bound(answer.system_id, version[0] if version else None))

    def _on_unbind(self, header: pdu.Header, body: bytes, now: float, events: list[Event]) -> None:
        self._send(pdu.UNBIND_RESP, header.sequence)
        # Both ends at once: the answer to ours is on its way. Said twice, it gives no more time.
        if self.state in (State.UNBINDING, State.LINGERING):
            return
        self.state = State.LINGERING
        self._timers.closing(now, within=LINGER_SECONDS)

    def _on_unbind_resp(self, header: pdu.Header, body: bytes, now: float, events: list[Event]) -> None:
        if self.state is State.UNBINDING:
            self._end(Unbound(by_peer=False), events)

    def _on_nack(self, header: pdu.Header, body: bytes, now: float, events: list[Event]) -> None:
        status = header.status or pdu.ESME_RUNKNOWNERR
        sent = self._window.take(header.sequence)
        if sent is not None:
            events.append(Answered(sent.token, status, "", sent.sent_at))
            return
        sent = self._window.take_expired(header.sequence)
        if sent is not None:
            self.late_answers += 1
            events.append(AnsweredLate(sent.token, status, "", sent.sent_at))
            return
        refused = self._control.pop(header.sequence, None)
        if refused == pdu.UNBIND:
            self._end(Unbound(by_peer=False), events)
        elif refused is not None and self.state is State.BINDING:
            self._end(BindRefused(status), events)

    def _on_notice(self, header: pdu.Header, body: bytes, now: float, events: list[Event]) -> None:
        read = notices.decode_outbind if header.command_id == pdu.OUTBIND else notices.decode_alert
        try:
            events.append(Noticed(read(body)))
        except errors.PduError:
            self.malformed += 1


_Receiver = Callable[[Session, pdu.Header, bytes, float, list[Event]], None]
_RECEIVERS: Final[dict[int, _Receiver]] = {
    pdu.DELIVER_SM: Session._on_message,
    pdu.DATA_SM: Session._on_message,
    pdu.ENQUIRE_LINK: Session._on_enquire_link,
    pdu.ENQUIRE_LINK_RESP: Session._on_enquire_link_resp,
    pdu.BIND_TRANSCEIVER | pdu.RESP: Session._on_bind_resp,
    pdu.BIND_TRANSMITTER | pdu.RESP: Session._on_bind_resp,
    pdu.BIND_RECEIVER | pdu.RESP: Session._on_bind_resp,
    pdu.UNBIND: Session._on_unbind,
    pdu.UNBIND_RESP: Session._on_unbind_resp,
    pdu.GENERIC_NACK: Session._on_nack,
    pdu.OUTBIND: Session._on_notice,
    pdu.ALERT_NOTIFICATION: Session._on_notice,
}
