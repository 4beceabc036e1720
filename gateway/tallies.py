"""How many messages there are of each kind: exact at every moment, without a scan and without waiting.

Whoever writes a status adds to ``gateway_tallydelta`` in the same statement: one row a kind, inserted and never
updated, so that no two writers meet. The relays fold the rows into ``gateway_tally``; who reads adds up both.

A message is counted in the minute of its acceptance, by status and operator. What no operator has taken yet, whatever
it waits for, is ``accepted`` and has no operator; an error code counts where it ended the message. The times from
acceptance to sent and from sent to delivered are histograms, counted once, as they were measured: under the operator
and the channel of that moment.
"""

import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection, transaction

from gateway import arrays
from gateway.models.tally import Tally
from gateway.statuses import Status

OPEN = (Status.SCHEDULED, Status.ACCEPTED, Status.QUEUED, Status.SENDING)
# The statuses that are counted, each with all that count as it.
COUNTED = (Status.ACCEPTED, *(status for status in Status if status not in OPEN))
_WITH_ERROR = (Status.FAILED, Status.EXPIRED, Status.REJECTED, Status.CANCELED)

# Minutes become hours when they are so old, and hours are dropped.
MINUTES_KEPT = timedelta(hours=48)
HOURS_KEPT = timedelta(days=400)

# Each bucket of a histogram ends this many times later than the one before: its middle is off by 4 % at most.
GROWTH = 1.08
_STEP = math.log(GROWTH)


def bucket(milliseconds: float) -> int:
    """The number of the bucket that a duration falls into; 0 is up to 1 ms."""
    return math.ceil(math.log(max(1.0, milliseconds)) / _STEP)


def middle(bucket_number: int) -> float:
    """The milliseconds that stand for a bucket, to a hundredth."""
    return round(math.pow(GROWTH, bucket_number - 0.5), 2)


def bucket_of(interval: str) -> str:
    """SQL for the :func:`bucket` of an SQL expression that is an interval."""
    # date_part is extract without the decimals, which cost more than the rest of it.
    return f"ceil(ln(greatest(1, date_part('epoch', {interval}) * 1000)) / {_STEP!r})::int"


_KIND = "tenant_id, at, channel, country, operator, measure, value, error_code"
_OPEN = ", ".join(f"'{status}'" for status in OPEN)
_ENDED = ", ".join(f"'{status}'" for status in _WITH_ERROR)

# One more part of the statement that writes messages: `asked` has their rows, `%(at)s` is when.
ACCEPTANCE = f"""
    INSERT INTO gateway_tallydelta ({_KIND}, count)
    SELECT tenant_id, date_trunc('minute', %(at)s), channel, country, '', {Tally.Measure.STATUS}, 'accepted', '',
           count(*)
    FROM asked GROUP BY tenant_id, channel, country
"""

# What the UPDATE that moves messages sets and returns beside its own, for the parts that count them.
REMEMBER = "previous = m.status || '/' || coalesce(m.operator, ''),"
RETURN = """m.created_at, m.send_at, m.sent_at, m.delivered_at, m.channel, m.country, m.previous,
              m.operator AS carrier,"""
_WAS = "split_part(k.previous, '/', 1)"
_LATENCIES = {
    Status.SENT: (Tally.Measure.ACCEPTED_TO_SENT, bucket_of("sent_at - greatest(created_at, send_at)")),
    # A receipt that overtook the operator's acceptance tells of no moment at which the message was sent.
    **dict.fromkeys(
        (Status.DELIVERED, Status.READ),
        (
            Tally.Measure.SENT_TO_DELIVERED,
            f"CASE WHEN previous LIKE 'sent/%%' THEN {bucket_of('delivered_at - sent_at')} END",
        ),
    ),
}


def counts(target: Status) -> bool:
    """Whether a move to this status changes what a message is counted as."""
    return target not in OPEN


def movement(target: Status) -> str:
    """More parts of the statement that moves messages: ``moved`` has their rows (see REMEMBER and RETURN)."""
    measure, latency = _LATENCIES.get(target, (Tally.Measure.ACCEPTED_TO_SENT, "NULL::int"))
    error = "coalesce(error_code, '')" if target in _WITH_ERROR else "''"
    timed = f", (k.operator, {measure}, k.latency::text, '', k.count)" if target in _LATENCIES else ""
    return f""", kinds AS (
    SELECT tenant_id, date_trunc('minute', created_at) AS at, channel, coalesce(country, '') AS country, previous,
           coalesce(carrier, '') AS operator, {error} AS error_code, {latency} AS latency, count(*) AS count
    FROM moved GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
), tallied AS (
    INSERT INTO gateway_tallydelta ({_KIND}, count)
    SELECT k.tenant_id, k.at, k.channel, k.country, c.operator, c.measure, c.value, c.error_code, sum(c.count)
    FROM kinds k CROSS JOIN LATERAL (VALUES
        (CASE WHEN {_WAS} IN ({_OPEN}) THEN '' ELSE substr(k.previous, length({_WAS}) + 2) END,
         {Tally.Measure.STATUS}, CASE WHEN {_WAS} IN ({_OPEN}) THEN 'accepted' ELSE {_WAS} END, '', -k.count),
        (k.operator, {Tally.Measure.STATUS}, '{target}', k.error_code, k.count){timed}
    ) AS c(operator, measure, value, error_code, count)
    WHERE c.value IS NOT NULL
    GROUP BY k.tenant_id, k.at, k.channel, k.country, c.operator, c.measure, c.value, c.error_code
)"""


_COUNT = f"""
WITH held AS MATERIALIZED (
    SELECT tenant_id, created_at, channel, coalesce(country, '') AS country, coalesce(operator, '') AS operator,
           status, coalesce(error_code, '') AS error_code
    FROM gateway_message
    WHERE id = ANY(%(ids)s::uuid[]) AND id BETWEEN %(first)s AND %(last)s
    ORDER BY id
    FOR UPDATE
)
INSERT INTO gateway_tallydelta ({_KIND}, count)
SELECT tenant_id, date_trunc('minute', created_at), channel, country,
       CASE WHEN status IN ({_OPEN}) THEN '' ELSE operator END, {Tally.Measure.STATUS},
       CASE WHEN status IN ({_OPEN}) THEN 'accepted' ELSE status END,
       CASE WHEN status IN ({_ENDED}) THEN error_code ELSE '' END, %(sign)s * count(*)
FROM held GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
"""


def shift(*, message_ids: Sequence[UUID], change: Callable[[], None]) -> None:
    """Run ``change``, which gives the messages another channel or operator but no other status.

    In the caller's transaction, which locks the messages until its end.
    """
    keys = sorted(set(message_ids))
    with transaction.atomic(savepoint=False):
        _count(keys, -1)
        change()
        _count(keys, 1)


def _count(keys: Sequence[UUID], sign: int) -> None:
    if not keys:
        return
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"ids": arrays.uuids(keys), "first": keys[0], "last": keys[-1], "sign": sign})


_LOCK = 0x74616C6C79
_BATCH = 20_000
_ADD = f"""
    INSERT INTO gateway_tally AS t ({_KIND}, count)
    SELECT tenant_id, CASE WHEN at < %(hours)s THEN date_trunc('hour', at) ELSE at END, channel, country, operator,
           measure, value, error_code, sum(count)
    FROM gone GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 HAVING sum(count) <> 0
    ON CONFLICT ({_KIND}) DO UPDATE SET count = t.count + excluded.count
"""
_ROLL_UP = f"""
WITH gone AS (
    DELETE FROM gateway_tallydelta
    WHERE id = ANY(ARRAY(SELECT id FROM gateway_tallydelta ORDER BY id LIMIT {_BATCH}))
    RETURNING *
), added AS ({_ADD})
SELECT count(*) FROM gone
"""
_TO_HOURS = f"""
WITH gone AS (
    DELETE FROM gateway_tally
    WHERE id = ANY(ARRAY(SELECT id FROM gateway_tally
                         WHERE at < %(hours)s AND at <> date_trunc('hour', at) LIMIT {_BATCH}))
    RETURNING *
), added AS ({_ADD})
SELECT count(*) FROM gone
"""
_FORGET = """
WITH gone AS (DELETE FROM gateway_tally WHERE count = 0 OR at < %(oldest)s RETURNING id)
SELECT count(*) FROM gone
"""


def roll_up(*, now: datetime) -> int:
    """Fold a batch of deltas into the tallies, unless another relay is at it; returns 0 when that was the last."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        if not cursor.fetchone()[0]:
            return 0
        found = _run(_ROLL_UP, {"hours": hours_before(now)})
    return found if found >= _BATCH else 0


_merged: datetime | None = None


def merge(*, now: datetime) -> None:
    """Make hours of old minutes, drop old hours and what comes to nothing: when a process starts, and every hour."""
    global _merged  # noqa: PLW0603 - what this process has done
    if _merged == hours_before(now):
        return
    while _run_alone(_TO_HOURS, {"hours": hours_before(now)}) >= _BATCH:
        pass
    _run_alone(_FORGET, {"oldest": now - HOURS_KEPT})
    _merged = hours_before(now)


def hours_before(now: datetime) -> datetime:
    """Before this whole hour there are hours; from it on, minutes."""
    return (now - MINUTES_KEPT).replace(minute=0, second=0, microsecond=0)


def _run_alone(statement: str, moments: dict[str, datetime]) -> int:
    """Run one of them while no relay rolls up; returns how many rows it took."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        return _run(statement, moments)


def _run(statement: str, moments: dict[str, datetime]) -> int:
    with connection.cursor() as cursor:
        # What a crash undoes is there as it was before, to be folded again.
        cursor.execute("SET LOCAL synchronous_commit = off")
        cursor.execute(statement, moments)
        return int(cursor.fetchone()[0])
