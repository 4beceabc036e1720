"""The timers of one session (SMPP 3.4, section 7.2): a value that is told the time and answers what is
due.
"""

from __future__ import annotations

import enum


class Due(enum.Enum):
    """What the session has to do now."""

    ENQUIRE_LINK = "enquire_link"
    LINK_DEAD = "enquire_link was not answered"
    BIND_TIMEOUT = "the bind was not answered"
    INACTIVE = "no traffic for the inactivity time"
    CLOSE_TIMEOUT = "the unbind was not completed"


class Timers:
    """Times are seconds of any one clock. Zero switches enquire_link or the inactivity timer off.

    Anything heard from the peer proves the link, so a busy SMSC that queues its enquire_link_resp behind
    other PDUs is not taken for dead.
    """

    def __init__(
        self,
        *,
        enquire_link_seconds: float,
        enquire_link_timeout: float,
        bind_timeout: float,
        inactivity_seconds: float = 0.0,
    ) -> None:
        self._interval = enquire_link_seconds
        self._enquire_timeout = enquire_link_timeout
        self._bind_timeout = bind_timeout
        self._inactivity = inactivity_seconds
        self._deadline: tuple[float, Due] | None = None
        self._heard_at: float | None = None
        self._enquired_at: float | None = None
        self._busy_at = 0.0

    def binding(self, now: float) -> None:
        self._deadline = (now + self._bind_timeout, Due.BIND_TIMEOUT)

    def bound(self, now: float) -> None:
        self._deadline = None
        self._heard_at = self._busy_at = now

    def closing(self, now: float, *, within: float) -> None:
        """From here only the end of the session is waited for."""
        self._deadline = (now + within, Due.CLOSE_TIMEOUT)

    def heard(self, now: float) -> None:
        if self._heard_at is not None:
            self._heard_at = now
        self._enquired_at = None

    def worked(self, now: float) -> None:
        """Traffic other than enquire_link went either way."""
        self._busy_at = now

    def enquired(self, now: float) -> None:
        self._enquired_at = now

    def next_due(self) -> tuple[float, Due] | None:
        """When something is due next, and what; None when nothing ever is."""
        if self._deadline is not None:
            return self._deadline
        if self._heard_at is None:
            return None
        times = []
        if self._enquired_at is not None:
            times.append((self._enquired_at + self._enquire_timeout, Due.LINK_DEAD))
        elif self._interval:
            times.append((self._heard_at + self._interval, Due.ENQUIRE_LINK))
        if self._inactivity:
            times.append((self._busy_at + self._inactivity, Due.INACTIVE))
        return min(times, key=lambda pair: pair[0], default=None)

    def due(self, now: float) -> Due | None:
        coming = self.next_due()
        return coming[1] if coming is not None and coming[0] <= now else None
