"""Templates of requests: ``{{to}}`` and its like, filled in as the place they stand in wants it written.

======================================  ==========================================================================
``{{to}}``, ``{{from}}``                as the message has them; ``{{to.digits}}``, ``{{from.digits}}`` without a plus
``{{text}}``                            what the handset is to show
``{{messageId}}``, ``{{deliveryId}}``   ours: of the message, and of this try at it
``{{channel}}``, ``{{parts}}``          ``sms``; how many parts it counts
``{{encoding}}``                        ``GSM-7`` or ``UCS-2``: what the text needs
``{{expiresAt}}``                       ISO 8601, UTC; ``{{validitySeconds}}`` from now on
``{{metadata.x}}``                      of the message's metadata
``{{content.x.y}}``                     of its template or media: ``{{content.media.url}}``
``{{secret.x}}``                        of the operator's secrets
======================================  ==========================================================================
"""

import html
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

from gateway import text
from routing.contract import Outbound
from routing.errors import OperatorSettingsError
from routing.transports.http_paths import Path

Value = Callable[[Outbound], Any]
Escape = Callable[[str], str]

_PLACE = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class NoTextError(Exception):
    """The template shows the text, and the message has none."""


def in_url(value: str) -> str:
    """As a part of a path, of a query or of a form."""
    return quote(value, safe="")


def in_header(value: str) -> str:
    """On one line."""
    return _CONTROL.sub(" ", value)


def in_json(value: str) -> str:
    """Between the quotes of a JSON text."""
    return msgspec.json.encode(value)[1:-1].decode()


def in_xml(value: str) -> str:
    """In an element or an attribute; XML 1.0 has no control characters but three."""
    return html.escape(re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", " ", value))


def as_it_is(value: str) -> str:
    return value


class Template:
    """A text with places, read once.

    Raises:
        OperatorSettingsError: it has a place that there is nothing for; names the setting.
    """

    def __init__(self, source: str, *, setting: str, secrets: Mapping[str, Any], escape: Escape) -> None:
        self._escape = escape
        pieces = _PLACE.split(source)
        if any("{{" in piece or "}}" in piece for piece in pieces[::2]):
            raise OperatorSettingsError(f"{setting} has a {{{{ or }}}} that is no place such as {{{{to}}}}.")
        # Literal pieces and places by turns.
        self._pieces: list[str | Value] = [
            value_of(piece, setting=setting, secrets=secrets) if place % 2 else piece
            for place, piece in enumerate(pieces)
            if place % 2 or piece
        ]

    def render(self, message: Outbound) -> str:
        """The text for a message; what it does not have is nothing.

        Raises:
            NoTextError: see there.
        """
        return "".join(
            piece if isinstance(piece, str) else self._escape(_text(piece(message))) for piece in self._pieces
        )

    def value(self, message: Outbound) -> Any:
        """The same; of a template that is one place and nothing else its value, with its type, None for nothing."""
        if len(self._pieces) == 1 and not isinstance(self._pieces[0], str):
            return self._pieces[0](message)
        return self.render(message)


def shape(source: Any, *, setting: str, secrets: Mapping[str, Any]) -> Any:
    """A JSON value with templates in the places of its texts.

    Raises:
        OperatorSettingsError: one has a place that there is nothing for; names where.
    """
    if isinstance(source, dict):
        return {n: shape(v, setting=f"{setting}.{n}", secrets=secrets) for n, v in source.items()}
    if isinstance(source, list):
        return [shape(v, setting=f"{setting}[{n}]", secrets=secrets) for n, v in enumerate(source)]
    if isinstance(source, str) and "{{" in source:
        return Template(source, setting=setting, secrets=secrets, escape=as_it_is)
    return source


def filled(shape_: Any, message: Outbound) -> Any:
    """The value for a message; a member that is one place is left out where there is nothing for it.

    Raises:
        NoTextError: see there.
    """
    if isinstance(shape_, Template):
        return shape_.value(message)
    if isinstance(shape_, dict):
        values = {name: filled(each, message) for name, each in shape_.items()}
        return {n: v for n, v in values.items() if v is not None or not isinstance(shape_[n], Template)}
    if isinstance(shape_, list):
        return [filled(each, message) for each in shape_]
    return shape_


def value_of(name: str, *, setting: str, secrets: Mapping[str, Any]) -> Value:
    """What gives a place's value.

    Raises:
        OperatorSettingsError: there is no such place.
    """
    found = _VALUES.get(name)
    if found is not None:
        return found
    kind, _dot, rest = name.partition(".")
    if kind == "metadata" and rest:
        return lambda message: (message.metadata or {}).get(rest)
    if kind == "content" and rest:
        path = Path(rest, setting=setting)
        return lambda message: next(path.values(message.content), None)
    if kind == "secret" and rest in secrets:
        secret = str(secrets[rest])
        return lambda _message: secret
    if kind == "secret" and rest:
        raise OperatorSettingsError(f"{setting} needs the secret {rest}, which is not set.")
    raise OperatorSettingsError(
        f"{setting} has {{{{{name}}}}}, which there is nothing for; there are {', '.join(_VALUES)}, metadata.x, "
        f"content.x and secret.x."
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list | bool):
        return msgspec.json.encode(value).decode()
    return str(value)


def _shown(message: Outbound) -> str:
    if message.text is None:
        raise NoTextError
    return message.text


def _digits(number: str | None) -> str | None:
    return number and number.removeprefix("+")


def _encoding(message: Outbound) -> str:
    return text.analyse(_shown(message))[0]


def _expires_at(message: Outbound) -> str | None:
    if message.expires_at is None:
        return None
    return message.expires_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _validity(message: Outbound) -> int | None:
    if message.expires_at is None:
        return None
    return max(1, int((message.expires_at - datetime.now(tz=UTC)).total_seconds()))


_VALUES: dict[str, Value] = {
    "to": lambda message: message.recipient,
    "to.digits": lambda message: _digits(message.recipient),
    "from": lambda message: message.sender,
    "from.digits": lambda message: _digits(message.sender),
    "text": _shown,
    "messageId": lambda message: str(message.message_id),
    "deliveryId": lambda message: str(message.delivery_id),
    "channel": lambda message: message.channel,
    "parts": lambda message: message.parts,
    "encoding": _encoding,
    "expiresAt": _expires_at,
    "validitySeconds": _validity,
}
