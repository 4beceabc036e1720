"""``/v1/webhooks/callback-secret``: what signs calls to messages' own ``callbackUrl``. Shown only when it is made."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from django.http import HttpResponse
from django.urls import URLPattern
from rest_framework.request import Request

from gateway import errors, tenants
from gateway.api import views
from gateway.api.fields import Members
from gateway.api.paths import both
from gateway.api.rendering import stamp
from gateway.api.shapes import READS, REQUEST_ID, TIME, WRITES, Json, answer, body, null, object_, text
from gateway.models import Tenant
from webhooks import terms
from webhooks.api import reading
from webhooks.api.operations import operation


class CallbackSecret(views.View):
    """GET ``/v1/webhooks/callback-secret``: how it is with its rotation."""

    permission: ClassVar[str] = "webhooks:manage"

    def get(self, request: Request) -> HttpResponse:
        return views.answer(request, _shown(Tenant.everything.get(pk=reading.tenant(request))))


class Rotate(views.View):
    """POST ``/v1/webhooks/callback-secret/rotate``."""

    permission: ClassVar[str] = "webhooks:manage"

    def post(self, request: Request) -> HttpResponse:
        members = reading.optional_members(request)
        Members(members, known={"secret"}).check()
        secret, wrong = terms.secret(members)
        if wrong:
            raise errors.Invalid(wrong[0].message, details=wrong)
        rotated, shown = tenants.rotate_callback_secret(tenant_id=reading.tenant(request), secret=secret)
        return views.answer(request, {**_shown(rotated), "callbackSecret": shown})


def _shown(tenant: Tenant) -> dict[str, Any]:
    until = tenant.previous_callback_secret_until
    is_rotating = until is not None and until > datetime.now(tz=UTC)
    return {"previousSecretUntil": stamp(until) if is_rotating else None}


ROUTES: list[URLPattern] = [
    *both("webhooks/callback-secret", CallbackSecret.as_view()),
    *both("webhooks/callback-secret/rotate", Rotate.as_view()),
]

_UNTIL = {"previousSecretUntil": null(TIME | {"description": "Until then the secret before signs too."})}
_SECRET = {
    "callbackSecret": text("In this answer only.", example="whsec_C2FtcGxlLXNlY3JldC1vZi0zMi1ieXRlcw==")
}

PART: Json = {
    "schemas": {
        "CallbackSecret": object_(
            _UNTIL | {"requestId": REQUEST_ID}, required=("previousSecretUntil", "requestId")
        ),
        "RotatedCallbackSecret": object_(
            _SECRET | _UNTIL | {"requestId": REQUEST_ID},
            required=("callbackSecret", "previousSecretUntil", "requestId"),
        ),
    },
    "paths": {
        "/v1/webhooks/callback-secret": {
            "get": operation(
                "getCallbackSecret",
                "Whether the secret of messages' own callbackUrl is being rotated. The secret is not shown.",
                responses={"200": answer("Found.", "CallbackSecret")} | READS,
            ),
        },
        "/v1/webhooks/callback-secret/rotate": {
            "post": operation(
                "rotateCallbackSecret",
                "Give messages' own callbackUrl a new secret, in this answer only; the one before signs beside it "
                "for 24 hours. The sandbox has the same until one of the two is rotated.",
                requestBody=body("NewSecret") | {"required": False},
                responses={"200": answer("Rotated.", "RotatedCallbackSecret")} | WRITES,
            ),
        },
    },
}
