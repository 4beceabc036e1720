"""What the relay does now and then: leases that ran out, messages that expired waiting or were not delivered in time,
receipts to match again."""

from datetime import datetime
from uuid import UUID

import structlog
from django.db import connection, transaction

from gateway import lifecycle
from gateway.lifecycle import Move
from gateway.statuses import Status
from routing import delivery, fallbacks, operators, receipts
from routing.contract import Outcome, Verdict
from routing.delivery import Carrier
from routing.models import Operator

log = structlog.get_logger(__name__)

BATCH = 1000
# Longer than a worker needs to be started again: what it knew is replayed before its rows are taken for unknown.
RECLAIM_SECONDS = 10.0

_EXPIRE = """
WITH gone AS (
    SELECT message_id FROM gateway_duemessage WHERE expires_at <= %s LIMIT %s FOR UPDATE SKIP LOCKED
)
DELETE FROM gateway_duemessage d USING gone g WHERE d.message_id = g.message_id RETURNING d.message_id
"""


def expire(*, now: datetime) -> int:
    """End messages whose validity ran out while they waited; returns how many."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_EXPIRE, [now, BATCH])
        late = [key for (key,) in cursor.fetchall()]
        if late:
            lifecycle.move(
                moves=[Move(key, Status.EXPIRED, now, error_code="EXPIRED_BEFORE_SUBMISSION") for key in late]
            )
        return len(late)


# A lease is over when its time is, or when the worker that holds it has fallen silent: a killed worker's rows
# need not wait for the clock.
_OVER = """
SELECT d.id, d.message_id, d.operator_id, d.worker
FROM routing_delivery d
WHERE d.lease_until <= now()
   OR (d.worker IS NOT NULL AND d.lease_until < now() + %(hold)s * interval '1 second'
       AND NOT EXISTS (SELECT FROM routing_operatorstate s
                       WHERE s.worker = d.worker AND s.operator_id = d.operator_id
                         AND s.seen_at > now() - %(silence)s * interval '1 second'))
LIMIT %(limit)s
FOR UPDATE OF d SKIP LOCKED
"""


def reclaim(*, now: datetime) -> int:
    """Take back deliveries whose lease is over; returns how many.

    One that no worker took in hand just waits again. One that a worker had in hand may have reached the
    operator: what then is the operator's setting, as for any submit without an answer.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            _OVER,
            {
                # a row taken this moment by a worker that has not yet reported is left alone
                "hold": delivery.HOLD_SECONDS - RECLAIM_SECONDS,
                "silence": RECLAIM_SECONDS,
                "limit": BATCH,
            },
        )
        rows = cursor.fetchall()
        untouched = [row for row in rows if row[3] is None]
        if untouched:
            delivery.give_back(
                delivery_ids=[row[0] for row in untouched],
                message_ids=[row[1] for row in untouched],
                worker=None,
                now=now,
            )
        in_hand = [row for row in rows if row[3] is not None]
        _abandoned(in_hand, now)
    if rows:
        log.warning("deliveries.reclaimed", untouched=len(untouched), unknown=len(in_hand))
    return len(rows)


def _abandoned(rows: list[tuple[UUID, UUID, int, str]], now: datetime) -> None:
    retries = {
        key: policy == Operator.UnknownOutcome.RETRY
        for key, policy in Operator.objects.values_list("id", "on_unknown_outcome")
    }
    slugs = slugs_by_id()
    for operator_id, worker in {(row[2], row[3]) for row in rows}:
        carrier = Carrier(operator_id, slugs.get(operator_id, ""), worker, retries.get(operator_id, True))
        delivery.record(
            carrier=carrier,
            outcomes=[
                Outcome(key, message_id, Verdict.UNKNOWN, now)
                for key, message_id, owner, name in rows
                if (owner, name) == (operator_id, worker)
            ],
        )


def rematch(*, now: datetime) -> int:
    """Match parked receipts again; returns how many were looked at."""
    return receipts.rematch(slugs=slugs_by_id(), now=now)


def fall_back(*, now: datetime) -> int:
    """Take messages that were not delivered in time to the next step of their chain; returns how many were looked
    at."""
    return fallbacks.fall_back(now=now)


def slugs_by_id() -> dict[int, str]:
    return {key: standing.slug for key, standing in operators.standings().items()}
