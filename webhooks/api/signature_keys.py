"""``/v1/iam/signature_keys``, as MessageMedia has it: a bare list, 200 with nothing for a deletion."""

from typing import Any, ClassVar

from django.http import HttpResponse
from django.urls import URLPattern
from rest_framework.request import Request

from gateway import errors
from gateway.api import rendering, shapes, views
from gateway.api.paths import both
from gateway.api.rendering import stamp
from gateway.api.shapes import (
    READS,
    REQUEST_ID,
    TIME,
    UUID,
    WRITES,
    Json,
    answer,
    array,
    body,
    in_path,
    nothing,
    object_,
    one_of,
    problems,
    ref,
    scope,
    text,
    whole,
)
from gateway.errors import Detail
from webhooks import signature_keys
from webhooks.models import SignatureKey

_MOST_PAGE_SIZE = 1000


class Collection(views.View):
    """POST and GET ``/v1/iam/signature_keys``."""

    permission: ClassVar[str] = "webhooks:manage"

    def post(self, request: Request) -> HttpResponse:
        key = signature_keys.create(tenant_id=_tenant(request), members=_members(request))
        return views.answer(request, {**shown(key), "public_key": key.public_key}, status=201)

    def get(self, request: Request) -> HttpResponse:
        """A bare array; the request's id is in the header."""
        page, size = _number(request, "page", 1), _number(request, "page_size", 100)
        start = (page - 1) * min(size, _MOST_PAGE_SIZE)
        keys = list(signature_keys.listed(tenant_id=_tenant(request)))[start : start + size]
        return HttpResponse(
            rendering.encode([shown(key) for key in keys]), content_type=rendering.CONTENT_TYPE
        )


class Enabled(views.View):
    """GET, PATCH and DELETE ``/v1/iam/signature_keys/enabled``."""

    permission: ClassVar[str] = "webhooks:manage"

    def get(self, request: Request) -> HttpResponse:
        return views.answer(request, shown(signature_keys.enabled(tenant_id=_tenant(request))))

    def patch(self, request: Request) -> HttpResponse:
        key = signature_keys.enable(tenant_id=_tenant(request), key_id=_members(request).get("key_id"))
        return views.answer(request, shown(key))

    def delete(self, request: Request) -> HttpResponse:
        signature_keys.disable(tenant_id=_tenant(request))
        return HttpResponse(status=204)


class Member(views.View):
    """GET and DELETE ``/v1/iam/signature_keys/{key_id}``."""

    permission: ClassVar[str] = "webhooks:manage"

    def get(self, request: Request, key_id: str) -> HttpResponse:
        return views.answer(request, shown(signature_keys.find(tenant_id=_tenant(request), key_id=key_id)))

    def delete(self, request: Request, key_id: str) -> HttpResponse:
        signature_keys.remove(tenant_id=_tenant(request), key_id=key_id)
        return HttpResponse(status=200)


def shown(key: SignatureKey) -> dict[str, Any]:
    """A key as clients see it; its public part is shown only where it was just made."""
    return {
        "key_id": str(key.pk),
        "cipher": "RSA",
        "digest": key.digest,
        "created": stamp(key.created_at),
        "enabled": key.enabled,
    }


def _tenant(request: Request) -> int:
    return views.credential(request).tenant_id


def _members(request: Request) -> dict[str, Any]:
    assert isinstance(request, views.StrictRequest)
    return request.members


def _number(request: Request, name: str, default: int) -> int:
    given = request.GET.get(name)
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and len(given) < 10 and int(given) > 0):
        message = f"{name} property value is invalid"
        raise errors.Invalid(message, details=[Detail(name, "INVALID", message)])
    return int(given)


ROUTES: list[URLPattern] = [
    *both("iam/signature_keys", Collection.as_view()),
    *both("iam/signature_keys/enabled", Enabled.as_view()),
    *both("iam/signature_keys/<str:key_id>", Member.as_view()),
]

_KEY: Json = {
    "key_id": UUID,
    "cipher": one_of(*signature_keys.CIPHERS),
    "digest": one_of(*signature_keys.DIGESTS) | {"examples": ["SHA256"]},
    "created": TIME,
    "enabled": {"type": "boolean", "examples": [False]},
}
_PUBLIC = text(
    "Base64 of the DER SubjectPublicKeyInfo; in this answer only.", example="MIIBIjANBgkqhkiG9w0BAQ…"
)


def _call(operation: str, summary: str, **more: Any) -> Json:
    call = {"tags": ["signature keys"], "operationId": operation, "summary": summary} | more
    return call | scope("webhooks:manage")


_ID = in_path("key_id", about="The key's id.")

PART: Json = {
    "tags": [
        {
            "name": "signature keys",
            "description": (
                "RSA keys for receivers that verify callbacks as MessageMedia signs them. While one is enabled, "
                "each call of your webhooks carries X-MessageMedia-Signature too: PKCS #1 v1.5 over the request "
                "line, the value of Date and the body, with nothing between them."
            ),
        }
    ],
    "schemas": {
        "NewSignatureKey": object_(
            {name: _KEY[name] for name in ("cipher", "digest")},
            required=("cipher", "digest"),
            example={"cipher": "RSA", "digest": "SHA256"},
        ),
        "SignatureKeyChoice": object_({"key_id": UUID}, required=("key_id",)),
        "SignatureKeyLine": object_(_KEY, required=tuple(_KEY)),
        "SignatureKey": object_(_KEY | {"requestId": REQUEST_ID}, required=(*_KEY, "requestId")),
        "CreatedSignatureKey": object_(
            _KEY | {"public_key": _PUBLIC, "requestId": REQUEST_ID},
            required=(*_KEY, "public_key", "requestId"),
        ),
        "SignatureKeys": array(ref("SignatureKeyLine")),
    },
    "paths": {
        "/v1/iam/signature_keys": {
            "post": _call(
                "createSignatureKey",
                "Make a key. It signs once it is enabled.",
                requestBody=body("NewSignatureKey"),
                responses={"201": answer("Made.", "CreatedSignatureKey")} | WRITES | problems(409),
            ),
            "get": _call(
                "listSignatureKeys",
                "The account's keys, a bare array.",
                parameters=[
                    shapes.query("page", "From 1.", whole(least=1, most=999_999_999) | {"default": 1}),
                    shapes.query("page_size", "At most 1,000.", whole(least=1, most=999_999_999)),
                ],
                responses={"200": answer("The keys.", "SignatureKeys")} | READS,
            ),
        },
        "/v1/iam/signature_keys/enabled": {
            "get": _call(
                "getEnabledSignatureKey",
                "The key that signs now.",
                responses={"200": answer("Found.", "SignatureKey")} | READS | problems(404),
            ),
            "patch": _call(
                "enableSignatureKey",
                "Let this key sign, and no other.",
                requestBody=body("SignatureKeyChoice"),
                responses={"200": answer("Enabled.", "SignatureKey")} | WRITES | problems(404),
            ),
            "delete": _call(
                "disableSignatureKey",
                "Let no key sign.",
                responses={"204": nothing("None signs.")} | READS,
            ),
        },
        "/v1/iam/signature_keys/{key_id}": {
            "get": _call(
                "getSignatureKey",
                "One key.",
                parameters=[_ID],
                responses={"200": answer("Found.", "SignatureKey")} | READS | problems(400, 404),
            ),
            "delete": _call(
                "deleteSignatureKey",
                "Remove a key; what it signed can still be verified with its public part.",
                parameters=[_ID],
                responses={"200": nothing("Removed.")} | READS | problems(400, 404),
            ),
        },
    },
}
