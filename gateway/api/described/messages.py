"""``/v1/messages`` in the OpenAPI document."""

from typing import Any

from gateway.api import schema
from gateway.api.described import new_messages
from gateway.api.described.new_messages import CLIENT_ID, FROM, METADATA, NULL
from gateway.api.shapes import (
    CURSOR,
    LIMIT,
    PHONE,
    READS,
    REQUEST_ID,
    TIME,
    URL,
    UUID,
    WRITES,
    Json,
    answer,
    array,
    body,
    header,
    in_header,
    in_path,
    null,
    object_,
    one_of,
    page,
    problem,
    problems,
    query,
    ref,
    resource,
    scope,
    text,
    whole,
)
from gateway.statuses import Status

_ENCODING: Json = {
    "type": ["string", "null"],
    "enum": ["GSM-7", "UCS-2", None],
    "description": "Of the text on sms; else null.",
}
_SUBMITTED: Json = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "template": {"type": "object"},
        "media": {"type": "object"},
    },
    "description": "One of the three, as it was submitted.",
    "examples": [{"text": "Your code is 123456"}],
}
_ACCEPTED: Json = {
    "id": UUID,
    "clientMessageId": null(CLIENT_ID),
    "status": one_of("accepted", "scheduled"),
    "channel": one_of(*schema.CHANNELS),
    "to": PHONE,
    "from": null(FROM),
    "encoding": _ENCODING,
    "parts": whole("Messages that the operator counts.", example=1),
    "createdAt": TIME,
    "sendAt": null(TIME),
}
_MOMENTS = ("createdAt", "sendAt", "expiresAt", "sentAt", "deliveredAt", "readAt", "endedAt")
_MESSAGE: Json = {
    "id": UUID,
    "clientMessageId": null(CLIENT_ID),
    "batchId": null(UUID),
    "status": one_of(*(status.value for status in Status), about="Never goes backwards."),
    "statusCode": whole("MessageMedia's numeric code.", example=220),
    "errorCode": null(text("Why it ended without delivery; see /v1/error-codes.")) | {"examples": [None]},
    "operator": null(text("Who has it.", example="carrier-one")),
    "channel": one_of(*schema.CHANNELS),
    "to": PHONE,
    "from": null(FROM),
    "content": _SUBMITTED,
    "renderedText": null(text("What the template became.")) | {"examples": [None]},
    "encoding": _ENCODING,
    "parts": whole(example=1),
    "priority": one_of(*schema.PRIORITIES) | {"examples": ["normal"]},
    "metadata": null(METADATA),
    "callbackUrl": null(URL),
    "fallback": null(array({"type": "object"}, description="As it was submitted.")) | {"examples": [None]},
    "validitySeconds": null(whole(least=60, most=172_800, example=86_400)),
    **{name: null(TIME) for name in _MOMENTS},
    "createdAt": TIME,
}
_TIMESTAMPS: Json = {
    "type": "object",
    "additionalProperties": TIME,
    "description": "The moment of each status so far.",
    "examples": [
        dict.fromkeys(("accepted", "sent", "delivered"), TIME["examples"][0]),
    ],
}
_ITEM: Json = {
    "type": "object",
    "properties": {
        name: {"description": f"As {name} of a message."}
        for name in sorted(schema.MEMBERS)
        if name != "clientMessageId"
    },
    "additionalProperties": False,
    "description": "Members of every message that does not have them itself; all but clientMessageId.",
}
_RESULT: Json = {
    "oneOf": [
        object_(
            {
                "index": whole("Of the message in the call."),
                "id": UUID,
                "status": one_of("accepted", "scheduled"),
                "clientMessageId": null(CLIENT_ID),
            },
            required=("index", "id", "status", "clientMessageId"),
        ),
        object_({"index": whole(), "error": ref("Failure")}, required=("index", "error")),
    ]
}
_EVENT: Json = {
    "id": UUID,
    "type": text("message.<status>, receipt.late, callback.delivered, …", example="message.sent"),
    "status": null(one_of(*(status.value for status in Status))) | {"examples": ["sent"]},
    "statusCode": null(whole(example=210)),
    "sequence": null(whole("Counts the message's own events; null on those of callbacks.", example=2)),
    "occurredAt": TIME,
    "operator": null(text(example="carrier-one")),
    "operatorCode": null(text("The operator's own code, as it came.", example="DELIVRD")),
    "errorCode": null(text()) | {"examples": [None]},
    "data": null({"type": "object", "description": "What belongs to the type."}) | {"examples": [None]},
}
_WAY: Json = {
    "priority": null(whole("The route's; the higher goes first.", example=10)),
    "cost": null({"type": "number", "description": "Of a part, where it is known.", "examples": [0.0045]}),
}
_PREVIEW: Json = {
    "to": PHONE,
    "from": null(FROM),
    "channel": one_of(*schema.CHANNELS),
    "encoding": _ENCODING,
    "parts": whole(example=1),
    "characters": null(whole("Of the text.", example=19)),
    "text": null(text("As it would be sent, a template filled in.", example="Your code is 123456")),
    "country": text("ISO 3166-1 alpha-2; empty for a number of no one country.", example="US"),
    "route": null(
        object_(
            _WAY
            | {
                "operator": null(
                    text("Null: it would wait for a route that is not open now.", example="carrier-one")
                ),
                "reason": text("In words.", example="prefix +33, priority 10"),
            },
            required=("operator",),
            about="Who would carry it; null: nobody.",
        )
    ),
    "alternatives": array(
        object_(
            _WAY
            | {
                "operator": null(text(example="carrier-two")),
                "state": one_of("ready", "down", "tripped", "closed", "quiet")
                | {
                    "description": "tripped: failed too often lately; closed: not at this time of day; quiet: "
                    "in the operator's quiet hours."
                },
            },
            required=("operator", "priority", "cost", "state"),
            about="Who would be tried next.",
        )
    ),
    "problem": null(
        object_(
            {"errorCode": text(example="NO_ROUTE"), "message": text()},
            required=("errorCode", "message"),
            about="Why it would be refused, though well-formed.",
        )
    )
    | {"examples": [None]},
    "sendAt": null(TIME),
    "fallbackStep": whole(
        "The step of its fallback that it would begin with, where nothing before has a route; 0: as asked.",
        most=schema.FALLBACKS,
        example=0,
    ),
}
_SCHEMAS: Json = {
    **new_messages.SCHEMAS,
    "Accepted": resource(_ACCEPTED),
    "NewBatch": object_(
        {
            "messages": array(
                {"type": "object", "description": "As for sending one; with defaults, what they lack."},
                minItems=1,
                maxItems=1000,
            ),
            "defaults": null(_ITEM),
        },
        required=("messages",),
        closed=True,
        example={
            "defaults": {"from": "ACME", "content": {"text": "We open at nine"}},
            "messages": [{"to": "+14155550101"}, {"to": "+14155550102", "priority": "high"}],
        },
    ),
    "Batch": resource(
        {
            "batchId": UUID,
            "accepted": whole(example=2),
            "rejected": whole(example=0),
            "results": array(ref("Result"), description="In the order of the messages."),
        }
    ),
    "BatchProblem": problem(
        {
            "batchId": NULL,
            "accepted": whole(most=0),
            "rejected": whole(),
            "results": array(ref("Result")),
        },
        about="What went wrong; with results when each message for itself was refused.",
    ),
    "Result": _RESULT,
    "Message": resource(_MESSAGE | {"timestamps": _TIMESTAMPS}),
    "MessageLine": object_(_MESSAGE, required=tuple(_MESSAGE)),
    "MessagePage": page("MessageLine"),
    "Event": object_(_EVENT, required=("type", "occurredAt", "data")),
    "EventPage": object_(
        {
            "data": array(ref("Event")),
            "nextCursor": NULL | {"description": "All on one page."},
            "requestId": REQUEST_ID,
        },
        required=("data", "nextCursor", "requestId"),
    ),
    "Preview": resource(_PREVIEW),
}
_ID = in_path("messageId", about="The message's id.")
_KEY = in_header(
    "Idempotency-Key",
    "For 24 hours, as clientMessageId in the body, which takes its place.",
    {"type": "string", "pattern": "^[!-~](?:[ -~]{0,253}[!-~])?$"},
)
_BATCH_KEY = _KEY | {
    "description": "For the call as a whole, 24 hours. Each clientMessageId counts besides.",
}
_FILTERS = [
    query("status", "", one_of(*(status.value for status in Status))),
    query("channel", "", one_of(*schema.CHANNELS)),
    query("to", "The recipient, E.164; its plus is %2B in a URL.", PHONE),
    query("batchId", "", UUID),
    query("clientMessageId", "", text()),
    query("createdAfter", "At this moment or after.", TIME),
    query("createdBefore", "Before this moment.", TIME),
]


def _call(operation: str, permission: str, summary: str, **more: Any) -> Json:
    return {"tags": ["messages"], "operationId": operation, "summary": summary} | more | scope(permission)


PART: Json = {
    "tags": [{"name": "messages", "description": "Send, read, take back."}],
    "schemas": _SCHEMAS,
    "paths": {
        "/v1/messages": {
            "post": _call(
                "sendMessage",
                "messages:send",
                "Send a message. 200 means that it is committed.",
                parameters=[_KEY],
                requestBody=body("NewMessage"),
                responses={"200": answer("Accepted.", "Accepted", header("Idempotent-Replayed"))}
                | WRITES
                | problems(409, 422),
            ),
            "get": _call(
                "listMessages",
                "reports:read",
                "The account's messages, newest first.",
                description="metadata.<key>=<value> filters too, as often as wanted.",
                parameters=[LIMIT, CURSOR, *_FILTERS],
                responses={"200": answer("A page.", "MessagePage")} | READS,
            ),
        },
        "/v1/messages/bulk": {
            "post": _call(
                "sendMessages",
                "messages:send",
                "Send up to 1,000 messages, each with its own result.",
                description=(
                    "One that is refused does not hinder the others. More than 1,000 are 400 BATCH_TOO_LARGE; when "
                    "none is accepted the answer is 400 with batchId null and results."
                ),
                parameters=[_BATCH_KEY],
                requestBody=body("NewBatch"),
                responses={
                    "200": answer("At least one was accepted.", "Batch", header("Idempotent-Replayed"))
                }
                | WRITES
                | problems(409, 422)
                | {
                    "400": answer("Not valid, as a whole or each message for itself.", "BatchProblem"),
                    "429": answer(
                        "Too much at once; with results when each was told to wait.",
                        "BatchProblem",
                        header("Retry-After"),
                    ),
                },
            )
        },
        "/v1/messages/preview": {
            "post": _call(
                "previewMessage",
                "messages:send",
                "What would become of a message. Nothing is sent or kept.",
                requestBody=body("NewMessage"),
                responses={"200": answer("What would be sent.", "Preview")} | WRITES | problems(422),
            )
        },
        "/v1/messages/{messageId}": {
            "get": _call(
                "getMessage",
                "reports:read",
                "A message and its status.",
                parameters=[_ID],
                responses={"200": answer("The message.", "Message")} | READS | problems(404),
            )
        },
        "/v1/messages/{messageId}/events": {
            "get": _call(
                "listMessageEvents",
                "reports:read",
                "What happened to a message, in order.",
                parameters=[_ID],
                responses={"200": answer("The timeline.", "EventPage")} | READS | problems(404),
            )
        },
        "/v1/messages/{messageId}/cancel": {
            "post": _call(
                "cancelMessage",
                "messages:send",
                "Take a message back, while no operator has it.",
                parameters=[_ID],
                responses={"200": answer("Canceled.", "Message")} | READS | problems(404, 409),
            )
        },
    },
}
