"""The OpenAPI 3.1 document, put together from the parts in :mod:`gateway.api.described`.

A part is ``{"paths", "schemas", "tags"}``, and ``"webhooks"`` for what is sent to clients; other apps add theirs with
:func:`include`. What every call has in common is written once, here: the header that names the sandbox, the rate
limit's headers, an example a body.
"""

import copy
from typing import Any

from gateway.api.described import (
    analytics,
    batches,
    common,
    contacts,
    inbound,
    keywords,
    messages,
    meta,
    opt_outs,
    samples,
    sandbox,
    templates,
)
from gateway.api.shapes import Json, header
from gateway.models.api_key import PERMISSIONS

METHODS = ("get", "post", "put", "patch", "delete")

_own: tuple[Json, ...] = (
    messages.PART,
    batches.PART,
    templates.PART,
    contacts.PART,
    opt_outs.PART,
    inbound.PART,
    keywords.PART,
)
_extra: list[Json] = []
_last: tuple[Json, ...] = (analytics.PART, sandbox.PART, meta.PART)


def include(part: Json) -> None:
    """Add another app's part."""
    _extra.append(part)


def document() -> Json:
    """The whole document, the caller's to change."""
    parts = (*_own, *_extra, *_last)
    paths: Json = copy.deepcopy(_merged(parts, "paths"))
    callbacks: Json = copy.deepcopy(_merged(parts, "webhooks"))
    components = common.components()
    components["schemas"] |= copy.deepcopy(_merged(parts, "schemas"))
    tags = [tag for part in parts for tag in part.get("tags", ())]
    whole = {
        "openapi": "3.1.0",
        "info": {"title": "Trunkline", "version": "1", "description": _ABOUT},
        "servers": [{"url": "/"}],
        "security": [{name: []} for name in components["securitySchemes"]],
        "tags": list({tag["name"]: tag for tag in tags}.values()),
        "paths": paths,
        "webhooks": callbacks,
        "components": components,
    }
    for path, methods in (paths | callbacks).items():
        for method, call in methods.items():
            if method in METHODS:
                _complete(path, call, components)
    return whole


def _merged(parts: tuple[Json, ...], kind: str) -> Json:
    found: Json = {}
    for part in parts:
        found |= part.get(kind, {})
    return found


def _complete(path: str, call: Json, components: Json) -> None:
    """Add what goes without saying to a call."""
    if call.get("security") != []:
        mode = "DeveloperModeOnly" if path.startswith("/v1/sandbox/") else "DeveloperMode"
        call["parameters"] = [*call.get("parameters", ()), {"$ref": f"#/components/parameters/{mode}"}]
        for response in call["responses"].values():
            if "$ref" not in response:
                response["headers"] = response.get("headers", {}) | _LIMITS
    bodies = [call.get("requestBody", {}), *call["responses"].values()]
    for content in (content for body in bodies for content in _json_of(body)):
        if "example" not in content and "examples" not in content:
            content["example"] = samples.of(content["schema"], components)


def _json_of(body: Json) -> list[Any]:
    content = body.get("content", {}).get("application/json")
    return [] if content is None else [content]


_LIMITS = header("RateLimit-Limit") | header("RateLimit-Remaining") | header("RateLimit-Reset")
_ABOUT = f"""SMS, WhatsApp and RCS behind one API.

Every answer is JSON in UTF-8 with a requestId, also in the header X-Request-Id; a caller may give its own. Every \
error has an errorCode from /v1/error-codes, which says what to do about it. 5xx and 429 are safe to repeat with the \
same clientMessageId. Collections answer with and without a trailing slash. Bodies are at most 2 MiB.

A key has permissions: {", ".join(PERMISSIONS)}. With the header x-developer-mode: true the same key works in the \
account's sandbox, where nothing reaches an operator."""
