"""The requests of an SMSC that have no answer: alert_notification and outbind (SMPP 3.4, sections 4.12 and
4.1.7).
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from smpp_bind import errors, pdu

TLV_MS_AVAILABILITY_STATUS: Final = 0x0422


class Alert(NamedTuple):
    """A handset that was away can be reached again. `source` is the handset, `esme` whom it was reported
    to; `availability` is 0 available, 1 denied, 2 unavailable, or None where it is not told.
    """

    source_ton: int
    source_npi: int
    source: str
    esme_ton: int
    esme_npi: int
    esme: str
    availability: int | None


class Outbind(NamedTuple):
    """The SMSC asks to be bound to, as a receiver. Its password is checked by nobody and not kept."""

    system_id: str


Notice: TypeAlias = Alert | Outbind


def decode_alert(body: bytes) -> Alert:
    """Reads the body of alert_notification; raises PduError when it ends too early."""
    after_source = body.find(0, 2)
    after_esme = body.find(0, after_source + 3) if after_source >= 0 else -1
    if after_esme < 0:
        raise errors.PduError("The body ends inside its fields.", status=pdu.ESME_RINVCMDLEN)
    told = dict(pdu.decode_tlvs(body, after_esme + 1)).get(TLV_MS_AVAILABILITY_STATUS)
    return Alert(
        source_ton=body[0],
        source_npi=body[1],
        source=body[2:after_source].decode("latin-1"),
        esme_ton=body[after_source + 1],
        esme_npi=body[after_source + 2],
        esme=body[after_source + 3 : after_esme].decode("latin-1"),
        availability=told[0] if told else None,
    )


def encode_alert(*, sequence: int, source: str, esme: str, availability: int | None = None) -> bytes:
    """A whole alert_notification between international numbers."""
    fields = b"\1\1" + source.encode("latin-1") + b"\0\1\1" + esme.encode("latin-1") + b"\0"
    if availability is not None:
        fields += pdu.encode_tlv(TLV_MS_AVAILABILITY_STATUS, bytes((availability,)))
    return pdu.HEADER.pack(16 + len(fields), pdu.ALERT_NOTIFICATION, 0, sequence) + fields


def decode_outbind(body: bytes) -> Outbind:
    """Reads the body of outbind; raises PduError when it has no system_id."""
    if 0 not in body:
        raise errors.PduError("The body ends inside its fields.", status=pdu.ESME_RINVCMDLEN)
    return Outbind(pdu.decode_id(body))
