"""The contacts' part of the OpenAPI document."""

from gateway import contacts, imports
from gateway.api.contacts import (
    COLUMNS,
    EMAIL,
    EMAIL_LENGTH,
    LANGUAGE,
    LANGUAGE_LENGTH,
    NAME_LENGTH,
    TAG_LENGTH,
)
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

_TAG = text(least=1, most=TAG_LENGTH, example="vip")
_TAGS = array(_TAG, maxItems=contacts.TAGS, description="Repeats are dropped.")
_CUSTOM: Json = {
    "type": "object",
    "additionalProperties": text(most=255),
    "propertyNames": {"maxLength": 255},
    "maxProperties": contacts.CUSTOM_FIELDS,
    "description": "Strings of your own.",
    "examples": [{"plan": "gold"}],
}
_EMAIL = text(least=3, most=EMAIL_LENGTH, example="ann@example.com") | {"pattern": f"^(?:{EMAIL.pattern})$"}
_LANGUAGE = text("BCP 47.", least=2, most=LANGUAGE_LENGTH, example="en-GB") | {
    "pattern": f"^(?:{LANGUAGE.pattern})$"
}
_OPTIONAL: Json = {
    "name": null(text(least=1, most=NAME_LENGTH, example="Ann")),
    "email": null(_EMAIL),
    "language": null(_LANGUAGE),
    "tags": null(_TAGS),
    "customFields": null(_CUSTOM),
}
_EITHER = PHONE | {"description": "Another name for phone; give one of them."}
_WRITTEN: Json = {"phone": PHONE, "to": _EITHER} | _OPTIONAL
_SHOWN: Json = {
    "id": UUID,
    "phone": PHONE,
    **_OPTIONAL,
    "tags": array(_TAG),
    "customFields": _CUSTOM,
    "optedOut": {"type": "boolean", "description": "Whether the number opted out of all of the account's."},
    "createdAt": TIME,
    "updatedAt": TIME,
}
_SAMPLE: Json = {
    "phone": "+14155550101",
    "name": "Ann",
    "email": "ann@example.com",
    "language": "en-GB",
    "tags": ["vip"],
    "customFields": {"plan": "gold"},
}
# Apart, so that the schema itself stays closed.
ONE_PHONE: Json = {"allOf": [{"oneOf": [{"required": ["phone"]}, {"required": ["to"]}]}]}
_ID = in_path("contactId", about="The contact's id.")


def row_result(*statuses: str, about: str) -> Json:
    """A row's result in an import's answer."""
    taken = {"index": whole("Of the row, from 0."), "id": UUID, "status": one_of(*statuses, about=about)}
    refused = {"index": whole("Of the row, from 0."), "error": ref("Failure")}
    return {
        "oneOf": [object_(taken, required=tuple(taken)), object_(refused, required=tuple(refused))],
        "examples": [{"index": 0, "id": UUID["examples"][0], "status": statuses[0]}],
    }


def rows_body(name: str, line: str) -> Json:
    """A body of rows: JSON of a schema's, or CSV."""
    table = {"schema": {"type": "string"}, "example": line}
    return {"required": True, "content": {**body(name)["content"], "text/csv": table}}


_COUNTED: Json = {
    "imported": whole("created and updated."),
    "created": whole(),
    "updated": whole(),
    "duplicates": whole(),
    "rejected": whole(),
    "results": array(ref("ContactResult"), description="In the order of the rows."),
}

PART: Json = {
    "tags": [{"name": "contacts", "description": "The people that you write to, one a phone number."}],
    "schemas": {
        "NewContact": object_(_WRITTEN, closed=True, example=_SAMPLE) | ONE_PHONE,
        "ContactChange": object_(
            _WRITTEN, closed=True, about="null empties a member.", example={"name": "Ann B.", "email": None}
        )
        | {"not": {"required": ["phone", "to"]}},
        "NewTags": object_(
            {"tags": _TAGS}, required=("tags",), closed=True, example={"tags": ["vip", "spring"]}
        ),
        "Contact": resource(_SHOWN),
        "ContactLine": object_(_SHOWN, required=tuple(_SHOWN)),
        "ContactPage": page("ContactLine"),
        "ContactImport": object_(
            {
                "contacts": array(
                    {"type": "object", "description": "As for creating one."},
                    minItems=1,
                    maxItems=imports.LARGEST,
                ),
                "tags": null(_TAGS | {"description": "Added to each."}),
            },
            required=("contacts",),
            closed=True,
            example={"contacts": [_SAMPLE], "tags": ["spring"]},
        ),
        "ContactResult": row_result(
            "created", "updated", "duplicate", about="duplicate: a later row has the same phone, and counts."
        ),
        "ContactsImported": resource(_COUNTED),
        "ContactsRefused": problem(_COUNTED, about="Besides, when no row is valid, why each is not."),
    },
    "paths": {
        "/v1/contacts": {
            "get": {
                "tags": ["contacts"],
                "operationId": "listContacts",
                "summary": "The contacts, newest first.",
                "parameters": [
                    LIMIT,
                    CURSOR,
                    query("phone", "Of this number.", PHONE),
                    query("tag", "With this tag."),
                    query("createdAfter", "At this moment or later.", TIME),
                    query("createdBefore", "Before this moment.", TIME),
                ],
                "responses": {"200": answer("A page.", "ContactPage"), **READS},
                **scope("contacts:manage"),
            },
            "post": {
                "tags": ["contacts"],
                "operationId": "createContact",
                "summary": "Add a contact.",
                "description": "409 CONTACT_ALREADY_EXISTS: there is one of this phone.",
                "requestBody": body("NewContact"),
                "responses": {"201": answer("The contact.", "Contact"), **WRITES, **problems(409)},
                **scope("contacts:manage"),
            },
        },
        "/v1/contacts/import": {
            "post": {
                "tags": ["contacts"],
                "operationId": "importContacts",
                "summary": "Create or update up to 10,000 contacts by their phones.",
                "description": (
                    "What a row does not give, or gives as null or an empty cell, stays as it is; tags and custom "
                    "fields are added to those that are there. Of several rows of one phone the last counts, the "
                    "others are not looked at. CSV, UTF-8, cells apart by , or ;, with a header of the columns "
                    f"{', '.join(sorted(COLUMNS))} and customFields.<name>; tags are apart by a semicolon. "
                    "When no row is valid the answer is 400 ALL_ROWS_INVALID with results."
                ),
                "requestBody": rows_body(
                    "ContactImport", "phone,name,tags\r\n+14155550101,Ann,vip;spring\r\n"
                ),
                "responses": {
                    "200": answer("A result for each row.", "ContactsImported"),
                    **WRITES,
                    "400": answer("Not valid, as a whole or each row for itself.", "ContactsRefused"),
                },
                **scope("contacts:manage"),
            }
        },
        "/v1/contacts/{contactId}": {
            "get": {
                "tags": ["contacts"],
                "operationId": "getContact",
                "summary": "One contact.",
                "parameters": [_ID],
                "responses": {"200": answer("The contact.", "Contact"), **READS, **problems(404)},
                **scope("contacts:manage"),
            },
            "patch": {
                "tags": ["contacts"],
                "operationId": "changeContact",
                "summary": "Change some members; null empties one.",
                "parameters": [_ID],
                "requestBody": body("ContactChange"),
                "responses": {"200": answer("The contact.", "Contact"), **WRITES, **problems(404, 409)},
                **scope("contacts:manage"),
            },
            "delete": {
                "tags": ["contacts"],
                "operationId": "deleteContact",
                "summary": "Forget a contact; opt-outs of its number stay.",
                "parameters": [_ID],
                "responses": {"204": nothing("It is gone."), **READS, **problems(404)},
                **scope("contacts:manage"),
            },
        },
        "/v1/contacts/{contactId}/tags": {
            "post": {
                "tags": ["contacts"],
                "operationId": "addContactTags",
                "summary": "Add tags; at most 50 together.",
                "parameters": [_ID],
                "requestBody": body("NewTags"),
                "responses": {"200": answer("The contact.", "Contact"), **WRITES, **problems(404)},
                **scope("contacts:manage"),
            }
        },
        "/v1/contacts/{contactId}/tags/{tag}": {
            "delete": {
                "tags": ["contacts"],
                "operationId": "removeContactTag",
                "summary": "Take a tag off; one that it does not have is no error.",
                "parameters": [
                    _ID,
                    in_path(
                        "tag", text(least=1, example="vip"), "The tag; a slash at its end does not count."
                    ),
                ],
                "responses": {"200": answer("The contact.", "Contact"), **READS, **problems(404)},
                **scope("contacts:manage"),
            }
        },
    },
}
