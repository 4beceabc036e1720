"""One statement that takes the keys of what is submitted and says whose recipients opted out.

Both are asked of every submission; together they are one trip. A key whose recipient has any opt-out is not taken:
whether that one counts is a matter of the sender, which the caller decides.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
from django.db import connection

from gateway import idempotency
from gateway.idempotency import Claim, Key
from gateway.opt_outs import Unwilling


class Wish(NamedTuple):
    """A submission to a number; ``claim`` is its key's, if it has one to take."""

    tenant_id: int
    phone: str
    claim: Claim | None


# As idempotency's own: a key that is taken is locked, one that is older than a day changes hands.
_SCREEN = """
WITH wished AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(wishes)s::json)
        AS wished(tenant_id bigint, phone text, key text, fingerprint text, resource_id uuid)
), unwilling AS MATERIALIZED (
    SELECT o.tenant_id, o.phone, o.sender
    FROM (SELECT DISTINCT tenant_id, phone FROM wished) w
    JOIN gateway_optout o ON o.tenant_id = w.tenant_id AND o.phone = w.phone
), won AS (
    INSERT INTO gateway_idempotencykey AS kept (tenant_id, key, fingerprint, resource_id, created_at)
    SELECT w.tenant_id, w.key, decode(w.fingerprint, 'hex'), w.resource_id, %(now)s
    FROM wished w
    WHERE w.key IS NOT NULL
      AND NOT EXISTS (SELECT FROM unwilling u WHERE u.tenant_id = w.tenant_id AND u.phone = w.phone)
    ORDER BY w.tenant_id, w.key
    ON CONFLICT (tenant_id, key) DO UPDATE
    SET fingerprint = excluded.fingerprint, resource_id = excluded.resource_id, answer = NULL,
        created_at = excluded.created_at
    WHERE kept.created_at < %(stale)s
    RETURNING tenant_id, key
)
SELECT tenant_id, key, NULL, NULL FROM won
UNION ALL
SELECT tenant_id, NULL, phone, sender FROM unwilling
"""


def screen(*, wishes: Sequence[Wish], now: datetime) -> tuple[set[Key], list[Unwilling]]:
    """Take what keys are free, inside the caller's transaction; returns them, and the opt-outs of the numbers.

    Keys must be distinct. They are taken in sorted order, as :func:`gateway.idempotency.claim` does.
    """
    rows = msgspec.json.encode([_members(*wish) for wish in wishes]).decode()
    with connection.cursor() as cursor:
        cursor.execute(_SCREEN, {"wishes": rows, "now": now, "stale": now - idempotency.LASTS})
        found = cursor.fetchall()
    won = {(tenant_id, key) for tenant_id, key, _phone, _sender in found if key is not None}
    if len(won) == len(found):
        return won, []
    return won, [(tenant_id, phone, sender) for tenant_id, key, phone, sender in found if key is None]


def _members(tenant_id: int, phone: str, claim: Claim | None) -> dict[str, object]:
    if claim is None:
        return {"tenant_id": tenant_id, "phone": phone}
    return {
        "tenant_id": tenant_id,
        "phone": phone,
        "key": claim.key[1],
        "fingerprint": claim.fingerprint.hex(),
        "resource_id": claim.resource_id,
    }
