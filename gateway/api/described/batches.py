"""The batches' part of the OpenAPI document."""

from gateway.api.shapes import (
    READS,
    TIME,
    UUID,
    Json,
    answer,
    in_path,
    object_,
    problems,
    resource,
    scope,
)
from gateway.statuses import Status

_COUNT: Json = {"type": "integer", "minimum": 0}
_COUNTS = object_(
    {status.value: _COUNT for status in Status},
    required=tuple(status.value for status in Status),
    closed=True,
    about="Messages by the status that they have now.",
)
_MEMBERS: Json = {
    "id": UUID | {"description": "batchId of the bulk call's answer."},
    "createdAt": TIME,
    "total": {"type": "integer", "minimum": 1, "description": "The messages that were accepted."},
    "counts": _COUNTS,
    "finished": {
        "type": "boolean",
        "description": "Every message is delivered, read, failed, expired, rejected or canceled.",
    },
}
_CANCELED: Json = {"canceled": _COUNT | {"description": "How many messages this call canceled."}}
_NONE = {status.value: 0 for status in Status}
_EXAMPLE: Json = {
    "id": "019ac3f2-7a10-7b62-9d0e-3c5b8f1a2e44",
    "createdAt": "2026-12-01T09:00:00.000Z",
    "total": 1000,
    "counts": _NONE | {"sent": 180, "delivered": 817, "failed": 3},
    "finished": False,
    "requestId": "019ac3f2-7b00-7c11-8e2f-5d6a7b8c9d0e",
}
_AFTERWARDS: Json = {
    "counts": _NONE | {"sent": 400, "canceled": 600},
    "canceled": 600,
}
_ID = in_path("batchId", about="batchId of the bulk call's answer.")

PART: Json = {
    "tags": [{"name": "batches", "description": "The messages of one bulk call, together."}],
    "schemas": {
        "BatchCounts": resource(_MEMBERS, example=_EXAMPLE),
        "BatchCancellation": resource(_MEMBERS | _CANCELED, example=_EXAMPLE | _AFTERWARDS),
    },
    "paths": {
        "/v1/batches/{batchId}": {
            "get": {
                "tags": ["batches"],
                "operationId": "getBatch",
                "summary": "The messages of a bulk call, counted by status.",
                "description": "A batch of which every message was refused does not exist.",
                "parameters": [_ID],
                "responses": {
                    "200": answer("The batch as it is now.", "BatchCounts"),
                    **READS,
                    **problems(404),
                },
                **scope("reports:read"),
            }
        },
        "/v1/batches/{batchId}/cancel": {
            "post": {
                "tags": ["batches"],
                "operationId": "cancelBatch",
                "summary": "Cancel those of its messages that no operator has yet. Safe to repeat.",
                "description": (
                    "Takes no body. Messages that are sending, sent or ended stay as they are, and so does the next "
                    "step of a fallback chain whose message is sent."
                ),
                "parameters": [_ID],
                "responses": {
                    "200": answer("The batch afterwards.", "BatchCancellation"),
                    **READS,
                    **problems(404),
                },
                **scope("messages:send"),
            }
        },
    },
}
