"""Callbacks that are not to be tried: held while their webhook is inactive, or given up."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import connection, transaction

# A lease is no hindrance: whoever has the callback in hand loses the fence, and success still counts.
_HOLD = """
WITH held AS (
    UPDATE webhooks_duecallback SET next_attempt_at = '9999-01-01 00:00:00+00', leased = false
    WHERE endpoint = %s AND next_attempt_at < '9999-01-01 00:00:00+00'
    RETURNING callback_id
)
UPDATE webhooks_callback c SET state = 'held' FROM held WHERE c.id = held.callback_id AND c.state = 'open'
"""
_RESUME = """
WITH resumed AS (
    UPDATE webhooks_duecallback SET next_attempt_at = now(), leased = false, first_attempt_at = NULL
    WHERE endpoint = %s AND next_attempt_at = '9999-01-01 00:00:00+00'
    RETURNING callback_id
)
UPDATE webhooks_callback c SET state = 'open' FROM resumed WHERE c.id = resumed.callback_id AND c.state = 'held'
"""
_GIVE_UP = """
WITH gone AS (
    DELETE FROM webhooks_duecallback WHERE {which} RETURNING callback_id
)
UPDATE webhooks_callback c SET state = 'dead' FROM gone WHERE c.id = gone.callback_id AND c.state <> 'delivered'
"""
_DISABLE = """
UPDATE webhooks_webhook SET active = false, disabled_reason = %s, updated_at = now() WHERE id = %s AND active
"""


def hold(*, endpoint: UUID | str) -> int:
    """Hold what an endpoint has waiting; returns how many callbacks."""
    return _run(_HOLD, [endpoint])


def resume(*, endpoint: UUID | str) -> int:
    """Make what an endpoint has held due now, its schedule begun anew; returns how many callbacks."""
    return _run(_RESUME, [endpoint])


def give_up(*, callback_ids: Sequence[UUID | str]) -> int:
    """End callbacks that cannot be made any more; returns how many."""
    return _run(_GIVE_UP.format(which="callback_id = ANY(%s::uuid[])"), [list(callback_ids)])


def give_up_endpoint(*, endpoint: UUID | str) -> int:
    """End all that an endpoint has waiting or held; returns how many callbacks."""
    return _run(_GIVE_UP.format(which="endpoint = %s"), [endpoint])


def disable(*, webhook_id: UUID | str, reason: str) -> bool:
    """Make a webhook inactive and hold its callbacks; returns False when it was inactive or gone."""
    with transaction.atomic():
        disabled = _run(_DISABLE, [reason, webhook_id]) > 0
        hold(endpoint=webhook_id)
    return disabled


def _run(statement: str, arguments: Sequence[Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        return int(cursor.rowcount)
