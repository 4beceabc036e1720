"""``/v1/webhooks/deliveries``: what became of callbacks, and sending one again."""

from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpResponse
from django.urls import URLPattern
from rest_framework.request import Request

from gateway import errors, ids
from gateway.api import pagination, shapes, views
from gateway.api.paths import both
from gateway.api.rendering import stamp
from gateway.api.shapes import (
    CURSOR,
    LIMIT,
    READS,
    TIME,
    Json,
    answer,
    array,
    in_path,
    null,
    object_,
    one_of,
    page,
    problems,
    query,
    text,
    whole,
)
from gateway.errors import Detail
from webhooks import catalogue, deliveries, replays, terms
from webhooks.api import reading
from webhooks.api.operations import operation
from webhooks.deliveries import Delivery, Try
from webhooks.models.callback import State

_FILTERS = frozenset({"limit", "cursor", "state", "event", "since", "until", "messageId"})


class Deliveries(views.View):
    """GET ``/v1/webhooks/messages/{id}/deliveries``."""

    permission: ClassVar[str] = "webhooks:manage"

    def get(self, request: Request, key: str) -> HttpResponse:
        webhook = reading.webhook(request, key)
        given = pagination.parameters(request, known=_FILTERS)
        limit, before = pagination.limit_of(given), pagination.cursor_of(given)
        found = deliveries.listed(webhook=webhook, filters=_filters(given), before=before, limit=limit + 1)
        more = len(found) > limit
        following = pagination.cursor_after(found[limit - 1].callback.pk) if more else None
        data = [shown(delivery) for delivery in found[:limit]]
        return views.answer(request, {"data": data, "nextCursor": following})


class OneDelivery(views.View):
    """GET ``/v1/webhooks/deliveries/{id}``."""

    permission: ClassVar[str] = "webhooks:manage"

    def get(self, request: Request, key: str) -> HttpResponse:
        found = deliveries.find(tenant_id=reading.tenant(request), key=pagination.key_of(key))
        return views.answer(request, shown(found))


class Retry(views.View):
    """POST ``/v1/webhooks/deliveries/{id}/retry``."""

    permission: ClassVar[str] = "webhooks:manage"

    def post(self, request: Request, key: str) -> HttpResponse:
        tenant_id, callback_id = reading.tenant(request), pagination.key_of(key)
        replays.retry(tenant_id=tenant_id, callback_id=callback_id)
        found = deliveries.find(tenant_id=tenant_id, key=callback_id)
        return views.answer(request, shown(found), status=202)


def shown(delivery: Delivery) -> dict[str, Any]:
    """A delivery as clients see it."""
    callback = delivery.callback
    return {
        "id": str(callback.pk),
        "webhookId": None if delivery.webhook_id is None else str(delivery.webhook_id),
        "event": callback.type,
        "eventId": str(callback.event_id),
        # Of what happened to a webhook, the place is that webhook's.
        "messageId": None if callback.type == catalogue.DISABLED else str(callback.message_id),
        "state": callback.state,
        "createdAt": stamp(ids.moment(callback.pk)),
        "nextAttemptAt": stamp(delivery.next_attempt_at),
        "attempts": [_attempt(each) for each in delivery.attempts],
    }


def _attempt(attempt: Try) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "startedAt": stamp(attempt.started_at),
        "durationMs": attempt.duration_ms,
        "status": attempt.status_code,
        "outcome": attempt.outcome,
        "error": attempt.error,
        "body": attempt.body,
        "failover": attempt.failover,
        "batch": attempt.batch,
    }


def _filters(given: dict[str, str]) -> dict[str, Any]:
    """A query's filters, as look-ups of callbacks' columns."""
    filters: dict[str, Any] = {}
    if "state" in given:
        filters["state"] = _known("state", given["state"], State.values)
    if "event" in given:
        name = _known("event", given["event"], terms.EVENTS)
        filters["type"] = catalogue.MESSAGEMEDIA.get(name, name) or name
    if (since := pagination.moment_of(given, "since")) is not None:
        filters["id__gte"] = ids.floor(since)
    if (until := pagination.moment_of(given, "until")) is not None:
        filters["id__lt"] = ids.floor(until)
    if "messageId" in given:
        filters["message_id"] = _key("messageId", given["messageId"])
    return filters


def _known(name: str, given: str, known: Sequence[str]) -> str:
    if given not in known:
        raise errors.Invalid(details=[Detail(name, "INVALID_VALUE", f"One of {', '.join(known)}.")])
    return given


def _key(name: str, given: str) -> UUID:
    try:
        return UUID(given)
    except ValueError as error:
        raise errors.Invalid(details=[Detail(name, "INVALID_VALUE", "An id.")]) from error


ROUTES: list[URLPattern] = [
    *both("webhooks/messages/<str:key>/deliveries", Deliveries.as_view()),
    *both("webhooks/deliveries/<str:key>", OneDelivery.as_view()),
    *both("webhooks/deliveries/<str:key>/retry", Retry.as_view()),
]

OUTCOMES = (
    "delivered: 2xx; status: any other; redirect; gone: 410; unexpected_body: a body where the format allows none; "
    "timeout, connect, dns, tls, protocol: no answer; blocked: an address that callbacks may not reach; template: "
    "the template could not be rendered, so nothing was sent; invalid, error."
)
_ATTEMPT: Json = {
    "number": whole("Counts on when it is sent again.", least=1, example=1),
    "startedAt": TIME,
    "durationMs": whole(example=41),
    "status": null(whole("What the endpoint answered.", example=500)),
    "outcome": text(OUTCOMES, example="status"),
    "error": null(text("A sentence; null when delivered.", example="the endpoint answered 500")),
    "body": null(
        text(
            f"How the answer began: {deliveries.SHORT} characters in lists, {deliveries.WHOLE:,} of one delivery.",
            example="oops",
        )
    ),
    "failover": {"type": "boolean", "description": "It went to failoverUrl.", "examples": [False]},
    "batch": null(text("The webhook-id of the request, where it carried several events."))
    | {"examples": [None]},
}
_DELIVERY: Json = {
    "id": shapes.UUID,
    "webhookId": null(shapes.UUID)
    | {"description": "Null for a message's own callbackUrl, or a webhook removed."},
    "event": one_of(*sorted(catalogue.OWN)) | {"examples": ["message.delivered"]},
    "eventId": shapes.UUID | {"description": "The webhook-id of its requests."},
    "messageId": null(shapes.UUID),
    "state": one_of(
        *State.values,
        about="open: to be tried; dead: given up, may be sent again; held: its webhook is inactive.",
    ),
    "createdAt": TIME,
    "nextAttemptAt": null(TIME) | {"description": "Null when it has ended, is held, or is being tried now."},
    "attempts": array(
        object_(_ATTEMPT, required=tuple(_ATTEMPT)),
        description=f"The last {deliveries.MOST_ATTEMPTS}, oldest first.",
    ),
}
_PARAMETERS = [
    LIMIT,
    CURSOR,
    query("state", "", one_of(*State.values)),
    query("event", "Ours or MessageMedia's.", one_of(*terms.EVENTS)),
    query("since", "Made at this moment or after.", TIME),
    query("until", "Made before this moment.", TIME),
    query("messageId", "About this message.", shapes.UUID),
]
_ID = in_path("id", about="The delivery's id: callbackId in a message's events.")

PART: Json = {
    "schemas": {
        "Delivery": object_(_DELIVERY | {"requestId": shapes.REQUEST_ID}, required=(*_DELIVERY, "requestId")),
        "DeliveryLine": object_(_DELIVERY, required=tuple(_DELIVERY)),
        "DeliveryPage": page("DeliveryLine"),
    },
    "paths": {
        "/v1/webhooks/messages/{id}/deliveries": {
            "get": operation(
                "listDeliveries",
                "A webhook's callbacks and their attempts, newest first.",
                parameters=[in_path("id", about="The webhook's id."), *_PARAMETERS],
                responses={"200": answer("A page.", "DeliveryPage")} | READS | problems(404),
            ),
        },
        "/v1/webhooks/deliveries/{id}": {
            "get": operation(
                "getDelivery",
                "One callback and its attempts, also one to a message's own callbackUrl.",
                parameters=[_ID],
                responses={"200": answer("Found.", "Delivery")} | READS | problems(404),
            ),
        },
        "/v1/webhooks/deliveries/{id}/retry": {
            "post": operation(
                "retryDelivery",
                "Send it again, under the same webhook-id; one that waits for its next attempt goes now.",
                parameters=[_ID],
                responses={"202": answer("Queued.", "Delivery")} | READS | problems(404, 409),
            ),
        },
    },
}
