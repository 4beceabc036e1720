"""SMPP 3.4 PDUs to bytes and back, for both ends of a link (SMPP 3.4, issue 1.2, sections 3 to 5).

Status names come from smpplib; the PDUs are packed by hand, because smpplib takes 30-45 us for one,
ignores the length of a TLV and refuses TLVs on PDUs where its tables do not list them. Strings are Latin-1
here, which can carry any octet a peer sends. Malformed bodies raise `errors.PduError`, whose `status` is
the command_status to answer with.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple, TypeAlias

from smpplib import consts

from smpp_bind import errors

HEADER: Final = struct.Struct(">LLLL")
_TLV: Final = struct.Struct(">HH")
_ADDRESS: Final = struct.Struct("BB")
_AFTER_ADDRESSES: Final = struct.Struct("BBB")
_AFTER_TIMES: Final = struct.Struct("BBBBB")
_DATA_SM_FLAGS: Final = struct.Struct("BBB")
_BIND_FLAGS: Final = struct.Struct("BBB")

RESP: Final = 0x80000000
BIND_RECEIVER: Final = 0x01
BIND_TRANSMITTER: Final = 0x02
QUERY_SM: Final = 0x03
SUBMIT_SM: Final = 0x04
DELIVER_SM: Final = 0x05
UNBIND: Final = 0x06
BIND_TRANSCEIVER: Final = 0x09
OUTBIND: Final = 0x0B
ENQUIRE_LINK: Final = 0x15
ALERT_NOTIFICATION: Final = 0x102
DATA_SM: Final = 0x103
GENERIC_NACK: Final = 0x80000000

SUBMIT_SM_RESP: Final = SUBMIT_SM | RESP
DELIVER_SM_RESP: Final = DELIVER_SM | RESP
DATA_SM_RESP: Final = DATA_SM | RESP
ENQUIRE_LINK_RESP: Final = ENQUIRE_LINK | RESP
UNBIND_RESP: Final = UNBIND | RESP

ESME_ROK: Final = 0x00
ESME_RINVMSGLEN: Final = 0x01
ESME_RINVCMDLEN: Final = 0x02
ESME_RINVCMDID: Final = 0x03
ESME_RINVBNDSTS: Final = 0x04
ESME_RALYBND: Final = 0x05
ESME_RSYSERR: Final = 0x08
ESME_RINVSRCADR: Final = 0x0A
ESME_RINVDSTADR: Final = 0x0B
ESME_RBINDFAIL: Final = 0x0D
ESME_RINVPASWD: Final = 0x0E
ESME_RINVSYSID: Final = 0x0F
ESME_RMSGQFUL: Final = 0x14
ESME_RSUBMITFAIL: Final = 0x45
ESME_RTHROTTLED: Final = 0x58
ESME_RX_T_APPN: Final = 0x64
ESME_RX_P_APPN: Final = 0x65
ESME_RX_R_APPN: Final = 0x66
ESME_RINVOPTPARSTREAM: Final = 0xC0
ESME_RINVPARLEN: Final = 0xC2
ESME_RUNKNOWNERR: Final = 0xFF

STATUS_NAMES: Final[dict[int, str]] = {
    status: name.removeprefix("SMPP_")
    for name, status in vars(consts).items()
    if name.startswith("SMPP_ESME_")
}

TLV_RECEIPTED_MESSAGE_ID: Final = 0x001E
TLV_SAR_MSG_REF_NUM: Final = 0x020C
TLV_SAR_TOTAL_SEGMENTS: Final = 0x020E
TLV_SAR_SEGMENT_SEQNUM: Final = 0x020F
TLV_SC_INTERFACE_VERSION: Final = 0x0210
TLV_NETWORK_ERROR_CODE: Final = 0x0423
TLV_MESSAGE_PAYLOAD: Final = 0x0424
TLV_MESSAGE_STATE: Final = 0x0427

ESM_CLASS_RECEIPT: Final = 0x04
ESM_CLASS_UDHI: Final = 0x40

MAX_SHORT_MESSAGE: Final = 254
"""Octets of `short_message`; a longer message travels in the message_payload TLV."""

Tlvs: TypeAlias = tuple[tuple[int, bytes], ...]
"""(tag, value) in the order of the wire; a tag may come twice."""


class Header(NamedTuple):
    """The sixteen octets that open every PDU; `length` counts them too."""

    length: int
    command_id: int
    status: int
    sequence: int


class ShortMessage(NamedTuple):
    """What submit_sm, deliver_sm and data_sm carry.

    `message` is the user data by whichever way it came, short_message or message_payload; the latter is not
    repeated in `tlvs`. data_sm has no protocol_id, priority, schedule, validity, replace and default_id.
    """

    service_type: str = ""
    source_ton: int = 0
    source_npi: int = 0
    source: str = ""
    destination_ton: int = 0
    destination_npi: int = 0
    destination: str = ""
    esm_class: int = 0
    protocol_id: int = 0
    priority: int = 0
    schedule: str = ""
    validity: str = ""
    registered_delivery: int = 0
    replace: int = 0
    data_coding: int = 0
    default_id: int = 0
    message: bytes = b""
    tlvs: Tlvs = ()


class Bind(NamedTuple):
    """The body of bind_transmitter, bind_receiver and bind_transceiver."""

    system_id: str
    password: str
    system_type: str
    interface_version: int
    addr_ton: int
    addr_npi: int
    address_range: str

    def __repr__(self) -> str:
        return f"Bind(system_id={self.system_id!r}, password=…, system_type={self.system_type!r})"


class BindResp(NamedTuple):
    """The body of a bind response; a refusal may come without one and then reads as empty."""

    system_id: str
    tlvs: Tlvs


def parse_header(buffer: bytes | bytearray | memoryview, offset: int = 0) -> Header:
    return Header(*HEADER.unpack_from(buffer, offset))


def encode_empty(*, command_id: int, sequence: int, status: int = 0) -> bytes:
    """A PDU that is all header: enquire_link, unbind, their answers, generic_nack."""
    return HEADER.pack(16, command_id, status, sequence)


def encode_tlv(tag: int, value: bytes) -> bytes:
    if len(value) > 0xFFFF:
        raise errors.PduError(f"TLV {tag:#06x} is longer than 65535 octets.", status=ESME_RINVPARLEN)
    return _TLV.pack(tag, len(value)) + value


def decode_tlvs(body: bytes, offset: int) -> Tlvs:
    """The TLVs of `body` from `offset` on. A last value cut short keeps the octets that are there,
    since peers miscount the NUL of receipted_message_id; a tail too short for a tag and length is dropped.
    """
    found = []
    end = len(body)
    while offset + 4 <= end:
        tag, length = _TLV.unpack_from(body, offset)
        offset += 4
        found.append((tag, body[offset : offset + length]))
        offset += length
    return tuple(found)


def _c_octets(text: str) -> bytes:
    """`text` with its closing NUL. Raises PduError where it could not be read back."""
    try:
        octets = text.encode("latin-1")
    except UnicodeEncodeError:
        raise errors.PduError("A string field is not Latin-1.", status=ESME_RINVPARLEN) from None
    if 0 in octets:
        raise errors.PduError("A string field contains NUL.", status=ESME_RINVPARLEN)
    return octets + b"\0"


def _with_payload(tail: bytes, message: bytes, tlvs: Tlvs) -> bytes:
    parts = [tail]
    if message:
        parts.append(encode_tlv(TLV_MESSAGE_PAYLOAD, message))
    parts.extend(encode_tlv(tag, value) for tag, value in tlvs)
    return b"".join(parts)


def _addresses(sm: ShortMessage) -> bytes:
    return b"".join(
        (
            _c_octets(sm.service_type) if sm.service_type else b"\0",
            _ADDRESS.pack(sm.source_ton, sm.source_npi),
            _c_octets(sm.source),
            _ADDRESS.pack(sm.destination_ton, sm.destination_npi),
            _c_octets(sm.destination),
        )
    )


def encode_short_message_body(sm: ShortMessage) -> bytes:
    """The body of submit_sm or deliver_sm, without the header; over 254 octets go in message_payload."""
    message = sm.message
    short = message if len(message) <= MAX_SHORT_MESSAGE else b""
    try:
        body = b"".join(
            (
                _addresses(sm),
                _AFTER_ADDRESSES.pack(sm.esm_class, sm.protocol_id, sm.priority),
                _c_octets(sm.schedule) if sm.schedule else b"\0",
                _c_octets(sm.validity) if sm.validity else b"\0",
                _AFTER_TIMES.pack(
                    sm.registered_delivery, sm.replace, sm.data_coding, sm.default_id, len(short)
                ),
                short,
            )
        )
    except struct.error as error:
        raise errors.PduError(f"A field is out of range: {error}", status=ESME_RINVPARLEN) from error
    if sm.tlvs or short is not message:
        return _with_payload(body, b"" if short is message else message, sm.tlvs)
    return body


def encode_data_sm_body(sm: ShortMessage) -> bytes:
    """The body of data_sm, without the header; the message goes in message_payload."""
    try:
        flags = _DATA_SM_FLAGS.pack(sm.esm_class, sm.registered_delivery, sm.data_coding)
        return _with_payload(_addresses(sm) + flags, sm.message, sm.tlvs)
    except struct.error as error:
        raise errors.PduError(f"A field is out of range: {error}", status=ESME_RINVPARLEN) from error


def encode_short_message(*, command_id: int, sequence: int, sm: ShortMessage) -> bytes:
    """A whole submit_sm or deliver_sm."""
    body = encode_short_message_body(sm)
    return HEADER.pack(16 + len(body), command_id, 0, sequence) + body


def encode_data_sm(*, sequence: int, sm: ShortMessage) -> bytes:
    """A whole data_sm."""
    body = encode_data_sm_body(sm)
    return HEADER.pack(16 + len(body), DATA_SM, 0, sequence) + body


def _take_payload(message: bytes, tlvs: Tlvs) -> tuple[bytes, Tlvs]:
    for tag, value in tlvs:
        if tag == TLV_MESSAGE_PAYLOAD:
            rest = tuple(pair for pair in tlvs if pair[0] != TLV_MESSAGE_PAYLOAD)
            return message or value, rest
    return message, tlvs


def decode_short_message(body: bytes) -> ShortMessage:
    """Reads the body of submit_sm or deliver_sm; raises PduError when it ends too early."""
    try:
        after_type = body.index(0)
        after_source = body.index(0, after_type + 3)
        after_destination = body.index(0, after_source + 3)
        after_schedule = body.index(0, after_destination + 4)
        after_validity = body.index(0, after_schedule + 1)
        registered, replace, coding, default_id, length = _AFTER_TIMES.unpack_from(body, after_validity + 1)
    except (ValueError, struct.error):
        raise errors.PduError("The body ends inside its fields.", status=ESME_RINVCMDLEN) from None
    start = after_validity + 6
    end = start + length
    size = len(body)
    if end > size:
        raise errors.PduError("sm_length points beyond the body.", status=ESME_RINVMSGLEN)
    message = body[start:end]
    tlvs: Tlvs = ()
    if end < size:
        message, tlvs = _take_payload(message, decode_tlvs(body, end))
    return ShortMessage(
        body[:after_type].decode("latin-1"),
        body[after_type + 1],
        body[after_type + 2],
        body[after_type + 3 : after_source].decode("latin-1"),
        body[after_source + 1],
        body[after_source + 2],
        body[after_source + 3 : after_destination].decode("latin-1"),
        body[after_destination + 1],
        body[after_destination + 2],
        body[after_destination + 3],
        body[after_destination + 4 : after_schedule].decode("latin-1"),
        body[after_schedule + 1 : after_validity].decode("latin-1"),
        registered,
        replace,
        coding,
        default_id,
        message,
        tlvs,
    )


def decode_data_sm(body: bytes) -> ShortMessage:
    """Reads the body of data_sm; raises PduError when it ends too early."""
    try:
        after_type = body.index(0)
        after_source = body.index(0, after_type + 3)
        after_destination = body.index(0, after_source + 3)
        esm_class, registered, coding = _DATA_SM_FLAGS.unpack_from(body, after_destination + 1)
    except (ValueError, struct.error):
        raise errors.PduError("The body ends inside its fields.", status=ESME_RINVCMDLEN) from None
    message, tlvs = _take_payload(b"", decode_tlvs(body, after_destination + 4))
    return ShortMessage(
        service_type=body[:after_type].decode("latin-1"),
        source_ton=body[after_type + 1],
        source_npi=body[after_type + 2],
        source=body[after_type + 3 : after_source].decode("latin-1"),
        destination_ton=body[after_source + 1],
        destination_npi=body[after_source + 2],
        destination=body[after_source + 3 : after_destination].decode("latin-1"),
        esm_class=esm_class,
        registered_delivery=registered,
        data_coding=coding,
        message=message,
        tlvs=tlvs,
    )


def encode_id_resp(
    *, command_id: int, sequence: int, status: int = 0, message_id: str | None = None
) -> bytes:
    """submit_sm_resp, deliver_sm_resp or data_sm_resp. Without a message_id a success carries an empty one
    and a refusal carries no body (section 4.4.2).
    """
    if message_id is None:
        if status:
            return HEADER.pack(16, command_id, status, sequence)
        return HEADER.pack(17, command_id, 0, sequence) + b"\0"
    body = _c_octets(message_id)
    return HEADER.pack(16 + len(body), command_id, status, sequence) + body


def decode_id(body: bytes) -> str:
    """The message_id of an answer: empty without a body, and read to the end without its NUL."""
    end = body.find(0)
    return (body if end < 0 else body[:end]).decode("latin-1")


def encode_bind(
    *,
    command_id: int,
    sequence: int,
    system_id: str,
    password: str,
    system_type: str = "",
    interface_version: int = 0x34,
    addr_ton: int = 0,
    addr_npi: int = 0,
    address_range: str = "",
) -> bytes:
    """Any of the three binds. Strings are sent whole: peers accept passwords beyond the eight octets of
    section 4.1.1, and a password cut short silently would only be refused.
    """
    try:
        flags = _BIND_FLAGS.pack(interface_version, addr_ton, addr_npi)
    except struct.error as error:
        raise errors.PduError(f"A field is out of range: {error}", status=ESME_RINVPARLEN) from error
    strings = _c_octets(system_id) + _c_octets(password) + _c_octets(system_type)
    body = strings + flags + _c_octets(address_range)
    return HEADER.pack(16 + len(body), command_id, 0, sequence) + body


def decode_bind(body: bytes) -> Bind:
    """Reads the body of any bind; raises PduError when it ends too early; address_range may be missing."""
    fields = body.split(b"\0", 3)
    if len(fields) < 4 or len(fields[3]) < 3:
        raise errors.PduError("The body ends inside its fields.", status=ESME_RINVCMDLEN)
    system_id, password, system_type = (field.decode("latin-1") for field in fields[:3])
    version, ton, npi = fields[3][:3]
    return Bind(system_id, password, system_type, version, ton, npi, decode_id(fields[3][3:]))


def encode_bind_resp(
    *, command_id: int, sequence: int, status: int = 0, system_id: str = "", tlvs: Tlvs = ()
) -> bytes:
    """The answer to a bind; `command_id` is the answer's own."""
    body = _with_payload(_c_octets(system_id), b"", tlvs)
    return HEADER.pack(16 + len(body), command_id, status, sequence) + body


def decode_bind_resp(body: bytes) -> BindResp:
    end = body.find(0)
    return BindResp(decode_id(body), decode_tlvs(body, end + 1) if end >= 0 else ())
