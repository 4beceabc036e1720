"""What is submitted, and how it is written: one statement for messages, first events and due rows.

The rows go as one JSON text. For one row that is a third of the trips that three COPYs take, and half the work on
both sides; for 1,000 rows it costs the server 3 ms more and the client 2 ms less.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from django.db import connection

from gateway import numbers, tallies
from gateway.errors import Problem

_WRITE = f"""
WITH asked AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS asked(
        id uuid, event_id uuid, tenant_id bigint, batch_id uuid, client_message_id text, channel text,
        recipient text, sender text, text text, content jsonb, encoding text, parts smallint, priority smallint,
        metadata jsonb, callback_url text, fallback jsonb, send_at timestamptz, expires_at timestamptz,
        validity_seconds int, status text, lane int, due_at timestamptz, exempt bool, country text)
), messages AS (
    INSERT INTO gateway_message (id, tenant_id, batch_id, client_message_id, channel, recipient, sender, text,
                                 content, encoding, parts, priority, metadata, callback_url, fallback, send_at,
                                 expires_at, validity_seconds, created_at, status, sequence, exempt,
                                 country)
    SELECT id, tenant_id, batch_id, client_message_id, channel, recipient, sender, text, content, encoding, parts,
           priority, metadata, callback_url, fallback, send_at, expires_at, validity_seconds, %(at)s, status, 1,
           exempt, country
    FROM asked
), events AS (
    INSERT INTO gateway_event (id, tenant_id, message_id, type, status, sequence, occurred_at)
    SELECT event_id, tenant_id, id, %(type)s, status, 1, %(at)s FROM asked
), tallied AS ({tallies.ACCEPTANCE})
INSERT INTO gateway_duemessage (message_id, tenant_id, lane, priority, due_at, expires_at, channel, recipient,
                                sender, parts, attempts, refused_by)
SELECT id, tenant_id, lane, priority, due_at, expires_at, channel, recipient, sender, parts, 0, '{{}}' FROM asked
"""


@dataclass(slots=True)
class Submission:
    """A message that a tenant asks for, checked and normalised.

    ``key`` is the client's id for the request, ``fingerprint`` stands for the request's content and goes with it.
    ``priority`` is 0 high, 1 normal, 2 bulk. ``exempt``: a reply that consent rules ask for; it goes to those who
    opted out, too. ``country`` is the recipient's, ISO 3166-1 alpha-2; left empty it is found by the number.
    ``refused``: why it cannot be sent any more, unless it repeats what was accepted.
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
    exempt: bool = False
    country: str = ""
    refused: Problem | None = None


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
    """Write messages, their first events and their due rows, in the caller's transaction.

    Raises:
        django.db.Error: as the database has it; nothing is written then.
    """
    asked = _encode([_asked(row) for row in rows]).decode()
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, {"rows": asked, "at": created_at, "type": event_type})


class _Asked(msgspec.Struct, omit_defaults=True):
    """A row as JSON, without the members that it does not have: reading them costs the server more than it seems."""

    id: str
    event_id: UUID
    tenant_id: int
    channel: str
    recipient: str
    parts: int
    priority: int
    exempt: bool
    country: str
    status: str
    lane: int
    due_at: datetime
    batch_id: UUID | None = None
    client_message_id: str | None = None
    sender: str | None = None
    text: str | None = None
    content: dict[str, Any] | None = None
    encoding: str | None = None
    metadata: dict[str, str] | None = None
    callback_url: str | None = None
    fallback: list[dict[str, Any]] | None = None
    send_at: datetime | None = None
    expires_at: datetime | None = None
    validity_seconds: int | None = None


_encode = msgspec.json.Encoder().encode


def _asked(row: Row) -> _Asked:
    s = row.submission
    return _Asked(
        row.id,
        row.event_id,
        s.tenant_id,
        s.channel,
        s.recipient,
        s.parts,
        s.priority,
        s.exempt,
        s.country or numbers.country(s.recipient),
        row.status,
        row.lane,
        row.due_at,
        s.batch_id,
        s.client_message_id,
        s.sender,
        s.text,
        s.content,
        s.encoding,
        s.metadata,
        s.callback_url,
        s.fallback,
        s.send_at,
        row.expires_at,
        s.validity_seconds,
    )
