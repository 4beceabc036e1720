"""Keeping the tables in shape: partitions made ahead and dropped, old rows removed, old tallies merged, handsets'
messages completed or given to their tenants.

Every relay calls it once a minute; an advisory lock lets one of them do the work.
"""

from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import connection, transaction

from gateway import partitions, tallies
from routing import arrivals, sweeps

log = structlog.get_logger(__name__)

# Table, fillfactor of its partitions.
PARTITIONED = (
    ("gateway_message", 75),
    ("gateway_event", 100),
    ("webhooks_callback", 80),
    ("webhooks_attempt", 100),
)
_LOCK = 0x7472756E6B
_BATCH = 10_000

# What outlives its use, by the column that tells its age; deleted in batches along an index.
_AGED = (
    ("gateway_idempotencykey", "(tenant_id, key)", "created_at", timedelta(hours=24)),
    ("routing_part", "id", "submitted_at", timedelta(days=7)),
    ("routing_parkedreceipt", "id", "received_at", timedelta(days=3)),
)


def keep(*, now: datetime) -> int:
    """Do what is due; returns 0 so that the caller pauses."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        if not cursor.fetchone()[0]:
            return 0
        for table, fillfactor in PARTITIONED:
            made = partitions.make(table=table, days=partitions.days_ahead(now), fillfactor=fillfactor)
            oldest = now.date() - timedelta(days=settings.RETENTION_DAYS)
            dropped = partitions.drop(table=table, before=oldest)
            if made or dropped:
                log.info("partitions.kept", table=table, made=made, dropped=dropped)
    for table, key, column, age in _AGED:
        _delete(table, key, column, now - age)
    tallies.merge(now=now)
    arrivals.give_up_pieces(now=now, slugs=sweeps.slugs_by_id())
    arrivals.take_up(now=now)
    return 0


def _delete(table: str, key: str, column: str, before: datetime) -> None:
    """Delete a batch of a table's oldest rows; what is left goes the next minute."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {table} WHERE {key} IN"
            f" (SELECT {key.strip('()')} FROM {table} WHERE {column} < %s ORDER BY {column} LIMIT {_BATCH})",
            [before],
        )
