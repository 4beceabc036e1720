"""The circuit of an endpoint: when it opens, how long it stays so, and what each means in the endpoint's row.

While it is open nothing is claimed for the endpoint but one probe at a time, when ``paused_until`` has passed. The
claim moves that moment on by itself, as if the probe failed, so that a probe that dies with its worker costs nothing;
a success closes the circuit. What counts is kept by each process for itself; what follows is in the row, for all.
"""

from typing import Literal

from webhooks.models.endpoint import Endpoint

# So many timeouts and refused connections one after another open it,
IN_A_ROW = 5
# and so many attempts of the last minute of which half failed.
ENOUGH = 20
PART_SECONDS = 10.0
PARTS = 6
# The first pause; each probe doubles it.
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 300.0
JITTER = 0.2
# Callbacks leased at once after it closed; the number grows as always.
FIRST_CAP = 2


def circuit(endpoint: Endpoint | None) -> Literal["closed", "open"]:
    """What the endpoint's row says; no row means that nothing was learned yet."""
    return "closed" if endpoint is None or endpoint.opened_at is None else "open"


def pause(*, probes: str) -> str:
    """SQL of the moment at which the next probe may go, after so many (an expression) have gone."""
    return (
        f"(now() + least({LONGEST_PAUSE}, {FIRST_PAUSE} * 2.0 ^ least(20, {probes}))"
        f" * ({1 - JITTER} + {2 * JITTER} * random()) * interval '1 second')"
    )


class Window:
    """One endpoint's attempts of the last minute, in parts of ten seconds. Pure: the time is an argument."""

    __slots__ = ("_bad", "_good", "in_a_row", "part")

    def __init__(self) -> None:
        self._good = [0] * PARTS
        self._bad = [0] * PARTS
        # The part that is counted in now, and timeouts and refused connections since anything else came.
        self.part = 0
        self.in_a_row = 0

    def succeeded(self, *, now: float) -> None:
        """Count one that was delivered; ``now`` is monotonic, in seconds."""
        self._good[self._turned(now)] += 1
        self.in_a_row = 0

    def failed(self, *, now: float, unanswered: bool) -> bool:
        """Count one that failed; True when that is enough to open the circuit."""
        self._bad[self._turned(now)] += 1
        self.in_a_row = self.in_a_row + 1 if unanswered else 0
        bad = sum(self._bad)
        attempts = bad + sum(self._good)
        return self.in_a_row >= IN_A_ROW or (attempts >= ENOUGH and bad * 2 >= attempts)

    def _turned(self, now: float) -> int:
        """The index to count in, with what is older than the minute forgotten."""
        part = int(now // PART_SECONDS)
        if part != self.part:
            for old in range(max(self.part + 1, part - PARTS + 1), part + 1):
                self._good[old % PARTS] = self._bad[old % PARTS] = 0
            self.part = part
        return part % PARTS
