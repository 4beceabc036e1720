"""Lines of a message's timeline that move nothing: late and repeated receipts, refusals that are tried again."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from gateway import ids


@dataclass(frozen=True, slots=True)
class Note:
    """A line to add. ``type`` is ``receipt.repeated``, ``receipt.late``, ``delivery.throttled`` and the like."""

    message_id: UUID
    type: str
    occurred_at: datetime
    operator: str | None = None
    operator_code: str | None = None
    error_code: str | None = None
    data: dict[str, Any] | None = None


_NOTE = """
WITH u AS (
    SELECT * FROM unnest(%(ids)s::uuid[], %(events)s::uuid[], %(types)s::text[], %(at)s::timestamptz[],
                         %(operators)s::text[], %(operator_codes)s::text[], %(error_codes)s::text[],
                         %(data)s::jsonb[])
        WITH ORDINALITY
        AS u(id, event_id, type, occurred_at, operator, operator_code, error_code, data, place)
), counted AS (
    UPDATE gateway_message m SET sequence = m.sequence + n.lines
    FROM (SELECT id, count(*)::int AS lines FROM u GROUP BY id) n
    WHERE m.id = n.id AND m.id = ANY(%(ids)s::uuid[]) AND m.id BETWEEN %(first)s AND %(last)s
    RETURNING m.id, m.tenant_id, m.sequence - n.lines AS base
)
INSERT INTO gateway_event (id, tenant_id, message_id, type, sequence, occurred_at, operator, operator_code,
                           error_code, data)
SELECT u.event_id, c.tenant_id, u.id, u.type,
       c.base + row_number() OVER (PARTITION BY u.id ORDER BY u.place),
       u.occurred_at, u.operator, u.operator_code, u.error_code, u.data
FROM u JOIN counted c ON c.id = u.id
"""


def note(*, notes: Sequence[Note]) -> None:
    """Append the lines; those of messages that are gone are dropped."""
    if not notes:
        return
    keys = [line.message_id for line in notes]
    with connection.cursor() as cursor:
        cursor.execute(
            _NOTE,
            {
                "first": min(keys),
                "last": max(keys),
                "ids": keys,
                "events": ids.new(len(notes)),
                "types": [line.type for line in notes],
                "at": [line.occurred_at for line in notes],
                "operators": [line.operator for line in notes],
                "operator_codes": [line.operator_code for line in notes],
                "error_codes": [line.error_code for line in notes],
                "data": [None if line.data is None else json.dumps(line.data) for line in notes],
            },
        )
