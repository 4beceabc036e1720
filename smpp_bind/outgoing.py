"""A message as the bodies of its submits, by one operator's form (SMPP 3.4, sections 4.4.1 and 4.7.1)."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from routing.contract import Outbound
from smpp_bind import errors, pdu, tlvs
from smpp_bind.addresses import Addressing
from smpp_bind.encoding import Alphabet, Coding, Concatenation, Part, segment

Validity = Literal["absolute", "relative", "none"]

_TLV_QOS_TIME_TO_LIVE: Final = 0x0017
# Message class 0 in the general data coding group (TS 23.038, section 4).
_FLASH_GSM, _FLASH_UCS2 = 0x10, 0x18
_YES: Final = frozenset({"true", "yes", "1"})
# An expiry nearer than this would be over before the SMSC reads it.
_LEAST_SECONDS: Final = 1.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How an operator wants submits written. ``flash``: the key of metadata that asks for class 0; empty is none."""

    coding: Coding = dataclasses.field(default_factory=Coding)
    concatenation: Concatenation = "udh8"
    flash: str = ""
    addressing: Addressing = dataclasses.field(default_factory=Addressing)
    data_sm: bool = False
    service_type: str = ""
    protocol_id: int = 0
    priority: int = 0
    replace: int = 0
    validity: Validity = "absolute"
    registered_delivery: int = 1
    tlvs: Sequence[tlvs.Rule] = ()


class Writer:
    """Writes an operator's submits, from any thread."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._flash = _flash(form.coding)
        # Those of a chunk mostly end within the same second.
        self._last = (0, "")
        self._references = itertools.count(random.randrange(0x10000))
        self._encode = pdu.encode_data_sm_body if form.data_sm else pdu.encode_short_message_body

    def bodies(self, message: Outbound, *, at: datetime) -> list[bytes]:
        """The body of each submit, in order; ``at`` is when the first is to go, at the earliest.

        Raises:
            TooLateError: the message will have expired by then.
            UnsendableError: its sender, or the metadata for a TLV, has no form here.
            UnencodableError: its text has none.
            PduError: something else of it has none.
        """
        form = self._form
        metadata = message.metadata
        extra = tlvs.fill(form.tlvs, metadata) if form.tlvs else ()
        validity = ""
        if message.expires_at is not None:
            left = (message.expires_at - at).total_seconds()
            if left < _LEAST_SECONDS:
                raise errors.TooLateError("The validity ends before the operator could have the message.")
            if form.data_sm:
                extra += _time_to_live(form.validity, left)
            else:
                validity = self._validity(message.expires_at, left)
        source = form.addressing.source(message.sender)
        destination = form.addressing.destination(message.recipient)
        return [
            self._encode(
                pdu.ShortMessage(
                    form.service_type,
                    *source,
                    *destination,
                    part.esm_class,
                    form.protocol_id,
                    form.priority,
                    "",
                    validity,
                    form.registered_delivery,
                    form.replace,
                    part.data_coding,
                    0,
                    part.message,
                    part.tlvs + extra,
                )
            )
            for part in self._parts(message)
        ]

    def count(self, message: Outbound) -> int:
        """How many parts the rate is to count: those announced, or more where this operator's form takes more."""
        try:
            return max(message.parts, len(self._parts(message)))
        except errors.UnencodableError:
            return message.parts

    def _validity(self, expires_at: datetime, left: float) -> str:
        """validity_period (section 7.1.1): a moment, with quarter hours from UTC and their sign, or a span with R."""
        kind = self._form.validity
        if kind != "absolute":
            return _relative(left) if kind == "relative" else ""
        second = int(expires_at.timestamp())
        last, text = self._last
        if last != second:
            text = expires_at.astimezone(UTC).strftime("%y%m%d%H%M%S") + "000+"
            self._last = (second, text)
        return text

    def _parts(self, message: Outbound) -> list[Part]:
        form = self._form
        is_flash = form.flash and message.metadata and message.metadata.get(form.flash, "").lower() in _YES
        return segment(
            text=message.text or "",
            coding=self._flash if is_flash else form.coding,
            concatenation=form.concatenation,
            reference=next(self._references) & 0xFFFF,
        ).parts


def _flash(coding: Coding) -> Coding:
    """Class 0 has a data_coding of its own, which leaves no choice of alphabets."""
    packed: Alphabet = "gsm_packed" if coding.basic == "gsm_packed" else "gsm"
    return Coding(
        basic=packed,
        basic_data_coding=_FLASH_GSM,
        ucs2_data_coding=_FLASH_UCS2,
        transliterate=coding.transliterate,
    )


def _relative(left: float) -> str:
    span = timedelta(seconds=int(left))
    minutes, seconds = divmod(span.seconds, 60)
    return f"0000{span.days:02}{minutes // 60:02}{minutes % 60:02}{seconds:02}000R"


def _time_to_live(kind: Validity, left: float) -> pdu.Tlvs:
    """data_sm has no validity_period but qos_time_to_live, in seconds (section 5.3.2.9)."""
    return () if kind == "none" else ((_TLV_QOS_TIME_TO_LIVE, int(left).to_bytes(4, "big")),)
