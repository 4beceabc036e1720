"""Pieces that the parts of the OpenAPI document are built of (JSON Schema 2020-12)."""

from typing import Any

Json = dict[str, Any]

TIME: Json = {"type": "string", "format": "date-time", "examples": ["2026-12-01T09:00:00.000Z"]}
UUID: Json = {
    "type": "string",
    "format": "uuid",
    "examples": ["019ac3f2-7a10-7b62-9d0e-3c5b8f1a2e44"],
}
URL: Json = {"type": "string", "format": "uri", "maxLength": 2048, "examples": ["https://example.com/hook"]}
PHONE: Json = {"type": "string", "description": "E.164, with its plus.", "examples": ["+14155550101"]}
REQUEST_ID: Json = {"type": "string", "description": "Also in the header X-Request-Id."}
TEXT_HEADER: Json = {"schema": {"type": "string"}}
LIMIT: Json = {
    "name": "limit",
    "in": "query",
    "description": "Rows a page.",
    "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
}
CURSOR: Json = {
    "name": "cursor",
    "in": "query",
    "description": "nextCursor of the page before, as it came.",
    "schema": {"type": "string"},
}


def ref(name: str) -> Json:
    """A schema of the document's, by name."""
    return {"$ref": f"#/components/schemas/{name}"}


def null(kind: Json | str) -> Json:
    """The kind, or null."""
    shape = {"type": kind} if isinstance(kind, str) else kind
    if "type" not in shape:
        return {"anyOf": [shape, {"type": "null"}]}
    kinds = shape["type"] if isinstance(shape["type"], list) else [shape["type"]]
    choices = {"enum": [*shape["enum"], None]} if "enum" in shape else {}
    return {**shape, "type": [*kinds, "null"], **choices}


def one_of(*values: str, about: str = "") -> Json:
    """One of these strings."""
    return {"type": "string", "enum": list(values)} | ({"description": about} if about else {})


def array(items: Json, **more: Any) -> Json:
    return {"type": "array", "items": items, **more}


def object_(
    properties: Json,
    *,
    required: tuple[str, ...] = (),
    closed: bool = False,
    about: str = "",
    example: Json | None = None,
) -> Json:
    """An object; ``closed`` allows no other members, as request bodies do."""
    shape: Json = {"type": "object", "properties": properties}
    if required:
        shape["required"] = list(required)
    if closed:
        shape["additionalProperties"] = False
    if about:
        shape["description"] = about
    return shape | ({"examples": [example]} if example else {})


def resource(properties: Json, *, about: str = "", example: Json | None = None) -> Json:
    """What a call answers: every member is always there, and the request's id."""
    members = properties | {"requestId": REQUEST_ID}
    return object_(members, required=tuple(properties), about=about, example=example)


def page(name: str) -> Json:
    """A cursor page of a schema's."""
    return object_(
        {"data": array(ref(name)), "nextCursor": null("string"), "requestId": REQUEST_ID},
        required=("data", "nextCursor", "requestId"),
    )


def answer(about: str, name: str, headers: Json | None = None) -> Json:
    """A JSON answer of a schema's."""
    return {
        "description": about,
        "content": {"application/json": {"schema": ref(name)}},
        "headers": {"X-Request-Id": TEXT_HEADER} | (headers or {}),
    }


def nothing(about: str) -> Json:
    """An answer without a body (204)."""
    return {"description": about, "headers": {"X-Request-Id": TEXT_HEADER}}


def body(name: str) -> Json:
    """A required JSON body of a schema's."""
    return {"required": True, "content": {"application/json": {"schema": ref(name)}}}


def query(name: str, about: str, kind: Json | None = None) -> Json:
    return {"name": name, "in": "query", "description": about, "schema": kind or {"type": "string"}}


def in_path(name: str, kind: Json | None = None, about: str = "") -> Json:
    return {"name": name, "in": "path", "required": True, "description": about, "schema": kind or UUID}


def problems(*statuses: int) -> Json:
    """The errors of a call, by status; their bodies are the document's Problem."""
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}


# What every call with a key can answer, those that read a body, and those that change something.
READS = problems(400, 401, 403, 429, 500, 503)
WRITES = READS | problems(413, 415)


def scope(permission: str) -> Json:
    """The credentials that a call takes, and the permission that the key needs."""
    return {
        "security": [{"bearer": []}, {"apiKey": []}, {"basic": []}, {"hmac": []}],
        "x-permission": permission,
    }
