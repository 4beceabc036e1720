"""The stack's tables, as the bench looks at them, empties them and fills them."""

from collections.abc import Sequence
from typing import Any

import psycopg

HOT = (
    "gateway_message",
    "gateway_event",
    "gateway_duemessage",
    "gateway_idempotencykey",
    "gateway_fallbacktimer",
    "gateway_inboundmessage",
    "gateway_tally",
    "gateway_tallydelta",
    "routing_delivery",
    "routing_part",
    "routing_parkedreceipt",
    "webhooks_callback",
    "webhooks_duecallback",
    "webhooks_attempt",
)
HANDED_OVER = ("gateway_duemessage", "routing_delivery")
QUEUES = (*HANDED_OVER, "webhooks_duecallback")
CHUNK = 50_000

Database = psycopg.Connection[tuple[Any, ...]]


def settled(database: Database) -> bool:
    """Whether nothing waits, is with a worker, or has a callback to come."""
    return _are_empty(database, QUEUES)


def handed_over(database: Database) -> bool:
    """Whether every message had its answer from an operator, recorded."""
    return _are_empty(database, HANDED_OVER)


def _are_empty(database: Database, tables: Sequence[str]) -> bool:
    exists = " OR ".join(f"EXISTS (SELECT FROM {table})" for table in tables)
    row = database.execute(f"SELECT NOT ({exists})").fetchone()
    return bool(row and row[0])


def empty(database: Database) -> None:
    """Remove every message and what hangs on it; tenants, operators and webhooks stay."""
    for tries_left in (4, 3, 2, 1, 0):
        try:
            database.execute(f"TRUNCATE {', '.join(HOT)}")
            break
        except psycopg.errors.DeadlockDetected:
            # The relay looks at the same tables in another order.
            if not tries_left:
                raise
    database.execute("CHECKPOINT")


def forget_waiting(database: Database) -> None:
    """Let nothing that waits be sent any more."""
    database.execute("TRUNCATE gateway_duemessage")


def statuses(database: Database, *, run: str) -> dict[str, int]:
    """How many messages of one run are in which status."""
    rows = database.execute(
        "SELECT status, count(*) FROM gateway_message WHERE client_message_id LIKE %s GROUP BY 1",
        [f"{run}-%"],
    )
    return dict(rows.fetchall())


def attempts(database: Database, *, run: str) -> int:
    """How many callback attempts are recorded for one run's messages."""
    row = database.execute(
        "SELECT count(*) FROM webhooks_attempt a JOIN webhooks_callback c ON c.id = a.id"
        " JOIN gateway_message m ON m.id = c.message_id WHERE m.client_message_id LIKE %s",
        [f"{run}-%"],
    ).fetchone()
    return int(row[0]) if row else 0


_STAGES = """
SELECT {columns} FROM gateway_message WHERE client_message_id LIKE %s
"""
_STAGE = "percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY extract(epoch FROM {until} - {since}))"


def stages(database: Database, *, run: str) -> dict[str, dict[str, float]]:
    """p50 and p99 in milliseconds of one run's stages, by the moments kept on its messages."""
    wanted = {"accepted_to_sent": ("created_at", "sent_at"), "sent_to_delivered": ("sent_at", "delivered_at")}
    columns = ", ".join(_STAGE.format(since=since, until=until) for since, until in wanted.values())
    row = database.execute(_STAGES.format(columns=columns), [f"{run}-%"]).fetchone() or ()
    return {
        name: {"p50": round(1000 * found[0], 2), "p99": round(1000 * found[1], 2)}
        for name, found in zip(wanted, row, strict=False)
        if found is not None and found[0] is not None
    }


# Ended messages as the app leaves them: three events, a part, an idempotency key, a callback with its attempt. Their
# keys are spread over the last hour in rising order, so that pages and indexes are filled as by submission.
_FILL = """
WITH numbered AS MATERIALIZED (
    SELECT n, ago, uuidv7(-ago) AS id, uuidv7(-ago) AS accepted, uuidv7(-ago) AS sent,
           uuidv7(-ago) AS delivered, uuidv7(-ago) AS callback, now() - ago AS at,
           (%(tenants)s::bigint[])[1 + n %% cardinality(%(tenants)s::bigint[])] AS tenant_id
    FROM generate_series(%(first)s::int, %(last)s::int) AS n,
         LATERAL (SELECT (%(of)s - n) * interval '1 hour' / %(of)s AS ago) spread
), messages AS (
    INSERT INTO gateway_message (id, tenant_id, batch_id, client_message_id, channel, recipient, sender, text,
        encoding, parts, priority, created_at, status, sequence, operator, sent_at, delivered_at)
    SELECT id, tenant_id, NULL, 'stored-' || n, 'sms', '+3367' || lpad(n::text, 7, '0'), 'ACME',
           'Your order ' || n || ' has left our house and arrives tomorrow.', 'GSM-7', 1, 1, at, 'delivered', 3,
           'stored', at + interval '50 ms', at + interval '150 ms'
    FROM numbered
), events AS (
    INSERT INTO gateway_event (id, tenant_id, message_id, type, status, sequence, occurred_at, operator,
        operator_code)
    SELECT each.id, tenant_id, numbered.id, 'message.' || status, status, sequence, at, operator, code
    FROM numbered, LATERAL (VALUES (accepted, 'accepted', 1, NULL, NULL), (sent, 'sent', 2, 'stored', NULL),
        (delivered, 'delivered', 3, 'stored', 'DELIVRD:000')) AS each(id, status, sequence, operator, code)
), keys AS (
    INSERT INTO gateway_idempotencykey (tenant_id, key, fingerprint, resource_id, created_at)
    SELECT tenant_id, 'stored-' || n, decode(md5(n::text), 'hex'), id, at FROM numbered
), parts AS (
    INSERT INTO routing_part (operator_id, remote_id, message_id, tenant_id, number, parts, state, submitted_at)
    SELECT 0, n::text, id, tenant_id, 1, 1, 'delivered', at FROM numbered
), callbacks AS (
    INSERT INTO webhooks_callback (id, tenant_id, event_id, message_id, endpoint, type, state, attempts,
        status_code, attempted_at)
    SELECT callback, tenant_id, delivered, id, md5('stored')::uuid, 'message.delivered', 'delivered', 1, 204, at
    FROM numbered
)
INSERT INTO webhooks_attempt (id, number, tenant_id, started_at, duration_ms, status_code, outcome)
SELECT callback, 1, tenant_id, at, 3, 204, 'delivered' FROM numbered
"""


def fill(database: Database, *, count: int, tenant_ids: Sequence[int]) -> None:
    """Store `count` delivered messages of these tenants, with all their rows; needs PostgreSQL 18 (uuidv7)."""
    for first in range(0, count, CHUNK):
        last = min(first + CHUNK, count) - 1
        database.execute(_FILL, {"first": first, "last": last, "of": count, "tenants": list(tenant_ids)})
    for table in HOT:
        database.execute(f"VACUUM (ANALYZE) {table}")
    database.execute("CHECKPOINT")


# Callbacks that are due now, as fan-out leaves them: with an event and a message of their own, an equal number for
# each endpoint.
_LAY = """
WITH numbered AS MATERIALIZED (
    SELECT n, uuidv7() AS id, uuidv7() AS event, uuidv7() AS callback, clock_timestamp() AS at,
           (%(endpoints)s::uuid[])[1 + n %% cardinality(%(endpoints)s::uuid[])] AS endpoint
    FROM generate_series(0, %(count)s - 1) AS n
), messages AS (
    INSERT INTO gateway_message (id, tenant_id, channel, recipient, sender, text, encoding, parts, priority,
        created_at, status, sequence, operator, sent_at, delivered_at)
    SELECT id, %(tenant)s, 'sms', '+3367' || lpad(n::text, 7, '0'), 'ACME', 'Your order has left our house.', 'GSM-7',
           1, 1, at, 'delivered', 3, 'stored', at, at
    FROM numbered
), events AS (
    INSERT INTO gateway_event (id, tenant_id, message_id, type, status, sequence, occurred_at, operator,
        operator_code)
    SELECT event, %(tenant)s, id, 'message.delivered', 'delivered', 3, at, 'stored', 'DELIVRD:000' FROM numbered
), callbacks AS (
    INSERT INTO webhooks_callback (id, tenant_id, event_id, message_id, endpoint, type, state, attempts)
    SELECT callback, %(tenant)s, event, id, endpoint, 'message.delivered', 'open', 0 FROM numbered
)
INSERT INTO webhooks_duecallback (callback_id, tenant_id, endpoint, event_id, message_id, next_attempt_at, leased,
    attempt)
SELECT callback, %(tenant)s, endpoint, event, id, now(), false, 0 FROM numbered
"""


def lay(database: Database, *, tenant_id: int, endpoints: Sequence[str], count: int) -> None:
    """Make `count` callbacks due, shared out among the endpoints (webhook ids) of a tenant."""
    database.execute(_LAY, {"tenant": tenant_id, "endpoints": list(endpoints), "count": count})


def waiting(database: Database, *, endpoint: str) -> int:
    """How many callbacks an endpoint has still to get."""
    row = database.execute(
        "SELECT count(*) FROM webhooks_duecallback WHERE endpoint = %s", [endpoint]
    ).fetchone()
    return int(row[0]) if row else 0


def recorded(database: Database, *, endpoints: Sequence[str]) -> int:
    """How many attempts are recorded for the callbacks of these endpoints."""
    row = database.execute(
        "SELECT count(*) FROM webhooks_attempt a JOIN webhooks_callback c ON c.id = a.id"
        " WHERE c.endpoint = ANY(%s::uuid[])",
        [list(endpoints)],
    ).fetchone()
    return int(row[0]) if row else 0


_COPY = """
INSERT INTO webhooks_webhook
SELECT (jsonb_populate_record(w, jsonb_build_object('id', gen_random_uuid(), 'url', w.url || n))).*
FROM webhooks_webhook w, generate_series(1, %s) AS n
WHERE w.id = %s
RETURNING id::text
"""


def copy_webhook(database: Database, webhook_id: str, *, count: int) -> list[str]:
    """So many more of a webhook, its secret theirs too, each with a path of its own; returns their ids."""
    return [str(row[0]) for row in database.execute(_COPY, [count, webhook_id]).fetchall()]


def remove_webhooks(database: Database, webhook_ids: Sequence[str]) -> None:
    database.execute("DELETE FROM webhooks_webhook WHERE id = ANY(%s::uuid[])", [list(webhook_ids)])


def inbound(database: Database, *, tenant_id: int) -> tuple[int, int]:
    """How many of handsets' messages a tenant has, and from how many handsets."""
    row = database.execute(
        "SELECT count(*), count(DISTINCT sender) FROM gateway_inboundmessage WHERE tenant_id = %s",
        [tenant_id],
    ).fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)
