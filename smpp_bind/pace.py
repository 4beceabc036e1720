"""When submits with a moment of their own may go: a value that is told the time.

Each is to go at its moment, and the moments keep the operator's rate. After a stall (no bind, a pause, a full
window) what is overdue does not go at once: it keeps its distances, from then on, since a burst over the rate
is what an SMSC throttles.
"""

from __future__ import annotations

from typing import Final

LATE: Final = 0.1
"""Seconds by which one may be late and the next still be in time; timers alone cost milliseconds."""
JUMP: Final = 0.5
"""A longer distance between two moments is a rest, not the rate, and makes up for lost time."""


class Pace:
    def __init__(self) -> None:
        self._shift = 0.0
        self._last = 0.0

    def due(self, moment: float, now: float) -> float:
        """When the next one, of `moment`, may go; where that is not after `now` it counts as gone."""
        shift = self._shift
        step = moment - self._last
        if shift and step > JUMP:
            shift = max(0.0, shift - step + JUMP)
        due = moment + shift
        if due <= now:
            if now - due > LATE:
                shift += now - due
            self._shift = shift
            if step > 0.0:
                self._last = moment
        return due
