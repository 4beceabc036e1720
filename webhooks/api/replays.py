"""Sending a webhook's callbacks of a span of time again, and how far that has come."""

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django.http import HttpResponse
from django.urls import URLPattern
from rest_framework.request import Request

from gateway import errors
from gateway.api import pagination, shapes, views
from gateway.api.fields import Members
from gateway.api.pagination import key_of
from gateway.api.paths import both
from gateway.api.rendering import stamp
from gateway.api.shapes import (
    CURSOR,
    LIMIT,
    READS,
    TIME,
    UUID,
    WRITES,
    Json,
    answer,
    body,
    in_path,
    null,
    object_,
    one_of,
    page,
    problems,
    whole,
)
from webhooks import replays
from webhooks.api import reading
from webhooks.api.operations import operation
from webhooks.models import Replay

# How far back it goes when that is not said.
_DAY = timedelta(days=1)


class Start(views.View):
    """POST ``/v1/webhooks/messages/{id}/replay``."""

    permission: ClassVar[str] = "webhooks:manage"

    def post(self, request: Request, key: str) -> HttpResponse:
        webhook = reading.webhook(request, key)
        asked = Members(reading.optional_members(request), known={"since", "until", "only"})
        until = asked.moment("until") or datetime.now(tz=UTC)
        since = asked.moment("since") or until - _DAY
        only = asked.choice("only", Replay.Only.values) or Replay.Only.FAILED.value
        asked.check()
        made = replays.start(
            tenant_id=reading.tenant(request), webhook=webhook, since=since, until=until, only=only
        )
        return views.answer(request, shown(made), status=202)


class Replays(views.View):
    """GET ``/v1/webhooks/messages/{id}/replays``."""

    permission: ClassVar[str] = "webhooks:manage"

    def get(self, request: Request, key: str) -> HttpResponse:
        webhook = reading.webhook(request, key)
        given = pagination.parameters(request, known={"limit", "cursor"})
        limit, before = pagination.limit_of(given), pagination.cursor_of(given)
        rows = Replay.objects.for_tenant(webhook.tenant_id).filter(webhook=webhook).order_by("-id")
        found = list((rows if before is None else rows.filter(id__lt=before))[: limit + 1])
        following = pagination.cursor_after(found[limit - 1].pk) if len(found) > limit else None
        data = [shown(replay) for replay in found[:limit]]
        return views.answer(request, {"data": data, "nextCursor": following})


class OneReplay(views.View):
    """GET ``/v1/webhooks/replays/{id}``."""

    permission: ClassVar[str] = "webhooks:manage"

    def get(self, request: Request, key: str) -> HttpResponse:
        found = Replay.objects.for_tenant(reading.tenant(request)).filter(pk=key_of(key)).first()
        if found is None:
            raise errors.NotFound("There is no such replay.")
        return views.answer(request, shown(found))


class Cancel(views.View):
    """POST ``/v1/webhooks/replays/{id}/cancel``."""

    permission: ClassVar[str] = "webhooks:manage"

    def post(self, request: Request, key: str) -> HttpResponse:
        ended = replays.cancel(tenant_id=reading.tenant(request), replay_id=key_of(key))
        return views.answer(request, shown(ended))


def shown(replay: Replay) -> dict[str, Any]:
    """A replay as clients see it."""
    return {
        "id": str(replay.pk),
        "webhookId": str(replay.webhook_id),
        "state": replay.state,
        "since": stamp(replay.since),
        "until": stamp(replay.until),
        "only": replay.only,
        "examined": replay.looked_at,
        "replayed": replay.replayed,
        "createdAt": stamp(replay.created_at),
        "endedAt": stamp(replay.ended_at),
    }


ROUTES: list[URLPattern] = [
    *both("webhooks/messages/<str:key>/replay", Start.as_view()),
    *both("webhooks/messages/<str:key>/replays", Replays.as_view()),
    *both("webhooks/replays/<str:key>", OneReplay.as_view()),
    *both("webhooks/replays/<str:key>/cancel", Cancel.as_view()),
]

_ONLY = one_of(*Replay.Only.values, about="failed: those given up; all: those delivered too.")
_REPLAY: Json = {
    "id": UUID,
    "webhookId": UUID,
    "state": one_of(*Replay.State.values),
    "since": TIME,
    "until": TIME,
    "only": _ONLY,
    "examined": whole("Callbacks of the span looked at so far.", example=1200),
    "replayed": whole("Of these, queued to be sent again.", example=17),
    "createdAt": TIME,
    "endedAt": null(TIME) | {"examples": [None]},
}
_WEBHOOK = in_path("id", about="The webhook's id.")
_ID = in_path("id", about="The replay's id.")

PART: Json = {
    "schemas": {
        "NewReplay": object_(
            {
                "since": null(TIME)
                | {"description": "Callbacks made from then on; a day before until when not given."},
                "until": null(TIME) | {"description": "And before; now when not given, and not later."},
                "only": null(_ONLY | {"default": "failed"}),
            },
            closed=True,
            example={"only": "failed"},
        ),
        "Replay": object_(_REPLAY | {"requestId": shapes.REQUEST_ID}, required=(*_REPLAY, "requestId")),
        "ReplayLine": object_(_REPLAY, required=tuple(_REPLAY)),
        "ReplayPage": page("ReplayLine"),
    },
    "paths": {
        "/v1/webhooks/messages/{id}/replay": {
            "post": operation(
                "replayWebhook",
                "Send a webhook's callbacks again, each under its webhook-id; those on their way are left alone.",
                parameters=[_WEBHOOK],
                requestBody=body("NewReplay") | {"required": False},
                responses={"202": answer("Begun.", "Replay")} | WRITES | problems(404, 409),
            ),
        },
        "/v1/webhooks/messages/{id}/replays": {
            "get": operation(
                "listReplays",
                "A webhook's replays, newest first.",
                parameters=[_WEBHOOK, LIMIT, CURSOR],
                responses={"200": answer("A page.", "ReplayPage")} | READS | problems(404),
            ),
        },
        "/v1/webhooks/replays/{id}": {
            "get": operation(
                "getReplay",
                "How far a replay has come.",
                parameters=[_ID],
                responses={"200": answer("Found.", "Replay")} | READS | problems(404),
            ),
        },
        "/v1/webhooks/replays/{id}/cancel": {
            "post": operation(
                "cancelReplay",
                "End a replay; what it has queued is still sent.",
                parameters=[_ID],
                responses={"200": answer("Canceled.", "Replay")} | READS | problems(404, 409),
            ),
        },
    },
}
