"""The inbound messages' part of the OpenAPI document."""

from gateway.api import schema
from gateway.api.shapes import (
    CURSOR,
    LIMIT,
    READS,
    TIME,
    UUID,
    Json,
    answer,
    in_path,
    null,
    object_,
    one_of,
    page,
    problems,
    query,
    resource,
    scope,
    text,
)
from gateway.keywords import Action

MEMBERS: Json = {
    "id": UUID,
    "channel": one_of(*schema.CHANNELS),
    "from": text("The handset: E.164, or as the operator gave it.", example="+14155550101"),
    "to": text("The number or name that it wrote to.", example="+14155550100"),
    "text": text(example="Stop"),
    "operator": text("Who brought it.", example="carrier-one"),
    "keyword": null(text("The keyword that it matched, in capitals.", example="STOP")),
    "action": null(one_of(*Action.values, about="What the keyword did.")),
    "inReplyTo": null(UUID)
    | {"description": "The last message that the handset was sent, if within the 7 days before."},
    "receivedAt": TIME,
}
_EXAMPLE: Json = {
    "id": "019ac3f2-7a10-7b62-9d0e-3c5b8f1a2e44",
    "channel": "sms",
    "from": "+14155550101",
    "to": "+14155550100",
    "text": "Stop",
    "operator": "carrier-one",
    "keyword": "STOP",
    "action": "optOut",
    "inReplyTo": "019ac3f1-0e55-7a01-8c3d-94b7e20f6d18",
    "receivedAt": "2026-12-01T09:00:00.000Z",
}
_FILTERS = [
    query("from", "The handset; its plus is %2B in a URL.", text(example="+14155550101")),
    query(
        "to",
        "The number or name that was written to; its plus does not matter.",
        text(example="+14155550100"),
    ),
    query("channel", "", one_of(*schema.CHANNELS)),
    query("keyword", "The keyword that matched, in any case.", text(example="STOP")),
    query("createdAfter", "At this moment or after.", TIME),
    query("createdBefore", "Before this moment.", TIME),
]

PART: Json = {
    "tags": [{"name": "inbound", "description": "What handsets write."}],
    "schemas": {
        "Inbound": resource(
            MEMBERS, example=_EXAMPLE | {"requestId": "019ac3f2-7b00-7c11-8e2f-5d6a7b8c9d0e"}
        ),
        "InboundLine": object_(MEMBERS, required=tuple(MEMBERS), example=_EXAMPLE),
        "InboundPage": page("InboundLine"),
    },
    "paths": {
        "/v1/inbound": {
            "get": {
                "tags": ["inbound"],
                "operationId": "listInbound",
                "summary": "What handsets wrote to the account, newest first.",
                "parameters": [LIMIT, CURSOR, *_FILTERS],
                "responses": {"200": answer("A page.", "InboundPage")} | READS,
            }
            | scope("inbound:read")
        },
        "/v1/inbound/{inboundId}": {
            "get": {
                "tags": ["inbound"],
                "operationId": "getInbound",
                "summary": "One of them.",
                "parameters": [in_path("inboundId", about="The inbound message's id.")],
                "responses": {"200": answer("The inbound message.", "Inbound")} | READS | problems(404),
            }
            | scope("inbound:read")
        },
    },
}
