"""A request's id: the caller's, when it is a plain token, else a new one. It goes into every answer."""

import random
import re
import uuid

from django.http import HttpRequest

HEADER = "X-Request-Id"

_token = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


def of(request: HttpRequest | None) -> str:
    """The request's id, always the same for the same request."""
    if request is None:
        return _new()
    kept: str | None = getattr(request, "_request_id", None)
    if kept is None:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        kept = given if _token.fullmatch(given) else _new()
        request._request_id = kept  # type: ignore[attr-defined]
    return kept


def _new() -> str:
    """A random UUID. No secret: the system's generator would cost a switch of threads each time."""
    return str(uuid.UUID(int=random.getrandbits(128), version=4))
