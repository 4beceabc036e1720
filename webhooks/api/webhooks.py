"""``/v1/webhooks/messages``, so that MessageMedia's own clients work with it.

Theirs are the names in snake_case, ``page`` and ``pageSize`` (or ``page_size``), and null for "unchanged".
"""

from typing import Any, ClassVar

from django.http import HttpResponse
from rest_framework.request import Request

from gateway import errors
from gateway.api import views
from gateway.api.rendering import stamp
from gateway.errors import Detail
from webhooks import backoff, subscriptions
from webhooks.models import Webhook

DEFAULT_PAGE_SIZE = 100
MOST_PAGE_SIZE = 1000
_LAST_PAGE = 2**31 - 1


class Collection(views.View):
    """POST and GET ``/v1/webhooks/messages``, with and without a slash."""

    permission: ClassVar[str] = "webhooks:manage"

    def post(self, request: Request) -> HttpResponse:
        tenant_id = views.credential(request).tenant_id
        webhook, secret = subscriptions.create(tenant_id=tenant_id, members=_members(request))
        return views.answer(request, {**shown(webhook), "secret": secret}, status=201)

    def get(self, request: Request) -> HttpResponse:
        page = _number(request, ("page",), 0)
        size = _number(request, ("pageSize", "page_size"), DEFAULT_PAGE_SIZE) or DEFAULT_PAGE_SIZE
        size = min(size, MOST_PAGE_SIZE)
        rows = Webhook.objects.for_tenant(views.credential(request).tenant_id).order_by("id")
        start = page * size
        # A row number beyond bigint would be the database's error.
        data = [] if start > _LAST_PAGE else [shown(webhook) for webhook in rows[start : start + size]]
        return views.answer(request, {"page": page, "pageSize": size, "pageData": data})


class Member(views.View):
    """GET, PATCH and DELETE ``/v1/webhooks/messages/{id}``; any text is an id, most are not found."""

    permission: ClassVar[str] = "webhooks:manage"

    def get(self, request: Request, key: str) -> HttpResponse:
        return views.answer(request, shown(_find(request, key)))

    def patch(self, request: Request, key: str) -> HttpResponse:
        webhook = subscriptions.change(webhook=_find(request, key), members=_members(request))
        return views.answer(request, shown(webhook))

    def delete(self, request: Request, key: str) -> HttpResponse:
        subscriptions.remove(webhook=_find(request, key))
        return HttpResponse(status=204)


def shown(webhook: Webhook) -> dict[str, Any]:
    """A webhook as clients see it (contract §2 and ours); its secret only where it was just made."""
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
        "active": webhook.active,
        "disabledReason": webhook.disabled_reason,
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


def _find(request: Request, key: str) -> Webhook:
    return subscriptions.find(tenant_id=views.credential(request).tenant_id, key=key)


def _members(request: Request) -> dict[str, Any]:
    assert isinstance(request, views.StrictRequest)
    return request.members


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
