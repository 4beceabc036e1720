"""Delivery receipts as SMSCs word them (SMPP 3.4, 5.2.12 and appendix B): bodies of deliver_sm, times UTC."""

from __future__ import annotations

import time
from typing import Final

from smpp_bind import pdu
from smpp_bind.simulator.outcomes import Outcome
from smpp_bind.simulator.settings import Receipts, Settings
from smpp_bind.simulator.submits import REGISTERED_ALWAYS, REGISTERED_ON_FAILURE, Submit

INTERMEDIATE: Final = 0x20
DELIVERED: Final = 2
_GSM_NETWORK: Final = 3
_TEXTS: Final = {
    "text": b"id:%b sub:001 dlvrd:%b submit date:%b done date:%b stat:%b err:%03d text:%b",
    "minimal": b"id:%b done date:%b stat:%b err:%03d",
}


class Stamps:
    """Moments as receipts spell them, each minute or second spelled once."""

    def __init__(self, *, seconds: bool) -> None:
        self._format = "%y%m%d%H%M%S" if seconds else "%y%m%d%H%M"
        self._every = 1 if seconds else 60
        self._known: dict[int, bytes] = {}

    def of(self, moment: float) -> bytes:
        """`moment` is seconds since 1970."""
        key = int(moment) // self._every
        known = self._known.get(key)
        if known is None:
            if len(self._known) > 1000:
                self._known.clear()
            spelled = time.strftime(self._format, time.gmtime(key * self._every))
            known = self._known[key] = spelled.encode()
        return known


class Wording:
    """Writes the body of the deliver_sm that reports one message."""

    def __init__(self, settings: Settings) -> None:
        style = settings.receipt_style
        self._esm_class = 0 if style == "esm0" else pdu.ESM_CLASS_RECEIPT
        self._with_text = style != "tlv"
        self._with_tlvs = style in {"tlv", "both"}
        self._minimal = style == "minimal"
        self._stamps = Stamps(seconds=style == "text-seconds")

    def body(
        self, *, submit: Submit, message_id: bytes, outcome: Outcome, submitted: float, done: float
    ) -> bytes:
        """`submitted` and `done` are seconds since 1970."""
        text = self._text(submit, message_id, outcome, submitted, done) if self._with_text else b""
        esm_class = INTERMEDIATE if outcome.state == 1 else self._esm_class
        tlvs = _tlvs(message_id, outcome) if self._with_tlvs else b""
        # service_type, the addresses turned round, then eleven octets of which two are not nought.
        return b"\0%b%b%c\0\0\0\0\0\0\0\0%c%b%b" % (
            submit.destination,
            submit.source,
            esm_class,
            len(text),
            text,
            tlvs,
        )

    def _text(
        self, submit: Submit, message_id: bytes, outcome: Outcome, submitted: float, done: float
    ) -> bytes:
        stamp = self._stamps.of
        if self._minimal:
            return _TEXTS["minimal"] % (message_id, stamp(done), outcome.stat, outcome.error)
        return _TEXTS["text"] % (
            message_id,
            b"001" if outcome.state == DELIVERED else b"000",
            stamp(submitted),
            stamp(done),
            outcome.stat,
            outcome.error,
            submit.message[:20] if not submit.data_coding and not submit.part else b"",
        )


def _tlvs(message_id: bytes, outcome: Outcome) -> bytes:
    tlvs = pdu.encode_tlv(pdu.TLV_RECEIPTED_MESSAGE_ID, message_id + b"\0") + pdu.encode_tlv(
        pdu.TLV_MESSAGE_STATE, bytes((outcome.state,))
    )
    if outcome.error:
        code = bytes((_GSM_NETWORK, 0, outcome.error))
        tlvs += pdu.encode_tlv(pdu.TLV_NETWORK_ERROR_CODE, code)
    return tlvs


def copies(*, rule: Receipts, submit: Submit, outcome: Outcome | None) -> int:
    """How many final receipts a submit gets: registered_delivery decides (5.2.17), bent by the rule."""
    part = submit.part
    asked = submit.registered_delivery & 3
    if rule == "none" or outcome is None:
        return 0
    if part is not None and rule == "each-part":
        asked = asked or REGISTERED_ALWAYS
    if not asked or (asked == REGISTERED_ON_FAILURE and outcome.state == DELIVERED):
        return 0
    if part is not None and rule in {"first-part", "last-part"}:
        return int(part.number == (1 if rule == "first-part" else part.total))
    return 2 if rule == "duplicate" else 1
