"""``/v1/webhooks/messages``, so that MessageMedia's own clients work with it.

Theirs are the names in snake_case, ``page`` and ``pageSize`` (or ``page_size``), and null for "unchanged".
"""

from typing import Any, ClassVar

from django.http import HttpResponse
from django.urls import URLPattern
from rest_framework.request import Request

from gateway import errors
from gateway.api import views
from gateway.api.fields import Members
from gateway.api.paths import both
from gateway.api.rendering import stamp
from gateway.errors import Detail
from webhooks import backoff, breaker, rendering, subscriptions, terms, trial
from webhooks.api import reading
from webhooks.models import Endpoint, Webhook
from webhooks.trial import Verdict

DEFAULT_PAGE_SIZE = 100
MOST_PAGE_SIZE = 1000
_LAST_PAGE = 2**31 - 1


class Collection(views.View):
    """POST and GET ``/v1/webhooks/messages``, with and without a slash."""

    permission: ClassVar[str] = "webhooks:manage"

    def post(self, request: Request) -> HttpResponse:
        webhook, secret = subscriptions.create(
            tenant_id=reading.tenant(request), members=reading.members(request)
        )
        return views.answer(request, {**shown(webhook), "secret": secret}, status=201)

    def get(self, request: Request) -> HttpResponse:
        page = _number(request, ("page",), 0)
        size = _number(request, ("pageSize", "page_size"), DEFAULT_PAGE_SIZE) or DEFAULT_PAGE_SIZE
        size = min(size, MOST_PAGE_SIZE)
        rows = Webhook.objects.for_tenant(reading.tenant(request)).order_by("id")
        start = page * size
        # A row number beyond bigint would be the database's error.
        found = [] if start > _LAST_PAGE else list(rows[start : start + size])
        endpoints = subscriptions.endpoints(webhooks=found)
        data = [_shown(webhook, endpoints.get(webhook.pk)) for webhook in found]
        return views.answer(request, {"page": page, "pageSize": size, "pageData": data})


class Member(views.View):
    """GET, PATCH and DELETE ``/v1/webhooks/messages/{id}``; any text is an id, most are not found."""

    permission: ClassVar[str] = "webhooks:manage"

    def get(self, request: Request, key: str) -> HttpResponse:
        return views.answer(request, shown(reading.webhook(request, key)))

    def patch(self, request: Request, key: str) -> HttpResponse:
        webhook = reading.webhook(request, key)
        changed = subscriptions.change(webhook=webhook, members=reading.members(request))
        return views.answer(request, shown(changed))

    def delete(self, request: Request, key: str) -> HttpResponse:
        subscriptions.remove(webhook=reading.webhook(request, key))
        return HttpResponse(status=204)


class RotateSecret(views.View):
    """POST ``/v1/webhooks/messages/{id}/rotate-secret``."""

    permission: ClassVar[str] = "webhooks:manage"

    def post(self, request: Request, key: str) -> HttpResponse:
        webhook = reading.webhook(request, key)
        body = reading.optional_members(request)
        Members(body, known={"secret"}).check()
        rotated, secret = subscriptions.rotate(webhook=webhook, members=body)
        until = stamp(rotated.previous_secret_until)
        return views.answer(request, {**shown(rotated), "secret": secret, "previousSecretUntil": until})


class TestCall(views.View):
    """POST ``/v1/webhooks/messages/{id}/test``."""

    permission: ClassVar[str] = "webhooks:manage"

    def post(self, request: Request, key: str) -> HttpResponse:
        webhook = reading.webhook(request, key)
        asked = Members(reading.optional_members(request), known={"event"})
        event = asked.choice("event", terms.EVENTS) or webhook.events[0]
        asked.check()
        verdict = trial.run(rendering.sample_item(webhook, event))
        return views.answer(request, _told(event, verdict))


def shown(webhook: Webhook) -> dict[str, Any]:
    """A webhook as clients see it (contract §2 and ours); its secret only where it was just made."""
    return _shown(webhook, subscriptions.endpoints(webhooks=[webhook]).get(webhook.pk))


def _shown(webhook: Webhook, endpoint: Endpoint | None) -> dict[str, Any]:
    members: dict[str, Any] = {
        "id": str(webhook.pk),
        "url": webhook.url,
        "method": webhook.method,
        "encoding": webhook.encoding,
        "headers": webhook.headers,
        "events": webhook.events,
        "retries": webhook.retries or 0,
        "retryPolicy": "exponential" if webhook.retries is None else "fixed",
        "format": webhook.format,
        "failoverUrl": webhook.failover_url,
        "batch": _batch(webhook),
        "ordered": webhook.ordered,
        "active": webhook.active,
        "disabledReason": webhook.disabled_reason,
        "disabledAt": stamp(webhook.disabled_at),
        "circuit": breaker.circuit(endpoint),
        "description": webhook.description,
        "createdAt": stamp(webhook.created_at),
    }
    if webhook.template is not None:
        members["template"] = webhook.template
    if webhook.read_timeout is not None:
        members["read_timeout"] = webhook.read_timeout
    if webhook.retries is not None:
        members["retry_delay"] = webhook.retry_delay or backoff.DEFAULT_RETRY_DELAY
    return members


def _batch(webhook: Webhook) -> dict[str, Any] | None:
    if webhook.batch_max_events is None:
        return None
    return {"maxEvents": webhook.batch_max_events, "maxDelayMs": webhook.batch_max_delay_ms}


def _told(event: str, verdict: Verdict) -> dict[str, Any]:
    return {
        "event": event,
        "status": verdict.status,
        "durationMs": verdict.duration_ms,
        "bodyLength": verdict.body_length,
        "conforms": verdict.conforms,
        "problems": verdict.problems,
        "outcome": verdict.outcome,
        "error": verdict.error,
        "body": verdict.body,
    }


def _number(request: Request, names: tuple[str, ...], default: int) -> int:
    """A query parameter, by the first of its names that is there; empty is absent."""
    for name in names:
        text = request.GET.get(name, "")
        if text:
            if not (text.isascii() and text.isdigit()) or int(text[:11]) > _LAST_PAGE:
                message = f"{name} must be a whole number from 0 to {_LAST_PAGE}."
                raise errors.Invalid(message, details=[Detail(name, "INVALID", message)])
            return int(text)
    return default


ROUTES: list[URLPattern] = [
    *both("webhooks/messages", Collection.as_view()),
    *both("webhooks/messages/<str:key>", Member.as_view()),
    *both("webhooks/messages/<str:key>/rotate-secret", RotateSecret.as_view()),
    *both("webhooks/messages/<str:key>/test", TestCall.as_view()),
]
