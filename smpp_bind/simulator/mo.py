"""A steady flow of texts from handsets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from smpp_bind.simulator.settings import Settings

_SHORTEST_INTERVAL: Final = 0.01


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
