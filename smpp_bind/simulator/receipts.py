"""Delivery receipts as SMSCs word them (SMPP 3.4, 5.2.12 and appendix B): bodies of deliver_sm, times UTC."""

from __future__ import annotations

import time
from typing import Final

from smpp_bind import pdu
from smpp_bind.simulator import menus
from smpp_bind.simulator.outcomes import Outcome
from smpp_bind.simulator.settings import Settings
from smpp_bind.simulator.submits import (
    REGISTERED_ALWAYS,
    REGISTERED_INTERMEDIATE,
    REGISTERED_ON_FAILURE,
    Submit,
)

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
    """Writes the body of the deliver_sm, or data_sm, that reports one message."""

    def __init__(self, settings: Settings) -> None:
        style = menus.words(settings.receipt_style, menus.RECEIPT_STYLE)
        self.command = pdu.DATA_SM if "data-sm" in style else pdu.DELIVER_SM
        self._payload = "payload" in style or "data-sm" in style
        self._esm_class = 0 if "esm0" in style else pdu.ESM_CLASS_RECEIPT
        self._with_text = "tlv" not in style
        self.with_tlvs = not style.isdisjoint(("tlv", "both"))
        self._stamps = Stamps(seconds="text-seconds" in style)
        self._minimal = "minimal" in style
        self._lower = "lower" in style
        self._text_form = _text_form(style)

    def body(
        self, *, submit: Submit, ids: tuple[bytes, bytes], outcome: Outcome, submitted: float, done: float
    ) -> bytes:
        """`ids` are the text's and the TLV's; `submitted` and `done` are seconds since 1970."""
        text = self._text(submit, ids[0], outcome, submitted, done) if self._with_text else b""
        esm_class = INTERMEDIATE if outcome.state == 1 else self._esm_class
        tlvs = _tlvs(ids[1], outcome) if self.with_tlvs else b""
        if self._payload:
            tlvs += pdu.encode_tlv(pdu.TLV_MESSAGE_PAYLOAD, text) if text else b""
            if self.command == pdu.DATA_SM:
                return b"\0%b%b%c\0\0%b" % (submit.destination, submit.source, esm_class, tlvs)
            text = b""
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
        stat = outcome.stat.lower() if self._lower else outcome.stat
        if self._minimal:
            return self._text_form % (message_id, stamp(done), stat, outcome.error)
        return self._text_form % (
            message_id,
            b"001" if outcome.state == DELIVERED else b"000",
            stamp(submitted),
            stamp(done),
            stat,
            outcome.error,
            submit.message[:20] if not submit.data_coding and not submit.part else b"",
        )


def _text_form(style: frozenset[str]) -> bytes:
    form = _TEXTS["minimal" if "minimal" in style else "text"]
    if "letters" in style:
        form = form.replace(b"%03d", b"E%03X")
    if "spaced" in style:
        form = form.replace(b":", b": ")
    if "capitals" in style:
        form = form.upper().replace(b"%B", b"%b").replace(b"%03D", b"%03d")
    return form


def _tlvs(message_id: bytes, outcome: Outcome) -> bytes:
    tlvs = pdu.encode_tlv(pdu.TLV_RECEIPTED_MESSAGE_ID, message_id + b"\0") + pdu.encode_tlv(
        pdu.TLV_MESSAGE_STATE, bytes((outcome.state,))
    )
    if outcome.error:
        code = bytes((_GSM_NETWORK, outcome.error >> 8, outcome.error & 0xFF))
        tlvs += pdu.encode_tlv(pdu.TLV_NETWORK_ERROR_CODE, code)
    return tlvs


class Rule:
    """Which submits are reported, how often, and when."""

    def __init__(self, settings: Settings) -> None:
        words = menus.words(settings.receipts, menus.RECEIPTS)
        self.before_answer = "before-answer" in words
        self.after_reconnect = "after-reconnect" in words
        self.out_of_order = "out-of-order" in words
        self.intermediate = "intermediate" in words
        self._none = "none" in words
        self._each_part = "each-part" in words
        self._first_part = "first-part" in words
        self._one_part = self._first_part or "last-part" in words
        self._copies = 2 if "duplicate" in words else 1

    def wants(self, submit: Submit) -> bool:
        """False when it is never reported; `copies` and `enroute` tell the rest."""
        return not self._none and (submit.registered_delivery != 0 or submit.part is not None)

    def enroute(self, submit: Submit) -> bool:
        """Whether an intermediate notification comes first."""
        return self.intermediate or submit.registered_delivery & REGISTERED_INTERMEDIATE != 0

    def copies(self, *, submit: Submit, outcome: Outcome | None) -> int:
        """How many final receipts a submit gets: registered_delivery decides (5.2.17), bent by the rule."""
        part = submit.part
        asked = submit.registered_delivery & 3
        if outcome is None:
            return 0
        if part is not None and self._each_part:
            asked = asked or REGISTERED_ALWAYS
        if not asked or (asked == REGISTERED_ON_FAILURE and outcome.state == DELIVERED):
            return 0
        if part is not None and self._one_part and part.number != (1 if self._first_part else part.total):
            return 0
        return self._copies
