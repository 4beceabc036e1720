"""Callbacks that are not to be tried: held while their webhook is inactive, or given up.

A webhook has two endpoints, its own and its failover's; what is held is always at its own. Since when a callback is
held stands in its ``first_attempt_at``, which begins anew with its schedule.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.db import connection, transaction

from gateway import ids
from gateway.hooks import Fact
from gateway.models import Event
from webhooks import catalogue, destinations, fanout, rendering

# What is held for longer is given up, and can be replayed.
LONGEST = timedelta(days=7)
# Callbacks given up in one turn.
_STEP = 1000

# A lease is no hindrance: whoever has the callback in hand loses the fence, and success still counts.
_HOLD = """
WITH held AS (
    UPDATE webhooks_duecallback
    SET next_attempt_at = '9999-01-01 00:00:00+00', leased = false, first_attempt_at = now(),
        endpoint = coalesce(home, endpoint), home = NULL
    WHERE endpoint = ANY(%s::uuid[]) AND next_attempt_at < '9999-01-01 00:00:00+00'
    RETURNING callback_id
)
UPDATE webhooks_callback c SET state = 'held' FROM held WHERE c.id = held.callback_id AND c.state = 'open'
"""
_RESUME = """
WITH forgiven AS (
    UPDATE webhooks_endpoint
    SET opened_at = NULL, paused_until = NULL, probes = 0, failing_since = NULL, failures = 0
    WHERE id = ANY(%s::uuid[])
), resumed AS (
    UPDATE webhooks_duecallback
    SET next_attempt_at = now(), leased = false, base = base + attempt, attempt = 0, first_attempt_at = NULL
    WHERE endpoint = ANY(%s::uuid[]) AND next_attempt_at = '9999-01-01 00:00:00+00'
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
_FORGET = "DELETE FROM webhooks_endpoint WHERE id = ANY(%s::uuid[])"
_DISABLE = """
UPDATE webhooks_webhook SET active = false, disabled_reason = %s, disabled_at = now(), updated_at = now()
WHERE id = %s AND active
RETURNING id, tenant_id, url, disabled_at
"""
# A webhook that has been inactive for less has nothing that was held for so long.
_HELD_FOR_LONG = f"""callback_id IN (
    SELECT o.callback_id FROM webhooks_webhook w CROSS JOIN LATERAL (
        SELECT callback_id FROM webhooks_duecallback d
        WHERE d.endpoint = w.id AND d.next_attempt_at = '9999-01-01 00:00:00+00' AND d.first_attempt_at < %(before)s
        LIMIT {_STEP} FOR UPDATE SKIP LOCKED
    ) o
    WHERE NOT w.active AND (w.disabled_at IS NULL OR w.disabled_at < %(before)s)
    LIMIT {_STEP}
)"""
# The key tells when the callback was made; of one that is replayed, only its first attempt tells since when it waits.
_KEPT_OUT_FOR_LONG = f"""callback_id IN (
    SELECT o.callback_id FROM webhooks_endpoint e CROSS JOIN LATERAL (
        SELECT callback_id FROM webhooks_duecallback d
        WHERE d.endpoint = e.id AND d.next_attempt_at < '9999-01-01 00:00:00+00' AND NOT d.leased
          AND d.callback_id < %(key)s AND (d.base = 0 OR d.first_attempt_at < %(before)s)
        LIMIT {_STEP} FOR UPDATE SKIP LOCKED
    ) o
    WHERE e.opened_at < %(before)s
    LIMIT {_STEP}
)"""


def hold(*, endpoint: UUID | str) -> int:
    """Hold what a webhook has waiting, at its failover too; returns how many callbacks."""
    return _run(_HOLD, [_both(endpoint)])


def resume(*, endpoint: UUID | str) -> int:
    """Make what a webhook has held due now, its schedule begun anew and its failures forgotten.

    Returns:
        How many callbacks.
    """
    both = _both(endpoint)
    return _run(_RESUME, [both, both])


def give_up(*, callback_ids: Sequence[UUID | str]) -> int:
    """End callbacks that cannot be made any more; returns how many."""
    return _run(_GIVE_UP.format(which="callback_id = ANY(%s::uuid[])"), [list(callback_ids)])


def give_up_endpoint(*, endpoint: UUID | str) -> int:
    """End all that a webhook has waiting or held, at its failover too, and forget what was learned of either.

    Returns:
        How many callbacks.
    """
    both = _both(endpoint)
    _run(_FORGET, [both])
    return _run(_GIVE_UP.format(which="endpoint = ANY(%s::uuid[])"), [both])


def sweep(*, now: datetime) -> int:
    """End what has been held, or kept out by an open circuit, for :data:`LONGEST`; returns how many callbacks."""
    before = now - LONGEST
    bounds = {"before": before, "key": ids.floor(before)}
    return sum(_run(_GIVE_UP.format(which=which), bounds) for which in (_HELD_FOR_LONG, _KEPT_OUT_FOR_LONG))


def disable(*, webhook_id: UUID | str, reason: str) -> bool:
    """Make a webhook inactive, hold its callbacks and tell its tenant's others; returns False when it was so or gone.

    The event ``webhook.disabled`` has as data ``{"webhookId", "url", "reason", "disabledAt"}``, of the URL the scheme
    and the host: what follows may be a secret between the tenant and that endpoint.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_DISABLE, [reason, webhook_id])
            row = cursor.fetchone()
        hold(endpoint=webhook_id)
        if row is not None:
            _tell(reason, *row)
    return row is not None


def _tell(reason: str, webhook_id: UUID, tenant_id: int, url: str, disabled_at: datetime) -> None:
    event = Event.objects.create(
        tenant_id=tenant_id,
        message_id=webhook_id,
        type=catalogue.DISABLED,
        sequence=1,
        occurred_at=disabled_at,
        data={
            "webhookId": str(webhook_id),
            "url": _origin(url),
            "reason": reason,
            "disabledAt": rendering.milliseconds(disabled_at.astimezone(UTC)),
        },
    )
    fanout.fan_out([Fact(event.id, tenant_id, webhook_id, catalogue.DISABLED, None)])


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _both(endpoint: UUID | str) -> list[str]:
    return [str(endpoint), str(destinations.of_failover(webhook_id=endpoint))]


def _run(statement: str, arguments: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        return int(cursor.rowcount)
