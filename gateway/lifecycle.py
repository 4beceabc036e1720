"""The one mover of statuses.

Nothing else writes ``Message.status``. A move is a guarded, set-based UPDATE: only rows whose status may legally
become the target are touched, and it tells which they were. The same statement writes their events and counts them
anew, hooks fan out their callbacks in the same transaction. A move that is refused (a late or repeated receipt, a
race lost to a cancel) changes nothing; the caller records it with :func:`gateway.events.note` if it is worth a line.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection, transaction

from gateway import arrays, ids, statuses, tallies
from gateway.hooks import Fact, hooks
from gateway.statuses import Status


@dataclass(frozen=True, slots=True)
class Move:
    """One message's wish to change status. ``operator`` is a slug; ``data`` goes into the event as it is."""

    message_id: UUID
    target: Status
    occurred_at: datetime
    operator: str | None = None
    operator_code: str | None = None
    error_code: str | None = None
    data: dict[str, Any] | None = None


# The moments kept on the message itself; the other statuses' are in its events.
_STAMPS = {
    Status.SENT: "sent_at = coalesce(m.sent_at, u.occurred_at),",
    Status.DELIVERED: "delivered_at = u.occurred_at, sent_at = coalesce(m.sent_at, u.occurred_at),",
    Status.READ: "read_at = u.occurred_at, delivered_at = coalesce(m.delivered_at, u.occurred_at),",
    Status.FAILED: "ended_at = u.occurred_at,",
    Status.EXPIRED: "ended_at = u.occurred_at,",
    Status.REJECTED: "ended_at = u.occurred_at,",
    Status.CANCELED: "ended_at = u.occurred_at,",
}

# The join is by key. The array makes it an index scan; the range prunes the other days' partitions also when the
# prepared statement's plan is generic, which an array does not. The status is re-checked on the locked row, so of two
# movers one finds nothing left to do.
_MOVE = """
WITH u AS (
    SELECT * FROM unnest(%(ids)s::uuid[], %(events)s::uuid[], %(at)s::timestamptz[], %(operators)s::text[],
                         %(operator_codes)s::text[], %(error_codes)s::text[], %(data)s::jsonb[])
        AS u(id, event_id, occurred_at, operator, operator_code, error_code, data)
), moved AS (
    UPDATE gateway_message m
    SET status = %(target)s, {stamps} {remember}
        sequence = m.sequence + {step},
        operator = coalesce(u.operator, m.operator),
        error_code = u.error_code
    FROM u
    WHERE m.id = u.id AND m.id = ANY(%(ids)s::uuid[]) AND m.id BETWEEN %(first)s AND %(last)s
      AND m.status = ANY(%(origins)s::text[])
    RETURNING {counted} m.id, m.tenant_id, m.sequence, m.callback_url, u.event_id, u.occurred_at, u.operator,
              u.operator_code, u.error_code, u.data
){written}{tallied}
SELECT event_id, tenant_id, id, callback_url FROM moved
"""
_WRITTEN = """, written AS (
    INSERT INTO gateway_event (id, tenant_id, message_id, type, status, sequence, occurred_at, operator,
                               operator_code, error_code, data)
    SELECT event_id, tenant_id, id, %(type)s, %(target)s, sequence, occurred_at, operator, operator_code,
           error_code, data
    FROM moved
)"""


def _statement(target: Status) -> str:
    quiet, counts = target in statuses.QUIET, tallies.counts(target)
    return _MOVE.format(
        stamps=_STAMPS.get(target, ""),
        remember=tallies.REMEMBER if counts else "",
        step=0 if quiet else 1,
        counted=tallies.RETURN if counts else "",
        written="" if quiet else _WRITTEN,
        tallied=tallies.movement(target) if counts else "",
    )


_STATEMENTS = {target: _statement(target) for target in Status}


def move(*, moves: Iterable[Move]) -> set[UUID]:
    """Make the moves that are legal, write their events, fan out their callbacks.

    All in one transaction (the caller's, when one is open). A message that appears twice moves through its
    targets in the order given.

    Returns:
        The ids of the messages that moved at least once. The others were not in a status that may become
        their target.
    """
    moved: set[UUID] = set()
    with transaction.atomic(savepoint=False):
        # Equal targets side by side keep it to one statement a target; a stable sort by rank keeps a
        # message's own order (sent before delivered).
        ranked = sorted(moves, key=lambda wish: _RANK[wish.target])
        for target, wishes in groupby(ranked, key=attrgetter("target")):
            facts = _move_to(target, _first_of_each(wishes))
            moved.update(fact.message_id for fact in facts)
            if facts and target not in statuses.QUIET:
                for fan_out in hooks.fan_out:
                    fan_out(facts)
    return moved


_RANK = {target: rank for rank, target in enumerate(Status)}


def _first_of_each(wishes: Iterable[Move]) -> list[Move]:
    """One wish a message, in the order of their keys, so that two movers lock rows in the same order."""
    first: dict[UUID, Move] = {}
    for wish in wishes:
        first.setdefault(wish.message_id, wish)
    return sorted(first.values(), key=attrgetter("message_id"))


def _move_to(target: Status, wishes: Sequence[Move]) -> list[Fact]:
    """Run the UPDATE for one target."""
    quiet = target in statuses.QUIET
    type_ = f"message.{target}"
    with connection.cursor() as cursor:
        cursor.execute(
            _STATEMENTS[target],
            {
                "ids": arrays.uuids([wish.message_id for wish in wishes]),
                "first": wishes[0].message_id,
                "last": wishes[-1].message_id,
                "events": arrays.NULLS if quiet else arrays.plain(ids.texts(len(wishes))),
                "at": arrays.moments([wish.occurred_at for wish in wishes]),
                "operators": arrays.texts([wish.operator for wish in wishes]),
                "operator_codes": arrays.texts([wish.operator_code for wish in wishes]),
                "error_codes": arrays.texts([wish.error_code for wish in wishes]),
                "data": arrays.texts([_json(wish.data) for wish in wishes]),
                "target": target.value,
                "type": type_,
                "origins": statuses.ORIGINS[target],
            },
        )
        return [
            Fact(event_id, tenant_id, message_id, type_, callback_url)
            for event_id, tenant_id, message_id, callback_url in cursor.fetchall()
        ]


def _json(data: dict[str, Any] | None) -> str | None:
    return None if data is None else msgspec.json.encode(data).decode()
