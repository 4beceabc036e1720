"""The relay: from due callbacks to the queue ``webhooks``, fairly by endpoint.

It leases what is due, an equal share an endpoint, and publishes the ids. What it publishes is a hint: a lease that
runs out makes its row due again. Several relays may run; rows that one is claiming are skipped by the others.
"""

import time
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import structlog
from celery import current_app
from django.db import connection
from kombu.exceptions import OperationalError as BrokerAway

from webhooks import breaker
from webhooks.leases import DEFAULT_CAP, LEASE_SECONDS

log = structlog.get_logger(__name__)

# Callbacks leased at once over all endpoints: about two seconds' work of one dispatcher, half of what it may hold.
MOST_LEASED = 2500
# An endpoint may always have this many, however much the others have taken.
ASSURED = 8
# A webhook that takes several events in one request may have so many requests full.
BATCHES = 4
# Ids in one task.
CHUNK = 200
# Seconds between two claims under load: a few tasks with many ids cost less than many with few.
CLAIM_SECONDS = 0.025
# Looks that find nothing may take this share of the time; with thousands of endpoints they come less often.
LOOK_SHARE = 0.1

# One index probe an endpoint that has rows, however many rows there are.
_DUE = """
WITH RECURSIVE heads AS (
    (SELECT endpoint, next_attempt_at FROM webhooks_duecallback ORDER BY endpoint, next_attempt_at LIMIT 1)
    UNION ALL
    SELECT n.endpoint, n.next_attempt_at
    FROM heads h CROSS JOIN LATERAL (
        SELECT d.endpoint, d.next_attempt_at FROM webhooks_duecallback d
        WHERE d.endpoint > h.endpoint
        ORDER BY d.endpoint, d.next_attempt_at LIMIT 1
    ) n
)
SELECT endpoint, next_attempt_at <= now() FROM heads WHERE next_attempt_at <= now() + %s * interval '1 second'
"""
# Leases are counted in the index range that they lie in: a dead relay's or worker's end by themselves, where a
# counter would stay wrong. That a lease is lost with the server costs a second attempt at most, so the commit
# does not wait for the disk.
#
# An endpoint whose circuit is open gets one at a time, when its pause is over; locking its row first keeps a second
# relay from a second probe. What is ordered waits while an earlier one of its message and webhook is to be made.
_CLAIM = f"""
WITH busy AS MATERIALIZED (
    SELECT e.endpoint, e.due,
           (SELECT count(*) FROM webhooks_duecallback d
            WHERE d.endpoint = e.endpoint AND d.leased AND d.next_attempt_at > now()
              AND d.next_attempt_at <= now() + %(lease)s * interval '1 second') AS leased
    FROM unnest(%(endpoints)s::uuid[], %(due)s::bool[]) AS e(endpoint, due)
), total AS (
    SELECT (%(most)s - sum(leased)) / greatest(1, count(*) FILTER (WHERE due)) AS share FROM busy
), probes AS MATERIALIZED (
    SELECT e.id FROM busy b JOIN webhooks_endpoint e ON e.id = b.endpoint
    WHERE b.due AND b.leased = 0 AND e.opened_at IS NOT NULL AND coalesce(e.paused_until <= now(), true)
    FOR UPDATE OF e SKIP LOCKED
), rooms AS (
    SELECT b.endpoint,
           CASE WHEN s.opened_at IS NOT NULL THEN 1
                ELSE least(greatest(coalesce(s.cap, %(cap)s), {BATCHES} * coalesce(w.batch_max_events, 0)) - b.leased,
                           greatest(t.share, %(assured)s - b.leased)) END::int AS room
    FROM busy b CROSS JOIN total t
    LEFT JOIN webhooks_endpoint s ON s.id = b.endpoint
    LEFT JOIN webhooks_webhook w ON w.id = b.endpoint
    WHERE b.due AND CASE WHEN s.opened_at IS NULL THEN coalesce(s.paused_until <= now(), true)
                         ELSE b.endpoint IN (SELECT id FROM probes) END
), picked AS MATERIALIZED (
    SELECT p.callback_id, r.endpoint
    FROM rooms r CROSS JOIN LATERAL (
        SELECT callback_id FROM webhooks_duecallback d
        WHERE d.endpoint = r.endpoint AND d.next_attempt_at <= now()
          AND (NOT d.ordered OR NOT EXISTS (
              SELECT 1 FROM webhooks_duecallback b
              WHERE b.ordered AND b.message_id = d.message_id AND b.callback_id < d.callback_id
                AND coalesce(b.home, b.endpoint) = coalesce(d.home, d.endpoint)
          ))
        ORDER BY d.next_attempt_at
        LIMIT greatest(0, r.room)
        FOR UPDATE SKIP LOCKED
    ) p
), probing AS (
    UPDATE webhooks_endpoint e
    SET probes = least(e.probes + 1, 1000), paused_until = {breaker.pause(probes="e.probes + 1")}
    FROM probes p WHERE e.id = p.id AND p.id IN (SELECT endpoint FROM picked)
)
UPDATE webhooks_duecallback d
SET next_attempt_at = now() + %(lease)s * interval '1 second', leased = true
FROM picked p, (SELECT set_config('synchronous_commit', 'off', true)) AS unhurried
WHERE d.callback_id = p.callback_id
RETURNING d.callback_id::text, d.next_attempt_at
"""
_RELEASE = """
UPDATE webhooks_duecallback SET next_attempt_at = now() + interval '1 second', leased = false
WHERE callback_id = ANY(%s::uuid[]) AND next_attempt_at = %s
"""


class Relay:
    """One relay's loop body and the little it remembers between turns."""

    def __init__(self) -> None:
        self._not_before = 0.0

    def tick(self) -> int:
        """Lease and publish what can go now.

        Returns:
            How many callbacks were leased; 0 means that there is nothing to do at the moment.
        """
        began = time.monotonic()
        if began < self._not_before:
            return 0
        heads = _heads()
        waiting = any(due for _endpoint, due in heads)
        callback_ids, leased_until = _claim(heads) if waiting else ([], None)
        if leased_until is None:
            rest = (time.monotonic() - began) / LOOK_SHARE
            # Rows are due and none may go: their endpoints are busy or rest, and will be for a while.
            self._not_before = began + (max(rest, CLAIM_SECONDS) if waiting else rest)
            return 0
        publish(callback_ids=callback_ids, leased_until=leased_until)
        self._not_before = began + CLAIM_SECONDS
        return len(callback_ids)


def claim() -> tuple[list[str], datetime | None]:
    """Lease what is due, as far as each endpoint has room.

    Returns:
        The callbacks' ids and the end of their lease; an empty list and None when nothing can go.
    """
    return _claim(_heads())


def _heads() -> list[tuple[UUID, bool]]:
    """Endpoints with something due or leased, and whether something is due."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE, [LEASE_SECONDS])
        return list(cursor.fetchall())


def _claim(heads: Sequence[tuple[UUID, bool]]) -> tuple[list[str], datetime | None]:
    if not heads:
        return [], None
    with connection.cursor() as cursor:
        cursor.execute(
            _CLAIM,
            {
                "endpoints": [endpoint for endpoint, _due in heads],
                "due": [due for _endpoint, due in heads],
                "lease": LEASE_SECONDS,
                "most": MOST_LEASED,
                "cap": DEFAULT_CAP,
                "assured": ASSURED,
            },
        )
        rows = cursor.fetchall()
    return [key for key, _until in rows], rows[0][1] if rows else None


def publish(*, callback_ids: Sequence[str], leased_until: datetime) -> None:
    """One task a chunk; what the broker does not take is released and becomes due again in a second."""
    for start in range(0, len(callback_ids), CHUNK):
        chunk = list(callback_ids[start : start + CHUNK])
        try:
            # By name: the task's module loads the dispatcher, which a relay has no use for.
            current_app.send_task(
                "webhooks.tasks.dispatch",
                kwargs={"callback_ids": chunk, "leased_until": leased_until.isoformat()},
                queue="webhooks",
            )
        except (BrokerAway, OSError) as error:
            log.warning("callback.publish_failed", callbacks=len(chunk), reason=str(error))
            with connection.cursor() as cursor:
                cursor.execute(_RELEASE, [chunk, leased_until])
