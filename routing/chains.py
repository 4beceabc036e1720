"""The chain of what a message may go on to: where it stands in it, and which step is next."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from django.db import connection

from gateway import arrays, content, errors, ids, statuses
from gateway.hooks import RouteRequest
from gateway.statuses import Status
from routing import selection

log = structlog.get_logger(__name__)

_UNENDED = {status.value for status in statuses.WAITING | {Status.SENDING, Status.SENT}}


@dataclass(frozen=True, slots=True)
class Chain:
    """A message with a chain as its locked row has it; ``step`` is the one it is at."""

    message_id: UUID
    tenant_id: int
    status: str
    channel: str
    recipient: str
    sender: str | None
    text: str | None
    encoding: str | None
    parts: int
    expires_at: datetime | None
    step: int
    tag: str | None
    priority: int
    send_at: datetime | None
    content: dict[str, Any] | None
    steps: list[dict[str, Any]]

    def goes_on(self, now: datetime) -> bool:
        """Whether a step is left, and the time for it."""
        return (
            self.step < len(self.steps)
            and self.status in _UNENDED
            and (self.expires_at is None or self.expires_at > now)
        )


class Step(NamedTuple):
    """What a message goes on to."""

    number: int
    request: RouteRequest
    content: content.Resolved
    lane: int


_CHAINS = """
SELECT id, tenant_id, status, channel, recipient, sender, text, encoding, parts, expires_at, fallback_step,
       metadata->>'tag', priority, send_at, content, fallback
FROM gateway_message
WHERE id = ANY(%s::uuid[]) AND id BETWEEN %s AND %s AND fallback IS NOT NULL
ORDER BY id
FOR UPDATE
"""


def lock(*, message_ids: Collection[UUID], skip_locked: bool = False) -> dict[UUID, Chain]:
    """Those of the messages that have a chain, locked; without those that others hold, if these are skipped."""
    if not message_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            _CHAINS + ("SKIP LOCKED" if skip_locked else ""),
            [arrays.uuids(message_ids), min(message_ids), max(message_ids)],
        )
        return {row[0]: _chain(row) for row in cursor.fetchall()}


def _chain(row: Sequence[Any]) -> Chain:
    *columns, content, steps = row
    return Chain(*(*columns, content and json.loads(content), json.loads(steps)))


def following(*, chains: Sequence[Chain]) -> dict[UUID, Step]:
    """The first of each one's remaining steps that has its content and a route."""
    senders = _first_senders(chains)
    found: dict[UUID, Step] = {}
    for ahead in range(1, max(len(chain.steps) - chain.step for chain in chains) + 1):
        tried: list[tuple[UUID, Step]] = []
        for chain in chains:
            if chain.message_id not in found and chain.step + ahead <= len(chain.steps):
                tried += _resolved(chain, chain.step + ahead, senders)
        lanes = selection.lanes([step.request for _key, step in tried]) if tried else []
        for (key, step), lane in zip(tried, lanes, strict=True):
            if lane != selection.NO_ROUTE:
                found[key] = step._replace(lane=lane)
    return found


def _resolved(chain: Chain, number: int, senders: dict[UUID, str | None]) -> list[tuple[UUID, Step]]:
    """A step with its content; nothing when its template cannot be filled in any more."""
    entry = chain.steps[number - 1]
    channel = entry["channel"]
    try:
        resolved = content.resolve(tenant_id=chain.tenant_id, channel=channel, content=entry["content"])
    except errors.Problem as problem:
        log.info("fallback.step_refused", message=str(chain.message_id), step=number, reason=problem.code)
        return []
    sender = entry.get("from") or senders[chain.message_id]
    request = RouteRequest(
        chain.tenant_id, channel, chain.recipient, sender, resolved.parts, chain.tag, chain.priority
    )
    return [(chain.message_id, Step(number, request, resolved, selection.NO_ROUTE))]


_FIRST_SENDERS = """
SELECT DISTINCT ON (message_id) message_id, data->'from'->>'sender' FROM gateway_event
WHERE message_id = ANY(%s::uuid[]) AND id >= %s AND type = 'message.fallback'
ORDER BY message_id, sequence
"""


def _first_senders(chains: Sequence[Chain]) -> dict[UUID, str | None]:
    """Whom each message was from as it was asked for: what a step without a sender of its own goes by."""
    senders = {chain.message_id: chain.sender for chain in chains}
    replaced = [
        chain.message_id for chain in chains if any(step.get("from") for step in chain.steps[: chain.step])
    ]
    if replaced:
        with connection.cursor() as cursor:
            since = ids.floor(ids.moment(min(replaced)))
            cursor.execute(_FIRST_SENDERS, [arrays.uuids(replaced), since])
            senders.update(cursor.fetchall())
    return senders
