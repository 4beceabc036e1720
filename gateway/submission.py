"""Accepting messages: the platform's promise, made by one commit.

However many submissions arrive, of however many tenants, they are one transaction: idempotency keys, messages,
first events, due rows, and what the hooks add. Either all of it is there or none, and nobody is answered before.
"""

import logging
from collections import Counter
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, transaction

from gateway import backlog, errors, idempotency, ids, magic, opt_outs, routed, screening, storing
from gateway.combining import Combiner
from gateway.hooks import Fact, hooks
from gateway.idempotency import Claim, Kept, Key
from gateway.models import FallbackTimer
from gateway.routed import BY_FALLBACK, NO_ROUTE, NOWHERE
from gateway.screening import Wish
from gateway.statuses import Status
from gateway.storing import Submission

T = TypeVar("T")

log = logging.getLogger(__name__)

EVENT_TYPE = "message.accepted"
# The most that one commit takes.
GROUP = 1_000


@dataclass(slots=True)
class Accepted:
    """The message is committed, now or, ``replayed``, by the request that this one repeats."""

    id: str
    submission: Submission
    status: Status
    created_at: datetime
    replayed: bool = False


@dataclass(slots=True)
class Refused:
    """Nothing was stored for this submission; the others are not touched by that."""

    problem: errors.Problem


Outcome = Accepted | Refused


@dataclass(frozen=True, slots=True)
class Batch:
    """A bulk call under a client's id of its own. ``render`` makes the answer that is kept for its repeats."""

    tenant_id: int
    id: UUID
    key: str
    fingerprint: bytes
    render: Callable[[Sequence[Outcome]], dict[str, Any]]


def submit(*, submission: Submission) -> Accepted:
    """Accept one message, in one commit with what other threads submit at this moment.

    Raises:
        errors.Problem: why it was refused.
    """
    outcome = _combiner.submit(submission)
    if isinstance(outcome, Refused):
        raise outcome.problem
    return outcome


def accept(*, submissions: Sequence[Submission], now: datetime) -> list[Outcome]:
    """Accept what can be accepted, in one transaction; an outcome for each, in order.

    Raises:
        errors.Unavailable: the database is away; nothing was stored.
    """
    message_ids = ids.new(len(submissions))
    return _durably(work=lambda: _accept(submissions, message_ids, now), message_ids=message_ids)


def accept_batch(
    *, batch: Batch, submissions: Sequence[Submission], now: datetime
) -> tuple[dict[str, Any], bool]:
    """As :func:`accept`, for a bulk call that has a key of its own; returns ``(answer, replayed)``.

    Raises:
        errors.IdempotencyConflict: the key was used for another request.
        errors.Problem: what ``batch.render`` raises; nothing is stored then, the key included.
        errors.Unavailable: the database is away; nothing was stored.
    """
    message_ids = ids.new(len(submissions))
    return _durably(work=lambda: _accept_batch(batch, submissions, message_ids, now), message_ids=message_ids)


_combiner: Combiner[Submission, Outcome] = Combiner(
    lambda group: accept(submissions=group, now=datetime.now(tz=UTC)), limit=GROUP
)


def _durably(*, work: Callable[[], T], message_ids: Sequence[UUID]) -> T:
    """Do the work in a transaction; when the connection fails, once more on a new one.

    A connection can break after the server has committed and before it said so. The messages are there then,
    and what the first run came to stands.
    """
    reached: list[T] = []

    def once() -> T:
        with transaction.atomic():
            reached[:] = [work()]
        return reached[0]

    # The first statement finds out whether the connection works; asking before would cost each request a trip.
    connection.health_check_done = True  # type: ignore[attr-defined]
    try:
        return once()
    except (OperationalError, InterfaceError) as error:
        if connection.in_atomic_block:
            raise
        log.warning("submission.retried", extra={"reason": type(error).__name__})
        connection.close()
    try:
        return reached[0] if reached and _any_stored(message_ids) else once()
    except (OperationalError, InterfaceError) as error:
        raise errors.Unavailable(retry_after=2) from error


def _any_stored(message_ids: Sequence[UUID]) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM gateway_message WHERE id = ANY(%s))", [list(message_ids)])
        return bool(cursor.fetchone()[0])


def _accept_batch(
    batch: Batch, submissions: Sequence[Submission], message_ids: Sequence[UUID], now: datetime
) -> tuple[dict[str, Any], bool]:
    key = (batch.tenant_id, batch.key)
    kept = idempotency.claim(claims=[Claim(key, batch.fingerprint, batch.id)], now=now).get(key)
    if kept is not None:
        if kept.fingerprint != batch.fingerprint or kept.answer is None:
            raise errors.IdempotencyConflict
        return kept.answer, True
    answer = batch.render(_accept(submissions, message_ids, now))
    idempotency.keep(key=key, answer=answer)
    return answer, False


def _accept(submissions: Sequence[Submission], message_ids: Sequence[UUID], now: datetime) -> list[Outcome]:
    lanes, refused = _screen(submissions)
    first, kept = _claim(submissions, message_ids, refused, now)
    fresh = [
        place
        for place, submission in enumerate(submissions)
        if place not in refused
        and (
            submission.key is None
            or ((key := (submission.tenant_id, submission.key)) not in kept and first[key] == place)
        )
    ]
    accepted = _write(submissions, message_ids, lanes, fresh, now)
    if len(accepted) == len(submissions):
        return list(accepted.values())
    return _outcomes(submissions, accepted, refused, first, kept)


def _screen(submissions: Sequence[Submission]) -> tuple[list[int], dict[int, errors.Problem]]:
    """The lane of each, and who is refused for want of a route or of room, by place."""
    refused: dict[int, errors.Problem] = {}
    lanes = routed.lanes(submissions=submissions)
    rooms: dict[int, int] = {}
    for place, (submission, lane) in enumerate(zip(submissions, lanes, strict=True)):
        tenant_id = submission.tenant_id
        if tenant_id not in rooms:
            rooms[tenant_id] = backlog.room(tenant_id=tenant_id, limit=submission.backlog_limit)
        staged = submission.refused
        if staged is None and not submission.exempt:
            staged = magic.refusal(tenant_id=tenant_id, recipient=submission.recipient)
        if staged is not None:
            refused[place] = staged
        elif lane == NO_ROUTE:
            refused[place] = errors.NoRoute()
        elif rooms[tenant_id] <= 0:
            refused[place] = errors.QueueFull(retry_after=backlog.RETRY_AFTER)
        else:
            rooms[tenant_id] -= 1
    return lanes, refused


def _first_places(submissions: Sequence[Submission], refused: Container[int]) -> dict[Key, int]:
    """Each key's first submission that is not refused; its first, if all are."""
    first: dict[Key, int] = {}
    for place, submission in enumerate(submissions):
        if submission.key is not None:
            key = (submission.tenant_id, submission.key)
            if first.get(key, place) == place or first[key] in refused:
                first[key] = place
    return first


def _claim(
    submissions: Sequence[Submission],
    message_ids: Sequence[UUID],
    refused: dict[int, errors.Problem],
    now: datetime,
) -> tuple[dict[Key, int], dict[Key, Kept]]:
    """Take the keys of what goes on, and refuse who opted out; each key's place, and what holds the others.

    A refused submission's key is only looked up: it may be a repeat.
    """
    first = _first_places(submissions, refused)
    claims = _claims(submissions, message_ids, first, refused)
    wishes = [Wish(s.tenant_id, s.recipient, claims.get(place)) for place, s in enumerate(submissions)]
    won, unwilling = screening.screen(wishes=wishes, now=now)
    if not unwilling:
        lost = [key for key in first if key not in won]
        return first, idempotency.find(keys=lost, now=now) if lost else {}
    _refuse(submissions, unwilling, refused)
    first = _first_places(submissions, refused)
    left = [
        claim for claim in _claims(submissions, message_ids, first, refused).values() if claim.key not in won
    ]
    kept = idempotency.claim(claims=left, now=now) if left else {}
    return first, kept | idempotency.find(
        keys=[key for key, place in first.items() if place in refused], now=now
    )


def _claims(
    submissions: Sequence[Submission],
    message_ids: Sequence[UUID],
    first: dict[Key, int],
    refused: Container[int],
) -> dict[int, Claim]:
    """The wish for each key that goes on, by place."""
    return {
        place: Claim(key, submissions[place].fingerprint, message_ids[place])
        for key, place in first.items()
        if place not in refused
    }


def _refuse(
    submissions: Sequence[Submission],
    unwilling: Sequence[opt_outs.Unwilling],
    refused: dict[int, errors.Problem],
) -> None:
    wanted = [(s.tenant_id, s.recipient, s.sender) for s in submissions]
    for place, is_blocked in enumerate(opt_outs.match(wanted=wanted, rows=unwilling)):
        if is_blocked and not submissions[place].exempt:
            refused.setdefault(place, errors.RecipientOptedOut())


def _write(
    submissions: Sequence[Submission],
    message_ids: Sequence[UUID],
    lanes: Sequence[int],
    places: Sequence[int],
    now: datetime,
) -> dict[int, Accepted]:
    """Store the submissions at these places and let the hooks fan out; what was accepted, by place."""
    if not places:
        return {}
    event_ids = ids.new(len(places))
    accepted: dict[int, Accepted] = {}
    rows: list[storing.Row] = []
    for place, event_id in zip(places, event_ids, strict=True):
        s = submissions[place]
        message_id = str(message_ids[place])
        waits = s.send_at is not None and s.send_at > now
        due_at = s.send_at if waits and s.send_at is not None else now
        status = Status.SCHEDULED if waits else Status.ACCEPTED
        expires_at = None if s.validity_seconds is None else due_at + timedelta(seconds=s.validity_seconds)
        lane = NOWHERE if lanes[place] == BY_FALLBACK else lanes[place]
        rows.append(storing.Row(message_id, event_id, s, status.value, lane, due_at, expires_at))
        accepted[place] = Accepted(message_id, s, status, now)
    storing.write(rows=rows, created_at=now, event_type=EVENT_TYPE)
    _set_timers(rows)
    if hooks.fan_out:
        facts = [_fact(row, message_ids[place]) for row, place in zip(rows, places, strict=True)]
        for fan_out in hooks.fan_out:
            fan_out(facts)
    strayed = [message_ids[place] for place in places if lanes[place] == BY_FALLBACK]
    if strayed and hooks.begin_with_fallback is not None:
        hooks.begin_with_fallback(strayed, now)
    for tenant_id, count in Counter(row.submission.tenant_id for row in rows).items():
        backlog.added(tenant_id=tenant_id, count=count)
    return accepted


def _fact(row: storing.Row, message_id: UUID) -> Fact:
    asked = row.submission
    return Fact(row.event_id, asked.tenant_id, message_id, EVENT_TYPE, asked.callback_url)


def _set_timers(rows: Sequence[storing.Row]) -> None:
    """Note when messages go on to their fallback, if they are not delivered by then."""
    timers = [
        FallbackTimer(
            message_id=row.id,
            tenant_id=row.submission.tenant_id,
            due_at=row.due_at + timedelta(seconds=row.submission.fallback[0]["afterSeconds"]),
        )
        for row in rows
        if row.submission.fallback and row.submission.fallback[0].get("afterSeconds") is not None
    ]
    if timers:
        FallbackTimer.objects.bulk_create(timers)


def _outcomes(
    submissions: Sequence[Submission],
    accepted: dict[int, Accepted],
    refused: dict[int, errors.Problem],
    first: dict[Key, int],
    kept: dict[Key, Kept],
) -> list[Outcome]:
    """Put what was accepted, refused, replayed and in conflict back in order."""
    originals = _originals([entry.resource_id for entry in kept.values() if entry.answer is None])
    outcomes: list[Outcome] = []
    for place, submission in enumerate(submissions):
        key = (submission.tenant_id, submission.key or "")
        if place in accepted:
            outcomes.append(accepted[place])
        elif key in kept:
            same = kept[key].fingerprint == submission.fingerprint
            outcomes.append(_repeat(originals.get(kept[key].resource_id) if same else None))
        elif place in refused:
            outcomes.append(Refused(refused[place]))
        else:
            same = submissions[first[key]].fingerprint == submission.fingerprint
            outcomes.append(_repeat(accepted[first[key]] if same else None))
    return outcomes


def _repeat(original: Accepted | None) -> Outcome:
    if original is None:
        return Refused(errors.IdempotencyConflict())
    return replace(original, replayed=True)


# A fallback has replaced the members that the first event of that kind keeps.
_ORIGINALS = """
SELECT m.id, m.tenant_id, m.recipient, coalesce(f.first->>'channel', m.channel),
       CASE WHEN f.first IS NULL THEN m.sender ELSE f.first->>'sender' END,
       CASE WHEN f.first IS NULL THEN m.encoding ELSE f.first->>'encoding' END,
       coalesce((f.first->>'parts')::smallint, m.parts), m.send_at, m.client_message_id, m.batch_id, m.created_at
FROM gateway_message m LEFT JOIN LATERAL (
    SELECT e.data->'from' AS first FROM gateway_event e
    WHERE m.fallback_step > 0 AND e.message_id = m.id AND e.id > m.id AND e.type = 'message.fallback'
    ORDER BY e.sequence LIMIT 1
) f ON true
WHERE m.id = ANY(%s)
"""


def _originals(message_ids: Sequence[UUID]) -> dict[UUID, Accepted]:
    """Messages as they were answered when they were accepted."""
    if not message_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_ORIGINALS, [list(message_ids)])
        rows = cursor.fetchall()
    originals = {}
    for id_, tenant_id, recipient, channel, sender, encoding, parts, send_at, client_id, batch_id, at in rows:
        submission = Submission(
            tenant_id=tenant_id,
            recipient=recipient,
            channel=channel,
            sender=sender,
            encoding=encoding,
            parts=parts,
            send_at=send_at,
            client_message_id=client_id,
            batch_id=batch_id,
        )
        status = Status.SCHEDULED if send_at is not None and send_at > at else Status.ACCEPTED
        originals[id_] = Accepted(str(id_), submission, status, at)
    return originals
