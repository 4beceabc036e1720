"""The opt-outs' part of the OpenAPI document."""

from gateway import imports
from gateway.api.described.contacts import ONE_PHONE, row_result, rows_body
from gateway.api.described.new_messages import FROM
from gateway.api.opt_outs import EXPORTED, MEMBERS, REASON_LENGTH, SCOPES
from gateway.api.shapes import (
    CURSOR,
    LIMIT,
    PHONE,
    READS,
    TIME,
    UUID,
    WRITES,
    Json,
    answer,
    array,
    body,
    header,
    in_path,
    nothing,
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
from gateway.models import OptOut

_SCOPE = one_of(*SCOPES, about="Messages of the account at all, or of one sender.")
_SOURCE = one_of(*OptOut.Source.values, about="How it came.")
_WRITTEN: Json = {
    "phone": PHONE,
    "to": PHONE | {"description": "Another name for phone; give one of them."},
    "scope": null(_SCOPE | {"default": "tenant"}),
    "sender": null(FROM | {"description": "Required for the scope sender, not allowed for tenant."}),
    "reason": null(text("A note of your own.", least=1, most=REASON_LENGTH, example="Asked by phone")),
}
_OF_A_SENDER: Json = {
    "if": {"properties": {"scope": {"const": "sender"}}, "required": ["scope"]},
    "then": {"properties": {"sender": {"type": "string"}}, "required": ["sender"]},
    "else": {"properties": {"sender": {"type": "null"}}},
}
_SAMPLE: Json = {"phone": "+14155550101", "scope": "sender", "sender": "ACME", "reason": "Asked by phone"}
_SHOWN: Json = {
    "id": UUID,
    "phone": PHONE,
    "scope": _SCOPE,
    "sender": null({"type": "string", "examples": ["ACME"]}),
    "source": _SOURCE,
    "reason": null(text(example="Asked by phone")),
    "text": null(text("What the handset wrote, if it did.", example="STOP")),
    "inboundId": null(UUID | {"description": "The inbound message that it wrote it in."}),
    "createdAt": TIME,
}
_ID = in_path("optOutId", about="The opt-out's id.")
_LINE = (
    "019ac3f2-7a10-7b62-9d0e-3c5b8f1a2e44,+14155550101,tenant,,keyword,,STOP,,2026-12-01T09:00:00.000Z\r\n"
)
_SENDER = query("sender", "Of this sender, whatever its case, with or without a plus.", FROM)

_COUNTED: Json = {
    "imported": whole("created and unchanged."),
    "created": whole(),
    "unchanged": whole(),
    "rejected": whole(),
    "results": array(ref("OptOutResult"), description="In the order of the rows."),
}

PART: Json = {
    "tags": [{"name": "opt-outs", "description": "Who does not want messages: none are sent to them."}],
    "schemas": {
        "NewOptOut": object_(_WRITTEN, closed=True, example=_SAMPLE)
        | {"allOf": [*ONE_PHONE["allOf"], _OF_A_SENDER]},
        "OptOut": resource(_SHOWN),
        "OptOutLine": object_(_SHOWN, required=tuple(_SHOWN)),
        "OptOutPage": page("OptOutLine"),
        "OptOutImport": object_(
            {
                "optOuts": array(
                    {"type": "object", "description": "As for adding one."},
                    minItems=1,
                    maxItems=imports.LARGEST,
                )
            },
            required=("optOuts",),
            closed=True,
            example={"optOuts": [{"phone": "+14155550101"}, _SAMPLE]},
        ),
        "OptOutResult": row_result("created", "unchanged", about="unchanged: it was there already."),
        "OptOutsImported": resource(_COUNTED),
        "OptOutsRefused": problem(_COUNTED, about="Besides, when no row is valid, why each is not."),
    },
    "paths": {
        "/v1/opt-outs": {
            "get": {
                "tags": ["opt-outs"],
                "operationId": "listOptOuts",
                "summary": "The opt-outs, newest first.",
                "parameters": [
                    LIMIT,
                    CURSOR,
                    query("phone", "Of this number.", PHONE),
                    query("scope", "Of this scope.", _SCOPE),
                    _SENDER,
                    query("source", "That came so.", _SOURCE),
                    query("createdAfter", "At this moment or later.", TIME),
                    query("createdBefore", "Before this moment.", TIME),
                ],
                "responses": {"200": answer("A page.", "OptOutPage"), **READS},
                **scope("contacts:manage"),
            },
            "post": {
                "tags": ["opt-outs"],
                "operationId": "addOptOut",
                "summary": "Send a number nothing more; what waits for it is rejected. Safe to repeat.",
                "requestBody": body("NewOptOut"),
                "responses": {
                    "201": answer("The opt-out.", "OptOut"),
                    "200": answer("It was there already, and stays as it is.", "OptOut"),
                    **WRITES,
                },
                **scope("contacts:manage"),
            },
            "delete": {
                "tags": ["opt-outs"],
                "operationId": "removeOptOuts",
                "summary": "Remove a number's opt-outs: all of them, or a sender's.",
                "parameters": [query("phone", "Whose.", PHONE) | {"required": True}, _SENDER],
                "responses": {"204": nothing("They are gone."), **READS, **problems(404)},
                **scope("contacts:manage"),
            },
        },
        "/v1/opt-outs/import": {
            "post": {
                "tags": ["opt-outs"],
                "operationId": "importOptOuts",
                "summary": "Add up to 10,000 opt-outs.",
                "description": (
                    "Those that are there stay as they are; of several alike the first counts. CSV, UTF-8, cells "
                    f"apart by , or ;, with a header of the columns {', '.join(MEMBERS)}; the other columns of an "
                    "export are allowed and not read. When no row is valid the answer is 400 ALL_ROWS_INVALID with "
                    "results."
                ),
                "requestBody": rows_body(
                    "OptOutImport", "phone,scope,sender\r\n+14155550101,sender,ACME\r\n"
                ),
                "responses": {
                    "200": answer("A result for each row.", "OptOutsImported"),
                    **WRITES,
                    "400": answer("Not valid, as a whole or each row for itself.", "OptOutsRefused"),
                },
                **scope("contacts:manage"),
            }
        },
        "/v1/opt-outs/export": {
            "get": {
                "tags": ["opt-outs"],
                "operationId": "exportOptOuts",
                "summary": "All of them as CSV, oldest first.",
                "description": "A cell that a spreadsheet might take for a formula has a ' before it.",
                "responses": {
                    "200": {
                        "description": "CSV with a header.",
                        "headers": header("X-Request-Id"),
                        "content": {
                            "text/csv": {
                                "schema": {"type": "string"},
                                "example": f"{','.join(EXPORTED)}\r\n{_LINE}",
                            }
                        },
                    },
                    **READS,
                },
                **scope("contacts:manage"),
            }
        },
        "/v1/opt-outs/{optOutId}": {
            "get": {
                "tags": ["opt-outs"],
                "operationId": "getOptOut",
                "summary": "One opt-out.",
                "parameters": [_ID],
                "responses": {"200": answer("The opt-out.", "OptOut"), **READS, **problems(404)},
                **scope("contacts:manage"),
            },
            "delete": {
                "tags": ["opt-outs"],
                "operationId": "removeOptOut",
                "summary": "Remove an opt-out.",
                "parameters": [_ID],
                "responses": {"204": nothing("It is gone."), **READS, **problems(404)},
                **scope("contacts:manage"),
            },
        },
    },
}
