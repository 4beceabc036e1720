"""The relay: from the ledger's waiting rows to the operators' queues.

It leases due messages to operators that are up and have room, by priority, then fairly over tenants, and publishes
their ids. Whatever it publishes is only a hint: the lease is a row, and a lease that runs out is claimed again.
Any number of relays may run; rows that one is looking at are skipped by the others.
"""

import time
from collections.abc import Iterable, Sequence
from uuid import UUID

import structlog
from django.db import connection, transaction

from routing import circuit, operators, queues, selection
from routing.failover import Queue, Walk
from routing.operators import Standing
from routing.ranking import LATER

log = structlog.get_logger(__name__)

# Seconds from the lease to the worker's taking the row in hand: the queue is a few seconds deep at most.
LEASE_SECONDS = 10
# Rows whose operator is unknown, gone, down, tripped or too slow are looked at again this often.
REROUTE_SECONDS = 0.5
# A bind that is lost may be back at once.
GRACE_SECONDS = 1.0
JUDGE_SECONDS = 1.0
JUDGE_RECEIPTS_SECONDS = 15.0

# One index probe a lane, a priority and a tenant that has rows, however many rows there are.
_WAITING = """
WITH RECURSIVE waiting AS (
    (SELECT lane, priority, tenant_id FROM gateway_duemessage ORDER BY lane, priority, tenant_id LIMIT 1)
    UNION ALL
    SELECT n.lane, n.priority, n.tenant_id
    FROM waiting w CROSS JOIN LATERAL (
        SELECT d.lane, d.priority, d.tenant_id FROM gateway_duemessage d
        WHERE (d.lane, d.priority, d.tenant_id) > (w.lane, w.priority, w.tenant_id)
        ORDER BY d.lane, d.priority, d.tenant_id LIMIT 1
    ) n
)
SELECT lane, priority, tenant_id FROM waiting
"""

_IN_HAND = "SELECT operator_id, coalesce(sum(parts), 0)::int FROM routing_delivery GROUP BY operator_id"

_LEASE = """
WITH picked AS MATERIALIZED (
    SELECT d.message_id
    FROM unnest(%(tenants)s::bigint[]) AS t(tenant_id)
    CROSS JOIN LATERAL (
        SELECT message_id FROM gateway_duemessage
        WHERE lane = %(lane)s AND priority = %(priority)s AND tenant_id = t.tenant_id AND due_at <= now()
        ORDER BY due_at, message_id
        LIMIT %(share)s
        FOR UPDATE SKIP LOCKED
    ) d
), taken AS (
    DELETE FROM gateway_duemessage d USING picked p WHERE d.message_id = p.message_id
    RETURNING d.*
), leased AS (
    INSERT INTO routing_delivery (id, message_id, tenant_id, operator_id, priority, parts, due_at, attempts,
                                  refused_by, lease_until, queued_at)
    SELECT gen_random_uuid(), message_id, tenant_id, lane, priority, parts, due_at, attempts + 1, refused_by,
           now() + %(lease)s * interval '1 second', now()
    FROM taken
    RETURNING id, parts, due_at, message_id
)
SELECT id, parts FROM leased ORDER BY due_at, message_id
"""


class Relay:
    """One relay's loop body and the little it remembers between turns."""

    def __init__(self) -> None:
        self._walk = Walk()
        self._hours = Walk(once=True)
        self._opened = Walk(once=True)
        # Lanes whose operator has no bind, and since when.
        self._lost: dict[int, float] = {}
        # The routes whose hours were last looked at.
        self._kept: object = None
        self._reroute_at = self._keep_at = self._judge_at = self._judge_receipts_at = 0.0

    def tick(self) -> int:
        """Lease and publish what can go now.

        Returns:
            How many messages were leased; 0 means there was nothing to do, or nobody to do it.
        """
        self._judge()
        waiting = _waiting()
        if not waiting:
            return 0
        standings = operators.standings()
        self._reroute(waiting, standings)
        self._keep_hours(waiting, standings)
        in_hand = _in_hand()
        leased = 0
        for lane in sorted({row.lane for row in waiting}):
            standing = standings.get(lane)
            if standing is not None and standing.ready:
                leased += _serve(standing, _awake(waiting, lane), in_hand.get(lane, 0))
        return leased

    def _judge(self) -> None:
        """Look now and then whether an operator is to be passed over."""
        now = time.monotonic()
        if now >= self._judge_at:
            self._judge_at = now + JUDGE_SECONDS
            circuit.judge()
        if now >= self._judge_receipts_at:
            self._judge_receipts_at = now + JUDGE_RECEIPTS_SECONDS
            circuit.judge_receipts()

    def _reroute(self, waiting: Sequence[Queue], standings: dict[int, Standing]) -> None:
        """Look again, now and then, at rows that had better go by another operator."""
        now = time.monotonic()
        if now < self._reroute_at:
            return
        for lane in sorted({row.lane for row in waiting}):
            older = self._patience(lane, standings.get(lane), now)
            if older is None:
                continue
            mine = [row for row in waiting if row.lane == lane]
            # What waits for a route need not be looked at again while the routes are the same.
            walk = self._opened if lane == LATER else self._walk
            moved = walk.relane(queues=mine, standings=standings, older=older)
            if moved:
                log.info("relay.rerouted", lane=lane, messages=moved)
        self._reroute_at = time.monotonic() + REROUTE_SECONDS

    def _keep_hours(self, waiting: Sequence[Queue], standings: dict[int, Standing]) -> None:
        """Look, before they are leased, at rows whose route may have closed since it was chosen."""
        routes, now = selection.table(), time.monotonic()
        # A worker asks again before it takes what was leased meanwhile.
        if not routes.closing or (routes.hours is self._kept and now < self._keep_at):
            return
        mine = [row for row in waiting if row.lane in routes.closing]
        moved = self._hours.relane(queues=mine, standings=standings, leave=False)
        self._kept, self._keep_at = routes.hours, now if moved else now + REROUTE_SECONDS

    def _patience(self, lane: int, standing: Standing | None, now: float) -> float | None:
        """How many seconds a row may have waited in the lane and stay there; None is any number of them."""
        if standing is None:
            return 0.0
        if not standing.up:
            return 0.0 if now - self._lost.setdefault(lane, now) >= GRACE_SECONDS else None
        self._lost.pop(lane, None)
        return 0.0 if standing.tripped else standing.slow_seconds


def _awake(waiting: Sequence[Queue], lane: int) -> list[Queue]:
    """A lane's queues, without those that its operator's quiet hours keep for whatever recipient."""
    mine = [row for row in waiting if row.lane == lane]
    hush = selection.table().hushes.get(lane)
    if hush is None or hush.zones is not None:
        return mine
    return [row for row in mine if row.priority in hush.exempt]


def _waiting() -> list[Queue]:
    with connection.cursor() as cursor:
        cursor.execute(_WAITING)
        return [Queue(*row) for row in cursor.fetchall()]


def _in_hand() -> dict[int, int]:
    with connection.cursor() as cursor:
        cursor.execute(_IN_HAND)
        return dict(cursor.fetchall())


def _serve(standing: Standing, waiting: Iterable[Queue], in_hand: int) -> int:
    """Give one operator as much as it has room for, high priority first; returns how many messages."""
    room = queues.room(rate=standing.rate, in_hand=in_hand)
    if standing.probing:
        room = min(room, circuit.PROBES_AT_ONCE - in_hand)
    elif in_hand and room < queues.chunk_size(rate=standing.rate):
        # A little room would make a little task; two of those do not fill a window.
        return 0
    tenants: dict[int, list[int]] = {}
    for row in waiting:
        tenants.setdefault(row.priority, []).append(row.tenant_id)
    leased = 0
    for priority in sorted(tenants):
        if room <= 0:
            break
        rows = lease(standing=standing, priority=priority, tenant_ids=tenants[priority], room=room)
        room -= sum(parts for _id, parts in rows)
        leased += len(rows)
        _publish(standing, [key for key, _parts in rows])
    return leased


def lease(
    *, standing: Standing, priority: int, tenant_ids: Sequence[int], room: int
) -> list[tuple[UUID, int]]:
    """Move due rows of one priority from waiting to leased, an equal share a tenant.

    Returns:
        (delivery id, parts), in the order they became due. Committed.
    """
    share = max(1, room // len(tenant_ids))
    with transaction.atomic(), connection.cursor() as cursor:
        # A lease that a crash of the database undoes leaves the row waiting, and a task that finds nothing.
        cursor.execute("SET LOCAL synchronous_commit = off")
        cursor.execute(
            _LEASE,
            {
                "tenants": list(tenant_ids),
                "lane": standing.operator_id,
                "priority": priority,
                "share": share,
                "lease": LEASE_SECONDS,
            },
        )
        return [(key, parts) for key, parts in cursor.fetchall()]


def _publish(standing: Standing, delivery_ids: list[UUID]) -> None:
    size = queues.chunk_size(rate=standing.rate)
    for start in range(0, len(delivery_ids), size):
        queues.publish(queue=standing.queue, delivery_ids=delivery_ids[start : start + size])
