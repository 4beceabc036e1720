"""Texts from handsets: bodies of deliver_sm, and a steady flow of them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Final

from smpp_bind import encoding, pdu
from smpp_bind.simulator.settings import Settings

_references: Final = itertools.count(1)
_SHORTEST_INTERVAL: Final = 0.01


def address(text: str) -> tuple[int, int, str]:
    """(ton, npi, digits): international for a long number, national short code, or alphanumeric."""
    digits = text.removeprefix("+")
    if not digits.isdigit():
        return 5, 0, text
    return (1, 1, digits) if len(digits) > 6 else (0, 1, digits)


def bodies(*, sender: str, recipient: str, text: str) -> list[bytes]:
    """One body a part: GSM where it can be, else UCS-2; long texts with an eight-bit reference in the UDH."""
    source_ton, source_npi, source = address(sender)
    ton, npi, destination = address(recipient)
    segments = encoding.segment(text=text, concatenation="udh8", reference=next(_references))
    return [
        pdu.encode_short_message_body(
            pdu.ShortMessage(
                source_ton=source_ton,
                source_npi=source_npi,
                source=source,
                destination_ton=ton,
                destination_npi=npi,
                destination=destination,
                esm_class=segment.esm_class,
                data_coding=segment.data_coding,
                message=segment.message,
            )
        )
        for segment in segments.parts
    ]


class Traffic:
    """Injects the text of the settings at their rate, from the first bind that can receive; what falls due
    while none can is left out.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        loop: asyncio.AbstractEventLoop,
        inject: Callable[[str, str, str], int],
        ready: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._loop = loop
        self._inject = inject
        self._ready = ready
        self._interval = max(1 / settings.mo_rate, _SHORTEST_INTERVAL)
        self._left = float("inf") if settings.mo_count is None else settings.mo_count
        self._owed = 1.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """May be called again."""
        if self._settings.mo is not None and self._timer is None:
            self._timer = self._loop.call_later(0, self._flow)

    def stop(self) -> None:
        self._left = 0
        if self._timer is not None:
            self._timer.cancel()

    def _flow(self) -> None:
        text = self._settings.mo
        if text is None or self._left <= 0:
            return
        if self._ready():
            due = int(min(self._owed, self._left))
            for _ in range(due):
                self._inject(self._settings.mo_from, self._settings.mo_to, text)
            self._left -= due
            self._owed += self._interval * self._settings.mo_rate - due
        self._timer = self._loop.call_later(self._interval, self._flow)
