"""From the ids of a chunk to callbacks ready to send: three queries a chunk, bodies rendered.

A fourth where a body needs what few do: the text of a message, or what a handset answered.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import structlog
from django.db import connection

from gateway.sealing import SealingError
from webhooks import catalogue, destinations, holding, messagemedia_signing, rendering
from webhooks.destinations import CallbackSecrets, Destination, WebhookRow
from webhooks.dispatch import Item
from webhooks.errors import InvalidTarget
from webhooks.messagemedia_signing import KeyRow
from webhooks.rendering import Details, Source

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
# With the tenant's signature key, if one is enabled.
_WEBHOOKS = """
SELECT w.id::text, w.url, w.method, w.encoding, w.format, w.template, w.headers::text, w.failover_url,
       w.batch_max_events, w.batch_max_delay_ms, w.read_timeout, w.retries, w.retry_delay, w.secret,
       w.previous_secret, w.previous_secret_until, w.active, k.id::text, k.digest, k.private_key
FROM webhooks_webhook w
LEFT JOIN webhooks_signaturekey k ON k.tenant_id = w.tenant_id AND k.enabled
WHERE w.id = ANY(%s::uuid[])
"""
# One probe an event and table; what a handset opted out of is known only by its own message.
_DETAILS = """
SELECT e.id::text, t.slug, i.recipient, m.id::text, m.text, m.metadata::text
FROM gateway_event e
JOIN gateway_tenant t ON t.id = e.tenant_id
LEFT JOIN LATERAL (
    SELECT recipient, in_reply_to FROM gateway_inboundmessage
    WHERE id = e.message_id AND e.type = ANY(%s) LIMIT 1
) i ON true
LEFT JOIN LATERAL (
    SELECT id, text, metadata FROM gateway_message
    WHERE id = CASE WHEN e.type = ANY(%s) THEN i.in_reply_to ELSE e.message_id END AND tenant_id = e.tenant_id
    LIMIT 1
) m ON true
WHERE e.id = ANY(%s::uuid[]) AND e.id BETWEEN %s::uuid AND %s::uuid
"""
_SECRETS = """
SELECT id, callback_secret, previous_callback_secret, previous_callback_secret_until
FROM gateway_tenant WHERE id = ANY(%s)
"""


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


class _Ready(NamedTuple):
    """A callback whose body is still to be rendered."""

    due: _Due
    source: Source
    destination: Destination


def load(*, callback_ids: Sequence[str], leased_until: datetime) -> list[Item]:
    """The callbacks of a chunk that are still this lease's, ready to send.

    Those of an inactive webhook are held on the way; those whose webhook or message is gone, or whose URL cannot
    be used, are dead. One whose body cannot be rendered says so. One whose secret does not open is left to its lease.
    """
    due = [_Due(*row) for row in _rows(_DUE, [list(callback_ids), leased_until])]
    if not due:
        return []
    sources = _sources(due)
    webhooks = _webhooks({row.home or row.endpoint for row in due})
    secrets = _secrets({row.tenant_id for row in due if (row.home or row.endpoint) not in webhooks})
    ready: list[_Ready] = []
    hopeless: list[str] = []
    for row in due:
        webhook = webhooks.get(row.home or row.endpoint)
        if webhook is not None and not webhook.row.active:
            continue
        source = sources.get(row.event_id)
        try:
            destination = None if source is None else _destination(row, webhook, source, secrets)
        except SealingError as error:
            # Ours to mend: it is not tried, and comes again when its lease runs out.
            log.error("callback.unsealable", callback_id=row.callback_id, reason=str(error))  # noqa: TRY400
            continue
        if source is None or destination is None:
            hopeless.append(row.callback_id)
        else:
            ready.append(_Ready(row, source, destination))
    if hopeless:
        holding.give_up(callback_ids=hopeless)
    for webhook in webhooks.values():
        if not webhook.row.active:
            holding.hold(endpoint=webhook.row.id)
    details = _details(ready)
    return [_item(*each, details) for each in ready]


def _item(row: _Due, source: Source, destination: Destination, details: dict[str, Details]) -> Item:
    target = problem = None
    if destination.plan is None:
        body = rendering.standard(source)
    else:
        body, target, problem = rendering.planned(
            plan=destination.plan,
            source=source,
            details=details.get(row.event_id),
            retries=row.base + row.attempt,
        )
    return Item(
        callback_id=row.callback_id,
        tenant_id=row.tenant_id,
        endpoint=row.endpoint,
        event_id=row.event_id,
        body=body,
        destination=destination,
        lease=row.lease,
        home=row.home,
        base=row.base,
        attempt=row.attempt,
        first_attempt_at=row.first_attempt_at,
        target=target,
        unrendered=problem,
    )


def _destination(
    row: _Due, webhook: "_Webhook | None", source: Source, secrets: dict[int, CallbackSecrets]
) -> Destination | None:
    try:
        if webhook is not None:
            return webhook.destination(diverted=row.home is not None)
        if source.callback_url is None or row.home is not None or row.tenant_id not in secrets:
            return None
        if str(destinations.of_host(tenant_id=row.tenant_id, url=source.callback_url)) != row.endpoint:
            return None  # a webhook's that was deleted, of a message with a URL of its own
        return destinations.of_url(url=source.callback_url, secrets=secrets[row.tenant_id])
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


class _Webhook:
    """A webhook and where its callbacks go, worked out once a chunk."""

    __slots__ = ("_found", "_key", "row")

    def __init__(self, row: WebhookRow, key: KeyRow | None) -> None:
        self.row = row
        self._key = key
        self._found: dict[bool, Destination] = {}

    def destination(self, *, diverted: bool) -> Destination:
        found = self._found.get(diverted)
        if found is None:
            signer = None if self._key is None else messagemedia_signing.signer(self._key)
            found = destinations.of_webhook(self.row, diverted=diverted, also_sign=signer)
            self._found[diverted] = found
        return found


def _webhooks(endpoints: set[str]) -> dict[str, _Webhook]:
    found = {}
    for *columns, key, digest, private_key in _rows(_WEBHOOKS, [list(endpoints)]):
        signs = None if key is None else KeyRow(key, digest, bytes(private_key))
        found[columns[0]] = _Webhook(WebhookRow(*columns), signs)
    return found


def _details(ready: Sequence[_Ready]) -> dict[str, Details]:
    """What the callbacks whose bodies need it need, by event."""
    events = sorted(
        {
            each.source.event_id
            for each in ready
            if each.destination.plan is not None and each.destination.plan.needs_details(each.source.type)
        }
    )
    if not events:
        return {}
    no_message = list(catalogue.OF_NO_MESSAGE)
    rows = _rows(_DETAILS, [no_message, no_message, events, events[0], events[-1]])
    return {row[0]: Details(*row[1:]) for row in rows}


def _secrets(tenant_ids: set[int]) -> dict[int, CallbackSecrets]:
    if not tenant_ids:
        return {}
    rows = _rows(_SECRETS, [list(tenant_ids)])
    return {key: CallbackSecrets(*secrets) for key, *secrets in rows}


def _rows(query: str, arguments: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, arguments)
        return list(cursor.fetchall())
