"""A body in the encoding that a webhook chose. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode
from xml.sax.saxutils import escape, quoteattr

import msgspec

JSON: Final = "JSON"
FORM: Final = "FORM_ENCODED"
XML: Final = "XML"
CONTENT_TYPES: Final = {
    JSON: b"application/json; charset=utf-8",
    FORM: b"application/x-www-form-urlencoded; charset=utf-8",
    XML: b"application/xml; charset=utf-8",
}
# Objects whose members the tenant or an operator names: not every name is one that an element may have.
_FREE = frozenset({"metadata", "meta_data", "operatorData"})
# What XML 1.0 cannot hold (§2.2), not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_json = msgspec.json.Encoder().encode


def encode(body: Mapping[str, Any], *, encoding: str) -> bytes:
    """``body`` has texts, numbers, null and, one or two levels deep, objects of these."""
    if encoding == FORM:
        return form(body)
    return xml(body) if encoding == XML else _json(body)


def form(body: Mapping[str, Any]) -> bytes:
    """One pair for each member, in order: objects as JSON text, null left out."""
    return urlencode([(name, _text(value)) for name, value in body.items() if value is not None]).encode()


def xml(body: Mapping[str, Any]) -> bytes:
    """A ``<callback>`` with an element for each member, null left out.

    Members with names of the tenant's or the operator's are ``<entry key="…">``. A character that XML cannot hold
    is U+FFFD.
    """
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<callback>{_elements(body)}</callback>'.encode()


def _elements(members: Mapping[str, Any]) -> str:
    return "".join(
        f"<{name}>{_content(name, value)}</{name}>" for name, value in members.items() if value is not None
    )


def _content(name: str, value: Any) -> str:
    if not isinstance(value, Mapping):
        return _escaped(_text(value))
    if name not in _FREE:
        return _elements(value)
    return "".join(
        f"<entry key={quoteattr(_FORBIDDEN.sub(chr(0xFFFD), key))}>{_escaped(_text(item))}</entry>"
        for key, item in value.items()
        if item is not None
    )


def _escaped(text: str) -> str:
    # A bare carriage return is a newline to whoever reads it (§2.11).
    return escape(_FORBIDDEN.sub("\ufffd", text), {"\r": "&#13;"})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _json(value).decode()
