"""A client's id for a request leads to one resource for 24 hours, however often it comes, and at one instant too."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from django.db import connection

LASTS = timedelta(hours=24)

# A tenant and its key.
Key = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Claim:
    """The wish to make ``resource_id`` the key's; ``fingerprint`` stands for the request's content."""

    key: Key
    fingerprint: bytes
    resource_id: UUID


@dataclass(frozen=True, slots=True)
class Kept:
    """What a key led to before. ``answer`` is a bulk call's."""

    fingerprint: bytes
    resource_id: UUID
    answer: Any = None


# A key that is taken is locked, which waits for whoever is writing it at this moment; one that is older than
# a day changes hands. Those that come back are ours. The rows come as one JSON text: a quarter of what arrays
# cost the client.
_CLAIM = """
INSERT INTO gateway_idempotencykey AS kept (tenant_id, key, fingerprint, resource_id, created_at)
SELECT tenant_id, key, decode(fingerprint, 'hex'), resource_id, %s
FROM json_to_recordset(%s::json)
     AS wanted(tenant_id bigint, key text, fingerprint text, resource_id uuid)
ON CONFLICT (tenant_id, key) DO UPDATE
SET fingerprint = excluded.fingerprint, resource_id = excluded.resource_id, answer = NULL,
    created_at = excluded.created_at
WHERE kept.created_at < %s
RETURNING tenant_id, key
"""
_FIND = """
SELECT tenant_id, key, fingerprint, resource_id, answer
FROM gateway_idempotencykey JOIN unnest(%s::bigint[], %s::text[]) AS wanted(tenant_id, key)
     USING (tenant_id, key)
WHERE created_at >= %s
"""


def claim(*, claims: Sequence[Claim], now: datetime) -> dict[Key, Kept]:
    """Take the keys that are free, inside the caller's transaction; returns what holds the others.

    Keys must be distinct. They are taken in sorted order, so that two calls with the same keys wait for one
    another instead of deadlocking; a wait ends with the other's commit or rollback.
    """
    ordered = sorted(claims, key=lambda wish: wish.key)
    rows = [
        {
            "tenant_id": wish.key[0],
            "key": wish.key[1],
            "fingerprint": wish.fingerprint.hex(),
            "resource_id": wish.resource_id,
        }
        for wish in ordered
    ]
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [now, msgspec.json.encode(rows).decode(), now - LASTS])
        won = set(cursor.fetchall())
    if len(won) == len(ordered):
        return {}
    return find(keys=[wish.key for wish in ordered if wish.key not in won], now=now)


def find(*, keys: Iterable[Key], now: datetime) -> dict[Key, Kept]:
    """What the keys led to within the last day; those that are free are left out."""
    wanted = list(keys)
    if not wanted:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [[tenant for tenant, _ in wanted], [key for _, key in wanted], now - LASTS])
        return {
            (tenant, key): Kept(bytes(fingerprint), resource_id, answer and msgspec.json.decode(answer))
            for tenant, key, fingerprint, resource_id, answer in cursor.fetchall()
        }


def keep(*, key: Key, answer: Any) -> None:
    """Keep a bulk call's answer with the key that this transaction has taken."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE gateway_idempotencykey SET answer = %s::jsonb WHERE tenant_id = %s AND key = %s",
            [msgspec.json.encode(answer).decode(), *key],
        )
