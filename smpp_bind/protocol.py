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

import dataclasses
import enum
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

from smpp_bind import errors, framing, pdu
from smpp_bind.timers import Due, Timers
from smpp_bind.window import Window

BindKind = Literal["transceiver", "transmitter", "receiver"]

LINGER_SECONDS: Final = 1.0
"""How long answers are awaited after the SMSC's unbind: several send it ahead of answers under way."""

_SUBMIT_ANSWERS: Final = (pdu.SUBMIT_SM_RESP, pdu.DATA_SM_RESP)
_BIND_COMMANDS: Final[dict[BindKind, int]] = {
    "transceiver": pdu.BIND_TRANSCEIVER,
    "transmitter": pdu.BIND_TRANSMITTER,
    "receiver": pdu.BIND_RECEIVER,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BindSettings:
    """How to reach one SMSC and how to behave there. Times are seconds; 0 switches the inactivity timer and
    enquire_link off. `window` is the most submits unanswered at once on this bind. With `data_sm` submits go
    as data_sm, and their bodies must be its (`pdu.encode_data_sm_body`).
    """

    host: str
    port: int
    system_id: str
    password: str = dataclasses.field(repr=False)
    system_type: str = ""
    bind: BindKind = "transceiver"
    interface_version: int = 0x34
    addr_ton: int = 0
    addr_npi: int = 0
    address_range: str = ""
    tls: bool = False
    tls_verify: bool = True
    tls_ca_file: str = ""
    tls_server_name: str = ""
    window: int = 10
    data_sm: bool = False
    connect_timeout: float = 10.0
    bind_timeout: float = 10.0
    response_timeout: float = 60.0
    enquire_link_seconds: float = 30.0
    enquire_link_timeout: float = 10.0
    inactivity_seconds: float = 0.0
    unbind_timeout: float = 5.0
    reconnect_min_seconds: float = 1.0
    reconnect_max_seconds: float = 15.0
    stable_seconds: float = 10.0


class State(enum.Enum):
    BINDING = "binding"
    BOUND = "bound"
    DRAINING = "draining"
    UNBINDING = "unbinding"
    LINGERING = "lingering"
    OVER = "over"


class Bound(NamedTuple):
    system_id: str
    interface_version: int | None


class BindRefused(NamedTuple):
    status: int


class Answered(NamedTuple):
    """submit_sm_resp, data_sm_resp or generic_nack; `status` is never 0 for a nack. `sent_at` is the time
    of the submit.
    """

    token: Any
    status: int
    message_id: str
    sent_at: float


class OutcomeUnknown(NamedTuple):
    """The SMSC may or may not have taken the submit."""

    token: Any
    sent_at: float
    reason: str


class Delivered(NamedTuple):
    """deliver_sm or data_sm, to be answered by `Session.answer` once it is stored."""

    sequence: int
    sm: pdu.ShortMessage
    command_id: int


class Unbound(NamedTuple):
    by_peer: bool


class Dead(NamedTuple):
    reason: str


Event = Bound | BindRefused | Answered | OutcomeUnknown | Delivered | Unbound | Dead


class Session:
    """One bind, from its first octet to its last; a new connection takes a new session.

    `token` is whatever the caller knows a submit by. Counters: `late_answers` came for no submit in flight,
    `malformed` PDUs were answered with an error.
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
                    self.late_answers += 1
                else:
                    message_id = pdu.decode_id(body)
                    events.append(Answered(sent.token, header.status, message_id, sent.sent_at))
            elif self.state is not State.OVER:
                self._receive(header, body, now, events)
        if events:
            self._timers.worked(now)
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
        lost = self._window.expire(now)
        events += [OutcomeUnknown(sent.token, sent.sent_at, "response_timeout") for sent in lost]
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

    def _end(self, last: Event, events: list[Event]) -> None:
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
        if self.state is State.UNBINDING:
            return  # both ends at once: the answer to ours is on its way
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
        refused = self._control.pop(header.sequence, None)
        if refused == pdu.UNBIND:
            self._end(Unbound(by_peer=False), events)
        elif refused is not None and self.state is State.BINDING:
            self._end(BindRefused(status), events)

    def _on_ignored(self, header: pdu.Header, body: bytes, now: float, events: list[Event]) -> None:
        """Neither outbind nor alert_notification has no answer (sections 4.1.7 and 4.12.1)."""


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
    pdu.OUTBIND: Session._on_ignored,
    pdu.ALERT_NOTIFICATION: Session._on_ignored,
}
