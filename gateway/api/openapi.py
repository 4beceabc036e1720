"""The OpenAPI 3.1 document of what the gateway answers. Other apps add theirs with :func:`include`."""

from typing import Any

from gateway.api import schema
from gateway.models.api_key import PERMISSIONS
from gateway.statuses import Status

Json = dict[str, Any]

_extra: list[Json] = []


def include(part: Json) -> None:
    """Add another app's ``paths`` and ``schemas``."""
    _extra.append(part)


def document() -> Json:
    """The whole document."""
    paths, schemas = dict(_PATHS), dict(_SCHEMAS)
    for part in _extra:
        paths |= part.get("paths", {})
        schemas |= part.get("schemas", {})
    return {
        "openapi": "3.1.0",
        "info": {"title": "Trunkline", "version": "1", "description": _ABOUT},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"apiKey": []}, {"basic": []}],
        "tags": [{"name": "messages"}, {"name": "webhooks"}, {"name": "meta"}],
        "paths": paths,
        "components": {"schemas": schemas, "responses": _RESPONSES, "securitySchemes": _SECURITY},
    }


_ABOUT = (
    "SMS, WhatsApp and RCS behind one API. Every answer is JSON with a requestId; every error has an errorCode "
    "from /v1/error-codes. 5xx and 429 are safe to repeat with the same clientMessageId. Permissions of keys: "
    f"{', '.join(PERMISSIONS)}."
)
_SECURITY: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer <apiKey>"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    "basic": {"type": "http", "scheme": "basic", "description": "apiKey as user, apiSecret as password"},
}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _null(kind: Json | str) -> Json:
    """The kind, or null."""
    shape = {"type": kind} if isinstance(kind, str) else kind
    return (
        {**shape, "type": [shape["type"], "null"]}
        if "type" in shape
        else {"anyOf": [shape, {"type": "null"}]}
    )


def _object(
    properties: Json, *, required: tuple[str, ...] = (), closed: bool = False, about: str = ""
) -> Json:
    shape: Json = {"type": "object", "properties": properties}
    if required:
        shape["required"] = list(required)
    if closed:
        shape["additionalProperties"] = False
    return shape | ({"description": about} if about else {})


def _answer(about: str, name: str, headers: Json | None = None) -> Json:
    content = {"application/json": {"schema": _ref(name)}}
    return {
        "description": about,
        "content": content,
        "headers": {"X-Request-Id": _TEXT_HEADER} | (headers or {}),
    }


_TEXT_HEADER: Json = {"schema": {"type": "string"}}
_REPLAYED: Json = {"Idempotent-Replayed": {"description": "true on a repeat", "schema": {"type": "string"}}}
_TIME: Json = {"type": "string", "format": "date-time", "examples": ["2026-12-01T09:00:00.000Z"]}
_UUID: Json = {"type": "string", "format": "uuid"}
_STATUS: Json = {"type": "string", "enum": [status.value for status in Status]}
_CHANNEL: Json = {"type": "string", "enum": list(schema.CHANNELS), "default": "sms"}
_ENCODING: Json = {"type": ["string", "null"], "enum": ["GSM-7", "UCS-2", None]}
_URL: Json = {"type": "string", "format": "uri", "maxLength": 2048}
_ID: Json = {"type": "string", "minLength": 1, "maxLength": 255}
_METADATA: Json = {
    "type": "object",
    "additionalProperties": {"type": "string"},
    "maxProperties": schema.PAIRS,
    "description": "At most 4 KiB as JSON.",
}
_FROM: Json = {
    "type": "string",
    "description": "At most 11 letters, digits, spaces and . _ & ' + -; or 3 to 15 digits.",
}

_SCHEMAS: Json = {
    "Content": _object(
        {
            "text": {
                "type": "string",
                "minLength": 1,
                "description": "At most 1,600 characters on sms, 4,096 on whatsapp, 3,072 on rcs.",
            },
            "template": _object(
                {
                    "name": {"type": "string"},
                    "language": {"type": "string"},
                    "variables": {"type": "object"},
                },
                required=("name",),
                closed=True,
                about="422 TEMPLATE_NOT_FOUND unless the template exists.",
            ),
            "media": _object(
                {
                    "url": _URL,
                    "type": {"type": "string", "enum": sorted(schema.MEDIA_TYPES)},
                    "caption": {"type": "string", "maxLength": 1024},
                },
                required=("url", "type"),
                closed=True,
                about="Over whatsapp and rcs only.",
            ),
        },
        closed=True,
        about="Exactly one of the three.",
    ),
    "NewMessage": _object(
        {
            "to": {"type": "string", "description": "E.164.", "examples": ["+14155550101"]},
            "channel": _CHANNEL,
            "content": _ref("Content"),
            "from": _null(_FROM),
            "clientMessageId": _null(_ID),
            "callbackUrl": _null(_URL),
            "metadata": _null(_METADATA),
            "sendAt": _null(_TIME | {"description": "At most 35 days ahead; what is past is sent at once."}),
            "validitySeconds": _null({"type": "integer", "minimum": 60, "maximum": 172800}),
            "priority": {"type": ["string", "null"], "enum": [*schema.PRIORITIES, None], "default": "normal"},
            "fallback": _null(
                {
                    "type": "array",
                    "maxItems": schema.FALLBACKS,
                    "items": _object(
                        {
                            "channel": _CHANNEL,
                            "content": _ref("Content"),
                            "from": _null(_FROM),
                            "afterSeconds": _null({"type": "integer", "minimum": 1, "maximum": 86400}),
                        },
                        required=("channel", "content"),
                        closed=True,
                    ),
                }
            ),
        },
        required=("to", "content"),
        closed=True,
    ),
    "Accepted": _object(
        {
            "id": _UUID,
            "clientMessageId": _null("string"),
            "status": {"type": "string", "enum": ["accepted", "scheduled"]},
            "channel": _CHANNEL,
            "to": {"type": "string"},
            "from": _null("string"),
            "encoding": _ENCODING,
            "parts": {"type": "integer"},
            "createdAt": _TIME,
            "sendAt": _null(_TIME),
            "requestId": {"type": "string"},
        }
    ),
    "NewBatch": _object(
        {
            "messages": {"type": "array", "minItems": 1, "maxItems": 1000, "items": _ref("NewMessage")},
            "defaults": {
                "type": "object",
                "description": "Members of every message that does not have them; no clientMessageId.",
            },
        },
        required=("messages",),
        closed=True,
    ),
    "Batch": _object(
        {
            "batchId": _null(_UUID),
            "accepted": {"type": "integer"},
            "rejected": {"type": "integer"},
            "results": {"type": "array", "items": _ref("Result")},
            "requestId": {"type": "string"},
        }
    ),
    "Result": _object(
        {
            "index": {"type": "integer"},
            "id": _UUID,
            "status": {"type": "string"},
            "clientMessageId": _null("string"),
            "error": _object(
                {
                    "message": {"type": "string"},
                    "error": {"type": "string"},
                    "errorCode": {"type": "string"},
                    "details": {"type": "array", "items": _ref("Detail")},
                },
                about="Instead of id, status and clientMessageId.",
            ),
        },
        required=("index",),
    ),
    "Message": _object(
        {
            "id": _UUID,
            "clientMessageId": _null("string"),
            "batchId": _null(_UUID),
            "status": _STATUS,
            "statusCode": {"type": "integer", "description": "MessageMedia's numeric code."},
            "errorCode": _null("string"),
            "operator": _null("string"),
            "channel": _CHANNEL,
            "to": {"type": "string"},
            "from": _null("string"),
            "content": _ref("Content"),
            "encoding": _ENCODING,
            "parts": {"type": "integer"},
            "priority": {"type": "string", "enum": list(schema.PRIORITIES)},
            "metadata": _null(_METADATA),
            "callbackUrl": _null("string"),
            "fallback": _null({"type": "array", "items": {"type": "object"}}),
            "validitySeconds": _null("integer"),
            **{
                name: _null(_TIME)
                for name in ("createdAt", "sendAt", "expiresAt", "sentAt", "deliveredAt", "readAt", "endedAt")
            },
            "timestamps": {
                "type": "object",
                "additionalProperties": _TIME,
                "description": "The moment of each status so far; not in lists.",
            },
            "requestId": {"type": "string"},
        }
    ),
    "Event": _object(
        {
            "id": {"type": "string"},
            "type": {"type": "string", "examples": ["message.sent", "receipt.late", "callback.delivered"]},
            "status": _null("string"),
            "statusCode": _null("integer"),
            "sequence": _null("integer"),
            "occurredAt": _TIME,
            "operator": _null("string"),
            "operatorCode": _null("string"),
            "errorCode": _null("string"),
            "data": _null("object"),
        },
        about="Lines of callbacks have members of their own.",
    ),
    "Detail": _object(
        {"field": {"type": "string"}, "code": {"type": "string"}, "message": {"type": "string"}},
        required=("field", "code", "message"),
    ),
    "Problem": _object(
        {
            "message": {"type": "string"},
            "error": {"type": "string", "description": "Equals message."},
            "errorCode": {"type": "string"},
            "details": {"type": "array", "items": _ref("Detail")},
            "retryable": {"type": "boolean"},
            "requestId": {"type": "string"},
        },
        required=("message", "error", "errorCode", "details", "retryable", "requestId"),
    ),
    "ErrorCode": _object(
        {
            "errorCode": {"type": "string"},
            "status": _null("integer"),
            "retryable": {"type": "boolean"},
            "message": {"type": "string"},
            "action": {"type": "string"},
        }
    ),
}


def _page(name: str) -> Json:
    return _object(
        {
            "data": {"type": "array", "items": _ref(name)},
            "nextCursor": _null("string"),
            "requestId": {"type": "string"},
        }
    )


_SCHEMAS |= {
    "MessagePage": _page("Message"),
    "EventPage": _page("Event"),
    "ErrorCodePage": _page("ErrorCode"),
}

_REASONS: dict[str, str] = {
    "400": "Malformed or invalid; see errorCode and details.",
    "401": "Missing or wrong credentials.",
    "403": "PERMISSION_DENIED, IP_NOT_ALLOWED.",
    "404": "No such message of this account's.",
    "409": "IDEMPOTENCY_CONFLICT or ALREADY_SENT.",
    "413": "The body is larger than 2 MiB.",
    "415": "The body is not application/json in UTF-8.",
    "422": "NO_ROUTE, TEMPLATE_NOT_FOUND.",
    "429": "QUEUE_FULL or RATE_LIMITED; see Retry-After.",
    "503": "The database is away; repeat.",
}
_RESPONSES: Json = {
    status: _answer(about, "Problem", {"Retry-After": _TEXT_HEADER} if status in {"429", "503"} else None)
    for status, about in _REASONS.items()
}


def _problems(*statuses: str) -> Json:
    return {status: {"$ref": f"#/components/responses/{status}"} for status in statuses}


def _body(name: str) -> Json:
    return {"required": True, "content": {"application/json": {"schema": _ref(name)}}}


def _query(name: str, about: str, kind: Json | None = None) -> Json:
    return {"name": name, "in": "query", "description": about, "schema": kind or {"type": "string"}}


_MESSAGE_ID: Json = {"name": "messageId", "in": "path", "required": True, "schema": _UUID}
_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "1 to 255 characters, for 24 hours. A clientMessageId in the body takes its place.",
    "schema": _ID,
}
_BATCH_KEY = _KEY | {"description": "For the call as a whole, 24 hours. Each clientMessageId counts besides."}
_READS = _problems("401", "403", "503")
_WRITES = _problems("400", "401", "403", "409", "413", "415", "422", "429", "503")
_SCOPE: dict[str, Json] = {
    name: {"security": [{"bearer": [name]}, {"apiKey": [name]}, {"basic": [name]}]}
    for name in ("messages:send", "reports:read")
}

_PATHS: Json = {
    "/v1/messages": {
        "post": {
            "tags": ["messages"],
            "operationId": "sendMessage",
            "summary": "Send a message. 200 means committed.",
            "parameters": [_KEY],
            "requestBody": _body("NewMessage"),
            "responses": {"200": _answer("Accepted.", "Accepted", _REPLAYED), **_WRITES},
            **_SCOPE["messages:send"],
        },
        "get": {
            "tags": ["messages"],
            "operationId": "listMessages",
            "summary": "The account's messages, newest first. metadata.<key>=<value> filters too.",
            "parameters": [
                _query("limit", "1 to 1,000.", {"type": "integer", "default": 100}),
                _query("cursor", "nextCursor of the page before."),
                _query("status", "", _STATUS),
                _query("channel", "", _CHANNEL),
                _query("to", "E.164, its plus as %2B."),
                _query("batchId", "", _UUID),
                _query("clientMessageId", ""),
                _query("createdAfter", "At or after.", _TIME),
                _query("createdBefore", "Before.", _TIME),
            ],
            "responses": {"200": _answer("A page.", "MessagePage"), **_problems("400"), **_READS},
            **_SCOPE["reports:read"],
        },
    },
    "/v1/messages/bulk": {
        "post": {
            "tags": ["messages"],
            "operationId": "sendMessages",
            "summary": "Send up to 1,000 messages, each with its own result.",
            "parameters": [_BATCH_KEY],
            "requestBody": _body("NewBatch"),
            "responses": {"200": _answer("At least one was accepted.", "Batch", _REPLAYED), **_WRITES},
            **_SCOPE["messages:send"],
        }
    },
    "/v1/messages/{messageId}": {
        "get": {
            "tags": ["messages"],
            "operationId": "getMessage",
            "summary": "A message and its status.",
            "parameters": [_MESSAGE_ID],
            "responses": {"200": _answer("The message.", "Message"), **_problems("404"), **_READS},
            **_SCOPE["reports:read"],
        }
    },
    "/v1/messages/{messageId}/events": {
        "get": {
            "tags": ["messages"],
            "operationId": "listMessageEvents",
            "summary": "What happened to a message, in order.",
            "parameters": [_MESSAGE_ID],
            "responses": {"200": _answer("The timeline.", "EventPage"), **_problems("404"), **_READS},
            **_SCOPE["reports:read"],
        }
    },
    "/v1/messages/{messageId}/cancel": {
        "post": {
            "tags": ["messages"],
            "operationId": "cancelMessage",
            "summary": "Take a message back, while no operator has it.",
            "parameters": [_MESSAGE_ID],
            "responses": {"200": _answer("Canceled.", "Message"), **_problems("404", "409"), **_READS},
            **_SCOPE["messages:send"],
        }
    },
    "/v1/error-codes": {
        "get": {
            "tags": ["meta"],
            "operationId": "listErrorCodes",
            "summary": "Every errorCode, with what to do about it.",
            "security": [],
            "responses": {"200": _answer("All of them.", "ErrorCodePage")},
        }
    },
}
