"""The format ``standard``: bodies as Standard Webhooks recommends them. From the event and from what of its message
never changes, so every retry is byte-equal.
"""

from typing import cast

import msgspec

from webhooks import catalogue
from webhooks.formats import sources
from webhooks.formats.sources import Source


class _Data(msgspec.Struct, rename="camel"):
    id: str
    batch_id: str | None
    client_message_id: str | None
    channel: str
    to: str
    from_: str | None = msgspec.field(name="from")
    parts: int
    status: str | None
    status_code: int | None
    error_code: str | None
    operator: str | None
    operator_data: msgspec.Raw
    metadata: msgspec.Raw
    sequence: int
    occurred_at: str


class _Received(msgspec.Struct, rename="camel"):
    """What ``message.received`` tells; its event's data is this without what the event has itself."""

    channel: str
    to: str
    text: str
    keyword: str | None
    action: str | None
    in_reply_to: str | None
    client_message_id: str | None
    metadata: msgspec.Raw
    from_: str = msgspec.field(name="from")
    id: str = ""
    operator: str | None = None
    sequence: int = 0
    occurred_at: str = ""


class _Consent(msgspec.Struct, rename="camel"):
    """What ``contact.opted_out`` and ``contact.opted_in`` tell; as above."""

    phone: str
    scope: str
    sender: str | None
    reason: str | None
    text: str | None
    inbound_id: str | None
    channel: str
    sequence: int = 0
    occurred_at: str = ""


class _Disabled(msgspec.Struct, rename="camel"):
    """What ``webhook.disabled`` tells, all of it in its event's data."""

    webhook_id: str
    url: str
    reason: str
    disabled_at: str


class _Body(msgspec.Struct):
    type: str
    timestamp: str
    data: _Data | _Received | _Consent | _Disabled


_encode = msgspec.json.Encoder().encode
_received = msgspec.json.Decoder(_Received).decode
_consent = msgspec.json.Decoder(_Consent).decode
_disabled = msgspec.json.Decoder(_Disabled).decode
_EMPTY = msgspec.Raw(b"{}")
_OF_NO_MESSAGE = frozenset(catalogue.OF_NO_MESSAGE)


def render(source: Source) -> bytes:
    """``{"type", "timestamp", "data": {…}}``, JSON.

    ``data`` is the message's unchanging members and the event's own; ``operatorData`` is what the operator said,
    with its raw code as ``code``. ``sequence`` counts the message's events and orders its callbacks. What handsets
    bring about, and what becomes of webhooks, has members of its own.
    """
    at = sources.milliseconds(source.occurred_at)
    if source.type in _OF_NO_MESSAGE:
        return _encode(_Body(source.type, at, _of_no_message(source, at)))
    return _encode(
        _Body(
            source.type,
            at,
            _Data(
                source.message_id,
                source.batch_id,
                source.client_message_id,
                source.channel,
                source.recipient,
                source.sender,
                source.parts,
                source.status,
                sources.code(source),
                source.error_code,
                source.operator,
                _operator_data(source),
                _EMPTY if source.metadata is None else msgspec.Raw(source.metadata.encode()),
                source.sequence,
                at,
            ),
        )
    )


def _of_no_message(source: Source, at: str) -> _Received | _Consent | _Disabled:
    data = source.data or "{}"
    if source.type == catalogue.DISABLED:
        return _disabled(data)
    if source.type != catalogue.RECEIVED:
        return msgspec.structs.replace(_consent(data), sequence=source.sequence, occurred_at=at)
    return msgspec.structs.replace(
        _received(data),
        id=source.message_id,
        operator=source.operator,
        sequence=source.sequence,
        occurred_at=at,
    )


def _operator_data(source: Source) -> msgspec.Raw:
    if source.operator_code is None:
        return _EMPTY if source.data is None else msgspec.Raw(source.data.encode())
    code = {"code": source.operator_code}
    if source.data is None:
        return msgspec.Raw(_encode(code))
    return msgspec.Raw(_encode(cast("dict[str, object]", msgspec.json.decode(source.data)) | code))
