"""Request bodies: JSON as strict as what is stored must be, at most ``settings.MAX_BODY_BYTES``.

What a lenient reader lets pass does harm further in: a duplicate name hides a value from whoever checked the other
one, NaN is no JSON for the receiver of a callback, and PostgreSQL stores neither NUL nor half a surrogate pair.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn, Protocol

from django.conf import settings
from django.http import HttpRequest
from rest_framework.parsers import BaseParser

from gateway import errors
from gateway.errors import Detail

_CHUNK = 64 * 1024
# A refused body is read off this far: a server closes the connection on a client that is still sending, which
# then sees a reset instead of the answer.
_DRAIN = 16 * 1024 * 1024

_json_type = re.compile(r"application/json\s*(?:;\s*charset\s*=\s*\"?utf-8\"?\s*)?;?\s*", re.IGNORECASE)
_unstorable = re.compile("[\0\ud800-\udfff]")


class Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


class JSONParser(BaseParser):
    """REST framework's door to :func:`decode`; views of this API read through :func:`load`."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        return decode(_read(stream, settings.MAX_BODY_BYTES))


def load(request: HttpRequest) -> Any:
    """The JSON value in a request's body.

    Raises:
        errors.UnsupportedMediaType: the body is not declared as JSON in UTF-8, or is compressed.
        errors.PayloadTooLarge: it is too large, whatever its Content-Length says.
        errors.MalformedBody: it is not strict JSON.
    """
    _check_length(request)
    if not has_body(request):
        raise errors.MalformedBody("The body is missing.")
    encoding = request.META.get("HTTP_CONTENT_ENCODING", "identity")
    if not _json_type.fullmatch(request.META.get("CONTENT_TYPE") or "") or encoding != "identity":
        raise errors.UnsupportedMediaType
    return decode(body(request))


def has_body(request: HttpRequest) -> bool:
    """Whether the request's headers announce a body; a chunked one may still turn out to be empty."""
    length = request.META.get("CONTENT_LENGTH") or ""
    return length not in {"", "0"} or "HTTP_TRANSFER_ENCODING" in request.META


def body(request: HttpRequest) -> bytes:
    """The body as it was sent, read once.

    Raises:
        errors.PayloadTooLarge: it is too large, whatever its Content-Length says.
    """
    kept: bytes | None = getattr(request, "_whole_body", None)
    if kept is None:
        _check_length(request)
        kept = _read(_stream(request), settings.MAX_BODY_BYTES)
        request._whole_body = kept  # type: ignore[attr-defined]
    return kept


def _check_length(request: HttpRequest) -> None:
    length = request.META.get("CONTENT_LENGTH") or ""
    if length.isdecimal() and int(length) > settings.MAX_BODY_BYTES:
        raise errors.PayloadTooLarge


def _stream(request: HttpRequest) -> Stream:
    """The body. Django takes one without Content-Length for empty: a chunked one is read from the server."""
    if not request.META.get("CONTENT_LENGTH") and "HTTP_TRANSFER_ENCODING" in request.META:
        raw: Stream = request.META["wsgi.input"]
        return raw
    return request


def _read(stream: Stream, limit: int) -> bytes:
    chunks = [stream.read(limit + 1)]
    size = len(chunks[0])
    # A server may hand out less than was asked for before the end.
    while chunks[-1] and size <= limit:
        chunks.append(stream.read(limit + 1 - size))
        size += len(chunks[-1])
    if size > limit:
        raise errors.PayloadTooLarge
    return b"".join(chunks)


def discard(request: HttpRequest) -> bool:
    """Read off what is left of the body; False when that is too much, and the connection must end."""
    stream = _stream(request)
    read = 0
    while read < _DRAIN:
        more = stream.read(_CHUNK)
        if not more:
            return True
        read += len(more)
    return False


def decode(body: bytes) -> Any:
    """The value that strict JSON in UTF-8 stands for.

    Raises:
        errors.MalformedBody: with the place of what is wrong, where it has one.
    """
    try:
        value = _decoder.decode(body.decode())
        bad = list(_unstorables(value, "")) if b"\\u" in body else []
    except UnicodeDecodeError as error:
        raise errors.MalformedBody(f"The body is not UTF-8, at byte {error.start}.") from error
    except json.JSONDecodeError as error:
        raise errors.MalformedBody(f"The body is not JSON: {error.msg}, at character {error.pos}.") from error
    except RecursionError as error:
        raise errors.MalformedBody("The body is nested too deeply.") from error
    except ValueError as error:
        raise errors.MalformedBody(f"The body is not strict JSON: {error}.") from error
    if bad:
        raise errors.MalformedBody("The body has characters that cannot be stored.", details=bad)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise ValueError(f"the name {json.dumps(twice)} occurs twice in one object")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def _unstorables(value: Any, path: str) -> Iterator[Detail]:
    """A detail for each string with NUL or half a surrogate pair; for a name, its object's path."""
    if isinstance(value, str):
        if _unstorable.search(value):
            yield Detail(path, "INVALID_CHARACTER", "NUL and unpaired surrogates are not allowed.")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unstorables(item, f"{path}[{index}]")
    elif isinstance(value, dict):
        for name, item in value.items():
            if _unstorable.search(name):
                yield Detail(path, "INVALID_CHARACTER", "A name has NUL or an unpaired surrogate.")
            else:
                yield from _unstorables(item, f"{path}.{name}" if path else name)
