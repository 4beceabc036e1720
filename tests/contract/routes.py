"""What the server answers below ``/v1``, as its URL resolver has it."""

import re
from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

from gateway.api import openapi
from gateway.api.openapi import METHODS
from gateway.api.views import Unknown

# The parameters of routes by the names that the document has for them.
NAMES = {"message_id": "messageId", "key": "id", "key_id": "key_id"}


def document() -> dict[str, Any]:
    """The OpenAPI document with the parts of every app, which they add as their routes are loaded."""
    list(walked())
    return openapi.document()


def strict() -> dict[str, Any]:
    """The document with its answers closed: a member that it does not describe is a fault, not an extra."""
    whole = document()
    schemas = whole["components"]["schemas"]
    answered = {
        reference
        for response in [
            *whole["components"]["responses"].values(),
            *(
                response
                for methods in whole["paths"].values()
                for call in methods.values()
                for response in call["responses"].values()
            ),
        ]
        for reference in _references(response.get("content", {}))
    }
    reached: set[str] = set()
    while answered:
        name = answered.pop()
        reached.add(name)
        answered |= set(_references(schemas[name])) - reached
    for name in reached:
        _close(schemas[name])
    return whole


def _references(part: Any) -> Iterator[str]:
    """The names of the schemas that a part of the document refers to."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"].rpartition("/")[2]
        part = list(part.values())
    if isinstance(part, list):
        for item in part:
            yield from _references(item)


def _close(schema: Any) -> None:
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
            schema["additionalProperties"] = False
        schema = list(schema.values())
    if isinstance(schema, list):
        for item in schema:
            _close(item)


def walked() -> Iterator[tuple[str, type]]:
    """Each route, slash and all, with its view's class: ``/v1/messages/<str:message_id>/events/``."""
    for route, pattern in _patterns("/", get_resolver().url_patterns):
        view = getattr(pattern.callback, "view_class", getattr(pattern.callback, "cls", None))
        if route.startswith("/v1/") and view is not None and view is not Unknown:
            yield route, view


def _patterns(prefix: str, patterns: list[URLPattern | URLResolver]) -> Iterator[tuple[str, URLPattern]]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _patterns(route, pattern.url_patterns)
        else:
            yield route, pattern


def methods(view: type) -> set[str]:
    """The methods that a view answers, in capitals; HEAD and OPTIONS aside."""
    return {method.upper() for method in METHODS if hasattr(view, method)}


def described(route: str) -> str:
    """The route as the document writes it: ``/v1/messages/{messageId}/events``."""
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda found: f"{{{NAMES.get(found[1], camel(found[1]))}}}", route)


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def served() -> set[tuple[str, str]]:
    """Every path and method, without the twins that end in a slash."""
    return {(described(route.rstrip("/")), method) for route, view in walked() for method in methods(view)}
