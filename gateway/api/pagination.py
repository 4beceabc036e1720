"""Cursor pages: ``{"data": [...], "nextCursor": "..."|null}``, ``limit`` 1 to 1000, 100 when not given; and what
paths and queries name rows by."""

import base64
import binascii
from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from django.http import QueryDict
from rest_framework.request import Request

from gateway import errors, numbers
from gateway.api import fields
from gateway.errors import Detail

DEFAULT_LIMIT, MAX_LIMIT = 100, 1000


def parameters(request: Request, *, known: Collection[str], prefixes: tuple[str, ...] = ()) -> dict[str, str]:
    """The query's members, each once, of those that are known (``prefixes``: families such as ``metadata.``).

    Raises:
        errors.Invalid: naming each that is unknown, repeated, or holds NUL.
    """
    query: QueryDict = request.query_params
    faults = []
    for name, values in query.lists():
        if name not in known and not name.startswith(prefixes or ("\0",)):
            faults.append(Detail(name.replace("\0", ""), "UNKNOWN_MEMBER", "There is no such parameter."))
        elif len(values) != 1 or "\0" in values[0] or "\0" in name:
            faults.append(Detail(name.replace("\0", ""), "INVALID_VALUE", "Give one plain value."))
    if faults:
        raise errors.Invalid(details=faults)
    return {name: str(query[name]) for name in query}


def limit_of(given: dict[str, str]) -> int:
    """The page's size.

    Raises:
        errors.Invalid: it is not a number from 1 to 1,000.
    """
    text = given.get("limit", str(DEFAULT_LIMIT))
    if not text.isascii() or not text.isdigit() or len(text) > 4 or not 1 <= int(text) <= MAX_LIMIT:
        raise errors.Invalid(details=[Detail("limit", "OUT_OF_RANGE", f"From 1 to {MAX_LIMIT}.")])
    return int(text)


def cursor_of(given: dict[str, str]) -> UUID | None:
    """The key after which the page starts; None for the first.

    Raises:
        errors.Invalid: it is not a cursor that this API made.
    """
    if "cursor" not in given:
        return None
    try:
        return UUID(bytes=base64.urlsafe_b64decode(given["cursor"] + "=="))
    except (ValueError, binascii.Error) as error:
        fault = Detail("cursor", "INVALID_VALUE", "Give a nextCursor as it came.")
        raise errors.Invalid(details=[fault]) from error


def cursor_after(key: UUID) -> str:
    """What :func:`cursor_of` reads."""
    return base64.urlsafe_b64encode(key.bytes).rstrip(b"=").decode()


def key_of(text: str) -> UUID:
    """A row's key; what is none names no row."""
    try:
        return UUID(text)
    except ValueError as error:
        raise errors.NotFound from error


def choice_of(given: dict[str, str], name: str, allowed: Sequence[str]) -> str | None:
    """A query's value, one of those that are allowed.

    Raises:
        errors.Invalid: it is another.
    """
    text = given.get(name)
    if text is None or text in allowed:
        return text
    raise errors.Invalid(details=[Detail(name, "INVALID_VALUE", f"One of {', '.join(allowed)}.")])


def phone_of(given: dict[str, str], name: str = "phone") -> str | None:
    """A query's phone as E.164; a plus that was not escaped arrives as a space.

    Raises:
        errors.InvalidRecipient: it is none.
    """
    text = given.get(name)
    if text is None:
        return None
    try:
        return numbers.normalise("+" + text[1:] if text.startswith(" ") else text)
    except errors.InvalidRecipient as error:
        raise errors.InvalidRecipient(details=[Detail(name, error.code, error.message)]) from error


def moment_of(given: dict[str, str], name: str) -> datetime | None:
    """A query's moment.

    Raises:
        errors.Invalid: it is none.
    """
    if name not in given:
        return None
    at = fields.moment(given[name])
    if at is None:
        fault = Detail(name, "INVALID_VALUE", "ISO 8601 with a time zone: 2026-12-01T09:00:00Z.")
        raise errors.Invalid(details=[fault])
    return at
