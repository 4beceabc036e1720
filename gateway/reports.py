"""The log of a tenant's messages as CSV, as long as it may be: the server writes it, nothing is kept here.

RFC 4180, UTF-8, a header row, oldest first, moments in UTC with milliseconds. A cell of the tenant's own that a
spreadsheet would take for a formula begins with an apostrophe.
"""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from django.db import connection

from gateway import errors, ids, statuses

log = structlog.get_logger(__name__)

# Each holds a thread and a connection for as long as its reader takes.
MOST_AT_ONCE = 4
RETRY_AFTER = 10
_CHUNK = 64 * 1024

_free = threading.BoundedSemaphore(MOST_AT_ONCE)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages: those accepted from ``since`` on and before ``until``, with these values.

    ``columns`` are equalities by column of the message, ``metadata`` pairs that it has to have.
    """

    tenant_id: int
    since: datetime | None = None
    until: datetime | None = None
    columns: dict[str, str | UUID] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)


def _guarded(column: str) -> str:
    formula = f"{column} ~ '^[=+@\\-\\t\\r]' AND {column} !~ '^\\+[0-9]+$'"
    return f"CASE WHEN {formula} THEN '''' || {column} ELSE {column} END"


def _moment(column: str) -> str:
    return f"""to_char({column}, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""


def _chosen(column: str, values: dict[Any, Any], otherwise: str = "NULL") -> str:
    cases = " ".join(f"WHEN '{name}' THEN '{value}'" for name, value in values.items())
    return f"CASE {column} {cases} ELSE {otherwise} END"


# The members of a message as the API has them, and what they are made of.
COLUMNS = {
    "id": "id",
    "clientMessageId": _guarded("client_message_id"),
    "batchId": "batch_id",
    "status": "status",
    "statusCode": _chosen("error_code", statuses.ERROR_CODES, _chosen("status", statuses.CODES)),
    "errorCode": _guarded("error_code"),
    "operator": _guarded("operator"),
    "channel": "channel",
    "to": "recipient",
    "country": "country",
    "from": _guarded("sender"),
    "text": _guarded("text"),
    "encoding": "encoding",
    "parts": "parts",
    "priority": _chosen("priority::text", {0: "high", 1: "normal", 2: "bulk"}),
    "metadata": "metadata",
    "callbackUrl": "callback_url",
    "validitySeconds": "validity_seconds",
    "createdAt": _moment("created_at"),
    "sendAt": _moment("send_at"),
    "expiresAt": _moment("expires_at"),
    "sentAt": _moment("sent_at"),
    "deliveredAt": _moment("delivered_at"),
    "readAt": _moment("read_at"),
    "endedAt": _moment("ended_at"),
}
_SELECTED = ", ".join(f'{expression} AS "{name}"' for name, expression in COLUMNS.items()).replace("%", "%%")
# The filters that have an index of their own: few rows, sorted in no time.
_SELECTIVE = frozenset({"batch_id", "client_message_id", "recipient"})


def stream(*, wanted: Wanted) -> Iterator[bytes]:
    """The CSV in pieces of about 64 KiB; the first has the header row and tells that the database works.

    Closing the iterator ends the query and its connection.

    Raises:
        errors.Unavailable: so many reports are being read at this moment.
        django.db.Error: as the database has it.
    """
    if not _free.acquire(blocking=False):
        raise errors.Unavailable(
            "Too many reports are being read at this moment; try again later.", retry_after=RETRY_AFTER
        )
    # One of its own: the thread's must be free for other requests while the client reads.
    own = connection.copy()
    own.inc_thread_sharing()
    try:
        with own.wrap_database_errors:
            own.ensure_connection()
            yield from _copied(own.connection, wanted)
    finally:
        own.close()
        _free.release()


def _copied(raw: Any, wanted: Wanted) -> Iterator[bytes]:
    statement, parameters = _statement(wanted)
    with raw.transaction(), raw.cursor() as cursor:
        if not (wanted.metadata or _SELECTIVE & wanted.columns.keys()):
            # Along the index: sorting a year's messages would have the client wait, and the disk.
            cursor.execute("SET LOCAL enable_sort = off")
        with cursor.copy(statement, parameters) as copy:
            pieces: list[bytes] = []
            size = 0
            for piece in copy:
                pieces.append(bytes(piece))
                size += len(piece)
                if size >= _CHUNK:
                    yield b"".join(pieces)
                    pieces.clear()
                    size = 0
            yield b"".join(pieces)


def _statement(wanted: Wanted) -> tuple[str, dict[str, Any]]:
    conditions = ["tenant_id = %(tenant)s", *(f"{column} = %({column})s" for column in wanted.columns)]
    parameters: dict[str, Any] = {"tenant": wanted.tenant_id, **wanted.columns}
    if wanted.since is not None:
        conditions.append("id >= %(first)s")
        parameters["first"] = ids.floor(wanted.since)
    if wanted.until is not None:
        conditions.append("id < %(last)s")
        parameters["last"] = ids.floor(wanted.until)
    if wanted.metadata:
        conditions.append("metadata @> %(metadata)s::jsonb")
        parameters["metadata"] = json.dumps(wanted.metadata)
    rows = f"SELECT {_SELECTED} FROM gateway_message WHERE {' AND '.join(conditions)} ORDER BY id"
    return f"COPY ({rows}) TO STDOUT WITH (FORMAT csv, HEADER)", parameters
