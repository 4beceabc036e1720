"""Examples made of schemas: what they give as their own, else the plainest value that fits."""

from typing import Any

from gateway.api.shapes import Json

_PLAIN: dict[str, Any] = {"integer": 1, "number": 1.0, "boolean": True, "null": None, "string": "text"}
_FORMATS = {
    "date-time": "2026-12-01T09:00:00.000Z",
    "date": "2026-12-01",
    "uuid": "019ac3f2-7a10-7b62-9d0e-3c5b8f1a2e44",
    "uri": "https://example.com/hook",
    "phone": "+14155550101",
    "email": "ann@example.com",
}


def of(schema: Json, components: Json) -> Any:
    """A value that the schema describes. ``components`` is the document's, for what it refers to."""
    shape = resolved(schema, components)
    for own in ("examples", "enum"):
        if shape.get(own):
            return shape[own][0]
    for own in ("const", "default"):
        if own in shape:
            return shape[own]
    for choices in ("oneOf", "anyOf"):
        if choices in shape:
            return of(shape[choices][0], components)
    kind = shape.get("type", "object" if "properties" in shape else "string")
    return _of_kind(kind[0] if isinstance(kind, list) else kind, shape, components)


def resolved(schema: Json, components: Json) -> Json:
    """The schema, or the one that it refers to."""
    while "$ref" in schema:
        schema = components["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def _of_kind(kind: str, shape: Json, components: Json) -> Any:
    if kind == "object":
        return {name: of(member, components) for name, member in shape.get("properties", {}).items()}
    if kind == "array":
        return [of(shape["items"], components)] if "items" in shape else []
    if kind == "string":
        return _FORMATS.get(shape.get("format", ""), _PLAIN["string"])
    plain = _PLAIN[kind]
    if kind not in {"integer", "number"}:
        return plain
    return max(min(plain, shape.get("maximum", plain)), shape.get("minimum", plain))
