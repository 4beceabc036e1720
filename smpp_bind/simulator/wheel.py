"""Things that fall due: one loop timer for all of them, handed over in batches by the millisecond."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T")


class Wheel(Generic[T]):
    """Calls `handle` with every item whose moment, in the loop's time, has come; in order of milliseconds,
    and within one in the order they were added.
    """

    def __init__(self, *, loop: asyncio.AbstractEventLoop, handle: Callable[[list[T]], None]) -> None:
        self._loop = loop
        self._handle = handle
        self._slots: dict[int, list[T]] = {}
        self._ticks: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._held = False

    def add(self, due: float, item: T) -> None:
        tick = int(due * 1000) + 1
        slot = self._slots.get(tick)
        if slot is not None:
            slot.append(item)
            return
        self._slots[tick] = [item]
        heappush(self._ticks, tick)
        if self._ticks[0] == tick:
            self._arm()

    def hold(self) -> None:
        """Nothing falls due until `release`."""
        self._held = True
        self._disarm()

    def release(self) -> None:
        self._held = False
        self._arm()

    def close(self) -> None:
        self.hold()
        self._slots.clear()
        self._ticks.clear()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self._disarm()
        if self._ticks and not self._held:
            self._timer = self._loop.call_at(self._ticks[0] / 1000, self._fire)

    def _fire(self) -> None:
        now = int(self._loop.time() * 1000)
        due: list[T] = []
        while self._ticks and self._ticks[0] <= now:
            due += self._slots.pop(heappop(self._ticks))
        if due:
            self._handle(due)
        self._arm()
