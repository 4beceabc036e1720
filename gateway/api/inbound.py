"""``/v1/inbound``: what handsets have sent."""

from typing import Any

from django.http import HttpResponse
from django.urls import URLPattern
from rest_framework.request import Request

from gateway import errors, ids, inbound, keywords
from gateway.api import pagination, schema
from gateway.api.pagination import key_of, moment_of
from gateway.api.paths import both
from gateway.api.rendering import stamp
from gateway.api.views import View, answer, credential
from gateway.errors import Detail
from gateway.models import InboundMessage

_FILTERS = frozenset({"limit", "cursor", "from", "to", "channel", "keyword", "createdAfter", "createdBefore"})


class Inbound(View):
    permission = "inbound:read"

    def get(self, request: Request) -> HttpResponse:
        given = pagination.parameters(request, known=_FILTERS)
        limit, after = pagination.limit_of(given), pagination.cursor_of(given)
        rows = inbound.listed(tenant_id=credential(request).tenant_id, filters=_filters(given))
        page = list((rows if after is None else rows.filter(id__lt=after))[: limit + 1])
        following = pagination.cursor_after(page[limit - 1].pk) if len(page) > limit else None
        return answer(request, {"data": [resource(row) for row in page[:limit]], "nextCursor": following})


class OneInbound(View):
    permission = "inbound:read"

    def get(self, request: Request, inbound_id: str) -> HttpResponse:
        found = inbound.read(tenant_id=credential(request).tenant_id, inbound_id=key_of(inbound_id))
        return answer(request, resource(found))


def resource(row: InboundMessage) -> dict[str, Any]:
    """An inbound message as it is answered."""
    return {
        "id": str(row.pk),
        "channel": row.channel,
        "from": row.sender,
        "to": row.recipient,
        "text": row.text,
        "operator": row.operator,
        "keyword": row.keyword,
        "action": row.action,
        "inReplyTo": None if row.in_reply_to is None else str(row.in_reply_to),
        "receivedAt": stamp(row.received_at),
    }


def _filters(given: dict[str, str]) -> dict[str, Any]:
    """A query's filters, by column. A plus that was not escaped arrives as a space."""
    filters: dict[str, Any] = {}
    if "from" in given:
        filters["sender"] = inbound.phone(_plus(given["from"]))
    if "to" in given:
        bare = given["to"].removeprefix(" ").removeprefix("+")
        filters["recipient__in"] = (bare, f"+{bare}")
    if "channel" in given:
        filters["channel"] = _channel(given["channel"])
    if "keyword" in given:
        filters["keyword"] = keywords.canonical(given["keyword"])
    if (since := moment_of(given, "createdAfter")) is not None:
        filters["id__gte"] = ids.floor(since)
    if (until := moment_of(given, "createdBefore")) is not None:
        filters["id__lt"] = ids.floor(until)
    return filters


def _plus(number: str) -> str:
    return "+" + number[1:] if number.startswith(" ") else number


def _channel(given: str) -> str:
    if given not in schema.CHANNELS:
        names = ", ".join(schema.CHANNELS)
        raise errors.Invalid(details=[Detail("channel", "INVALID_VALUE", f"One of {names}.")])
    return given


ROUTES: list[URLPattern] = [
    *both("inbound", Inbound.as_view()),
    *both("inbound/<str:inbound_id>", OneInbound.as_view()),
]
