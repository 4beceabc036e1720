"""The breaker of each operator: one that fails too often, or stopped giving receipts, is passed over for a while.

Workers count what comes of submits and tell it with their state, once a second. The relay judges: at half of at
least 20 submits of the last minute failed the breaker opens (``tripped_until``), for as long as a minute's counts
last. Then the operator is probed with a few messages at a time: they close the breaker or open it again. Likewise
when all that an operator took for some minutes was left without a receipt, where it used to give them.

What no other operator can carry goes by one whose breaker is open all the same. An operator's settings may switch
the breaker off (``breaker``: false) and set the minutes (``no_receipts_minutes``: 15 unless given, null is never).
"""

import threading
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any

import structlog
from django.db import connection

from routing.contract import Outcome, Verdict

log = structlog.get_logger(__name__)

MINUTE = 60
FAILED_SHARE = 0.5
LEAST_SUBMITS = 20
# Of one that is probed.
LEAST_PROBES = 5
PROBES_AT_ONCE = 5
OPEN_SECONDS = 60.0
NO_RECEIPTS_MINUTES = 15.0
NO_RECEIPTS = "no receipts"

# Refusals that are about the message: any operator may say so, and the one that does works.
OF_THE_MESSAGE = frozenset(
    {
        "INVALID_RECIPIENT",
        "INVALID_SENDER",
        "METADATA_INVALID",
        "PARTLY_REJECTED_BY_OPERATOR",
        "RECIPIENT_NOT_REACHABLE",
        "TEMPLATE_REQUIRED",
        "UNENCODABLE",
    }
)

_lock = threading.Lock()
# By operator: (second, tried, failed), oldest first.
_seconds: dict[int, deque[list[int]]] = defaultdict(deque)


def count(*, operator_id: int, outcomes: Sequence[Outcome]) -> None:
    """Remember how an operator did."""
    if not outcomes:
        return
    failed = sum(1 for outcome in outcomes if _is_failure(outcome))
    now = int(time.monotonic())
    with _lock:
        seconds = _seconds[operator_id]
        if seconds and seconds[-1][0] == now:
            seconds[-1][1] += len(outcomes)
            seconds[-1][2] += failed
        else:
            seconds.append([now, len(outcomes), failed])
            while seconds[0][0] <= now - MINUTE:
                seconds.popleft()


def _is_failure(outcome: Outcome) -> bool:
    if outcome.verdict is Verdict.ACCEPTED:
        return False
    return outcome.error_code not in OF_THE_MESSAGE


def minute(*, operator_id: int) -> dict[str, Any]:
    """This process's counts of the last minute, as they go into its state; empty when there are none."""
    since = int(time.monotonic()) - MINUTE
    with _lock:
        counted = [(tried, failed) for at, tried, failed in _seconds.get(operator_id, ()) if at > since]
    if not counted:
        return {}
    tried, failed = map(sum, zip(*counted, strict=True))
    return {"minute": {"tried": tried, "failed": failed}}


_MINUTE = """
WITH minute AS (
    SELECT operator_id, sum((detail->'minute'->>'tried')::int) AS tried,
           sum((detail->'minute'->>'failed')::int) AS failed
    FROM routing_operatorstate
    WHERE seen_at > now() - interval '4 seconds' AND detail->'minute' IS NOT NULL
    GROUP BY operator_id
)
"""
# Workers reload an operator whose `updated_at` moved; this must not move it.
_TRIP = f"""{_MINUTE}
UPDATE routing_operator o
SET tripped_until = now() + %(open)s * interval '1 second',
    tripped_reason = format('%%s of %%s submits of the last minute failed', m.failed, m.tried)
FROM minute m
WHERE o.id = m.operator_id AND o.id > 0 AND o.settings->'breaker' IS DISTINCT FROM 'false'::jsonb
  AND (o.tripped_until IS NULL OR o.tripped_until <= now())
  AND m.tried >= CASE WHEN o.tripped_until IS NULL THEN %(least)s ELSE %(probes)s END
  AND m.failed >= m.tried * %(share)s
RETURNING o.slug, o.tripped_reason
"""
_CLOSE = f"""{_MINUTE}
UPDATE routing_operator o SET tripped_until = NULL, tripped_reason = ''
FROM minute m
WHERE o.id = m.operator_id AND o.tripped_until <= now() AND NOT starts_with(o.tripped_reason, %(no_receipts)s)
  AND m.tried >= %(probes)s AND m.failed < m.tried * %(share)s
RETURNING o.slug
"""


def judge() -> None:
    """Open and close breakers by what the workers counted. Any number of relays may."""
    with connection.cursor() as cursor:
        cursor.execute(
            _TRIP,
            {"open": OPEN_SECONDS, "least": LEAST_SUBMITS, "probes": LEAST_PROBES, "share": FAILED_SHARE},
        )
        for slug, reason in cursor.fetchall():
            log.warning("operator.tripped", operator=slug, reason=reason)
        cursor.execute(_CLOSE, {"no_receipts": NO_RECEIPTS, "probes": LEAST_PROBES, "share": FAILED_SHARE})
        for (slug,) in cursor.fetchall():
            log.info("operator.trusted_again", operator=slug)


# Ten looks into the last minutes and twelve into the day before, a few hundred rows each: enough to tell none from
# some, however much there is. What is younger than a minute may well be without a receipt yet.
_SILENT = """
WITH watched AS (
    SELECT id, slug, tripped_until,
           CASE WHEN jsonb_typeof(settings->'no_receipts_minutes') = 'number'
                THEN (settings->>'no_receipts_minutes')::float8 ELSE %(minutes)s END * interval '1 minute' AS span
    FROM routing_operator
    WHERE id > 0 AND active AND (tripped_until IS NULL OR tripped_until <= now())
      AND settings->'breaker' IS DISTINCT FROM 'false'::jsonb
      AND settings->'no_receipts_minutes' IS DISTINCT FROM 'null'::jsonb
), spans AS (
    SELECT DISTINCT span FROM watched
), recent AS (
    SELECT spans.span, p.operator_id, p.state, p.submitted_at
    FROM spans CROSS JOIN generate_series(0, 9) AS look CROSS JOIN LATERAL (
        SELECT operator_id, state, submitted_at FROM routing_part
        WHERE submitted_at >= now() - spans.span * (1 - look * 0.1)
          AND submitted_at < least(now() - spans.span * (0.9 - look * 0.1), now() - interval '1 minute')
        ORDER BY submitted_at LIMIT 300
    ) p
), before AS (
    SELECT spans.span, p.operator_id, p.state
    FROM spans CROSS JOIN generate_series(0, 11) AS look CROSS JOIN LATERAL (
        SELECT operator_id, state FROM routing_part
        WHERE submitted_at >= now() - spans.span - (look + 1) * interval '2 hours'
          AND submitted_at < now() - spans.span - look * interval '2 hours'
        ORDER BY submitted_at DESC LIMIT 300
    ) p
), silent AS (
    SELECT w.id FROM watched w JOIN recent r ON r.span = w.span AND r.operator_id = w.id
    WHERE w.tripped_until IS NULL OR r.submitted_at > w.tripped_until
    GROUP BY w.id, w.span, w.tripped_until
    HAVING count(*) >= %(least)s AND count(r.state) = 0
       AND min(r.submitted_at) < CASE WHEN w.tripped_until IS NULL THEN now() - w.span * 0.8
                                      ELSE now() - interval '1 minute' END
)
UPDATE routing_operator o
SET tripped_until = now() + %(open)s * interval '1 second',
    tripped_reason = format('%%s for %%s minutes, as far as seen', %(no_receipts)s::text,
                            round(extract(epoch FROM w.span) / 60))
FROM watched w
WHERE o.id = w.id AND w.id IN (SELECT id FROM silent)
  AND (w.tripped_until IS NOT NULL
       OR (SELECT count(b.state) >= greatest(%(least)s, count(*) * 0.5) FROM before b
           WHERE b.span = w.span AND b.operator_id = w.id))
RETURNING o.slug, o.tripped_reason
"""
_HEARD = """
UPDATE routing_operator o SET tripped_until = NULL, tripped_reason = ''
WHERE o.tripped_until <= now() AND starts_with(o.tripped_reason, %s)
  AND EXISTS (SELECT FROM routing_part p
              WHERE p.operator_id = o.id AND p.submitted_at > o.tripped_until AND p.state IS NOT NULL)
RETURNING o.slug
"""


def judge_receipts() -> None:
    """Open the breakers of operators whose receipts stopped; close those of operators that give them again."""
    with connection.cursor() as cursor:
        cursor.execute(_HEARD, [NO_RECEIPTS])
        for (slug,) in cursor.fetchall():
            log.info("operator.trusted_again", operator=slug)
        cursor.execute(
            _SILENT,
            {
                "minutes": NO_RECEIPTS_MINUTES,
                "least": LEAST_SUBMITS,
                "open": OPEN_SECONDS,
                "no_receipts": NO_RECEIPTS,
            },
        )
        for slug, reason in cursor.fetchall():
            log.warning("operator.tripped", operator=slug, reason=reason)


def trip(*, operator_ids: Sequence[int], seconds: float, reason: str) -> int:
    """Have operators passed over for a while; returns how many."""
    return _set(operator_ids, seconds, reason)


def reset(*, operator_ids: Sequence[int]) -> int:
    """Trust operators again at once; returns how many."""
    return _set(operator_ids, None, "")


_SET = """
UPDATE routing_operator SET tripped_until = now() + %s * interval '1 second', tripped_reason = %s
WHERE id = ANY(%s) AND id > 0
"""


def _set(operator_ids: Sequence[int], seconds: float | None, reason: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_SET, [seconds, reason, list(operator_ids)])
        return int(cursor.rowcount)
