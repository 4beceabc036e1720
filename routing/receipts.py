"""What operators say of the parts they accepted: matched, recorded, or parked until their part is known.

Receipts come before the answer to their submit is stored, twice, out of order, on another bind, per part, or for
nothing we know. Each is stored (as an event, or parked) before the operator gets its answer.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from gateway import arrays, events, lifecycle
from gateway.events import Note
from gateway.lifecycle import Move
from gateway.statuses import Status
from routing import fallbacks, matching, parking
from routing.contract import Outcome, Receipt, ReceiptState, Verdict
from routing.fallbacks import Failure
from routing.matching import Matched, Waiting
from routing.parking import Settles

# What a receipt of a final state makes of its message. What is not here is stored and moves nothing.
STATUSES: dict[ReceiptState, Status] = {
    ReceiptState.DELIVERED: Status.DELIVERED,
    ReceiptState.READ: Status.READ,
    ReceiptState.EXPIRED: Status.EXPIRED,
    ReceiptState.UNDELIVERABLE: Status.FAILED,
    ReceiptState.DELETED: Status.FAILED,
    ReceiptState.REJECTED: Status.REJECTED,
}
ERROR_CODES: dict[ReceiptState, str] = {
    ReceiptState.EXPIRED: "EXPIRED_AT_OPERATOR",
    ReceiptState.UNDELIVERABLE: "UNDELIVERABLE",
    ReceiptState.DELETED: "DELETED_BY_OPERATOR",
    ReceiptState.REJECTED: "REJECTED_BY_OPERATOR",
}
# Some operators report only the first or the last part: after this long without word of the others, what was
# reported stands for all.
SETTLE_SECONDS = 15.0
# A parked receipt is tried again ever more slowly, and for no longer than an operator may hold a message.
FIRST_MATCH_SECONDS = 0.3
SLOWEST_MATCH_SECONDS = 600.0


# Without an answer only an operator that is told the id by us has one.
_MAY_HAVE_IT = {Verdict.ACCEPTED, Verdict.UNKNOWN}
_EXPECT = """
INSERT INTO routing_part (operator_id, remote_id, message_id, tenant_id, number, parts, submitted_at, step)
SELECT %(operator)s, u.remote_id, u.message_id, m.tenant_id, u.number, u.parts, u.submitted_at,
       CASE WHEN m.fallback IS NOT NULL
            THEN coalesce(u.step, CASE m.fallback_step WHEN 0 THEN 0 ELSE -1 END) END
FROM unnest(%(remote_ids)s::text[], %(messages)s::uuid[], %(numbers)s::smallint[], %(parts)s::smallint[],
            %(at)s::timestamptz[], %(steps)s::smallint[])
    AS u(remote_id, message_id, number, parts, submitted_at, step)
JOIN gateway_message m ON m.id = u.message_id
WHERE m.id = ANY(%(messages)s::uuid[]) AND m.id BETWEEN %(first)s AND %(last)s
"""
_UNLESS_KNOWN = """
  AND NOT EXISTS (SELECT FROM routing_part p
                  WHERE p.operator_id = %(operator)s AND p.remote_id = u.remote_id
                    AND p.message_id = u.message_id)
"""
# One that the sweep is looking at is left to its next look: the sweep may be waiting for a message that we have.
_ALREADY = """
UPDATE routing_parkedreceipt SET next_match_at = now() WHERE id IN (
    SELECT id FROM routing_parkedreceipt
    WHERE operator_id = %s AND remote_id = ANY(%s::text[])
    FOR UPDATE SKIP LOCKED
)
"""


def expect(
    *,
    operator_id: int,
    outcomes: Iterable[Outcome],
    steps: Mapping[UUID, int | None] | None = None,
    known: bool = False,
) -> None:
    """Remember the ids under which an operator will report messages that it accepted, or may have; in the answer's
    transaction.

    ``steps``: of messages with a fallback chain the step that was accepted, by delivery id; where it is not given it
    counts as an earlier one as soon as there has been one. ``known``: it may have been told before.
    """
    rows = [
        (
            remote_id,
            outcome.message_id,
            number,
            len(outcome.remote_ids),
            outcome.occurred_at,
            outcome.delivery_id,
        )
        for outcome in outcomes
        if outcome.verdict in _MAY_HAVE_IT
        for number, remote_id in enumerate(outcome.remote_ids, start=1)
        if remote_id
    ]
    if not rows:
        return
    remote_ids, messages, numbers, parts, at, deliveries = zip(*rows, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(
            _EXPECT + _UNLESS_KNOWN if known else _EXPECT,
            {
                "operator": operator_id,
                "remote_ids": arrays.texts(remote_ids),
                "messages": arrays.uuids(messages),
                "first": min(messages),
                "last": max(messages),
                "numbers": arrays.numbers(numbers),
                "parts": arrays.numbers(parts),
                "at": arrays.moments(at),
                "steps": _steps([(steps or {}).get(key) for key in deliveries]),
            },
        )
        # A receipt that overtook us is matched by the next sweep, milliseconds from now.
        cursor.execute(_ALREADY, [operator_id, arrays.texts(remote_ids)])


def _steps(values: Sequence[int | None]) -> str:
    if not any(values):
        # The first step of a chain is what a missing one is taken for.
        return arrays.NULLS
    return arrays.plain(["NULL" if value is None else str(value) for value in values])


def record(*, arrived: Sequence[Receipt], slugs: dict[int, str], now: datetime) -> int:
    """Store receipts: moves, notes and parked ones, in one transaction.

    Returns:
        How many found their part.
    """
    with transaction.atomic():
        matched, unmatched = matching.match(arrived, now=now)
        _apply(matched, slugs, now)
        parking.park(
            receipts=unmatched,
            keys=[matching.key_of(receipt) for receipt in unmatched],
            next_match_at=now + timedelta(seconds=FIRST_MATCH_SECONDS),
            now=now,
        )
    return len(matched)


_REPORTED = """
UPDATE routing_part p SET state = u.state
FROM unnest(%s::bigint[], %s::text[]) AS u(id, state)
WHERE p.id = u.id AND p.id = ANY(%s::bigint[])
"""


def _apply(matched: Sequence[Matched], slugs: dict[int, str], now: datetime) -> None:
    """Turn matched receipts into moves where they are news, into notes where they are not."""
    news: dict[int, Matched] = {}
    later: list[Matched] = []
    notes: list[Note] = []
    for match in matched:
        if match.receipt.state not in STATUSES:
            notes.append(_note(match, "receipt.interim", slugs))
        elif match.part_id in news:
            later.append(replace(match, state=news[match.part_id].receipt.state.value))
        elif not _is_news(match):
            notes.append(_note(match, "receipt.repeated", slugs))
        else:
            news[match.part_id] = match
    if news:
        with connection.cursor() as cursor:
            keys = arrays.numbers(news)
            states = arrays.texts([match.receipt.state.value for match in news.values()])
            cursor.execute(_REPORTED, [keys, states, keys])
    wishes = [match for match in news.values() if match.parts == 1]
    wishes += _whole([match for match in news.values() if match.parts > 1], now)
    notes += [_note(match, "receipt.late", slugs) for match in _tell(wishes, slugs, now)]
    events.note(notes=notes)
    if later:
        _apply(later, slugs, now)


def _tell(wishes: Sequence[Matched], slugs: dict[int, str], now: datetime) -> list[Matched]:
    """Move messages by their receipts; returns those that came too late to."""
    good = [match for match in wishes if match.receipt.state in _GOOD]
    bad = [match for match in wishes if match.receipt.state not in _GOOD]
    moved = lifecycle.move(moves=[_move(match, slugs) for match in good])
    fallbacks.stop(message_ids={m.message_id for m in good if m.step is not None and m.message_id in moved})
    ended = fallbacks.fail(failures=[Failure(_move(match, slugs), match.step) for match in bad], now=now)
    return [match for match in good if match.parts == 1 and match.message_id not in moved] + [
        match for match in bad if match.message_id not in ended
    ]


def _is_news(match: Matched) -> bool:
    """A part's first final state is news; after a delivery only a read is."""
    if match.state is None:
        return True
    return match.receipt.state is ReceiptState.READ and match.state == ReceiptState.DELIVERED


def _move(match: Matched, slugs: dict[int, str]) -> Move:
    receipt = match.receipt
    return Move(
        match.message_id,
        STATUSES[receipt.state],
        receipt.occurred_at,
        slugs.get(receipt.operator_id),
        receipt.code,
        None if receipt.state in _GOOD else receipt.error_code or ERROR_CODES[receipt.state],
        receipt.raw or None,
    )


_GOOD = {ReceiptState.DELIVERED, ReceiptState.READ}


def _note(match: Matched, type_: str, slugs: dict[int, str]) -> Note:
    receipt = match.receipt
    return Note(
        match.message_id,
        type_,
        receipt.occurred_at,
        slugs.get(receipt.operator_id),
        receipt.code,
        receipt.error_code,
        receipt.raw or None,
    )


_SIBLINGS = """
SELECT message_id, step, count(*) FILTER (WHERE state IN ('delivered', 'read')) >= max(parts)
FROM routing_part WHERE message_id = ANY(%s::uuid[]) AND parts > 1 GROUP BY message_id, step
"""


def _whole(matches: Sequence[Matched], now: datetime) -> list[Matched]:
    """The receipts that move long messages: a failed part fails it, it is delivered when all its parts are.

    While some parts are unreported a copy of the receipt waits to be settled.
    """
    if not matches:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_SIBLINGS, [[match.message_id for match in matches]])
        delivered = {(key, step): whole for key, step, whole in cursor.fetchall()}
    wishes, unsettled = [], []
    for match in matches:
        if match.receipt.state not in _GOOD or delivered.get((match.message_id, match.step)):
            wishes.append(match)
        else:
            unsettled.append(match)
    _settle_later(unsettled, now)
    return wishes


def _settle_later(matches: Sequence[Matched], now: datetime) -> None:
    parking.park(
        receipts=[match.receipt for match in matches],
        keys=[match.receipt.remote_id for match in matches],
        settles=[Settles(match.message_id, match.step) for match in matches],
        next_match_at=now + timedelta(seconds=SETTLE_SECONDS),
        now=now,
    )


_DUE = """
SELECT id, operator_id, remote_id, receipt, received_at FROM routing_parkedreceipt
WHERE next_match_at <= %s ORDER BY next_match_at, id LIMIT %s FOR UPDATE SKIP LOCKED
"""
_LATER = """
UPDATE routing_parkedreceipt
SET tries = tries + 1,
    next_match_at = %(now)s + least(%(first)s * 2 ^ (tries + 1), %(slowest)s) * interval '1 second'
WHERE id = ANY(%(ids)s::uuid[])
"""


def rematch(*, slugs: dict[int, str], now: datetime, limit: int = 1000) -> int:
    """Try parked receipts again whose time has come; returns how many were looked at."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_DUE, [now, limit])
        rows = [(*row[:3], json.loads(row[3]), row[4]) for row in cursor.fetchall()]
        if not rows:
            return 0
        parked = [_waiting(row) for row in rows if not row[3]["settles"]]
        waiting = _match_again(parked, slugs, now)
        # After the parts are locked, as everywhere.
        _settle([row for row in rows if row[3]["settles"]], slugs)
        done = [row[0] for row in rows if row[0] not in waiting]
        cursor.execute("DELETE FROM routing_parkedreceipt WHERE id = ANY(%s::uuid[])", [done])
        return len(rows)


def _waiting(row: tuple[Any, ...]) -> Waiting:
    return Waiting(row[0], parking.load(*row[1:4]), row[4], row[3].get("fits"))


def _match_again(parked: Sequence[Waiting], slugs: dict[int, str], now: datetime) -> set[UUID]:
    """Apply what finds its part now; returns which go on waiting."""
    matched, unmatched = matching.match([each.receipt for each in parked], now=now)
    missing = {id(receipt) for receipt in unmatched}
    waiting = [each for each in parked if id(each.receipt) in missing]
    # Before other rules are tried, which may call them up at once.
    with connection.cursor() as cursor:
        cursor.execute(
            _LATER,
            {
                "now": now,
                "first": FIRST_MATCH_SECONDS,
                "slowest": SLOWEST_MATCH_SECONDS,
                "ids": [each.key for each in waiting],
            },
        )
    recognised = matching.recognise(waiting, now=now)
    _apply([*matched, *recognised], slugs, now)
    missing -= {id(match.receipt) for match in recognised}
    return {each.key for each in waiting if id(each.receipt) in missing}


_FAILED = """
SELECT message_id, step FROM routing_part
WHERE message_id = ANY(%s::uuid[]) AND parts > 1 AND state NOT IN ('delivered', 'read')
"""


def _settle(rows: Sequence[tuple[Any, ...]], slugs: dict[int, str]) -> None:
    """What was reported of a long message stands for the parts that nobody spoke of.

    Not so where a part failed and the message went on to the next step of its chain.
    """
    chained = {UUID(row[3]["settles"]) for row in rows if row[3].get("step") is not None}
    failed: set[tuple[UUID, int]] = set()
    if chained:
        with connection.cursor() as cursor:
            cursor.execute(_FAILED, [arrays.uuids(chained)])
            failed = set(cursor.fetchall())
    moved = lifecycle.move(
        moves=[
            Move(
                key,
                STATUSES[ReceiptState(kept["state"])],
                datetime.fromisoformat(kept["occurredAt"]),
                slugs.get(operator_id),
                kept["code"],
                None,
                kept["raw"],
            )
            for _id, operator_id, _remote_id, kept, _received_at in rows
            if ((key := UUID(kept["settles"])), kept.get("step")) not in failed
        ]
    )
    fallbacks.stop(message_ids=moved & chained)
