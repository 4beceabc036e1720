"""Bodies of callbacks. From the event and from what of its message never changes, so every retry is byte-equal."""

from datetime import datetime
from typing import NamedTuple, cast

import msgspec

from gateway import statuses
from gateway.statuses import Status
from webhooks import catalogue


class Source(NamedTuple):
    """An event with its message. ``data`` and ``metadata`` are JSON texts; ids are texts too."""

    event_id: str
    type: str
    status: str | None
    sequence: int
    occurred_at: datetime
    operator: str | None
    operator_code: str | None
    error_code: str | None
    data: str | None
    message_id: str
    batch_id: str | None
    client_message_id: str | None
    channel: str
    recipient: str
    sender: str | None
    parts: int
    metadata: str | None
    callback_url: str | None


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


class _Body(msgspec.Struct):
    type: str
    timestamp: str
    data: _Data | _Received | _Consent


_encode = msgspec.json.Encoder().encode
_received = msgspec.json.Decoder(_Received).decode
_consent = msgspec.json.Decoder(_Consent).decode
_EMPTY = msgspec.Raw(b"{}")


def standard(source: Source) -> bytes:
    """The body of format ``standard`` (Standard Webhooks): ``{"type", "timestamp", "data": {…}}``, JSON.

    ``data`` is the message's unchanging members and the event's own; ``operatorData`` is what the operator said,
    with its raw code as ``code``. ``sequence`` counts the message's events and orders its callbacks. What handsets
    bring about has members of its own.
    """
    at = milliseconds(source.occurred_at)
    if source.type in catalogue.INBOUND:
        return _encode(_Body(source.type, at, _inbound(source, at)))
    status = source.status
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
                status,
                _CODES[status, source.error_code] if (status, source.error_code) in _CODES else _code(source),
                source.error_code,
                source.operator,
                _operator_data(source),
                _EMPTY if source.metadata is None else msgspec.Raw(source.metadata.encode()),
                source.sequence,
                at,
            ),
        )
    )


def _inbound(source: Source, at: str) -> "_Received | _Consent":
    data = source.data or "{}"
    if source.type != catalogue.RECEIVED:
        return msgspec.structs.replace(_consent(data), sequence=source.sequence, occurred_at=at)
    return msgspec.structs.replace(
        _received(data),
        id=source.message_id,
        operator=source.operator,
        sequence=source.sequence,
        occurred_at=at,
    )


_CODES: dict[tuple[str | None, str | None], int | None] = {
    (status.value, None): code for status, code in statuses.CODES.items()
}


def _code(source: Source) -> int | None:
    if source.status is None:
        return None
    return statuses.code(status=Status(source.status), error_code=source.error_code)


def _operator_data(source: Source) -> msgspec.Raw:
    if source.operator_code is None:
        return _EMPTY if source.data is None else msgspec.Raw(source.data.encode())
    code = {"code": source.operator_code}
    if source.data is None:
        return msgspec.Raw(_encode(code))
    return msgspec.Raw(_encode(cast("dict[str, object]", msgspec.json.decode(source.data)) | code))


def milliseconds(at: datetime) -> str:
    """ISO 8601 with milliseconds and ``Z``, of an aware time in UTC."""
    return at.isoformat(timespec="milliseconds")[:-6] + "Z"
