"""Which of a tenant's messages a handset's message answers."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from gateway import arrays, ids

# A message that is asked for now may have been asked to be sent so much later.
SCHEDULED_WITHIN = timedelta(days=35)


class Answered(NamedTuple):
    """The message that a handset's is an answer to."""

    id: UUID
    client_message_id: str | None
    metadata: dict[str, str] | None


# Of the last few: one from the very number written to before others, one that an operator has before one that waits.
_ANSWERED = """
SELECT asked.place, found.id, found.client_message_id, found.metadata
FROM unnest(%(places)s::int[], %(phones)s::text[], %(numbers)s::text[]) AS asked(place, phone, number)
CROSS JOIN LATERAL (
    SELECT id, client_message_id, metadata::text FROM (
        SELECT id, client_message_id, metadata, sender, sent_at FROM gateway_message
        WHERE tenant_id = %(tenant)s AND recipient = asked.phone AND id >= %(first)s AND id < %(last)s
          AND NOT exempt AND status NOT IN ('scheduled', 'canceled', 'rejected')
          AND coalesce(send_at, created_at) >= %(since)s
        ORDER BY id DESC LIMIT 20
    ) last
    ORDER BY (lower(ltrim(sender, '+')) = lower(ltrim(asked.number, '+'))) IS TRUE DESC, sent_at IS NULL, id DESC
    LIMIT 1
) found
"""


def find(
    *, tenant_id: int, phones: Sequence[str], numbers: Sequence[str], within: timedelta
) -> dict[int, Answered]:
    """What handsets (``phones``) that wrote to ``numbers`` answer, by place: sent ``within`` that time.

    What was asked for in that time is looked through first, then what was scheduled before it.
    """
    now = datetime.now(tz=UTC)
    since = now - within
    answered: dict[int, Answered] = {}
    # Each day is a partition to look into, and few messages are scheduled that far ahead.
    for first, last in ((since, now + timedelta(days=1)), (since - SCHEDULED_WITHIN, since)):
        places = [place for place in range(len(phones)) if place not in answered]
        if places:
            given: dict[str, Any] = {
                "tenant": tenant_id,
                "since": since,
                "first": ids.floor(first),
                "last": ids.floor(last),
                "places": arrays.numbers(places),
                "phones": arrays.texts([phones[place] for place in places]),
                "numbers": arrays.texts([numbers[place] for place in places]),
            }
            with connection.cursor() as cursor:
                cursor.execute(_ANSWERED, given)
                for place, key, client_id, metadata in cursor.fetchall():
                    answered[place] = Answered(key, client_id, metadata and json.loads(metadata))
    return answered


# By the tenant's own messages to that handset from that number.
_LAST_WRITER = """
SELECT asked.place, last.tenant_id
FROM unnest(%(places)s::int[], %(phones)s::text[], %(numbers)s::text[], %(tenants)s::text[])
     AS asked(place, phone, number, tenants)
CROSS JOIN LATERAL (
    SELECT m.tenant_id FROM unnest(asked.tenants::bigint[]) AS t(id)
    CROSS JOIN LATERAL (
        SELECT id, tenant_id FROM gateway_message
        WHERE tenant_id = t.id AND recipient = asked.phone AND id >= %(first)s
          AND lower(ltrim(sender, '+')) = asked.number AND status NOT IN ('scheduled', 'canceled', 'rejected')
        ORDER BY id DESC LIMIT 1
    ) m
    ORDER BY m.id DESC LIMIT 1
) last
"""


def last_writers(*, asked: dict[int, tuple[str, str, Sequence[int]]], within: timedelta) -> dict[int, int]:
    """Of several tenants the one that last wrote to a handset, by place, where any did.

    ``asked`` is by place: the handset's E.164, the number that they share (canonical), their ids.
    """
    if not asked:
        return {}
    given: dict[str, Any] = {
        "places": arrays.numbers(asked),
        "phones": arrays.texts([phone for phone, _number, _tenants in asked.values()]),
        "numbers": arrays.texts([number for _phone, number, _tenants in asked.values()]),
        "tenants": arrays.texts([arrays.numbers(tenants) for _phone, _number, tenants in asked.values()]),
        "first": ids.floor(datetime.now(tz=UTC) - within),
    }
    with connection.cursor() as cursor:
        cursor.execute(_LAST_WRITER, given)
        return dict(cursor.fetchall())
