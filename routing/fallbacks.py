"""A message's way on along its fallback chain: from a step that failed, or took too long, to the next.

It stays one message, with one timeline and one final status. Step 0 is what was asked for, step n the chain's n-th
entry, whose channel, sender and content become the message's; it then waits for an operator like any other. Once an
operator has accepted a step the message is ``sent`` and stays so while later steps are on their way.

Locks are taken in the order timer, message, due row. The sweep, which meets messages that others are about to touch,
waits for none of them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import structlog
from django.db import connection, transaction

from gateway import arrays, events, lifecycle, tallies
from gateway.events import Note
from gateway.lifecycle import Move
from gateway.statuses import Status
from routing import chains
from routing.chains import Chain, Step

log = structlog.get_logger(__name__)

NOT_IN_TIME = "NOT_DELIVERED_IN_TIME"
BATCH = 1000
# A message that a worker has in hand when its time is over is looked at again so much later.
LOOK_AGAIN = timedelta(seconds=1)


class Failure(NamedTuple):
    """A step's end for good: the move that ends the message if no step is left, and the step, where known."""

    move: Move
    step: int | None = None


class Reason(NamedTuple):
    """Why it goes on, and what of the operator's is worth a line."""

    code: str
    operator: str | None = None
    operator_code: str | None = None


def fail(*, failures: Sequence[Failure], now: datetime) -> set[UUID]:
    """End messages, or take them on to the next step that has a route; in the caller's transaction.

    What an earlier step than the present one came to is no news.

    Returns:
        The messages that ended or went on.
    """
    if not failures:
        return set()
    with transaction.atomic(savepoint=False):
        locked = chains.lock(message_ids={failure.move.message_id for failure in failures})
        wishes: dict[UUID, tuple[Chain, Reason]] = {}
        present = []
        for move, step in failures:
            chain = locked.get(move.message_id)
            if chain is None or step is None or step == chain.step:
                present.append(move)
                if chain is not None and chain.goes_on(now):
                    reason = Reason(move.error_code or move.target.upper(), move.operator, move.operator_code)
                    wishes.setdefault(move.message_id, (chain, reason))
        gone_on = _go_on(list(wishes.values()), now)
        return gone_on | lifecycle.move(moves=[move for move in present if move.message_id not in gone_on])


def begin(message_ids: Sequence[UUID], now: datetime) -> None:
    """Let messages just stored begin with the first step that has a route: what was asked for first has none."""
    ends = [Move(key, Status.REJECTED, now, error_code="NO_ROUTE") for key in message_ids]
    fail(failures=[Failure(end) for end in ends], now=now)


_DUE = """
SELECT message_id FROM gateway_fallbacktimer WHERE due_at <= %s ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED
"""
_THERE = "SELECT id FROM gateway_message WHERE id = ANY(%s::uuid[]) AND id BETWEEN %s AND %s"
_LATER = "UPDATE gateway_fallbacktimer SET due_at = %s WHERE message_id = ANY(%s::uuid[])"
_DONE = "DELETE FROM gateway_fallbacktimer WHERE message_id = ANY(%s::uuid[])"


def fall_back(*, now: datetime) -> int:
    """Take messages on whose step was not delivered in time; returns how many timers were looked at.

    What is in a worker's or another transaction's hand is looked at again a moment later; the timers of what has
    ended go.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_DUE, [now, BATCH])
        due = [key for (key,) in cursor.fetchall()]
        if not due:
            return 0
        cursor.execute(_THERE, [arrays.uuids(due), min(due), max(due)])
        there = {key for (key,) in cursor.fetchall()}
        locked = chains.lock(message_ids=due, skip_locked=True)
        open_ = {key: chain for key, chain in locked.items() if chain.goes_on(now)}
        free = _free(open_)
        gone_on = _go_on([(open_[key], Reason(NOT_IN_TIME)) for key in free], now)
        later = (there - locked.keys()) | (open_.keys() - free)
        cursor.execute(_LATER, [now + LOOK_AGAIN, arrays.uuids(later)])
        cursor.execute(_DONE, [arrays.uuids(key for key in due if key not in gone_on | later)])
        return len(due)


# One statement, one moment: between two a message could be leased, and seem to be nowhere.
_PLACES = """
SELECT message_id, true FROM gateway_duemessage WHERE message_id = ANY(%(ids)s::uuid[])
UNION ALL
SELECT message_id, false FROM routing_delivery WHERE message_id = ANY(%(ids)s::uuid[])
"""
_HOLD = "SELECT message_id FROM gateway_duemessage WHERE message_id = ANY(%s::uuid[]) FOR UPDATE SKIP LOCKED"


def _free(locked: dict[UUID, Chain]) -> set[UUID]:
    """The messages that no relay and no worker has: they wait, their due rows now locked, or are with an operator."""
    if not locked:
        return set()
    keys = arrays.uuids(locked)
    with connection.cursor() as cursor:
        cursor.execute(_PLACES, {"ids": keys})
        places = cursor.fetchall()
        cursor.execute(_HOLD, [keys])
        held = {key for (key,) in cursor.fetchall()}
    in_hand = {key for key, waits in places if not waits or key not in held}
    sent = {key for key, chain in locked.items() if chain.status == Status.SENT}
    return (held | sent) - in_hand


def _go_on(wishes: Sequence[tuple[Chain, Reason]], now: datetime) -> set[UUID]:
    """Take locked messages on to the next step that can be sent; returns those that have one."""
    if not wishes:
        return set()
    steps = chains.following(chains=[chain for chain, _reason in wishes])
    taken = [(chain, steps[chain.message_id], why) for chain, why in wishes if chain.message_id in steps]
    if len(taken) < len(wishes):
        log.warning("fallback.no_way_on", messages=len(wishes) - len(taken))
    if not taken:
        return set()
    keys = [chain.message_id for chain, _step, _why in taken]
    tallies.shift(message_ids=keys, change=lambda: _replace([(chain, step) for chain, step, _why in taken]))
    lifecycle.move(moves=[Move(key, Status.QUEUED, now) for key in keys])
    _wait([(chain, step) for chain, step, _why in taken])
    _time([(chain, step) for chain, step, _why in taken], now)
    events.note(notes=[_line(chain, step, why, now) for chain, step, why in taken])
    return set(keys)


_REPLACE = """
UPDATE gateway_message m
SET channel = u.channel, sender = u.sender, text = u.text, content = u.content, encoding = u.encoding,
    parts = u.parts, fallback_step = u.step
FROM unnest(%(ids)s::uuid[], %(channels)s::text[], %(senders)s::text[], %(texts)s::text[], %(contents)s::jsonb[],
            %(encodings)s::text[], %(parts)s::smallint[], %(steps)s::smallint[])
    AS u(id, channel, sender, text, content, encoding, parts, step)
WHERE m.id = u.id AND m.id = ANY(%(ids)s::uuid[]) AND m.id BETWEEN %(first)s AND %(last)s
"""


def _replace(taken: Sequence[tuple[Chain, Step]]) -> None:
    """Give the messages their next steps' channel, sender and content."""
    keys = [chain.message_id for chain, _step in taken]
    contents = [step.content for _chain, step in taken]
    with connection.cursor() as cursor:
        cursor.execute(
            _REPLACE,
            {
                "ids": arrays.uuids(keys),
                "first": min(keys),
                "last": max(keys),
                "channels": arrays.texts([step.request.channel for _chain, step in taken]),
                "senders": arrays.texts([step.request.sender for _chain, step in taken]),
                "texts": arrays.texts([content.text for content in contents]),
                "contents": arrays.texts(
                    [None if content.content is None else json.dumps(content.content) for content in contents]
                ),
                "encodings": arrays.texts([content.encoding for content in contents]),
                "parts": arrays.numbers(content.parts for content in contents),
                "steps": arrays.numbers(step.number for _chain, step in taken),
            },
        )


_WAIT = """
INSERT INTO gateway_duemessage (message_id, tenant_id, lane, priority, due_at, expires_at, channel, recipient,
                                sender, parts, attempts, refused_by)
SELECT m.id, m.tenant_id, u.lane, m.priority, greatest(now(), m.send_at), m.expires_at, m.channel, m.recipient,
       m.sender, m.parts, 0, '{}'
FROM unnest(%(ids)s::uuid[], %(lanes)s::int[]) AS u(id, lane) JOIN gateway_message m ON m.id = u.id
WHERE m.id = ANY(%(ids)s::uuid[]) AND m.id BETWEEN %(first)s AND %(last)s
ON CONFLICT (message_id) DO UPDATE
SET lane = excluded.lane, due_at = excluded.due_at, channel = excluded.channel, sender = excluded.sender,
    parts = excluded.parts, attempts = 0, refused_by = '{}'
"""
# Leased for the step before and still with the broker: its task will find nothing.
_UNTAKEN = """
DELETE FROM routing_delivery WHERE id IN (
    SELECT id FROM routing_delivery WHERE message_id = ANY(%s::uuid[]) AND worker IS NULL FOR UPDATE SKIP LOCKED
)
"""


def _wait(taken: Sequence[tuple[Chain, Step]]) -> None:
    keys = [chain.message_id for chain, _step in taken]
    with connection.cursor() as cursor:
        cursor.execute(_UNTAKEN, [arrays.uuids(keys)])
        cursor.execute(
            _WAIT,
            {
                "ids": arrays.uuids(keys),
                "first": min(keys),
                "last": max(keys),
                "lanes": arrays.numbers(step.lane for _chain, step in taken),
            },
        )


_TIME = """
INSERT INTO gateway_fallbacktimer (message_id, tenant_id, due_at)
SELECT * FROM unnest(%s::uuid[], %s::bigint[], %s::timestamptz[])
ON CONFLICT (message_id) DO UPDATE SET due_at = excluded.due_at
"""


def _time(taken: Sequence[tuple[Chain, Step]], now: datetime) -> None:
    """Start the clocks of the new steps; those of the old ones stop."""
    clocks = []
    for chain, step in taken:
        after = chain.steps[step.number].get("afterSeconds") if step.number < len(chain.steps) else None
        if after is not None:
            start = now if chain.send_at is None else max(now, chain.send_at)
            clocks.append((chain.message_id, chain.tenant_id, start + timedelta(seconds=after)))
    timed = {key for key, _tenant, _at in clocks}
    with connection.cursor() as cursor:
        cursor.execute(
            _DONE,
            [arrays.uuids(chain.message_id for chain, _step in taken if chain.message_id not in timed)],
        )
        if clocks:
            keys, tenants, moments = zip(*clocks, strict=True)
            cursor.execute(_TIME, [arrays.uuids(keys), arrays.numbers(tenants), arrays.moments(moments)])


def _line(chain: Chain, step: Step, why: Reason, now: datetime) -> Note:
    """The timeline's line; it alone keeps what the message was before."""
    data = {
        "step": step.number,
        "reason": why.code,
        "from": {
            "channel": chain.channel,
            "sender": chain.sender,
            "text": chain.text,
            "content": chain.content,
            "encoding": chain.encoding,
            "parts": chain.parts,
        },
        "to": {"channel": step.request.channel, "sender": step.request.sender},
    }
    return Note(chain.message_id, "message.fallback", now, why.operator, why.operator_code, why.code, data)


# A due row: the delivery in hand was leased for an earlier step.
_UNDER_WAY = """
SELECT id, fallback_step FROM gateway_message m
WHERE id = ANY(%s::uuid[]) AND id BETWEEN %s AND %s AND status = 'sent' AND fallback_step > 0
  AND NOT EXISTS (SELECT FROM gateway_duemessage d WHERE d.message_id = m.id)
ORDER BY id
FOR UPDATE OF m
"""


def under_way(*, steps: Mapping[UUID, int]) -> set[UUID]:
    """Those of the messages that are ``sent`` and still at this later step: it may be handed over. Locked."""
    if not steps:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(_UNDER_WAY, [arrays.uuids(steps), min(steps), max(steps)])
        return {key for key, step in cursor.fetchall() if steps[key] == step}


# A row that someone holds is about to be leased: its worker finds the message delivered.
_STOP = """
DELETE FROM gateway_duemessage WHERE message_id IN (
    SELECT message_id FROM gateway_duemessage WHERE message_id = ANY(%s::uuid[]) FOR UPDATE SKIP LOCKED
)
"""


def stop(*, message_ids: Iterable[UUID]) -> None:
    """Drop the steps that wait of messages that an earlier one has delivered.

    A step that a worker has in hand may still go out.
    """
    keys = list(message_ids)
    if keys:
        with connection.cursor() as cursor:
            cursor.execute(_STOP, [arrays.uuids(keys)])


_CARRIED = """
UPDATE gateway_message SET operator = %s
WHERE id = ANY(%s::uuid[]) AND id BETWEEN %s AND %s AND status = 'sent'
"""


def carried(*, accepted: Sequence[Move]) -> None:
    """An operator has a later step of messages that were ``sent`` before: they are its from here on."""
    if not accepted:
        return
    keys = [move.message_id for move in accepted]
    slug = accepted[0].operator

    def change() -> None:
        with connection.cursor() as cursor:
            cursor.execute(_CARRIED, [slug, arrays.uuids(keys), min(keys), max(keys)])

    tallies.shift(message_ids=keys, change=change)
    events.note(
        notes=[
            Note(
                move.message_id,
                "fallback.sent",
                move.occurred_at,
                move.operator,
                move.operator_code,
                move.error_code,
                move.data,
            )
            for move in accepted
        ]
    )
