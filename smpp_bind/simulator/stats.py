"""What the simulator counted."""

from __future__ import annotations

import time
from typing import Any


class Stats:
    """Counters since the start; `snapshot` adds what is derived from them."""

    def __init__(self) -> None:
        self.submits = 0
        self.accepted = 0
        self.answered = 0
        self.throttled = 0
        self.refused = 0
        self.unanswered = 0
        self.receipts_made = 0
        self.receipts_sent = 0
        self.receipts_acknowledged = 0
        self.receipts_dropped = 0
        self.mo_made = 0
        self.mo_sent = 0
        self.mo_acknowledged = 0
        self.mo_dropped = 0
        self.connections = 0
        self.binds = 0
        self.outbinds = 0
        self.outbinds_failed = 0
        self._started = self._since = time.monotonic()
        self._submits_then = 0

    def settled(self, *, is_receipt: bool, dropped: bool) -> None:
        """A client took a deliver_sm, or refused it for good."""
        if is_receipt:
            self.receipts_dropped += dropped
            self.receipts_acknowledged += not dropped
        else:
            self.mo_dropped += dropped
            self.mo_acknowledged += not dropped

    def snapshot(self) -> dict[str, Any]:
        """The counters; receipts_pending and mo_pending are due, waiting for a bind, or unacknowledged;
        per_second is submits since the snapshot before.
        """
        now = time.monotonic()
        rate = (self.submits - self._submits_then) / max(now - self._since, 1e-3)
        counters = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        self._since, self._submits_then = now, self.submits
        return {
            **counters,
            "receipts_pending": self.receipts_made - self.receipts_acknowledged - self.receipts_dropped,
            "mo_pending": self.mo_made - self.mo_acknowledged - self.mo_dropped,
            "per_second": round(rate, 1),
            "uptime": round(now - self._started, 3),
        }
