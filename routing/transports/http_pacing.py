"""When an HTTP operator may be sent the next message. Pure: moments are readings of one clock, in seconds."""

import random

# A pause that the operator gives no length doubles from the first to the longest; one that it does is believed
# so far.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
SHORTEST_RETRY_AFTER, LONGEST_RETRY_AFTER = 0.05, 900.0
# How far behind its rate the pace may catch up.
CATCH_UP_SECONDS = 0.1
FIRST_BACKOFF, LONGEST_BACKOFF = 0.25, 30.0


class Pacing:
    """``rate`` is in parts per second; None is no limit."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._pause = FIRST_PAUSE
        self._next_at = 0.0
        self._failures = 0
        self.paused_until = 0.0

    def throttled(self, *, retry_after: float | None, began: float, now: float) -> float | None:
        """The operator said that it is too much, of a request that ``began`` then.

        Returns:
            The seconds of the pause that begins now; None when the request is of before the last one.
        """
        if began <= self.paused_until:
            return None
        delay = self._pause
        if retry_after is None:
            self._pause = min(LONGEST_PAUSE, delay * 2)
        else:
            delay = min(max(retry_after, SHORTEST_RETRY_AFTER), LONGEST_RETRY_AFTER)
        self.paused_until = now + delay
        return delay

    def answered(self, *, began: float) -> None:
        """A request that ``began`` then was answered, and not with a pause."""
        self._failures = 0
        if began > self.paused_until:
            self._pause = FIRST_PAUSE

    def due(self, not_before: float) -> float:
        """When a message that may not go before its moment may."""
        return max(not_before, self._next_at)

    def took(self, *, parts: int, now: float) -> None:
        """A message goes now. After a pause many are due at once: they keep the rate all the same."""
        if self._rate is not None:
            self._next_at = max(self._next_at, now - CATCH_UP_SECONDS) + parts / self._rate

    def backoff(self) -> float:
        """Seconds until the address is tried again: doubling with each failure, with jitter."""
        longest = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(self._failures, 20))
        self._failures += 1
        return random.uniform(longest / 2, longest)
