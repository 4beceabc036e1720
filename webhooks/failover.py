"""Between a webhook's two URLs: callbacks that wait at one whose circuit is open go to the other meanwhile.

What fails at the first URL goes to the second by itself (:mod:`webhooks.recording`); here only what waits is moved.
"""

from typing import NamedTuple
from uuid import UUID

from django.db import connection

from webhooks import destinations

# Callbacks moved in one statement.
STEP = 5000

# A failover's callbacks know their home, and all of its are such.
_OPEN = """
SELECT e.id, coalesce(w.active AND w.failover_url IS NOT NULL, false), f.home
FROM webhooks_endpoint e
LEFT JOIN webhooks_webhook w ON w.id = e.id
LEFT JOIN LATERAL (
    SELECT d.home FROM webhooks_duecallback d WHERE d.endpoint = e.id ORDER BY d.next_attempt_at LIMIT 1
) f ON true
WHERE e.opened_at IS NOT NULL
"""
# When the pause of what they leave is almost over, one stays for the probe. The moment of the rest becomes now, so
# that who had one of them under a lease that ran out has lost it.
_MOVE = f"""
WITH moving AS (
    SELECT d.callback_id FROM webhooks_duecallback d
    WHERE d.endpoint = %(from)s AND d.next_attempt_at <= now()
    ORDER BY d.next_attempt_at
    OFFSET (SELECT (paused_until < now() + interval '1 second')::int FROM webhooks_endpoint WHERE id = %(from)s)
    LIMIT {STEP} FOR UPDATE SKIP LOCKED
)
UPDATE webhooks_duecallback d
SET endpoint = %(to)s, home = %(home)s, next_attempt_at = now(), leased = false
FROM moving m WHERE d.callback_id = m.callback_id
"""


class _Circuit(NamedTuple):
    """An open one; ``home`` is the webhook's endpoint when this is its failover's."""

    endpoint: UUID
    has_failover: bool
    home: UUID | None


def divert() -> int:
    """Move what is due away from open circuits, to the webhook's other URL where that one's is closed.

    Returns:
        How many callbacks were moved.
    """
    with connection.cursor() as cursor:
        cursor.execute(_OPEN)
        circuits = [_Circuit(*row) for row in cursor.fetchall()]
    open_ = {circuit.endpoint for circuit in circuits}
    moved = 0
    for circuit in circuits:
        if circuit.home is not None and circuit.home not in open_:
            moved += _move(circuit.endpoint, circuit.home, home=None)
        elif circuit.has_failover:
            failover = destinations.of_failover(webhook_id=circuit.endpoint)
            if failover not in open_:
                moved += _move(circuit.endpoint, failover, home=circuit.endpoint)
    return moved


def _move(source: UUID, target: UUID, *, home: UUID | None) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_MOVE, {"from": source, "to": target, "home": home})
        return int(cursor.rowcount)
