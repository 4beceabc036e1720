"""A schema's members as a flat list, for people: ``content.text``, ``data[].id``."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from gateway.api.described import samples
from gateway.api.shapes import Json

_DEPTH = 4


class Member(NamedTuple):
    """``kind`` is the type with its bounds."""

    name: str
    kind: str
    required: bool
    about: str


def members(schema: Json, components: Json, prefix: str = "", depth: int = _DEPTH) -> Iterator[Member]:
    """Each member and those below it. Where a schema has alternatives, a member is what it is in any of them."""
    variants = list(_variants(schema, components))
    names = dict.fromkeys(name for variant in variants for name in variant.get("properties", {}))
    for name in names:
        having = [variant for variant in variants if name in variant.get("properties", {})]
        shapes = [shape for shape in (one["properties"][name] for one in having) if shape != {"type": "null"}]
        if not shapes:
            continue
        required = all(name in variant.get("required", ()) for variant in variants)
        plain = [samples.resolved(shape, components) for shape in shapes]
        kinds = dict.fromkeys(_kind(shape, components) for shape in plain)
        abouts = dict.fromkeys(shape.get("description", "") for shape in plain)
        full = prefix + name
        yield Member(full, " or ".join(filter(None, kinds)), required, " ".join(filter(None, abouts)))
        if depth:
            yield from _below({"anyOf": plain}, components, full, depth - 1)
    for variant in variants:
        if not prefix and "items" in variant:
            yield from members(variant["items"], components, "[].", depth)


def _below(shape: Json, components: Json, name: str, depth: int) -> Iterator[Member]:
    items = [variant["items"] for variant in _variants(shape, components) if "items" in variant]
    if items:
        yield from members({"anyOf": items}, components, f"{name}[].", depth)
    yield from members(shape, components, f"{name}.", depth)


def _variants(schema: Json, components: Json) -> Iterator[Json]:
    """The schema, or each of its alternatives."""
    shape = samples.resolved(schema, components)
    choices = shape.get("oneOf") or (() if "properties" in shape else shape.get("anyOf"))
    if not choices:
        yield shape
        return
    for choice in choices:
        yield from _variants(choice, components)


def _kind(shape: Json, components: Json) -> str:
    choices = shape.get("oneOf") or (() if "type" in shape else shape.get("anyOf"))
    if choices:
        kinds = (_kind(samples.resolved(choice, components), components) for choice in choices)
        return " or ".join(dict.fromkeys(filter(None, kinds)))
    if "const" in shape:
        return str(shape["const"])
    if "enum" in shape:
        values = shape["enum"]
        return " | ".join("null" if value is None else str(value) for value in values[:40])
    kinds = shape.get("type", "any")
    kind = kinds if isinstance(kinds, str) else " or ".join(kinds)
    if "format" in shape:
        kind = kind.replace("string", _FORMATS.get(shape["format"], "string"))
    return ", ".join(filter(None, [kind, _bounds(shape)]))


_FORMATS = {"date-time": "time", "date": "date", "uuid": "UUID", "uri": "URL", "phone": "phone number"}


def _bounds(shape: Json) -> str:
    said = [
        _range(shape.get("minimum"), shape.get("maximum"), ""),
        _range(shape.get("minLength"), shape.get("maxLength"), " characters"),
        _range(shape.get("minItems"), shape.get("maxItems"), " items"),
        _range(None, shape.get("maxProperties"), " members"),
    ]
    default = shape.get("default")
    return ", ".join(filter(None, [*said, "" if default is None else f"default {default}"]))


def _range(least: Any, most: Any, unit: str) -> str:
    if most is None:
        return f"from {least}{unit}" if least else ""
    return f"at most {most:,}{unit}" if least is None else f"{least:,} to {most:,}{unit}"
