"""Pieces that the parts of the OpenAPI document are built of (JSON Schema 2020-12)."""

from typing import Any

Json = dict[str, Any]

TIME: Json = {"type": "string", "format": "date-time", "examples": ["2026-12-01T09:00:00.000Z"]}
UUID: Json = {
    "type": "string",
    "format": "uuid",
    "examples": ["019ac3f2-7a10-7b62-9d0e-3c5b8f1a2e44"],
}
URL: Json = {
    "type": "string",
    "format": "uri",
    "pattern": r"^[Hh][Tt][Tt][Pp][Ss]?://[!-~]+$",
    "maxLength": 2048,
    "examples": ["https://example.com/hook"],
}
PHONE: Json = {
    "type": "string",
    "format": "phone",
    "description": "E.164, with its plus.",
    "examples": ["+14155550101"],
}
REQUEST_ID: Json = {
    "type": "string",
    "description": "Also in the header X-Request-Id.",
    "examples": ["3f0c9a52-6f0e-4c57-9a53-0f4f7d1c2b6a"],
}
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
    "schema": {"type": "string", "format": "cursor"},
}
_SENTENCE = "The request is not valid; see details."
NEXT_CURSOR: Json = {
    "type": ["string", "null"],
    "description": "Give it as cursor for the next page; null on the last.",
}


def ref(name: str) -> Json:
    """A schema of the document's, by name."""
    return {"$ref": f"#/components/schemas/{name}"}


def header(name: str) -> Json:
    """A header of the document's, by name."""
    return {name: {"$ref": f"#/components/headers/{name}"}}


def null(kind: Json | str) -> Json:
    """The kind, or null."""
    shape = {"type": kind} if isinstance(kind, str) else kind
    if "type" not in shape:
        return {"anyOf": [shape, {"type": "null"}]}
    kinds = shape["type"] if isinstance(shape["type"], list) else [shape["type"]]
    if "null" in kinds:
        return shape
    choices = {"enum": [*shape["enum"], None]} if "enum" in shape else {}
    return {**shape, "type": [*kinds, "null"], **choices}


def one_of(*values: str, about: str = "") -> Json:
    """One of these strings."""
    return {"type": "string", "enum": list(values)} | ({"description": about} if about else {})


def text(about: str = "", *, least: int | None = None, most: int | None = None, example: str = "") -> Json:
    """A string, with bounds in characters."""
    return (
        {"type": "string"}
        | ({} if least is None else {"minLength": least})
        | ({} if most is None else {"maxLength": most})
        | ({"description": about} if about else {})
        | ({"examples": [example]} if example else {})
    )


def whole(about: str = "", *, least: int = 0, most: int | None = None, example: int | None = None) -> Json:
    """A whole number, with bounds."""
    return (
        {"type": "integer", "minimum": least}
        | ({} if most is None else {"maximum": most})
        | ({"description": about} if about else {})
        | ({} if example is None else {"examples": [example]})
    )


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


def problem(more: Json | None = None, *, about: str = "What went wrong.") -> Json:
    """The body of an error; ``more`` is what some calls say besides."""
    members = {
        "message": text("A sentence for people; not stable.", example=_SENTENCE),
        "error": text("Equals message.", example=_SENTENCE),
        "errorCode": ref("Code"),
        "details": array(ref("Detail"), description="What is wrong, member by member; may be empty."),
        "retryable": {
            "type": "boolean",
            "description": "Whether the same request may be sent again as it is.",
            "examples": [False],
        },
        "requestId": REQUEST_ID,
    }
    return object_(members | (more or {}), required=tuple(members), about=about)


def page(name: str) -> Json:
    """A cursor page of a schema's."""
    return object_(
        {"data": array(ref(name)), "nextCursor": NEXT_CURSOR, "requestId": REQUEST_ID},
        required=("data", "nextCursor", "requestId"),
    )


def answer(about: str, name: str, headers: Json | None = None, *, example: Json | None = None) -> Json:
    """A JSON answer of a schema's; without an example one is made of the schema's own."""
    content = {"schema": ref(name)} | ({"example": example} if example else {})
    return {
        "description": about,
        "content": {"application/json": content},
        "headers": header("X-Request-Id") | (headers or {}),
    }


def nothing(about: str) -> Json:
    """An answer without a body (204)."""
    return {"description": about, "headers": header("X-Request-Id")}


def body(name: str, *, example: Json | None = None) -> Json:
    """A required JSON body of a schema's; without an example one is made of the schema's own."""
    content = {"schema": ref(name)} | ({"example": example} if example else {})
    return {"required": True, "content": {"application/json": content}}


def query(name: str, about: str, kind: Json | None = None) -> Json:
    return {"name": name, "in": "query", "description": about, "schema": kind or {"type": "string"}}


def in_path(name: str, kind: Json | None = None, about: str = "") -> Json:
    return {"name": name, "in": "path", "required": True, "description": about, "schema": kind or UUID}


def in_header(name: str, about: str, kind: Json) -> Json:
    return {"name": name, "in": "header", "description": about, "schema": kind}


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
