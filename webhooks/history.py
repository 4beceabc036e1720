"""What became of a message's callbacks, as lines of its timeline."""

from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.db import connection

from webhooks import outcomes
from webhooks.models.callback import State

_CALLBACKS = """
SELECT c.id, c.event_id, c.type, c.state, c.attempts, c.status_code, c.attempted_at, w.id, w.url, m.callback_url,
       a.outcome, a.error
FROM webhooks_callback c
LEFT JOIN webhooks_webhook w ON w.id = c.endpoint AND w.tenant_id = c.tenant_id
LEFT JOIN gateway_message m ON m.id = c.message_id AND m.id = %(message_id)s
LEFT JOIN webhooks_attempt a ON a.id = c.id AND a.number = c.attempts
WHERE c.message_id = %(message_id)s AND c.tenant_id = %(tenant_id)s AND c.attempted_at IS NOT NULL
ORDER BY c.attempted_at
"""
_TYPES = {
    State.OPEN.value: "callback.failed",
    State.DELIVERED.value: "callback.delivered",
    State.DEAD.value: "callback.dead",
    State.HELD.value: "callback.held",
}


def timeline(tenant_id: int, message_id: UUID) -> list[dict[str, Any]]:
    """One line a callback that has been tried, by the moment of its last attempt.

    ``{"type": "callback.delivered" | "callback.failed" | "callback.dead" | "callback.held", "occurredAt": datetime,
    "data": {"callbackId", "eventId", "event", "webhookId", "host", "attempts", "statusCode", "outcome", "error"}}``.
    """
    with connection.cursor() as cursor:
        cursor.execute(_CALLBACKS, {"tenant_id": tenant_id, "message_id": message_id})
        return [_line(*row) for row in cursor.fetchall()]


def _line(
    callback_id: UUID,
    event_id: UUID,
    event: str,
    state: str,
    attempts: int,
    status_code: int | None,
    attempted_at: Any,
    webhook_id: UUID | None,
    webhook_url: str | None,
    callback_url: str | None,
    outcome: str | None,
    error: str | None,
) -> dict[str, Any]:
    # One that was delivered and is to be sent again has not failed.
    if state == State.OPEN.value and outcome == outcomes.DELIVERED:
        state = State.DELIVERED.value
    return {
        "type": _TYPES[state],
        "occurredAt": attempted_at,
        "data": {
            "callbackId": str(callback_id),
            "eventId": str(event_id),
            "event": event,
            "webhookId": None if webhook_id is None else str(webhook_id),
            "host": _host(webhook_url or callback_url),
            "attempts": attempts,
            "statusCode": status_code,
            "outcome": outcome,
            "error": error,
        },
    }


def _host(url: str | None) -> str | None:
    """Without a path or a password: those are the tenant's, not a log's."""
    return None if url is None else urlsplit(url).hostname
