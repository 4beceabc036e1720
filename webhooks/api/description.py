"""The webhooks' part of the OpenAPI document: what exists, as it is answered."""

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
    text,
    whole,
)
from webhooks import terms
from webhooks.api import bodies, vendor_bodies
from webhooks.api.deliveries import OUTCOMES
from webhooks.api.operations import operation
from webhooks.formats import variables

_EVENTS = array(
    one_of(*terms.EVENTS),
    minItems=1,
    description="Names in capitals are MessageMedia's, the SMS forms of the others.",
    examples=[["message.delivered", "message.failed"]],
)
_HEADERS: Json = {
    "type": "object",
    "maxProperties": terms.MOST_HEADERS,
    "propertyNames": {
        "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
        "maxLength": terms.LONGEST_HEADER_NAME,
        "not": {"pattern": "^[Cc][Oo][Nn][Tt][Ee][Nn][Tt]-[Tt][Yy][Pp][Ee]$"},
    },
    "additionalProperties": {
        "type": "string",
        "format": "header",
        "maxLength": terms.LONGEST_HEADER_VALUE,
    },
    "description": "Sent with each callback; no control characters, and no Content-Type.",
    "examples": [{"x-shop": "42"}],
}
_URL: Json = {
    "type": "string",
    "format": "uri",
    "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://.",
    "maxLength": terms.LONGEST_URL,
    "description": (
        "http or https. Path and query may have the template's references, whose values are percent-encoded: "
        "`?id=$mtId`. Where it leads is checked when a callback is made."
    ),
    "examples": ["https://example.com/hook"],
}
# An empty text takes away what there was.
_FAILOVER = _URL | {
    "pattern": "^([Hh][Tt][Tt][Pp][Ss]?://.|$)",
    "description": "Tried at once when url failed, and instead of it while its circuit is open. Empty: none.",
    "examples": ["https://standby.example.com/hook"],
}
_FORMAT = one_of(
    *terms.FORMATS,
    about=(
        "What a body is without a template; see Receive callbacks. octopush: POST, JSON or FORM_ENCODED, an "
        "answer within 1 s whatever read_timeout says, and an empty one."
    ),
) | {"default": "standard"}
_TEMPLATE: Json = text(
    "Apache Velocity as MessageMedia has it; becomes the body as it is, in every encoding: #if, #else, #foreach, "
    "#set, $metadata.get('k'), $esc.json($x), $esc.xml($x), $esc.url($x). $retryCount is 0 at first. Empty: none. "
    + " ".join(
        f"Of {kind}: {', '.join(f'${name}' for name in known)}." for kind, known in variables.names().items()
    ),
    most=terms.LONGEST_TEXT,
    example='{"id":"$mtId","status":"$statusCode"}',
) | {"format": "velocity"}
_NOTE = text("A note of your own.", most=terms.LONGEST_TEXT, example="The shop's orders")
_ACTIVE: Json = {
    "type": "boolean",
    "description": "Inactive: its callbacks wait, for 7 days at most. Set to true it also closes an open circuit.",
    "examples": [True],
}
_ORDERED: Json = {
    "type": "boolean",
    "description": "The next event of a message waits until the one before was delivered or given up.",
    "default": False,
}
_BATCH_EVENTS = whole(
    "Events in one POST at most; 1 takes batches away.",
    least=1,
    most=terms.BATCH_EVENTS[1],
    example=terms.BATCH_EVENTS[2],
)
_BATCH_DELAY = whole(
    "Milliseconds that an event waits for others at most.",
    least=terms.BATCH_DELAY[0],
    most=terms.BATCH_DELAY[1],
    example=terms.BATCH_DELAY[2],
)
_BATCH = object_(
    {"maxEvents": null(_BATCH_EVENTS), "maxDelayMs": null(_BATCH_DELAY)},
    closed=True,
    about=(
        "One POST carries an array of events. JSON in format standard only, without a template and not ordered. "
        "Empty: none."
    ),
)
_CHANGED: Json = {
    "url": _URL,
    "method": one_of(*terms.METHODS, about="A GET has no body.") | {"examples": ["POST"]},
    "encoding": one_of(*terms.ENCODINGS, about="Of the body, and the Content-Type that says so."),
    "events": _EVENTS,
    "headers": {
        "anyOf": [_HEADERS, array({}, maxItems=0), {"type": "null"}],
        "examples": [_HEADERS["examples"][0]],
    },
    "template": null(_TEMPLATE),
    "format": null(_FORMAT),
    "failoverUrl": {
        "anyOf": [_FAILOVER, {"type": "string", "maxLength": 0}, {"type": "null"}],
        "examples": _FAILOVER["examples"],
    },
    "batch": null(_BATCH),
    "ordered": null(_ORDERED),
    "description": null(_NOTE),
    "active": null(_ACTIVE),
}
_TIMES: Json = {
    "read_timeout": whole(
        "Milliseconds for a whole attempt; 20,000 when not given.", least=1, most=60_000, example=5000
    ),
    "retries": whole("Given: so many, at fixed times, instead of exponentially.", least=0, most=5, example=3),
    "retry_delay": whole("Seconds between fixed retries.", least=5, most=60, example=10),
}
_POLICY = one_of(
    *terms.POLICIES,
    about=(
        "exponential: after 5 s, doubling to 1 h, until 24 h have passed. fixed: as soon as retries is given, which "
        "it needs."
    ),
)
_SECRET_GIVEN: Json = {
    "type": "string",
    "pattern": (
        "^whsec_(([A-Za-z0-9+/]{4}){8,20}([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?"
        "|([A-Za-z0-9+/]{4}){21}([A-Za-z0-9+/]{2}==)?)$"
    ),
    "description": "24 to 64 bytes in base64 after whsec_, when it is to be yours; one is made when not given.",
}
_NEW = _CHANGED | {
    **{name: null(shape) for name, shape in _TIMES.items()},
    "retryPolicy": null(_POLICY),
    "secret": null(_SECRET_GIVEN),
}
_CHANGE = {name: shape if "anyOf" in shape else null(shape) for name, shape in _CHANGED.items()}
_CHANGEABLE = {
    "anyOf": [{"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in _CHANGE]
}
_WEBHOOK: Json = {
    "id": UUID,
    **{name: _CHANGED[name] for name in terms.REQUIRED},
    "headers": _HEADERS | {"propertyNames": {"type": "string"}},
    "retries": _TIMES["retries"],
    "retryPolicy": _POLICY,
    "format": _FORMAT,
    "failoverUrl": null(_URL) | {"examples": [None]},
    "batch": null(
        object_(
            {"maxEvents": _BATCH_EVENTS, "maxDelayMs": _BATCH_DELAY}, required=("maxEvents", "maxDelayMs")
        )
    )
    | {"examples": [None]},
    "ordered": _ORDERED,
    "active": _ACTIVE,
    "disabledReason": null(text("Why it was made inactive.")) | {"examples": [None]},
    "disabledAt": null(TIME) | {"examples": [None]},
    "circuit": one_of(
        "closed", "open", about="open: url fails, and is only probed for now; nothing waiting is lost."
    ),
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
_UNTIL = TIME | {"description": "Until then the secret before it signs too."}
_TEST: Json = {
    "event": one_of(*terms.EVENTS) | {"examples": ["message.delivered"]},
    "status": null(whole("What the endpoint answered; null when it did not.", example=200)),
    "durationMs": whole(example=41),
    "bodyLength": whole("Bytes of the answer's body, as far as they were read.", example=0),
    "conforms": {
        "type": "boolean",
        "description": "Whether the endpoint kept to the rules of the format.",
        "examples": [True],
    },
    "problems": array(text(), description="A sentence for each rule not kept.", examples=[[]]),
    "outcome": text(OUTCOMES, example="delivered"),
    "error": null(text()) | {"examples": [None]},
    "body": null(text("How the answer began, at most 16 KiB.")) | {"examples": [None]},
}


def _webhook(more: Json, *, required: tuple[str, ...] = ()) -> Json:
    return object_(_WEBHOOK | more | _SOMETIMES, required=(*_WEBHOOK, *required))


_ID = in_path("id", about="The webhook's id.")
_LAST = 2**31 - 1
_PAGING = [
    shapes.query("page", "From 0.", whole(most=_LAST) | {"default": 0}),
    shapes.query("pageSize", "At most 1,000; 0 is 100.", whole(most=_LAST)),
    shapes.query("page_size", "The same, where pageSize is not given.", whole(most=_LAST)),
]

PART: Json = {
    "tags": [
        {
            "name": "webhooks",
            "description": (
                "Callbacks of events. Each is signed as Standard Webhooks has it: webhook-signature has "
                "`v1,` and the base64 HMAC-SHA256 of `<webhook-id>.<webhook-timestamp>.<body>`; the key is what "
                "follows whsec_, base64-decoded. Any Standard Webhooks library verifies it. webhook-id stays the "
                "same when a callback is repeated. Answer 2xx soon; anything else is tried again, exponentially for "
                "24 hours or as retries says, and 410 switches "
                "the webhook off. Redirects are not followed.\n\n"
                "An endpoint that fails time after time has its circuit opened: it is only probed, after 5 s and "
                "then ever more rarely to 5 min, and what waits for it waits on. One without a success in 5 days is "
                "switched off; your other webhooks get webhook.disabled. What is given up can be replayed as long as "
                "it is kept.\n\n"
                "Below are the bodies in JSON. In FORM_ENCODED their members are pairs, objects as JSON text and "
                "null left out; of format standard, type, timestamp and the members of data. In XML they are "
                "elements of `<callback>`, metadata as `<entry key=…>`. An event that a format has no body for "
                "has the standard one; a template takes the place of all of this."
            ),
        }
    ],
    "webhooks": bodies.CALLBACKS | vendor_bodies.CALLBACKS,
    "schemas": {
        **bodies.SCHEMAS,
        **vendor_bodies.SCHEMAS,
        "NewWebhook": object_(_NEW, required=terms.REQUIRED, example=_EXAMPLE),
        "WebhookChange": object_(
            _CHANGE, about="Null means unchanged.", example={"events": ["message.delivered", "message.read"]}
        )
        | _CHANGEABLE,
        "Webhook": _webhook({"requestId": REQUEST_ID}, required=("requestId",)),
        "WebhookLine": _webhook({}),
        "CreatedWebhook": _webhook(
            {"secret": _SECRET, "requestId": REQUEST_ID}, required=("secret", "requestId")
        ),
        "RotatedWebhook": _webhook(
            {"secret": _SECRET, "previousSecretUntil": _UNTIL, "requestId": REQUEST_ID},
            required=("secret", "previousSecretUntil", "requestId"),
        ),
        "NewSecret": object_({"secret": null(_SECRET_GIVEN)}, closed=True) | {"examples": [{}]},
        "TestCall": object_(
            {
                "event": null(one_of(*terms.EVENTS))
                | {"description": "The webhook's first when not given; it need not be subscribed to it."}
            },
            closed=True,
            example={"event": "message.delivered"},
        ),
        "TestResult": object_(_TEST | {"requestId": REQUEST_ID}, required=(*_TEST, "requestId")),
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
            "post": operation(
                "createWebhook",
                "Subscribe a URL to events. The secret that signs its callbacks is in this answer only.",
                requestBody=body("NewWebhook", example=_EXAMPLE),
                responses={"201": answer("Created.", "CreatedWebhook")} | WRITES | problems(409),
            ),
            "get": operation(
                "listWebhooks",
                "The account's webhooks, in pages by number.",
                parameters=_PAGING,
                responses={"200": answer("A page.", "WebhookPage")} | READS,
            ),
        },
        "/v1/webhooks/messages/{id}": {
            "get": operation(
                "getWebhook",
                "One webhook.",
                parameters=[_ID],
                responses={"200": answer("Found.", "Webhook")} | READS | problems(404),
            ),
            "patch": operation(
                "changeWebhook",
                "Change what is given. read_timeout, retries, retry_delay, retryPolicy and secret stay as they are.",
                parameters=[_ID],
                requestBody=body("WebhookChange"),
                responses={"200": answer("Changed.", "Webhook")} | WRITES | problems(404, 409),
            ),
            "delete": operation(
                "deleteWebhook",
                "Unsubscribe. What is still to be called back to it is dropped.",
                parameters=[_ID],
                responses={"204": nothing("Deleted.")} | READS | problems(404),
            ),
        },
        "/v1/webhooks/messages/{id}/rotate-secret": {
            "post": operation(
                "rotateSecret",
                "Give it a new secret, in this answer only; the one before signs beside it for 24 hours.",
                parameters=[_ID],
                requestBody=body("NewSecret") | {"required": False},
                responses={"200": answer("Rotated.", "RotatedWebhook")} | WRITES | problems(404),
            ),
        },
        "/v1/webhooks/messages/{id}/test": {
            "post": operation(
                "testWebhook",
                "Send a sample now, once, and wait for what comes of it.",
                parameters=[_ID],
                requestBody=body("TestCall") | {"required": False},
                responses={"200": answer("Sent.", "TestResult")} | WRITES | problems(404),
            ),
        },
    },
}
