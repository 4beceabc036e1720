"""Messages that go on to another operator: what one has refused, and what waits for one that does not work."""

import math
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from gateway import arrays
from gateway.hooks import RouteRequest
from routing import selection
from routing.contract import Outcome, Verdict
from routing.operators import Standing
from routing.ranking import LATER, NO_ROUTE, SANDBOX_OPERATOR_ID, Table

# Refusals that another operator would repeat, or of a message that has gone out in part.
FINAL = frozenset({"INVALID_RECIPIENT", "PARTLY_REJECTED_BY_OPERATOR", "RECIPIENT_OPTED_OUT"})
# Rows looked at by one statement, and the longest that one look at a lane takes.
CHUNK = 2000
LOOK_SECONDS = 0.5
# How soon after a change of routes nobody goes by those that were read before.
AGAIN_SECONDS = 2 * selection.REFRESH_SECONDS


_REFUSED = """
SELECT d.id, m.tenant_id, m.channel, m.recipient, m.sender, m.parts, m.metadata->>'tag', m.priority,
       d.refused_by
FROM routing_delivery d JOIN gateway_message m ON m.id = d.message_id
WHERE d.id = ANY(%(ids)s::uuid[]) AND d.worker = %(worker)s
  AND m.id = ANY(%(messages)s::uuid[]) AND m.id BETWEEN %(first)s AND %(last)s
  AND (m.expires_at IS NULL OR m.expires_at > %(now)s)
"""


def elsewhere(
    *, operator_id: int, worker: str, outcomes: Sequence[Outcome], now: datetime
) -> dict[UUID, int]:
    """The next lanes of messages that one has refused for reasons of its own, by delivery id.

    What no other route is open for, now or later, is not there: its refusal is the message's end.
    """
    refused = [o for o in outcomes if o.verdict is Verdict.REFUSED and o.error_code not in FINAL]
    if not refused or operator_id == SANDBOX_OPERATOR_ID:
        return {}
    routes = selection.table()
    if not routes.operators - {operator_id}:
        return {}
    keys = [outcome.message_id for outcome in refused]
    found: dict[UUID, int] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            _REFUSED,
            {
                "ids": arrays.uuids(outcome.delivery_id for outcome in refused),
                "worker": worker,
                "messages": arrays.uuids(keys),
                "first": min(keys),
                "last": max(keys),
                "now": now,
            },
        )
        for key, *asked, refused_by in cursor.fetchall():
            lane = routes.choose(RouteRequest(*asked), refused=(*refused_by, operator_id))
            if lane != NO_ROUTE:
                found[key] = lane
    return found


@dataclass(frozen=True, slots=True, order=True)
class Queue:
    """What a tenant has waiting in a lane, of one priority."""

    lane: int
    priority: int
    tenant_id: int


# In the order of the index that the relay claims by.
_WAITING = """
SELECT d.message_id, d.due_at, d.channel, d.recipient, d.sender, d.parts, {tag}, d.refused_by
FROM gateway_duemessage d {join}
WHERE d.lane = %(lane)s AND d.priority = %(priority)s AND d.tenant_id = %(tenant)s
  AND d.due_at <= now() - %(older)s * interval '1 second' AND (d.due_at, d.message_id) > (%(at)s, %(after)s)
ORDER BY d.due_at, d.message_id
LIMIT %(limit)s
"""
_PLAIN = _WAITING.format(tag="NULL", join="")
_TAGGED = _WAITING.format(tag="m.metadata->>'tag'", join="JOIN gateway_message m ON m.id = d.message_id")
# Rows that someone holds are about to be cancelled, or moved by another relay. By key: as a condition that an index
# could serve the lane would lead the planner through all that the lane has.
_RELANE = """
WITH u AS (
    SELECT * FROM unnest(%(ids)s::uuid[], %(lanes)s::int[]) AS u(id, lane)
), held AS (
    SELECT message_id FROM gateway_duemessage
    WHERE message_id = ANY(%(ids)s::uuid[]) AND lane + 0 = %(from)s
    FOR UPDATE SKIP LOCKED
)
UPDATE gateway_duemessage d SET lane = u.lane
FROM held h JOIN u ON u.id = h.message_id
WHERE d.message_id = h.message_id
"""
_Place = tuple[datetime | str, UUID]
_START: _Place = ("-infinity", UUID(int=0))


class Walk:
    """Goes through what waits in lanes, and remembers where it is: a look may take too long, and go on later.

    A chunk of each queue in turn: one with a million rows does not keep the others waiting.
    It begins again at the end of a lane; one that goes ``once`` only does when the routes have changed, and once more
    after :data:`AGAIN_SECONDS` for rows that came by routes that were read before.
    """

    def __init__(self, *, once: bool = False) -> None:
        self._once = once
        self._hours: object = None
        self._again_at = 0.0
        self._places: dict[Queue, _Place] = {}
        self._last: Queue | None = None

    def relane(
        self,
        *,
        queues: Iterable[Queue],
        standings: dict[int, Standing],
        older: float = 0.0,
        leave: bool = True,
    ) -> int:
        """Select again for due rows, of which only usable operators are given any.

        ``older``: only for those that have been due so many seconds. ``leave``: their own operator is to carry them
        no longer, if another can. A row that there is no other for stays where it is and waits; one whose routes are
        all closed goes to wait for one to open.

        Returns:
            How many rows went to another lane. Committed, chunk by chunk.
        """
        routes = selection.table()
        now = time.monotonic()
        if self._once and (routes.hours is not self._hours or now >= self._again_at):
            self._places.clear()
            self._again_at = math.inf if routes.hours is self._hours else now + AGAIN_SECONDS
            self._hours = routes.hours
        trusted = {key for key, each in standings.items() if each.trusted}
        left: deque[tuple[Queue, set[int]]] = deque()
        for queue in self._in_turn(queues):
            usable = trusted - {queue.lane} if leave else trusted
            if queue.lane == LATER or not leave or usable & routes.operators:
                left.append((queue, usable))
        deadline = now + LOOK_SECONDS
        moved = 0
        while left and time.monotonic() < deadline:
            queue, usable = left.popleft()
            count, is_through = self._go(queue, routes, usable, older)
            moved += count
            self._last = queue
            if not is_through:
                left.append((queue, usable))
        return moved

    def _in_turn(self, queues: Iterable[Queue]) -> list[Queue]:
        """From the one after that which was looked at last."""
        last = self._last
        return sorted(queues, key=lambda queue: (last is not None and queue <= last, queue))

    def _go(self, queue: Queue, routes: Table, usable: Collection[int], older: float) -> tuple[int, bool]:
        """A chunk of a queue: how many rows went to another lane, and whether that was the last of it."""
        count, rows = _relane(queue, self._places.get(queue, _START), routes, usable, older)
        if rows:
            self._places[queue] = (rows[-1][1], rows[-1][0])
        is_through = len(rows) < CHUNK
        if is_through and not self._once:
            self._places.pop(queue, None)
        return count, is_through


def _relane(
    queue: Queue, place: _Place, routes: Table, usable: Collection[int], older: float
) -> tuple[int, list[tuple[Any, ...]]]:
    """Move of one chunk what is to go; returns how many rows, and the chunk."""
    with transaction.atomic(), connection.cursor() as cursor:
        # A move that a crash of the database undoes leaves the row in the lane that it was in.
        cursor.execute("SET LOCAL synchronous_commit = off")
        cursor.execute(
            _TAGGED if routes.asks_for_tags else _PLAIN,
            {
                "lane": queue.lane,
                "priority": queue.priority,
                "tenant": queue.tenant_id,
                "older": older,
                "at": place[0],
                "after": place[1],
                "limit": CHUNK,
            },
        )
        rows = cursor.fetchall()
        changed = _changed(queue, rows, routes, usable)
        if changed:
            cursor.execute(
                _RELANE,
                {
                    "ids": arrays.uuids(changed),
                    "lanes": arrays.numbers(changed.values()),
                    "from": queue.lane,
                },
            )
    return len(changed), rows


def _changed(
    queue: Queue, rows: Sequence[Sequence[Any]], routes: Table, usable: Collection[int]
) -> dict[UUID, int]:
    """The new lanes of those rows that get one."""
    is_usable: Callable[[int], bool] = usable.__contains__
    changed: dict[UUID, int] = {}
    for key, _due_at, channel, recipient, sender, parts, tag, refused_by in rows:
        request = RouteRequest(queue.tenant_id, channel, recipient, sender, parts, tag, queue.priority)
        lane = routes.choose(request, usable=is_usable, refused=refused_by)
        # From a lane that works by halves only to one that works.
        if lane not in {queue.lane, NO_ROUTE} and (lane in usable or LATER in {lane, queue.lane}):
            changed[key] = lane
    return changed
