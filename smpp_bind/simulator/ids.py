"""Message ids: in the answer, and in the receipt, where some SMSCs spell the same number in another way."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

from smpp_bind.simulator.settings import Settings

_SPELLINGS: Final[dict[str, bytes]] = {
    "decimal": b"%d",
    "hex": b"%x",
    "upper": b"%X",
    "padded": b"%020d",
    "0x": b"0x%x",
}


class Ids:
    """Numbers that begin at the microseconds since 1970, so that no id comes again after a restart unless
    more than a million messages a second were taken.
    """

    def __init__(self, settings: Settings) -> None:
        self._next = time.time_ns() // 1000
        self.answered: Callable[[int], bytes] = (
            _uuids() if settings.id_style == "uuid" else _spell(settings.id_style)
        )
        self.reported = self._reported(settings, settings.receipt_id_style)
        """The id as the text of a receipt has it."""
        self.in_tlv = (
            self.reported
            if settings.receipt_tlv_id_style == "as-text"
            else self._reported(settings, settings.receipt_tlv_id_style)
        )

    def take(self) -> int:
        number = self._next
        self._next = number + 1
        return number

    def _reported(self, settings: Settings, style: str) -> Callable[[int], bytes]:
        answered = self.answered
        if style == "same":
            return answered
        if style == "prefixed":
            return lambda number: b"SMSC-" + answered(number)
        if style == "upper" and settings.id_style == "uuid":
            return lambda number: answered(number).upper()
        return _spell(style)


def _spell(style: str) -> Callable[[int], bytes]:
    return _SPELLINGS[style].__mod__


def _uuids() -> Callable[[int], bytes]:
    """UUID-shaped: a prefix drawn for this run, then the number's low 48 bits."""
    drawn = os.urandom(8).hex()
    prefix = f"{drawn[:8]}-{drawn[8:12]}-4{drawn[12:15]}-a{drawn[13:16]}-".encode()
    return lambda number: prefix + b"%012x" % (number & 0xFFFFFFFFFFFF)
