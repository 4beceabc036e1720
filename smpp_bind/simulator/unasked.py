"""What an SMSC may do on a connection without being asked, by an order or as a fault."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from smpp_bind import pdu

if TYPE_CHECKING:
    from smpp_bind.simulator.session import Session

_UNKNOWN_COMMAND: Final = 0x00010999
_HANDSET: Final = b"\1\x0133600000001\0"
_STRAY_SEQUENCE: Final = 0x7FFFFFFE
_INTERNATIONAL: Final = b"\1\1"
TLV_MS_AVAILABILITY_STATUS: Final = 0x0422


class Action(NamedTuple):
    do: Callable[[Session], None]
    help: str


def outbind(*, system_id: str, password: str) -> bytes:
    """The body of an outbind (section 4.1.7.1)."""
    return b"%b\0%b\0" % (system_id.encode("latin-1", "replace"), password.encode("latin-1", "replace"))


def _alert(session: Session) -> None:
    """alert_notification (section 4.12.1): the handset of a delivery pending is there again."""
    esme = _INTERNATIONAL + (session.account.octets if session.account else b"") + b"\0"
    session.request(
        pdu.ALERT_NOTIFICATION, _HANDSET + esme + pdu.encode_tlv(TLV_MS_AVAILABILITY_STATUS, b"\0")
    )


def _nack(session: Session) -> None:
    session.send(pdu.HEADER.pack(16, pdu.GENERIC_NACK, pdu.ESME_RINVCMDID, _STRAY_SEQUENCE))


def _stray_answer(session: Session) -> None:
    session.send(pdu.HEADER.pack(20, pdu.SUBMIT_SM_RESP, 0, _STRAY_SEQUENCE) + b"odd\0")


def _malformed(session: Session) -> None:
    session.request(pdu.DELIVER_SM, b"\0\1")


def _garbage(session: Session) -> None:
    # A length within the bounds, so that what follows reads as a PDU.
    noise = os.urandom(36)
    session.send(pdu.HEADER.pack(52, int.from_bytes(noise[:4], "big") & 0x7FFFFFFF | 0x8000, 0, 1) + noise)


ACTIONS: Final = {
    "enquire": Action(lambda session: session.request(pdu.ENQUIRE_LINK), "sends enquire_link"),
    "alert": Action(_alert, "sends alert_notification"),
    "stray-nack": Action(_nack, "sends generic_nack for nothing that was asked"),
    "stray-answer": Action(_stray_answer, "sends submit_sm_resp for nothing that was asked"),
    "unknown": Action(lambda session: session.request(_UNKNOWN_COMMAND, b"abc"), "sends an unknown request"),
    "malformed": Action(_malformed, "sends deliver_sm with a body that ends too early"),
    "garbage": Action(_garbage, "sends random octets with a proper length"),
    "huge": Action(
        lambda session: session.send(pdu.HEADER.pack(0x7FFFFFFF, pdu.DELIVER_SM, 0, 1)),
        "sends a command_length of two gigabytes",
    ),
    "short": Action(
        lambda session: session.send(pdu.HEADER.pack(7, pdu.DELIVER_SM, 0, 1)), "sends a command_length of 7"
    ),
    "close": Action(lambda session: session.break_off(), "closes the connection in mid-PDU"),
    "reset": Action(lambda session: session.abort(), "closes the connection at once"),
    "unbind": Action(lambda session: session.request(pdu.UNBIND), "asks to unbind; answers still come"),
}
