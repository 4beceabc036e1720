"""From the ids of a chunk to callbacks ready to send: three queries a chunk, bodies rendered."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import structlog
from django.db import connection

from webhooks import catalogue, destinations, holding, rendering
from webhooks.destinations import Destination, WebhookRow
from webhooks.dispatch import Item
from webhooks.errors import InvalidTarget
from webhooks.rendering import Source

log = structlog.get_logger(__name__)

# The lease in the task must be the row's: a task that lay in the broker for too long finds nothing.
_DUE = """
SELECT callback_id::text, tenant_id, endpoint::text, home::text, event_id::text, message_id::text, next_attempt_at,
       base, attempt, first_attempt_at
FROM webhooks_duecallback
WHERE callback_id = ANY(%s::uuid[]) AND next_attempt_at = %s AND leased
"""
# The bounds leave out the days that have none of them: an array does so only while the plan is not yet a generic
# one. Texts of keys sort as the keys do. What handsets bring about has no message of ours: all is in its event.
_SOURCES = """
SELECT e.id::text, e.type, e.status, e.sequence, e.occurred_at, e.operator, e.operator_code, e.error_code,
       e.data::text, e.message_id::text, m.batch_id::text, m.client_message_id, coalesce(m.channel, ''),
       coalesce(m.recipient, ''), m.sender, coalesce(m.parts, 0), m.metadata::text,
       CASE WHEN m.id IS NULL THEN e.data->>'callbackUrl' ELSE m.callback_url END
FROM gateway_event e
LEFT JOIN gateway_message m
       ON m.id = e.message_id AND m.id = ANY(%s::uuid[]) AND m.id BETWEEN %s::uuid AND %s::uuid
WHERE e.id = ANY(%s::uuid[]) AND e.id BETWEEN %s::uuid AND %s::uuid AND (m.id IS NOT NULL OR e.type = ANY(%s))
"""
_WEBHOOKS = """
SELECT id::text, url, method, encoding, format, template, headers::text, failover_url, batch_max_events,
       batch_max_delay_ms, read_timeout, retries, retry_delay, secret, previous_secret,
       previous_secret_until, active
FROM webhooks_webhook WHERE id = ANY(%s::uuid[])
"""
_SECRETS = "SELECT id, callback_secret FROM gateway_tenant WHERE id = ANY(%s)"


class _Due(NamedTuple):
    callback_id: str
    tenant_id: int
    endpoint: str
    # The webhook's own endpoint while the row is diverted to its failover's.
    home: str | None
    event_id: str
    message_id: str
    lease: datetime
    base: int
    attempt: int
    first_attempt_at: datetime | None


def load(*, callback_ids: Sequence[str], leased_until: datetime) -> list[Item]:
    """The callbacks of a chunk that are still this lease's, ready to send.

    Those of an inactive webhook are held on the way; those whose webhook or message is gone, or whose URL cannot
    be used, are dead.
    """
    due = [_Due(*row) for row in _rows(_DUE, [list(callback_ids), leased_until])]
    if not due:
        return []
    sources = _sources(due)
    webhooks = _webhooks({row.endpoint for row in due})
    secrets = _secrets({row.tenant_id for row in due if row.endpoint not in webhooks})
    items: list[Item] = []
    hopeless: list[str] = []
    for row in due:
        webhook = webhooks.get(row.endpoint)
        if webhook is not None and not webhook.active:
            continue
        source = sources.get(row.event_id)
        destination = None if source is None else _destination(row, webhook, source, secrets)
        if source is None or destination is None:
            hopeless.append(row.callback_id)
        else:
            items.append(_item(row, source, destination))
    if hopeless:
        holding.give_up(callback_ids=hopeless)
    for webhook in webhooks.values():
        if not webhook.active:
            holding.hold(endpoint=webhook.id)
    return items


def _item(row: _Due, source: Source, destination: Destination) -> Item:
    return Item(
        callback_id=row.callback_id,
        tenant_id=row.tenant_id,
        endpoint=row.endpoint,
        event_id=row.event_id,
        body=rendering.standard(source),
        destination=destination,
        lease=row.lease,
        home=row.home,
        base=row.base,
        attempt=row.attempt,
        first_attempt_at=row.first_attempt_at,
    )


def _destination(
    row: _Due, webhook: WebhookRow | None, source: Source, secrets: dict[int, bytes]
) -> Destination | None:
    try:
        if webhook is not None:
            return destinations.of_webhook(webhook)
        if source.callback_url is None or row.tenant_id not in secrets:
            return None
        if str(destinations.of_host(tenant_id=row.tenant_id, url=source.callback_url)) != row.endpoint:
            return None  # a webhook's that was deleted, of a message with a URL of its own
        return destinations.of_url(url=source.callback_url, sealed_secret=secrets[row.tenant_id])
    except InvalidTarget as error:
        log.warning("callback.invalid_target", callback_id=row.callback_id, reason=str(error))
        return None


def _sources(due: Sequence[_Due]) -> dict[str, Source]:
    events = sorted({row.event_id for row in due})
    messages = sorted({row.message_id for row in due})
    found = _rows(
        _SOURCES,
        [messages, messages[0], messages[-1], events, events[0], events[-1], list(catalogue.OF_NO_MESSAGE)],
    )
    return {row[0]: Source(*row) for row in found}


def _webhooks(endpoints: set[str]) -> dict[str, WebhookRow]:
    return {row[0]: WebhookRow(*row) for row in _rows(_WEBHOOKS, [list(endpoints)])}


def _secrets(tenant_ids: set[int]) -> dict[int, bytes]:
    if not tenant_ids:
        return {}
    return {key: bytes(secret) for key, secret in _rows(_SECRETS, [list(tenant_ids)])}


def _rows(query: str, arguments: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, arguments)
        return list(cursor.fetchall())
