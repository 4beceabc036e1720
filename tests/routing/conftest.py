"""Operators that are up, and messages that wait for them."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from gateway import ids
from gateway.models import DueMessage, Message, Tenant
from routing import operators, selection
from routing.models import Operator, OperatorState


@pytest.fixture(autouse=True)
def _no_memory():
    """Caches of one test are news to the next."""
    operators._cache.stale_at = 0.0
    selection._cache.stale_at = 0.0


@pytest.fixture
def now() -> datetime:
    return datetime.now(tz=UTC)


@pytest.fixture
def tenants(db) -> list[Tenant]:
    return [Tenant.objects.create(slug=slug, name=slug, callback_secret=b"") for slug in ("acme", "other")]


@pytest.fixture
def make_operator(db) -> Callable[..., Operator]:
    def make(slug: str, *, up: bool = True, worker: str = "w1", **fields: Any) -> Operator:
        operator = Operator.objects.create(slug=slug, transport="simulator", **fields)
        if up:
            # It does not fall silent while a test takes its time.
            report(operator, worker=worker, ago=-60.0)
        return operator

    return make


def report(operator: Operator, *, worker: str = "w1", ago: float = 0.0, **fields: Any) -> None:
    """What a worker says of an operator, ``ago`` seconds in the past."""
    OperatorState.objects.update_or_create(
        operator_id=operator.pk,
        worker=worker,
        defaults={"up": True, "window": 10, "seen_at": timezone.now() - timedelta(seconds=ago)} | fields,
    )


@pytest.fixture
def waiting(tenants) -> Callable[..., list[uuid.UUID]]:
    """Messages accepted and due, in the lane of an operator."""

    def make(
        operator: Operator | None,
        count: int = 1,
        *,
        tenant: Tenant | None = None,
        priority: int = 1,
        due: timedelta = timedelta(seconds=-1),
        **fields: Any,
    ) -> list[uuid.UUID]:
        tenant = tenant or tenants[0]
        at = timezone.now()
        keys = ids.new(count)
        shared = {"tenant_id": tenant.pk, "channel": "sms", "recipient": "+14155550101", "parts": 1}
        expires_at = fields.pop("expires_at", None)
        for key in keys:
            Message.objects.create(
                id=key,
                text="hello",
                created_at=at,
                status="accepted",
                priority=priority,
                expires_at=expires_at,
                **shared | fields,
            )
            DueMessage.objects.create(
                message_id=key,
                lane=operator.pk if operator else 0,
                priority=priority,
                due_at=at + due,
                expires_at=expires_at,
                **shared | fields,
            )
        return keys

    return make


def status_of(key: uuid.UUID) -> str:
    return Message.objects.values_list("status", flat=True).get(pk=key)


def timeline_of(key: uuid.UUID) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT type FROM gateway_event WHERE message_id = %s ORDER BY sequence", [key])
        return [type_ for (type_,) in cursor.fetchall()]
