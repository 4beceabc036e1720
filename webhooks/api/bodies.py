"""Callbacks of format standard in the OpenAPI document: what an endpoint is sent, and what it may answer."""

from gateway.api.shapes import (
    PHONE,
    TIME,
    UUID,
    Json,
    array,
    body,
    in_header,
    null,
    object_,
    one_of,
    text,
    whole,
)
from gateway.statuses import Status
from webhooks import catalogue
from webhooks.models import SignatureKey

MESSAGE_TYPES = sorted(
    name for name in catalogue.OWN if name.startswith("message.") and name != "message.received"
)
CONSENT_TYPES = sorted(name for name in catalogue.OWN if name.startswith("contact."))
_CHANNELS = ("sms", "whatsapp", "rcs")
_METADATA: Json = {
    "type": "object",
    "additionalProperties": {"type": "string"},
    "examples": [{"order": "42"}],
}
_FIELDS: Json = {
    "id": UUID,
    "batchId": null(UUID),
    "clientMessageId": null(text(example="order-42")),
    "channel": one_of(*_CHANNELS),
    "to": PHONE,
    "from": null(text(example="ACME")),
    "parts": whole(example=1),
    "status": null(one_of(*(status.value for status in Status))) | {"examples": ["delivered"]},
    "statusCode": null(whole("MessageMedia's numeric code.", example=220)),
    "errorCode": null(text("Why it ended without delivery; see /v1/error-codes.")) | {"examples": [None]},
    "operator": null(text(example="carrier-one")),
    "operatorData": {
        "type": "object",
        "description": "What the operator said; code is its own.",
        "examples": [{"code": "DELIVRD"}],
    },
    "metadata": _METADATA,
    "sequence": whole("Orders the callbacks of one message.", example=3),
    "occurredAt": TIME,
}
_RECEIVED: Json = {
    "id": UUID,
    "channel": one_of(*_CHANNELS),
    "from": text("Who wrote, E.164.", example="+14155550101"),
    "to": text("The number or name that it was written to.", example="4242"),
    "text": text(example="STOP"),
    "keyword": null(text("The rule that it matched.", example="STOP")),
    "action": null(text("What was done about it.", example="optOut")),
    "inReplyTo": null(UUID | {"description": "The last message to that number, in the last seven days."}),
    "clientMessageId": null(text("Of that message.", example="order-42")),
    "metadata": _METADATA | {"description": "Of that message."},
    "operator": null(text(example="carrier-one")),
    "sequence": whole(example=1),
    "occurredAt": TIME,
}
_CONSENT: Json = {
    "phone": PHONE,
    "scope": one_of("tenant", "sender"),
    "sender": null(text("For the scope sender.")) | {"examples": [None]},
    "reason": null(text()) | {"examples": [None]},
    "text": null(text("What the handset wrote.", example="STOP")),
    "inboundId": null(UUID),
    "channel": one_of(*_CHANNELS),
    "sequence": whole(example=2),
    "occurredAt": TIME,
}
_DISABLED: Json = {
    "webhookId": UUID,
    "url": text("Its scheme and host.", example="https://example.com"),
    "reason": text(example="No success since 2026-11-26 09:00 UTC."),
    "disabledAt": TIME,
}
_BATCHED: Json = {
    "id": UUID | {"description": "The event's; what its webhook-id would be by itself."},
    "type": one_of(*sorted(catalogue.OWN)) | {"examples": ["message.delivered"]},
    "timestamp": TIME,
    "data": {
        "type": "object",
        "description": "As of an event by itself.",
        "examples": [{"id": UUID["examples"][0], "status": "delivered", "sequence": 3}],
    },
}


def _callback(types: list[str], data: Json, example: str) -> Json:
    return object_(
        {
            "type": one_of(*types) | {"examples": [example]},
            "timestamp": TIME,
            "data": object_(data, required=tuple(data)),
        },
        required=("type", "timestamp", "data"),
    )


SCHEMAS: Json = {
    "MessageCallback": _callback(MESSAGE_TYPES, _FIELDS, "message.delivered"),
    "ReceivedCallback": _callback(["message.received"], _RECEIVED, "message.received"),
    "ConsentCallback": _callback(CONSENT_TYPES, _CONSENT, "contact.opted_out"),
    "DisabledCallback": _callback([catalogue.DISABLED], _DISABLED, catalogue.DISABLED),
    "CallbackBatch": array(object_(_BATCHED, required=tuple(_BATCHED)), minItems=1, maxItems=1000),
}
_OWN_HEADERS = [
    in_header("webhook-id", "The event's id; the same when it is sent again.", text()) | {"required": True},
    in_header("webhook-timestamp", "Unix time of this attempt, in seconds.", text()) | {"required": True},
    in_header(
        "webhook-signature", "v1,<base64>; several, with blanks between, while a secret is rotated.", text()
    )
    | {"required": True},
]
_KEY = "While a signature key is enabled: "
_HEADERS = [
    *_OWN_HEADERS,
    in_header("X-MessageMedia-Signature", f"{_KEY}base64 of RSA over request line, Date, body.", text()),
    in_header("X-MessageMedia-Key-Id", f"{_KEY}its id.", text()),
    in_header("X-MessageMedia-Digest-Type", f"{_KEY}its digest.", one_of(*SignatureKey.Digest.values)),
    in_header("X-MessageMedia-Cipher-Type", f"{_KEY}RSA.", text()),
]
ANSWERS: Json = {
    "2XX": {"description": "Received."},
    "410": {"description": "Not wanted any more: the webhook is switched off."},
    "default": {"description": "Anything else, 429 and 503 with Retry-After among it: sent again later."},
}


def call(operation: str, summary: str, schema: str, answers: Json = ANSWERS) -> Json:
    """A callback in the document: what comes, of that schema, and what to answer."""
    return {
        "post": {
            "tags": ["webhooks"],
            "operationId": operation,
            "summary": summary,
            "security": [],
            "parameters": _HEADERS,
            "requestBody": body(schema),
            "responses": answers,
        }
    }


CALLBACKS: Json = {
    "message": call("onMessage", "What happened to a message", "MessageCallback"),
    "received": call("onReceived", "What a handset wrote", "ReceivedCallback"),
    "consent": call("onConsent", "Who wants no messages, or wants them again", "ConsentCallback"),
    "disabled": call("onDisabled", "Another webhook of yours was switched off", "DisabledCallback"),
    "batch": call("onBatch", "Several events in one, where batch is asked for", "CallbackBatch"),
}
