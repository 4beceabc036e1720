"""What bodies are made of."""

from datetime import datetime
from typing import Any, NamedTuple, cast

import msgspec

from gateway import statuses
from gateway.statuses import Status


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


class Details(NamedTuple):
    """What only some bodies need.

    ``account`` is the tenant's slug; ``number`` ours that a handset wrote to. The rest is of the message: the one
    that the event is about, or that a handset answered.
    """

    account: str
    number: str | None = None
    message_id: str | None = None
    text: str | None = None
    metadata: str | None = None


_CODES: dict[tuple[str | None, str | None], int | None] = {
    (status.value, None): code for status, code in statuses.CODES.items()
}


def code(source: Source) -> int | None:
    """The numeric status (contract §3); None for an event that moved nothing."""
    key = source.status, source.error_code
    if key in _CODES:
        return _CODES[key]
    if source.status is None:
        return None
    return statuses.code(status=Status(source.status), error_code=source.error_code)


def data(source: Source) -> dict[str, Any]:
    """The event's own data."""
    return {} if source.data is None else cast("dict[str, Any]", msgspec.json.decode(source.data))


def metadata(text: str | None) -> dict[str, str]:
    """A message's metadata; {} for none."""
    return {} if text is None else cast("dict[str, str]", msgspec.json.decode(text))


def milliseconds(at: datetime) -> str:
    """ISO 8601 with milliseconds and ``Z``, of an aware time in UTC."""
    return at.isoformat(timespec="milliseconds")[:-6] + "Z"
