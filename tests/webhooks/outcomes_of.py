"""Attempts without a network: callbacks claimed, loaded, and recorded with the outcome that a test wants."""

import time

from webhooks import loading, recording, relay
from webhooks.learning import Learning
from webhooks.outcomes import Outcome
from webhooks.recording import Result

OK = Outcome("delivered", 200)
REFUSED = Outcome("connect", error="nobody listens")
BROKEN = Outcome("status", 500, error="the endpoint answered 500")
GONE = Outcome("gone", 410, error="the endpoint says that it is gone")


class Process:
    """One worker: what it records, and what it learned; ``released`` are the endpoints whose lanes it emptied."""

    def __init__(self):
        self.released = []
        self.learning = Learning(release=self.released.append)

    def attempt(self, outcome, *, most=None):
        """Claim what may go (`most` of it), and record that it came to this; the items."""
        items = claimed()[:most]
        self.record(items, outcome)
        return items

    def record(self, items, outcome):
        """Record these as ended this way, and all that is learned from it, however short a while ago the last was."""
        for item in items:
            item.started = item.started or time.time()
        results = [Result(item, outcome, 0.01) for item in items]
        if results:
            recording.record(results=results)
        self.learning.note(results=results)
        self.write()

    def write(self):
        """Write as if every pause between two writes were over."""
        for table in ("_heal_at", "_trouble_at", "_halve_at"):
            getattr(self.learning, table).clear()
        self.learning._look_at = 0.0
        self.learning.write()


def claimed():
    """What may go now, leased and loaded."""
    callback_ids, until = relay.claim()
    return [] if until is None else loading.load(callback_ids=callback_ids, leased_until=until)
