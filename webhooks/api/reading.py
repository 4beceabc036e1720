"""What the views of webhooks read of a request."""

from typing import Any

from rest_framework.request import Request

from gateway.api import parsing, views
from webhooks import subscriptions
from webhooks.models import Webhook


def tenant(request: Request) -> int:
    """Whose key it came with."""
    return views.credential(request).tenant_id


def webhook(request: Request, key: str) -> Webhook:
    """The caller's webhook of that id, which may be any text.

    Raises:
        errors.NotFound: there is none, or it is another tenant's.
    """
    return subscriptions.find(tenant_id=tenant(request), key=key)


def members(request: Request) -> dict[str, Any]:
    """The body, which must be an object.

    Raises:
        errors.MalformedBody: it is something else.
    """
    assert isinstance(request, views.StrictRequest)
    return request.members


def optional_members(request: Request) -> dict[str, Any]:
    """The same; no body is an empty object."""
    return members(request) if parsing.has_body(request._request) else {}
