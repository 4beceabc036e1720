"""Tenants with webhooks, messages with events, and the way from one to the other."""

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from gateway import ids, sealing
from gateway.hooks import Fact
from gateway.models import Event, Message, Tenant
from webhooks import relay, signing, tasks
from webhooks.models import Webhook


def make_tenant(slug: str) -> Tenant:
    secret = signing.new_secret()
    sealed = sealing.seal(secret.encode(), context=sealing.CONTEXT_TENANT_CALLBACK)
    tenant = Tenant.objects.create(slug=slug, name=slug, callback_secret=sealed)
    tenant.secret = secret
    return tenant


def make_webhook(tenant: Tenant, url: str = "http://127.0.0.1:9/hook", **fields: Any) -> Webhook:
    secret = signing.new_secret()
    webhook = Webhook.objects.create(
        tenant=tenant,
        url=url,
        secret=sealing.seal(secret.encode(), context=sealing.CONTEXT_WEBHOOK_SECRET),
        **{"method": "POST", "encoding": "JSON", "events": ["message.delivered"]} | fields,
    )
    webhook.plain_secret = secret
    return webhook


def make_facts(
    tenant: Tenant,
    count: int = 1,
    *,
    type: str = "message.delivered",  # noqa: A002 - the field's name
    callback_url: str | None = None,
    **message: Any,
) -> list[Fact]:
    """Messages of the tenant's with an event each, as lifecycle would tell of them."""
    now = datetime.now(tz=UTC)
    facts = []
    fields = {"channel": "sms", "recipient": "+14155550101", "sender": "ACME", "text": "hello", "parts": 1}
    for message_id, event_id in zip(ids.new(count), ids.new(count), strict=True):
        Message.objects.create(
            id=message_id,
            tenant_id=tenant.pk,
            created_at=now,
            status="delivered",
            callback_url=callback_url,
            **fields | message,
        )
        Event.objects.create(
            id=event_id,
            tenant_id=tenant.pk,
            message_id=message_id,
            type=type,
            status=type.partition(".")[2],
            sequence=3,
            occurred_at=now,
            operator="demo",
            operator_code="DELIVRD",
        )
        facts.append(Fact(event_id, tenant.pk, message_id, type, callback_url))
    return facts


def carry() -> list[str]:
    """What a relay and a worker do with what is due now, the broker between them left out; the ids carried."""
    callback_ids, leased_until = relay.claim()
    if leased_until is not None:
        tasks.dispatch(callback_ids=callback_ids, leased_until=leased_until.isoformat())
    return callback_ids


def eventually(check: Callable[[], Any], *, seconds: float = 5.0) -> Any:
    """What ``check`` gives once it is true."""
    until = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < until, "it did not come to be"
        time.sleep(0.01)
    return found


def as_uuid(text: str) -> uuid.UUID:
    return uuid.UUID(text)
