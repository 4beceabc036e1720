"""One client's connection to the simulator."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from smpp_bind import errors, framing, pdu
from smpp_bind.simulator import drops, submits
from smpp_bind.simulator.accounts import Account, Outgoing

if TYPE_CHECKING:
    from smpp_bind.simulator.smsc import Smsc

_SC_VERSION: Final = ((pdu.TLV_SC_INTERFACE_VERSION, b"\x34"),)
_BROKEN: Final = ((pdu.TLV_SC_INTERFACE_VERSION, b""), (0x1401, b"\xff\0"), (0, b"\0"))
_HALF_A_PDU: Final = pdu.encode_empty(command_id=pdu.ENQUIRE_LINK, sequence=1)[:10]
_LAST_SEQUENCE: Final = 0x7FFFFFFF
_FLUSH_LIMIT: Final = 1.0


class Session(asyncio.Protocol):
    """Reads requests, and writes what it is told to in one piece a turn of the loop."""

    def __init__(self, smsc: Smsc) -> None:
        self.smsc = smsc
        self.account: Account | None = None
        self.can_send = False
        self.can_receive = False
        self.unanswered = 0
        self.waiting: deque[Outgoing] = deque()
        self.held: list[Outgoing] = []
        self.in_flight: dict[int, Outgoing] = {}
        self.choked = False
        self.silent_since_enquiry = False
        self.closing = False
        self.leaving = False
        self.lingers = 0.0
        self._framer = framing.Framer()
        self._out: list[bytes] = []
        self._sequence = 0
        self._last_sequence = _LAST_SEQUENCE
        self._drops: drops.Drops | None = None
        self._transport: asyncio.Transport

    # Called by the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self.smsc.connected(self)

    def data_received(self, data: bytes) -> None:
        self.silent_since_enquiry = False
        try:
            frames = self._framer.feed(data)
        except errors.FramingError:
            frames = []
        for header, body in frames:
            if self.closing:
                break
            command = header.command_id
            if command == pdu.SUBMIT_SM:
                self._submit(header, body, submits.read_submit_sm)
            elif command == pdu.DELIVER_SM_RESP:
                self._acknowledged(header, body)
            else:
                self._other(header, body)
        if self._framer.broken is not None:
            self._nack(0, pdu.ESME_RINVCMDLEN)
            self.close()
        self.pump()
        self.smsc.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        self.can_send = self.can_receive = False
        self.smsc.lost(self)

    def pause_writing(self) -> None:
        # A client that submits without reading its answers is not read from either.
        self.choked = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self.choked = False
        if not self.smsc.paused:
            self._transport.resume_reading()
        self.pump()
        self.smsc.flush()

    # Called by the SMSC.

    def bound(self, account: Account, command: int) -> None:
        self.account = account
        self.can_send = command != pdu.BIND_RECEIVER
        self.can_receive = command != pdu.BIND_TRANSMITTER
        account.sessions.append(self)

    def send(self, octets: bytes) -> None:
        """Written at the next `flush`."""
        if not self._out:
            self.smsc.to_flush.append(self)
        self._out.append(octets)

    def flush(self) -> None:
        if self._out and not self.closing:
            octets = b"".join(self._out)
            if self._drops is None:
                self._transport.write(octets)
            else:
                self._drops.write(octets)
        self._out.clear()

    def pump(self) -> None:
        """Sends what waits for this session or for any of its account, up to the window."""
        account = self.account
        if account is None or not self.can_receive or self.choked or self.smsc.paused:
            return
        room = self.smsc.settings.deliver_window - len(self.in_flight)
        while room > 0 and (self.waiting or account.waiting):
            self._deliver((self.waiting or account.waiting).popleft())
            room -= 1

    def request(self, command: int, body: bytes = b"") -> None:
        """Sends a request whose answer is not waited for."""
        self._sequence = self._sequence % self._last_sequence + 1
        self.send(pdu.HEADER.pack(16 + len(body), command, 0, self._sequence) + body)

    def set_reading(self, *, on: bool) -> None:
        if on and not self.choked:
            self.silent_since_enquiry = False
            self._transport.resume_reading()
        elif not on:
            self._transport.pause_reading()

    def close(self) -> None:
        """Closes after what is written has gone out, or a second."""
        self.flush()
        if self._drops is not None:
            self._drops.end()
        self.closing = True
        self.can_send = self.can_receive = False
        self._transport.close()
        self.smsc.loop.call_later(_FLUSH_LIMIT, self._transport.abort)

    def break_off(self, half: bytes = _HALF_A_PDU) -> None:
        """Closes in the middle of a PDU; answers not yet written are lost."""
        self._out.clear()
        self._transport.write(half)
        self.close()

    def abort(self) -> None:
        self.closing = True
        self._transport.abort()

    # Requests and answers of the client.

    def _submit(self, header: pdu.Header, body: bytes, read: Callable[[bytes], submits.Submit]) -> None:
        if self.account is None or not self.can_send:
            self._answer(header, pdu.ESME_RINVBNDSTS)
            return
        try:
            submit = read(body)
        except errors.PduError as error:
            self._answer(header, error.status)
            return
        self.smsc.acceptance.take(
            session=self,
            account=self.account,
            command=header.command_id,
            sequence=header.sequence,
            submit=submit,
        )

    def _data_sm(self, header: pdu.Header, body: bytes) -> None:
        self._submit(header, body, submits.read_data_sm)

    def _deliver(self, item: Outgoing) -> None:
        body = item.body
        sequence = self._sequence = self._sequence % self._last_sequence + 1
        self.in_flight[sequence] = item
        if item.is_receipt:
            self.smsc.stats.receipts_sent += 1
        else:
            self.smsc.stats.mo_sent += 1
        self.send(pdu.HEADER.pack(16 + len(body), item.command, 0, sequence) + body)

    def _acknowledged(self, header: pdu.Header, body: bytes) -> None:
        item = self.in_flight.pop(header.sequence, None)
        if item is not None:
            self.smsc.accounts.settle(self, item, header.status)

    def _other(self, header: pdu.Header, body: bytes) -> None:
        handle = _HANDLERS.get(header.command_id)
        if handle is not None:
            handle(self, header, body)
        elif not header.command_id & pdu.RESP:
            self._nack(header.sequence, pdu.ESME_RINVCMDID)

    def _bind(self, header: pdu.Header, body: bytes) -> None:
        try:
            status, odd = self.smsc.bind(self, header.command_id, pdu.decode_bind(body))
        except errors.PduError as error:
            status, odd = error.status, {}
        if "no-bind-answer" in odd:
            return
        if status:
            self._answer(header, status)
            if self.account is None:
                self.close()
            return
        self._bend(odd)
        if "enquire-first" in odd:
            self.request(pdu.ENQUIRE_LINK)
        if "deliver-first" in odd:
            self.pump()
        if "bare-bind" in odd:
            self._answer(header, pdu.ESME_ROK)
            return
        octets = pdu.encode_bind_resp(
            command_id=header.command_id | pdu.RESP,
            sequence=header.sequence,
            system_id="SMSC",
            tlvs=_BROKEN if "odd-bind" in odd else _SC_VERSION,
        )
        self.send(octets)

    def _bend(self, odd: Mapping[str, Any]) -> None:
        """What the faults that struck its bind make of this session."""
        self.lingers = odd.get("linger", 0.0)
        if "dribble" in odd:
            self._drops = drops.Drops(self._transport, loop=self.smsc.loop, size=odd["dribble"])
        if "sequence" in odd:
            self._sequence = odd["sequence"] - 1
            if self._sequence >= _LAST_SEQUENCE:
                self._last_sequence = 0xFFFFFFFF

    def _enquire_link(self, header: pdu.Header, body: bytes) -> None:
        if not self.smsc.acceptance.faults.strikes("deaf"):
            self._answer(header, pdu.ESME_ROK)

    def _unbind(self, header: pdu.Header, body: bytes) -> None:
        if self.account is None:
            self._answer(header, pdu.ESME_RINVBNDSTS)
            return
        self.lingers = 0.0
        if not self.smsc.acceptance.faults.strikes("no-unbind-answer"):
            self._answer(header, pdu.ESME_ROK)
            self.close()

    def _unbound(self, header: pdu.Header, body: bytes) -> None:
        """Closes, after the answers under way or a second."""
        self.lingers = 0.0
        self.leaving = True
        self.can_send = False
        if self.unanswered:
            self.smsc.loop.call_later(_FLUSH_LIMIT, self.close)
        else:
            self.close()

    def _nothing(self, header: pdu.Header, body: bytes) -> None:
        pass

    def _answer(self, header: pdu.Header, status: int) -> None:
        self.send(pdu.HEADER.pack(16, header.command_id | pdu.RESP, status, header.sequence))

    def _nack(self, sequence: int, status: int) -> None:
        self.send(pdu.HEADER.pack(16, pdu.GENERIC_NACK, status, sequence))


_HANDLERS: Final[dict[int, Callable[[Session, pdu.Header, bytes], None]]] = {
    pdu.BIND_RECEIVER: Session._bind,
    pdu.BIND_TRANSMITTER: Session._bind,
    pdu.BIND_TRANSCEIVER: Session._bind,
    pdu.ENQUIRE_LINK: Session._enquire_link,
    pdu.ENQUIRE_LINK_RESP: Session._nothing,
    pdu.UNBIND: Session._unbind,
    pdu.UNBIND_RESP: Session._unbound,
    pdu.DATA_SM: Session._data_sm,
    pdu.DATA_SM_RESP: Session._acknowledged,
    pdu.GENERIC_NACK: Session._acknowledged,
}
