"""The webhooks' part of the OpenAPI document: what exists, as it is answered."""

from typing import Any

from gateway.api import shapes
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
    null,
    object_,
    one_of,
    problems,
    ref,
    scope,
    text,
    whole,
)
from webhooks import catalogue, subscriptions
from webhooks.api import bodies

_EVENTS = array(
    one_of(*sorted(catalogue.OWN), *sorted(catalogue.MESSAGEMEDIA)),
    minItems=1,
    description="Names in capitals are MessageMedia's, the SMS forms of the others.",
    examples=[["message.delivered", "message.failed"]],
)
_HEADERS: Json = {
    "type": "object",
    "maxProperties": subscriptions.MOST_HEADERS,
    "propertyNames": {
        "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
        "maxLength": subscriptions.LONGEST_HEADER_NAME,
        "not": {"pattern": "^[Cc][Oo][Nn][Tt][Ee][Nn][Tt]-[Tt][Yy][Pp][Ee]$"},
    },
    "additionalProperties": {
        "type": "string",
        "format": "header",
        "maxLength": subscriptions.LONGEST_HEADER_VALUE,
    },
    "description": "Sent with each callback; no control characters, and no Content-Type.",
    "examples": [{"x-shop": "42"}],
}
_URL: Json = {
    "type": "string",
    "format": "uri",
    "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://.",
    "maxLength": subscriptions.LONGEST_URL,
    "description": "http or https. Where it leads is checked when a callback is made.",
    "examples": ["https://example.com/hook"],
}
_FORMAT = one_of(*subscriptions.FORMATS, about="Only standard is available yet.") | {"default": "standard"}
_TEMPLATE = text("Not available yet.", most=65_536)
_NOTE = text("A note of your own.", most=65_536, example="The shop's orders")
_ACTIVE: Json = {"type": "boolean", "description": "Inactive: its callbacks wait.", "examples": [True]}
_CHANGED: Json = {
    "url": _URL,
    "method": one_of(*subscriptions.METHODS, about="GET is not available yet.") | {"examples": ["POST"]},
    "encoding": one_of(*subscriptions.ENCODINGS, about="Only JSON is available yet."),
    "events": _EVENTS,
    "headers": {
        "anyOf": [_HEADERS, array({}, maxItems=0), {"type": "null"}],
        "examples": [_HEADERS["examples"][0]],
    },
    "template": null(_TEMPLATE),
    "format": null(_FORMAT),
    "description": null(_NOTE),
    "active": null(_ACTIVE),
}
_TIMES: Json = {
    "read_timeout": whole("Milliseconds to answer in.", least=1, most=60_000, example=5000),
    "retries": whole("Given: so many, at fixed times, instead of exponentially.", least=0, most=5, example=3),
    "retry_delay": whole("Seconds between fixed retries.", least=5, most=60, example=10),
}
_REQUIRED = ("url", "method", "encoding", "events")
_NEW = _CHANGED | {name: null(shape) for name, shape in _TIMES.items()}
_CHANGE = {name: shape if "anyOf" in shape else null(shape) for name, shape in _CHANGED.items()}
_CHANGEABLE = {
    "anyOf": [{"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in _CHANGE]
}
_WEBHOOK: Json = {
    "id": UUID,
    **{name: _CHANGED[name] for name in _REQUIRED},
    "headers": _HEADERS | {"propertyNames": {"type": "string"}},
    "retries": _TIMES["retries"],
    "retryPolicy": one_of("exponential", "fixed"),
    "format": _FORMAT,
    "active": _ACTIVE,
    "disabledReason": null(text("Why it was made inactive.")) | {"examples": [None]},
    "description": null(_NOTE),
    "createdAt": TIME,
}
# These are there when they were given.
_SOMETIMES: Json = {
    "template": _TEMPLATE,
    "read_timeout": _TIMES["read_timeout"],
    "retry_delay": _TIMES["retry_delay"],
}
_EXAMPLE: Json = {
    "url": "https://example.com/hook",
    "method": "POST",
    "encoding": "JSON",
    "events": ["message.delivered", "message.failed"],
}
_SECRET = text("Signs the callbacks; in this answer only.", example="whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")


def _webhook(more: Json, *, required: tuple[str, ...] = ()) -> Json:
    return object_(_WEBHOOK | more | _SOMETIMES, required=(*_WEBHOOK, *required))


def _call(operation: str, summary: str, **more: Any) -> Json:
    call = {"tags": ["webhooks"], "operationId": operation, "summary": summary} | more
    return call | scope("webhooks:manage")


_ID = in_path("id", about="The webhook's id.")
_LAST = 2**31 - 1
_PAGING = [
    shapes.query("page", "From 0.", whole(most=_LAST) | {"default": 0}),
    shapes.query("pageSize", "At most 1,000; 0 is 100. page_size is the same.", whole(most=_LAST)),
]

PART: Json = {
    "tags": [
        {
            "name": "webhooks",
            "description": (
                "Callbacks of events. Each is signed as Standard Webhooks has it: webhook-signature has "
                "`v1,` and the base64 HMAC-SHA256 of `<webhook-id>.<webhook-timestamp>.<body>`; the key is what "
                "follows whsec_, base64-decoded. webhook-id stays the same when a callback is repeated. Answer 2xx "
                "soon; anything else is tried again for 24 hours, and 410 switches the webhook off."
            ),
        }
    ],
    "webhooks": bodies.CALLBACKS,
    "schemas": {
        **bodies.SCHEMAS,
        "NewWebhook": object_(_NEW, required=_REQUIRED, example=_EXAMPLE),
        "WebhookChange": object_(
            _CHANGE, about="Null means unchanged.", example={"events": ["message.delivered", "message.read"]}
        )
        | _CHANGEABLE,
        "Webhook": _webhook({"requestId": REQUEST_ID}, required=("requestId",)),
        "WebhookLine": _webhook({}),
        "CreatedWebhook": _webhook(
            {"secret": _SECRET, "requestId": REQUEST_ID}, required=("secret", "requestId")
        ),
        "WebhookPage": object_(
            {
                "page": whole(example=0),
                "pageSize": whole(example=100),
                "pageData": array(ref("WebhookLine")),
                "requestId": REQUEST_ID,
            },
            required=("page", "pageSize", "pageData", "requestId"),
        ),
    },
    "paths": {
        "/v1/webhooks/messages": {
            "post": _call(
                "createWebhook",
                "Subscribe a URL to events. The secret that signs its callbacks is in this answer only.",
                requestBody=body("NewWebhook", example=_EXAMPLE),
                responses={"201": answer("Created.", "CreatedWebhook")} | WRITES | problems(409, 422),
            ),
            "get": _call(
                "listWebhooks",
                "The account's webhooks, in pages by number.",
                parameters=_PAGING,
                responses={"200": answer("A page.", "WebhookPage")} | READS,
            ),
        },
        "/v1/webhooks/messages/{id}": {
            "get": _call(
                "getWebhook",
                "One webhook.",
                parameters=[_ID],
                responses={"200": answer("Found.", "Webhook")} | READS | problems(404),
            ),
            "patch": _call(
                "changeWebhook",
                "Change what is given.",
                parameters=[_ID],
                requestBody=body("WebhookChange"),
                responses={"200": answer("Changed.", "Webhook")} | WRITES | problems(404, 409, 422),
            ),
            "delete": _call(
                "deleteWebhook",
                "Unsubscribe. What is still to be called back to it is dropped.",
                parameters=[_ID],
                responses={"204": nothing("Deleted.")} | READS | problems(404),
            ),
        },
    },
}
