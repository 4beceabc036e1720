"""The messages of one bulk call, counted and cancelled together.

A batch is its messages: one of which every message was refused does not exist.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection, transaction

from gateway import arrays, errors, lifecycle, statuses
from gateway.lifecycle import Move
from gateway.statuses import Status

CHUNK = 1000
# A call's keys are made within seconds of its batch's: the other days' partitions are not looked at.
_DAY = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Batch:
    """``counts`` has every status."""

    id: UUID
    created_at: datetime
    counts: dict[Status, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def finished(self) -> bool:
        """Nothing more is done for any of its messages."""
        return all(status in statuses.ENDED for status, count in self.counts.items() if count)


_COUNT = """
SELECT status, count(*), min(created_at) FROM gateway_message
WHERE batch_id = %(batch)s AND tenant_id = %(tenant)s AND id BETWEEN %(first)s AND %(last)s
GROUP BY status
"""


def read(*, tenant_id: int, batch_id: UUID) -> Batch:
    """A batch as it is now.

    Raises:
        errors.NotFound: the tenant has no such batch.
    """
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"batch": batch_id, "tenant": tenant_id, **_range(batch_id)})
        rows = cursor.fetchall()
    if not rows:
        raise errors.NotFound
    counts = dict.fromkeys(Status, 0) | {Status(status): count for status, count, _at in rows}
    return Batch(batch_id, min(at for _status, _count, at in rows), counts)


def _range(batch_id: UUID) -> dict[str, UUID]:
    """Between which keys its messages' are."""
    moment = batch_id.int >> 80
    return {
        "first": UUID(int=moment << 80),
        "last": UUID(int=min((moment + _DAY) << 80, (1 << 128) - 1)),
    }


# A due row is what a relay would take: whoever deletes it has the message. One of a message that is `sent` is the
# next step of its fallback chain, and stays.
_TAKE = """
DELETE FROM gateway_duemessage WHERE message_id IN (
    SELECT d.message_id
    FROM gateway_message m JOIN gateway_duemessage d ON d.message_id = m.id
    WHERE m.batch_id = %(batch)s AND m.tenant_id = %(tenant)s AND m.id > %(after)s AND m.id <= %(last)s
      AND m.status = ANY(%(waiting)s::text[])
    ORDER BY m.id
    LIMIT %(limit)s
    FOR UPDATE OF d, m
)
RETURNING message_id
"""
_WAITING = arrays.texts([status.value for status in sorted(statuses.WAITING)])


def cancel(*, tenant_id: int, batch_id: UUID, now: datetime) -> int:
    """Cancel those of its messages that no operator has yet, a transaction a chunk; returns how many."""
    bounds = _range(batch_id)
    after = bounds["first"]
    canceled = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                _TAKE,
                {
                    "batch": batch_id,
                    "tenant": tenant_id,
                    "after": after,
                    "last": bounds["last"],
                    "waiting": _WAITING,
                    "limit": CHUNK,
                },
            )
            taken = [key for (key,) in cursor.fetchall()]
            if taken:
                canceled += len(lifecycle.move(moves=[Move(key, Status.CANCELED, now) for key in taken]))
        if len(taken) < CHUNK:
            return canceled
        after = max(taken)
