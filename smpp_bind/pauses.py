"""How long an operator's queue rests when its SMSC says "not so fast" (ESME_RTHROTTLED, ESME_RMSGQFUL): a
value that is told the time.

A second at first, twice as long each time, up to half a minute; after the first success from the start again.
After a pause one submit goes ahead alone, and the rest when it is through: a whole window would come to the
SMSC at the very moment at which it may still refuse, and out of order.
"""

from __future__ import annotations

from typing import Final

FIRST: Final = 1.0
LONGEST: Final = 30.0
PROBE_SECONDS: Final = 5.0
"""How long the others wait for the answer of the one that goes ahead."""


class Pauses:
    """Times are seconds of any one clock. `until` is the end of the last pause."""

    def __init__(self) -> None:
        self.until = 0.0
        self._next = FIRST
        self._careful = False
        self._probe: object = None
        self._probe_until = 0.0

    def left(self, now: float) -> float:
        return max(0.0, self.until - now)

    def throttled(self, *, sent_at: float, now: float) -> float:
        """A submit of `sent_at` was refused so: the seconds of the pause that begins, 0 when it was sent
        before the pause that another one has begun.
        """
        if sent_at <= self.until:
            return 0.0
        delay = self._next
        self._next = min(LONGEST, delay * 2)
        self.until = now + delay
        self._careful = True
        return delay

    def went_through(self, sent_at: float) -> None:
        """A submit of `sent_at` was accepted."""
        if sent_at > self.until:
            self._next = FIRST

    def may_send(self, now: float) -> int | None:
        """How many submits may go now; None for as many as there is room for."""
        if now < self.until:
            return 0
        if not self._careful:
            return None
        if self._probe is None:
            return 1
        if now < self._probe_until:
            return 0
        self.probe_ended()
        return None

    @property
    def probe(self) -> object:
        """The submit that went ahead and has no answer yet."""
        return self._probe

    def probing(self, submit: object, now: float) -> None:
        self._probe = submit
        self._probe_until = now + PROBE_SECONDS

    def probe_ended(self) -> None:
        """Whatever came of it: a refusal by `throttled`, told next, begins the next pause."""
        self._probe = None
        self._careful = False
