"""submit_sm and data_sm as an SMSC reads them.

Only what decides an answer and a receipt is read, and addresses stay octets, ton and npi and NUL included, so
that a receipt turns them round without decoding: a quarter of the cost of `pdu.decode_short_message`.
"""

from __future__ import annotations

from typing import NamedTuple

from smpp_bind import errors, pdu

REGISTERED_ALWAYS = 1
REGISTERED_ON_FAILURE = 2
REGISTERED_INTERMEDIATE = 0x10


class Part(NamedTuple):
    """The place of one part in its long message; `number` counts from 1."""

    reference: int
    total: int
    number: int


class Submit(NamedTuple):
    """`source` and `destination` are ton, npi, address and NUL as they came."""

    source: bytes
    destination: bytes
    esm_class: int
    registered_delivery: int
    data_coding: int
    message: bytes
    part: Part | None

    @property
    def recipient(self) -> bytes:
        return self.destination[2:-1]


def read_submit_sm(body: bytes) -> Submit:
    """Raises PduError when the body ends too early or names no recipient."""
    try:
        service = body.index(0)
        source = body.index(0, service + 3)
        destination = body.index(0, source + 3)
        schedule = body.index(0, destination + 4)
        flags = body.index(0, schedule + 1) + 1
        esm_class, registered, coding = body[destination + 1], body[flags], body[flags + 2]
        start = flags + 5
        end = start + body[flags + 4]
    except (ValueError, IndexError):
        raise errors.PduError("The body ends inside its fields.", status=pdu.ESME_RINVCMDLEN) from None
    if end > len(body):
        raise errors.PduError("sm_length points beyond the body.", status=pdu.ESME_RINVMSGLEN)
    if destination == source + 3:
        raise errors.PduError("No destination address.", status=pdu.ESME_RINVDSTADR)
    message = body[start:end]
    part = None
    if esm_class & pdu.ESM_CLASS_UDHI:
        part = part_of_header(message)
    if end < len(body):
        tlvs = dict(pdu.decode_tlvs(body, end))
        message = message or tlvs.get(pdu.TLV_MESSAGE_PAYLOAD, b"")
        part = part or part_of_tlvs(tlvs)
    return Submit(
        body[service + 1 : source + 1],
        body[source + 1 : destination + 1],
        esm_class,
        registered,
        coding,
        message,
        part,
    )


def read_data_sm(body: bytes) -> Submit:
    """Raises PduError as read_submit_sm does."""
    sm = pdu.decode_data_sm(body)
    if not sm.destination:
        raise errors.PduError("No destination address.", status=pdu.ESME_RINVDSTADR)
    service = len(sm.service_type)
    source = service + 3 + len(sm.source)
    destination = source + 3 + len(sm.destination)
    udhi = sm.esm_class & pdu.ESM_CLASS_UDHI
    return Submit(
        body[service + 1 : source + 1],
        body[source + 1 : destination + 1],
        sm.esm_class,
        sm.registered_delivery,
        sm.data_coding,
        sm.message,
        part_of_header(sm.message) if udhi else part_of_tlvs(dict(sm.tlvs)),
    )


def part_of_header(message: bytes) -> Part | None:
    """The concatenation element of a user data header (3GPP TS 23.040, 9.2.3.24.1 and .8), or None."""
    if not message:
        return None
    at, end = 1, min(message[0] + 1, len(message))
    while at + 2 <= end:
        element, length = message[at], message[at + 1]
        value = message[at + 2 : min(at + 2 + length, end)]
        if element == 0 and len(value) == 3:
            return Part(value[0], value[1], value[2])
        if element == 8 and len(value) == 4:
            return Part(value[0] << 8 | value[1], value[2], value[3])
        at += 2 + length
    return None


def part_of_tlvs(tlvs: dict[int, bytes]) -> Part | None:
    """The place told by the sar_ TLVs, or None unless all three are there."""
    try:
        return Part(
            int.from_bytes(tlvs[pdu.TLV_SAR_MSG_REF_NUM], "big"),
            tlvs[pdu.TLV_SAR_TOTAL_SEGMENTS][0],
            tlvs[pdu.TLV_SAR_SEGMENT_SEQNUM][0],
        )
    except (KeyError, IndexError):
        return None
