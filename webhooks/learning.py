"""What an endpoint's answers teach the relay: how much it may be given at once, and until when it wants rest.

The number is kept in the endpoint's row, shared by all relays and workers. It doubles while the endpoint keeps up
with all that it is given, and halves when it does not answer.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from django.db import connection

from webhooks import backoff, outcomes
from webhooks.dispatch import Item
from webhooks.leases import DEFAULT_CAP
from webhooks.outcomes import Outcome

# Callbacks leased to one endpoint at once, at most and at least.
MOST = 1024
LEAST = 2
# Seconds between two changes of one endpoint's number by one process.
_PAUSE = 0.1
_HALVE_PAUSE = 1.0
# An endpoint whose number is believed to be at its most is asked about again after this many seconds.
_BELIEVED = 10.0

_DOUBLE = f"""
INSERT INTO webhooks_endpoint AS e (id, tenant_id, cap) VALUES (%s, %s, {DEFAULT_CAP * 2})
ON CONFLICT (id) DO UPDATE SET cap = least({MOST}, e.cap * 2)
RETURNING cap
"""
# After trouble any success counts: what an endpoint is given when its number is low can be no good part of it.
_RECOVER = f"UPDATE webhooks_endpoint SET cap = cap * 2 WHERE id = %s AND cap < {DEFAULT_CAP} RETURNING cap"
_HALVE = f"""
INSERT INTO webhooks_endpoint AS e (id, tenant_id, cap) VALUES (%s, %s, {DEFAULT_CAP // 2})
ON CONFLICT (id) DO UPDATE SET cap = greatest({LEAST}, e.cap / 2)
"""
_REST = f"""
INSERT INTO webhooks_endpoint AS e (id, tenant_id, cap, paused_until) VALUES (%s, %s, {DEFAULT_CAP}, %s)
ON CONFLICT (id) DO UPDATE SET paused_until = greatest(e.paused_until, excluded.paused_until)
"""


class Learning:
    """One process's part in it; remembers when it last changed which number."""

    def __init__(self) -> None:
        self._not_before: dict[str, float] = {}

    def learn(self, *, results: Sequence[tuple[Item, Outcome]]) -> None:
        """Draw the consequences of a batch of attempts."""
        delivered: dict[str, tuple[Item, int]] = {}
        slow: dict[str, Item] = {}
        for item, outcome in results:
            if outcome.delivered:
                delivered[item.endpoint] = item, delivered.get(item.endpoint, (item, 0))[1] + 1
            elif outcome.word in outcomes.SLOW:
                slow[item.endpoint] = item
            if outcome.retry_after is not None:
                _rest(item, outcome.retry_after)
        for item in slow.values():
            self._halve(item)
        for endpoint, (item, count) in delivered.items():
            if endpoint in slow:
                continue
            # A batch with a good part of the number: the endpoint is kept busy and keeps up.
            if count * 4 >= DEFAULT_CAP:
                self._double(item)
            else:
                self._recover(item)

    def _double(self, item: Item) -> None:
        now = time.monotonic()
        if now < self._not_before.get(item.endpoint, 0.0):
            return
        with connection.cursor() as cursor:
            cursor.execute(_DOUBLE, [UUID(item.endpoint), item.tenant_id])
            (cap,) = cursor.fetchone()
        self._wait(item.endpoint, now + (_BELIEVED if cap == MOST else _PAUSE))

    def _recover(self, item: Item) -> None:
        now = time.monotonic()
        if now < self._not_before.get(f"recover {item.endpoint}", 0.0):
            return
        with connection.cursor() as cursor:
            cursor.execute(_RECOVER, [UUID(item.endpoint)])
            was_low = cursor.rowcount > 0
        self._wait(f"recover {item.endpoint}", now + (_PAUSE if was_low else _BELIEVED))

    def _halve(self, item: Item) -> None:
        now = time.monotonic()
        # Sooner than a doubling: bad news does not wait for good.
        if now < self._not_before.get(f"halve {item.endpoint}", 0.0):
            return
        with connection.cursor() as cursor:
            cursor.execute(_HALVE, [UUID(item.endpoint), item.tenant_id])
        self._wait(f"halve {item.endpoint}", now + _HALVE_PAUSE)
        for key in (item.endpoint, f"recover {item.endpoint}"):
            self._wait(key, now + _HALVE_PAUSE)

    def _wait(self, key: str, until: float) -> None:
        if len(self._not_before) > 10_000:
            self._not_before.clear()
        self._not_before[key] = until


def _rest(item: Item, retry_after: str) -> None:
    now = datetime.now(tz=UTC)
    seconds = backoff.retry_after(value=retry_after, now=now)
    if seconds > 0:
        until = datetime.fromtimestamp(now.timestamp() + seconds, tz=UTC)
        with connection.cursor() as cursor:
            cursor.execute(_REST, [UUID(item.endpoint), item.tenant_id, until])
