"""``/v1/messages``: submit, read, list, cancel."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import BooleanField, Case, TextField, Value, When
from django.db.models.functions import Cast
from django.http import HttpResponse
from rest_framework.request import Request

from gateway import cancellation, errors, ids, statuses, submission
from gateway.api import pagination, schema
from gateway.api.rendering import stamp
from gateway.api.views import StrictRequest, View, answer, credential
from gateway.errors import Detail
from gateway.hooks import hooks
from gateway.models import Event, Message
from gateway.statuses import Status
from gateway.submission import Accepted

_PRIORITIES = {number: name for name, number in schema.PRIORITIES.items()}


class Messages(View):
    permissions = {"POST": "messages:send", "GET": "reports:read"}

    def post(self, request: StrictRequest) -> HttpResponse:
        draft = schema.message(
            request.members,
            credential=credential(request),
            key=schema.idempotency_key(request.META.get("HTTP_IDEMPOTENCY_KEY")),
            now=datetime.now(tz=UTC),
        )
        accepted = submission.submit(submission=draft)
        response = answer(request, _accepted(accepted))
        if accepted.replayed:
            response.headers["Idempotent-Replayed"] = "true"
        return response

    def get(self, request: Request) -> HttpResponse:
        given = pagination.parameters(request, known=_FILTERS, prefixes=("metadata.",))
        limit = pagination.limit_of(given)
        rows = list(_listed(credential(request).tenant_id, given)[: limit + 1])
        page = rows[:limit]
        after = pagination.cursor_after(page[-1]["id"]) if len(rows) > limit else None
        return answer(request, {"data": [_resource(row) for row in page], "nextCursor": after})


class OneMessage(View):
    permissions = {"GET": "reports:read"}

    def get(self, request: Request, message_id: str) -> HttpResponse:
        return answer(request, _read(credential(request).tenant_id, pagination.key_of(message_id)))


class Cancel(View):
    permissions = {"POST": "messages:send"}

    def post(self, request: Request, message_id: str) -> HttpResponse:
        tenant_id, key = credential(request).tenant_id, pagination.key_of(message_id)
        cancellation.cancel(tenant_id=tenant_id, message_id=key, now=datetime.now(tz=UTC))
        return answer(request, _read(tenant_id, key))


class Events(View):
    permissions = {"GET": "reports:read"}

    def get(self, request: Request, message_id: str) -> HttpResponse:
        tenant_id, key = credential(request).tenant_id, pagination.key_of(message_id)
        if not Message.objects.for_tenant(tenant_id).filter(pk=key).exists():
            raise errors.NotFound
        lines = [_line(row) for row in _events(tenant_id, key)]
        for timeline in hooks.timeline:
            lines.extend(_stamped(line) for line in timeline(tenant_id, key))
        lines.sort(key=lambda line: str(line["occurredAt"]))
        return answer(request, {"data": lines, "nextCursor": None})


def _accepted(outcome: Accepted) -> dict[str, Any]:
    draft = outcome.submission
    return {
        "id": outcome.id,
        "clientMessageId": draft.client_message_id,
        "status": outcome.status,
        "channel": draft.channel,
        "to": draft.recipient,
        "from": draft.sender,
        "encoding": draft.encoding,
        "parts": draft.parts,
        "createdAt": stamp(outcome.created_at),
        "sendAt": stamp(draft.send_at),
    }


def _read(tenant_id: int, key: UUID) -> dict[str, Any]:
    """One message as a resource, with the moment of each status that it went through."""
    row = Message.objects.for_tenant(tenant_id).filter(pk=key).values().first()
    if row is None:
        raise errors.NotFound
    moments = {
        event["status"]: stamp(event["occurred_at"]) for event in _events(tenant_id, key) if event["status"]
    }
    return _resource(dict(row)) | {"timestamps": moments}


def _events(tenant_id: int, key: UUID) -> list[dict[str, Any]]:
    # An event's key is never older than its message's moment: the partitions before it are not looked at.
    since = ids.floor(ids.moment(key))
    rows = Event.objects.for_tenant(tenant_id).filter(message_id=key, id__gte=since)
    return [dict(row) for row in rows.order_by("sequence").values()]


def _resource(row: dict[str, Any]) -> dict[str, Any]:
    content = row["content"] or {"text": row["text"]}
    return {
        "id": str(row["id"]),
        "clientMessageId": row["client_message_id"],
        "batchId": None if row["batch_id"] is None else str(row["batch_id"]),
        "status": row["status"],
        "statusCode": statuses.code(status=Status(row["status"]), error_code=row["error_code"]),
        "errorCode": row["error_code"],
        "operator": row["operator"],
        "channel": row["channel"],
        "to": row["recipient"],
        "from": row["sender"],
        "content": content,
        "renderedText": row["text"] if "template" in content else None,
        "encoding": row["encoding"],
        "parts": row["parts"],
        "priority": _PRIORITIES[row["priority"]],
        "metadata": row["metadata"],
        "callbackUrl": row["callback_url"],
        "fallback": row["fallback"],
        "validitySeconds": row["validity_seconds"],
        "createdAt": stamp(row["created_at"]),
        "sendAt": stamp(row["send_at"]),
        "expiresAt": stamp(row["expires_at"]),
        "sentAt": stamp(row["sent_at"]),
        "deliveredAt": stamp(row["delivered_at"]),
        "readAt": stamp(row["read_at"]),
        "endedAt": stamp(row["ended_at"]),
    }


def _line(row: dict[str, Any]) -> dict[str, Any]:
    status = row["status"]
    return {
        "id": str(row["id"]),
        "type": row["type"],
        "status": status,
        "statusCode": status and statuses.code(status=Status(status), error_code=row["error_code"]),
        "sequence": row["sequence"],
        "occurredAt": stamp(row["occurred_at"]),
        "operator": row["operator"],
        "operatorCode": row["operator_code"],
        "errorCode": row["error_code"],
        "data": row["data"],
    }


def _stamped(line: dict[str, Any]) -> dict[str, Any]:
    """A line of another app's, its moments as text."""
    return {name: stamp(value) if isinstance(value, datetime) else value for name, value in line.items()}


_FILTERS = frozenset(
    {
        "limit",
        "cursor",
        "status",
        "channel",
        "to",
        "batchId",
        "clientMessageId",
        "createdAfter",
        "createdBefore",
    }
)
_CHOICES = {"status": [status.value for status in Status], "channel": list(schema.CHANNELS)}
# Filters with an index, and those that find few messages by it, whoever looks.
_COLUMNS = {"to": "recipient", "batchId": "batch_id", "clientMessageId": "client_message_id"}
_SELECTIVE = frozenset({"batchId", "clientMessageId"})


def _listed(tenant_id: int, given: dict[str, str]) -> Any:
    """The tenant's messages that match, newest first."""
    rows = Message.objects.for_tenant(tenant_id).order_by("-id").values()
    if not _SELECTIVE.isdisjoint(given):
        # The same order, but no index has it: the planner cannot walk the tenant's messages for a page of few.
        rows = rows.order_by(Cast("id", TextField()).desc())
    for name, allowed in _CHOICES.items():
        if (choice := pagination.choice_of(given, name, allowed)) is not None:
            rows = rows.filter(_is(name, choice))
    for name, column in _COLUMNS.items():
        if name in given:
            rows = rows.filter(**{column: _value(name, given)})
    for name, text in given.items():
        if name.startswith("metadata."):
            rows = rows.filter(metadata__contains={name.removeprefix("metadata."): text})
    if (since := pagination.moment_of(given, "createdAfter")) is not None:
        rows = rows.filter(id__gte=ids.floor(since))
    if (until := pagination.moment_of(given, "createdBefore")) is not None:
        rows = rows.filter(id__lt=ids.floor(until))
    after = pagination.cursor_of(given)
    return rows if after is None else rows.filter(id__lt=after)


def _is(column: str, value: str) -> Case:
    """A condition that counts as true for every other row, however rare the value is.

    Status and channel have no index. The planner, told that a value is rare, would read and sort every partition
    whole; so it walks the tenant's newest messages until the page is full.
    """
    return Case(When(**{column: value}, then=Value(True)), default=Value(False), output_field=BooleanField())


def _value(name: str, given: dict[str, str]) -> object:
    """A filter's value.

    Raises:
        errors.Invalid: it cannot be one.
    """
    if name == "to":
        return pagination.phone_of(given, name)
    if name != "batchId":
        return given[name]
    try:
        return UUID(given[name])
    except ValueError as error:
        raise errors.Invalid(details=[Detail(name, "INVALID_VALUE", "Not a batch's id.")]) from error
