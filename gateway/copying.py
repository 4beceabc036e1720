r"""What is submitted, and how it is written: as COPY's text format, at half of what an adapter a value costs.

Source: PostgreSQL's COPY, text format: tab between columns, ``\N`` for null, backslash escapes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from django.db import connection

_special = re.compile(r"[\\\t\n\r]")
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})

_MESSAGES = (
    "COPY gateway_message (id, tenant_id, batch_id, client_message_id, channel, recipient, sender, text, content,"
    " encoding, parts, priority, metadata, callback_url, fallback, send_at, expires_at, validity_seconds,"
    " created_at, status, sequence) FROM STDIN"
)
_EVENTS = "COPY gateway_event (id, tenant_id, message_id, type, status, sequence, occurred_at) FROM STDIN"
_DUE = (
    "COPY gateway_duemessage (message_id, tenant_id, lane, priority, due_at, expires_at, channel, recipient,"
    " sender, parts, attempts, refused_by) FROM STDIN"
)


@dataclass(slots=True)
class Submission:
    """A message that a tenant asks for, checked and normalised.

    ``key`` is the client's id for the request, ``fingerprint`` stands for the request's content and goes with it.
    ``priority`` is 0 high, 1 normal, 2 bulk.
    """

    tenant_id: int
    recipient: str
    channel: str = "sms"
    sender: str | None = None
    text: str | None = None
    content: dict[str, Any] | None = None
    encoding: str | None = None
    parts: int = 1
    priority: int = 1
    metadata: dict[str, str] | None = None
    callback_url: str | None = None
    fallback: list[dict[str, Any]] | None = None
    send_at: datetime | None = None
    validity_seconds: int | None = None
    client_message_id: str | None = None
    batch_id: UUID | None = None
    key: str | None = None
    fingerprint: bytes = b""
    backlog_limit: int | None = None


class Row(NamedTuple):
    """A submission about to be written: its ids, its first status, its operator and moments."""

    id: str
    event_id: UUID
    submission: Submission
    status: str
    lane: int
    due_at: datetime
    expires_at: datetime | None


def write(*, rows: Sequence[Row], created_at: datetime, event_type: str) -> None:
    """Write messages, first events and due rows, in the caller's transaction.

    Raises:
        django.db.Error: as the database has it; nothing is written then.
    """
    at = str(created_at)
    messages: list[str] = []
    events: list[str] = []
    queue: list[str] = []
    for id_, event_id, s, status, lane, due, expires in rows:
        sender = _text(s.sender)
        expires_at = _plain(expires)
        due_at = at if due is created_at else str(due)
        messages.append(
            f"{id_}\t{s.tenant_id}\t{_plain(s.batch_id)}\t{_text(s.client_message_id)}\t{s.channel}\t"
            f"{s.recipient}\t{sender}\t{_text(s.text)}\t{_json(s.content)}\t{_plain(s.encoding)}\t{s.parts}\t"
            f"{s.priority}\t{_json(s.metadata)}\t{_text(s.callback_url)}\t{_json(s.fallback)}\t"
            f"{_plain(s.send_at)}\t{expires_at}\t{_plain(s.validity_seconds)}\t{at}\t{status}\t1\n"
        )
        events.append(f"{event_id.int:032x}\t{s.tenant_id}\t{id_}\t{event_type}\t{status}\t1\t{at}\n")
        queue.append(
            f"{id_}\t{s.tenant_id}\t{lane}\t{s.priority}\t{due_at}\t{expires_at}\t{s.channel}\t"
            f"{s.recipient}\t{sender}\t{s.parts}\t0\t{{}}\n"
        )
    with connection.cursor() as cursor, connection.wrap_database_errors:
        for statement, lines in ((_MESSAGES, messages), (_EVENTS, events), (_DUE, queue)):
            with cursor.copy(statement) as copy:
                copy.write("".join(lines).encode())


def _plain(value: object) -> str:
    return "\\N" if value is None else str(value)


def _text(value: str | None) -> str:
    if value is None:
        return "\\N"
    return value.translate(_ESCAPES) if _special.search(value) else value


def _json(value: object) -> str:
    return "\\N" if value is None else _text(msgspec.json.encode(value).decode())
