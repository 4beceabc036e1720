"""``/v1/batches/{id}``: how the messages of a bulk call fare, and taking back those that still wait."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.urls import URLPattern
from rest_framework.request import Request

from gateway import batches, errors
from gateway.api.paths import both
from gateway.api.rendering import stamp
from gateway.api.views import View, answer, credential
from gateway.batches import Batch


class OneBatch(View):
    permissions = {"GET": "reports:read"}

    def get(self, request: Request, batch_id: str) -> HttpResponse:
        found = batches.read(tenant_id=credential(request).tenant_id, batch_id=_key(batch_id))
        return answer(request, _resource(found))


class Cancel(View):
    permissions = {"POST": "messages:send"}

    def post(self, request: Request, batch_id: str) -> HttpResponse:
        tenant_id, key = credential(request).tenant_id, _key(batch_id)
        canceled = batches.cancel(tenant_id=tenant_id, batch_id=key, now=datetime.now(tz=UTC))
        found = batches.read(tenant_id=tenant_id, batch_id=key)
        return answer(request, _resource(found) | {"canceled": canceled})


def _key(text: str) -> UUID:
    """A batch's key; what is none names no batch."""
    try:
        return UUID(text)
    except ValueError as error:
        raise errors.NotFound from error


def _resource(batch: Batch) -> dict[str, Any]:
    return {
        "id": str(batch.id),
        "createdAt": stamp(batch.created_at),
        "total": batch.total,
        "counts": {status.value: count for status, count in batch.counts.items()},
        "finished": batch.finished,
    }


ROUTES: list[URLPattern] = [
    *both("batches/<str:batch_id>", OneBatch.as_view()),
    *both("batches/<str:batch_id>/cancel", Cancel.as_view()),
]
