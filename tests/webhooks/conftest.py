"""Tenants with webhooks, messages with events, and a dispatcher that is this test's own."""

import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import pytest

from gateway import ids, sealing
from gateway.hooks import Fact
from gateway.models import Event, Message, Tenant
from webhooks import relay, signing, tasks, worker
from webhooks.models import Webhook


@pytest.fixture(autouse=True)
def _loopback(settings):
    settings.CALLBACK_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8"), ip_network("::1/128")]


def make_tenant(slug: str) -> Tenant:
    tenant = Tenant.objects.create(slug=slug, name=slug, callback_secret=b"")
    tenant.secret = signing.new_secret()
    tenant.callback_secret = sealing.seal(tenant.secret.encode(), context=sealing.CONTEXT_TENANT_CALLBACK)
    tenant.save()
    return tenant


@pytest.fixture
def tenant(request) -> Tenant:
    _database(request)
    return make_tenant("acme")


@pytest.fixture
def other(request) -> Tenant:
    _database(request)
    return make_tenant("other")


def _database(request) -> None:
    if not {"db", "transactional_db"} & set(request.fixturenames):
        request.getfixturevalue("db")


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


@pytest.fixture
def sending(transactional_db) -> Iterator[worker.Sending]:
    """This process's dispatcher, for the test alone."""
    ours = worker.Sending()
    ours.start()
    worker._running = ours
    yield ours
    worker._running = None
    ours.stop(seconds=0.3)


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
