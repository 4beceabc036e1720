"""From a leased delivery to the operator's answer, and what the answer does to the ledger.

Taking rows in hand and recording outcomes are one transaction each, for as many rows as there are. Between the two
the transport works; a worker that dies there leaves rows whose lease runs out (see :mod:`routing.sweeps`).
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from gateway import arrays, events, lifecycle, statuses
from gateway.events import Note
from gateway.lifecycle import Move
from gateway.statuses import Status
from routing import chains, circuit, failover, fallbacks, receipts, selection
from routing.contract import Outbound, Outcome, Verdict
from routing.fallbacks import Failure

# How long a row stays this worker's without word of it; the worker renews at half of that.
HOLD_SECONDS = 60
# From this try on a message that the operator did not answer, or put off, waits ever longer: it may be what
# kills the link, and must not keep the others from it.
PATIENT_TRIES = 3
SLOWEST_RETRY_SECONDS = 300
# So many tries take 48 hours, the longest validity that a message may ask for: all but the first wait longest.
MOST_TRIES = 8 + 172_800 // SLOWEST_RETRY_SECONDS


@dataclass(frozen=True, slots=True)
class Carrier:
    """Who records: an operator and this worker process."""

    operator_id: int
    slug: str
    worker: str
    retries_unknown: bool = True


_TAKE = """
UPDATE routing_delivery SET worker = %(worker)s, lease_until = now() + %(hold)s * interval '1 second'
WHERE id = ANY(%(ids)s::uuid[]) AND worker IS NULL
RETURNING id, message_id, operator_id
"""
_CONTENT = """
SELECT id, tenant_id, channel, recipient, sender, text, content, parts, metadata, expires_at,
       NOT exempt AND EXISTS (SELECT FROM gateway_optout o
                              WHERE o.tenant_id = m.tenant_id AND o.phone = m.recipient
                                AND (o.sender = '' OR lower(ltrim(o.sender, '+')) = lower(ltrim(m.sender, '+')))),
       CASE WHEN fallback IS NOT NULL THEN fallback_step END, priority
FROM gateway_message m WHERE id = ANY(%s::uuid[]) AND id BETWEEN %s AND %s
ORDER BY priority, coalesce(send_at, created_at), id
"""


def take(*, delivery_ids: Sequence[str], worker: str, now: datetime) -> dict[int, list[Outbound]]:
    """Take leased rows in hand: their messages are ``sending`` from here on, or not ours to send.

    A message at a later step of its fallback chain that is ``sent`` already stays so. A row that another task has
    taken, a message that was cancelled meanwhile, one whose validity is over and one whose recipient has opted out
    are left out; the last two become ``expired`` and ``rejected``. One whose operator is in its quiet hours waits on.

    Returns:
        The messages to send, in order, by operator id. Committed.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_TAKE, {"worker": worker, "hold": HOLD_SECONDS, "ids": arrays.plain(delivery_ids)})
        deliveries = {message_id: (key, operator) for key, message_id, operator in cursor.fetchall()}
        if not deliveries:
            return {}
        cursor.execute(_CONTENT, [arrays.uuids(deliveries), min(deliveries), max(deliveries)])
        rows = _awake(cursor.fetchall(), deliveries, worker, now)
        ends = {row[0]: end for row in rows if (end := _end(row, now)) is not None}
        sending = lifecycle.move(
            moves=[Move(row[0], Status.SENDING, now) for row in rows if row[0] not in ends]
            + list(ends.values())
        )
        sending -= ends.keys()
        steps = {row[0]: row[11] for row in rows if row[11] is not None and row[0] not in ends}
        if steps:
            sending |= fallbacks.under_way(steps={k: step for k, step in steps.items() if k not in sending})
            _mark({deliveries[key][0]: step for key, step in steps.items() if key in sending})
        _drop(key for message_id, (key, _operator) in deliveries.items() if message_id not in sending)
    chosen: dict[int, list[Outbound]] = defaultdict(list)
    for row in rows:
        if row[0] in sending:
            key, operator_id = deliveries[row[0]]
            chosen[operator_id].append(_outbound(key, row))
    return chosen


def _awake(
    rows: list[tuple[Any, ...]], deliveries: dict[UUID, tuple[UUID, int]], worker: str, now: datetime
) -> list[tuple[Any, ...]]:
    """The rows whose operators take them now; the others' deliveries go, and their messages to wait for a route."""
    routes = selection.table()
    if not routes.hushes:
        return rows
    resting = {row[0] for row in rows if routes.rests(deliveries[row[0]][1], row[3], row[12])}
    if not resting:
        return rows
    gone = {key: deliveries.pop(key)[0] for key in resting}
    give_back(
        delivery_ids=list(gone.values()), message_ids=list(gone), worker=worker, now=now, lane=selection.LATER
    )
    return [row for row in rows if row[0] not in resting]


def _end(row: Sequence[Any], now: datetime) -> Move | None:
    """What ends a message instead of being sent."""
    if row[9] is not None and row[9] <= now:
        return Move(row[0], Status.EXPIRED, now, error_code="EXPIRED_BEFORE_SUBMISSION")
    if row[10]:
        return Move(row[0], Status.REJECTED, now, error_code="RECIPIENT_OPTED_OUT")
    return None


_MARK = """
UPDATE routing_delivery d SET step = u.step
FROM unnest(%s::uuid[], %s::smallint[]) AS u(id, step) WHERE d.id = u.id
"""


def _mark(steps: dict[UUID, int]) -> None:
    """Remember which step of its chain each delivery is."""
    if steps:
        with connection.cursor() as cursor:
            cursor.execute(_MARK, [arrays.uuids(steps), arrays.numbers(steps.values())])


def _outbound(key: UUID, row: Sequence[Any]) -> Outbound:
    message_id, tenant_id, channel, recipient, sender, text, content, parts, metadata, expires_at = row[:10]
    return Outbound(
        key,
        message_id,
        tenant_id,
        channel,
        recipient,
        sender,
        text,
        content and json.loads(content),
        parts,
        metadata and json.loads(metadata),
        expires_at,
    )


_RENEW = """
UPDATE routing_delivery SET lease_until = now() + %(hold)s * interval '1 second'
WHERE id = ANY(%(ids)s::uuid[]) AND worker = %(worker)s AND lease_until < now() + %(hold)s / 2 * interval '1 second'
"""


def renew(*, delivery_ids: Sequence[UUID], worker: str) -> None:
    """Keep rows in hand whose lease is half over. What no task works on any more is left to run out."""
    with connection.cursor() as cursor:
        cursor.execute(_RENEW, {"hold": HOLD_SECONDS, "ids": arrays.uuids(delivery_ids), "worker": worker})


def _drop(delivery_ids: Iterable[UUID]) -> None:
    keys = list(delivery_ids)
    if keys:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM routing_delivery WHERE id = ANY(%s::uuid[])", [arrays.uuids(keys)])


_FINISH = "DELETE FROM routing_delivery WHERE id = ANY(%s::uuid[]) AND worker = %s RETURNING id, step"
_NOT_WAITING = "DELETE FROM gateway_duemessage WHERE message_id = ANY(%s::uuid[])"


def record(*, carrier: Carrier, outcomes: Sequence[Outcome]) -> None:
    """Write what came of deliveries, in one transaction.

    An acceptance counts even when the row's lease has run out meanwhile: the operator has the message, so it
    must not wait to be sent again. Other outcomes of rows that are no longer ours are someone else's to tell.
    A refusal takes the message to the next operator that has a route for it; it ends the message only when there is
    none, and no step of its fallback chain is left.
    """
    if not outcomes:
        return
    reported = outcomes
    with transaction.atomic():
        outcomes = _given_up(outcomes)
        onward = failover.elsewhere(
            operator_id=carrier.operator_id,
            worker=carrier.worker,
            outcomes=outcomes,
            now=outcomes[0].occurred_at,
        )
        again: list[Outcome] = []
        ended: list[Outcome] = []
        for outcome in outcomes:
            is_over = not _waits_again(carrier, outcome) and outcome.delivery_id not in onward
            (ended if is_over else again).append(outcome)
        _conclude(carrier, ended)
        if again:
            give_back(
                delivery_ids=[outcome.delivery_id for outcome in again],
                message_ids=[outcome.message_id for outcome in again],
                worker=carrier.worker,
                now=again[0].occurred_at,
                tried=True,
                onward=onward,
            )
            events.note(notes=[_passed_on(carrier, o) for o in again if o.delivery_id in onward])
    # Once, however often the transaction is tried.
    circuit.count(operator_id=carrier.operator_id, outcomes=reported)


def _conclude(carrier: Carrier, ended: Sequence[Outcome]) -> None:
    """Write what came of deliveries that are over with this operator."""
    steps = _finish(carrier, ended)
    told = [outcome for outcome in ended if outcome.delivery_id in steps]
    late = [o for o in ended if o.delivery_id not in steps and o.verdict is Verdict.ACCEPTED]
    if late:
        _stop_waiting({outcome.message_id for outcome in late})
    _accept(carrier, told, late, steps)
    refused = [outcome for outcome in told if outcome.verdict is Verdict.REFUSED]
    if refused:
        failures = [Failure(_refusal(carrier, o), steps[o.delivery_id]) for o in refused]
        fallbacks.fail(failures=failures, now=refused[0].occurred_at)
    receipts.expect(operator_id=carrier.operator_id, outcomes=told, steps=steps)
    receipts.expect(operator_id=carrier.operator_id, outcomes=late, known=True)


_TOO_OFTEN = "SELECT id FROM routing_delivery WHERE id = ANY(%s::uuid[]) AND attempts >= %s"


def _given_up(outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    """The outcomes; what an operator has put off :data:`MOST_TRIES` times it has refused."""
    put_off = [outcome.delivery_id for outcome in outcomes if outcome.verdict is Verdict.RETRY]
    if not put_off:
        return outcomes
    with connection.cursor() as cursor:
        cursor.execute(_TOO_OFTEN, [arrays.uuids(put_off), MOST_TRIES])
        tired = {key for (key,) in cursor.fetchall()}
    return [replace(o, verdict=Verdict.REFUSED) if o.delivery_id in tired else o for o in outcomes]


def _passed_on(carrier: Carrier, outcome: Outcome) -> Note:
    """The timeline's line of a refusal that is not the message's end."""
    code = outcome.error_code or "REJECTED_BY_OPERATOR"
    return Note(outcome.message_id, "operator.refused", outcome.occurred_at, carrier.slug, outcome.code, code)


def _accept(
    carrier: Carrier, told: Sequence[Outcome], late: Sequence[Outcome], steps: dict[UUID, int | None]
) -> None:
    """Messages that the operator took are ``sent``; of those that were, a later step has gone out."""
    moved = lifecycle.move(
        moves=[
            _move(carrier, outcome)
            for outcomes in (told, late)
            for outcome in outcomes
            if outcome.verdict is not Verdict.REFUSED
        ]
    )
    fallbacks.carried(
        accepted=[
            _move(carrier, outcome)
            for outcome in told
            if steps[outcome.delivery_id]
            and outcome.verdict is not Verdict.REFUSED
            and outcome.message_id not in moved
        ]
    )


def _stop_waiting(message_ids: set[UUID]) -> None:
    """What an operator has need not be sent again; a later step of its chain must."""
    later = {key for key, chain in chains.lock(message_ids=message_ids).items() if chain.step}
    with connection.cursor() as cursor:
        cursor.execute(_NOT_WAITING, [arrays.uuids(message_ids - later)])


def _waits_again(carrier: Carrier, outcome: Outcome) -> bool:
    return outcome.verdict is Verdict.RETRY or (
        outcome.verdict is Verdict.UNKNOWN and carrier.retries_unknown
    )


def _finish(carrier: Carrier, outcomes: Sequence[Outcome]) -> dict[UUID, int | None]:
    """End the rows that are still this worker's; the steps of their messages' chains by delivery id."""
    if not outcomes:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_FINISH, [arrays.uuids(outcome.delivery_id for outcome in outcomes), carrier.worker])
        return dict(cursor.fetchall())


def _move(carrier: Carrier, outcome: Outcome) -> Move:
    if outcome.verdict is Verdict.ACCEPTED:
        data: dict[str, Any] = {"remoteIds": list(outcome.remote_ids)}
        return Move(
            outcome.message_id, Status.SENT, outcome.occurred_at, carrier.slug, outcome.code, None, data
        )
    # No answer, and by the operator's setting not sent again: a receipt may still tell.
    return Move(
        outcome.message_id,
        Status.SENT,
        outcome.occurred_at,
        carrier.slug,
        outcome.code,
        "OUTCOME_UNKNOWN",
    )


def _refusal(carrier: Carrier, outcome: Outcome) -> Move:
    return Move(
        outcome.message_id,
        Status.REJECTED,
        outcome.occurred_at,
        carrier.slug,
        outcome.code,
        outcome.error_code or "REJECTED_BY_OPERATOR",
    )


# What waits again keeps its place in the order: the moment since when it was due. A try that the operator never
# saw does not count; one that it refused takes the message to another's lane at once, with no tries there yet.
_WAIT_AGAIN = """
WITH gone AS (
    DELETE FROM routing_delivery
    WHERE id = ANY(%(ids)s::uuid[]) AND worker IS NOT DISTINCT FROM %(worker)s
    RETURNING *
)
INSERT INTO gateway_duemessage (message_id, tenant_id, lane, priority, due_at, expires_at, channel, recipient,
                                sender, parts, attempts, refused_by)
SELECT g.message_id, g.tenant_id, coalesce(n.lane, %(lane)s, g.operator_id), g.priority,
       CASE WHEN %(tried)s AND n.lane IS NULL AND g.attempts >= %(patient)s
            THEN now() + least(2 ^ least(g.attempts, 16), %(slowest)s) * interval '1 second' ELSE g.due_at END,
       m.expires_at, m.channel, m.recipient, m.sender, g.parts,
       CASE WHEN n.lane IS NOT NULL THEN 0 WHEN %(tried)s THEN g.attempts ELSE g.attempts - 1 END,
       CASE WHEN n.lane IS NULL THEN g.refused_by ELSE g.refused_by || g.operator_id END
FROM gone g LEFT JOIN unnest(%(onward)s::uuid[], %(lanes)s::int[]) AS n(id, lane) ON n.id = g.id
JOIN gateway_message m ON m.id = g.message_id
WHERE m.id = ANY(%(messages)s::uuid[]) AND m.id BETWEEN %(first)s AND %(last)s
  AND (m.status = ANY(%(waiting)s::text[]) OR m.status = 'sent' AND m.fallback_step > 0)
  AND (g.step IS NULL OR g.step = m.fallback_step)
ON CONFLICT (message_id) DO NOTHING
"""


_WAITING = arrays.texts([status.value for status in sorted(statuses.WAITING)])
_OURS = "SELECT message_id FROM routing_delivery WHERE id = ANY(%s::uuid[]) AND worker = %s FOR UPDATE"
_NOWHERE: Mapping[UUID, int] = MappingProxyType({})


def give_back(
    *,
    delivery_ids: Sequence[UUID],
    message_ids: Sequence[UUID],
    worker: str | None,
    now: datetime,
    tried: bool = False,
    onward: Mapping[UUID, int] = _NOWHERE,
    lane: int | None = None,
) -> None:
    """Let messages wait again, at their old place; those that ended meanwhile just lose their delivery.

    ``worker``: who has them in hand, None when nobody took them yet. ``tried``: the operator may have seen them.
    ``onward``: the next operators of those that this one refused, by delivery id. ``lane``: where the others wait;
    None is for the same operator.
    """
    if not delivery_ids:
        return
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        if worker is not None:
            # Only of rows that are still ours: another worker may have the message in hand by now.
            cursor.execute(_OURS, [arrays.uuids(delivery_ids), worker])
            ours = [key for (key,) in cursor.fetchall()]
            lifecycle.move(moves=[Move(key, Status.QUEUED, now) for key in ours])
        cursor.execute(
            _WAIT_AGAIN,
            {
                "ids": arrays.uuids(delivery_ids),
                "messages": arrays.uuids(message_ids),
                "first": min(message_ids),
                "last": max(message_ids),
                "worker": worker,
                "tried": tried,
                "waiting": _WAITING,
                "patient": PATIENT_TRIES,
                "slowest": SLOWEST_RETRY_SECONDS,
                "onward": arrays.uuids(onward),
                "lanes": arrays.numbers(onward.values()),
                "lane": lane,
            },
        )
