"""submit_sm and data_sm as an SMSC reads them.

Only what decides an answer and a receipt is read, and addresses stay octets, ton and npi and NUL included, so
that a receipt turns them round without decoding: a quarter of the cost of `pdu.decode_short_message`.
"""

from __future__ import annotations

from typing import NamedTuple

from smpp_bind import decoding, errors, pdu

REGISTERED_ALWAYS = 1
REGISTERED_ON_FAILURE = 2
REGISTERED_INTERMEDIATE = 0x10


class Submit(NamedTuple):
    """`source` and `destination` are ton, npi, address and NUL as they came."""

    source: bytes
    destination: bytes
    esm_class: int
    registered_delivery: int
    data_coding: int
    message: bytes
    part: decoding.Place | None

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
    message, part = body[start:end], None
    if esm_class & pdu.ESM_CLASS_UDHI or end < len(body):
        sm = pdu.decode_short_message(body)
        message, part = sm.message, decoding.place_of(sm)
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
    return Submit(
        body[service + 1 : source + 1],
        body[source + 1 : destination + 1],
        sm.esm_class,
        sm.registered_delivery,
        sm.data_coding,
        sm.message,
        decoding.place_of(sm),
    )
