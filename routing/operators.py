"""What is known of the operators right now: their rows, and what their workers last said of them."""

import json
import time
from dataclasses import dataclass
from typing import Any

from django.db import connection
from psycopg.types.json import Jsonb

from gateway import sealing
from routing import circuit, quiet
from routing.contract import OperatorSettings, TransportState
from routing.models import Operator

# A worker that has said nothing for so long is gone: it speaks every second.
SILENCE_SECONDS = 4.0
REFRESH_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Standing:
    """An operator as the relay sees it.

    ``ready``: some worker has a bind up and the operator takes messages; ``up``: the same when it said "slow down".
    ``tripped``: its breaker is open, routing passes it over; ``probing``: it was, and shows now whether it works.
    What has waited ``slow_seconds`` for it goes to another; None is however long.
    """

    operator_id: int
    slug: str
    rate: float | None
    ready: bool
    up: bool = False
    tripped: bool = False
    probing: bool = False
    slow_seconds: float | None = None

    @property
    def trusted(self) -> bool:
        """Whether routing gives it messages that others could carry."""
        return self.up and not self.tripped

    @property
    def queue(self) -> str:
        return f"operator.{self.slug}"


_STANDINGS = """
SELECT o.id, o.slug, o.rate,
       o.active AND coalesce(bool_or(s.up AND (s.paused_until IS NULL OR s.paused_until <= now())), false),
       o.active AND coalesce(bool_or(s.up), false),
       coalesce(o.tripped_until > now(), false), coalesce(o.tripped_until <= now(), false),
       CASE WHEN jsonb_typeof(o.settings->'slow_seconds') = 'number' THEN (o.settings->>'slow_seconds')::float8 END
FROM routing_operator o
LEFT JOIN routing_operatorstate s
       ON s.operator_id = o.id AND s.seen_at > now() - %s * interval '1 second'
GROUP BY o.id
"""


class _Cache:
    def __init__(self) -> None:
        self.standings: dict[int, Standing] = {}
        self.stale_at = 0.0


_cache = _Cache()


def standings(*, fresh: bool = False) -> dict[int, Standing]:
    """Every operator by id, at most :data:`REFRESH_SECONDS` old."""
    if fresh or time.monotonic() >= _cache.stale_at:
        with connection.cursor() as cursor:
            cursor.execute(_STANDINGS, [SILENCE_SECONDS])
            _cache.standings = {row[0]: Standing(*row) for row in cursor.fetchall()}
        _cache.stale_at = time.monotonic() + REFRESH_SECONDS
    return _cache.standings


# Of an operator's settings what routing itself goes by; its transport does not see them.
ROUTING_SETTINGS = ("breaker", "no_receipts_minutes", "slow_seconds", quiet.SETTING)


def settings_of(operator: Operator, *, closed: bool = False) -> OperatorSettings:
    """What the operator's transport is started with, its secrets opened unless they stay ``closed``.

    Raises:
        SealingError: they do not open.
    """
    secrets: dict[str, Any] = {}
    if operator.secrets and not closed:
        opened = sealing.open_(bytes(operator.secrets), context=sealing.CONTEXT_OPERATOR_SECRETS)
        secrets = json.loads(opened)
    return OperatorSettings(
        id=operator.pk,
        slug=operator.slug,
        channel=operator.channel,
        rate=operator.rate,
        settings={name: value for name, value in operator.settings.items() if name not in ROUTING_SETTINGS},
        secrets=secrets,
    )


_REPORT = """
INSERT INTO routing_operatorstate (operator_id, worker, up, "window", paused_until, detail, seen_at)
SELECT * FROM (
    SELECT u.operator_id, %(worker)s, u.up, u.win, now() + u.pause * interval '1 second', u.detail, now()
    FROM unnest(%(operators)s::int[], %(ups)s::boolean[], %(windows)s::int[], %(pauses)s::float8[],
                %(details)s::jsonb[]) AS u(operator_id, up, win, pause, detail)
) fresh
ON CONFLICT (operator_id, worker) DO UPDATE
SET up = excluded.up, "window" = excluded."window", paused_until = excluded.paused_until,
    detail = excluded.detail, seen_at = excluded.seen_at
"""


def report(*, worker: str, states: dict[int, TransportState]) -> None:
    """Tell the relay how this worker's operators are."""
    now = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute(
            _REPORT,
            {
                "worker": worker,
                "operators": list(states),
                "ups": [state.up for state in states.values()],
                "windows": [state.window for state in states.values()],
                "pauses": [
                    None if state.paused_until is None else max(0.0, state.paused_until - now)
                    for state in states.values()
                ],
                "details": [
                    Jsonb(state.detail | circuit.minute(operator_id=key)) for key, state in states.items()
                ],
            },
        )


_UP_ELSEWHERE = """
SELECT DISTINCT operator_id FROM routing_operatorstate
WHERE up AND worker <> %s AND seen_at > now() - %s * interval '1 second'
"""


def up_elsewhere(*, worker: str) -> set[int]:
    """The operators that a worker other than this one can send to."""
    with connection.cursor() as cursor:
        cursor.execute(_UP_ELSEWHERE, [worker, SILENCE_SECONDS])
        return {key for (key,) in cursor.fetchall()}


def forget(*, worker: str) -> None:
    """The worker stops: its operators are down here at once, not when its silence is noticed."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM routing_operatorstate WHERE worker = %s", [worker])
