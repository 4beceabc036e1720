"""Receipts and the parts that they are about, by the ids that operators give both.

One query an operator finds the parts of a batch by the operator's rule (see :mod:`routing.id_modes`). Only what stays
unmatched for some time is tried by the other rules.
"""

import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import structlog
from django.db import connection

from gateway import arrays
from routing import id_modes
from routing.contract import Receipt
from routing.id_modes import Knowledge
from routing.models import Operator

log = structlog.get_logger(__name__)

# How old what a process knows of operators' rules may be.
FRESH_SECONDS = 2.0
# A receipt may merely have overtaken its answer: it is tried by other rules when it has waited so long.
OVERTAKES = timedelta(seconds=2)
# A part is reported within this time.
REPORTED_WITHIN = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Matched:
    """A receipt and the part it is about; ``state`` is what the part had before, ``step`` as in the part."""

    receipt: Receipt
    part_id: int
    message_id: UUID
    parts: int
    state: str | None
    step: int | None


class Waiting(NamedTuple):
    """A parked receipt; ``fits`` is the rule that it was counted for."""

    key: UUID
    receipt: Receipt
    received_at: datetime
    fits: str | None


class _Known:
    """By operator's id."""

    def __init__(self) -> None:
        self.operators: dict[int, Knowledge] = {}
        self.stale_at = 0.0


_known = _Known()


def forget() -> None:
    """Read the operators' rules anew next time."""
    _known.stale_at = 0.0


def knowledge(operator_ids: Collection[int]) -> Mapping[int, Knowledge]:
    """What is known of these operators, at most :data:`FRESH_SECONDS` old; of one that is gone nothing."""
    known = _known.operators
    if time.monotonic() >= _known.stale_at or not all(key in known for key in operator_ids):
        rows = Operator.objects.values_list("id", "id_mode", "id_mode_seen", "id_evidence")
        known = {row[0]: Knowledge.read(*row[1:]) for row in rows}
        for key in operator_ids:
            known.setdefault(key, Knowledge())
        _known.operators = known
        _known.stale_at = time.monotonic() + FRESH_SECONDS
    return known


def key_of(receipt: Receipt) -> str:
    """The id under which the receipt's part would be kept."""
    rule = knowledge((receipt.operator_id,))[receipt.operator_id].rule
    return id_modes.forms((receipt.remote_id,), rule)[0]


# Operators reuse ids after weeks: the newest part that bears the id is meant. Locked in a fixed order.
_MATCH = """
SELECT p.remote_id, p.id, p.message_id, p.parts, p.state, p.step
FROM routing_part p
WHERE p.operator_id = %s AND p.remote_id = ANY(%s::text[])
ORDER BY p.id
FOR UPDATE
"""


def match(arrived: Sequence[Receipt], *, now: datetime) -> tuple[list[Matched], list[Receipt]]:
    """Receipts with their parts, which stay locked, and those without; in the caller's transaction."""
    operator_ids = sorted({receipt.operator_id for receipt in arrived})
    known = knowledge(operator_ids)
    matched: list[Matched] = []
    unmatched: list[Receipt] = []
    for operator_id in operator_ids:
        theirs = [receipt for receipt in arrived if receipt.operator_id == operator_id]
        _match(operator_id, known[operator_id].rule, theirs, matched, unmatched)
    _confirm(matched, known, now)
    return matched, unmatched


def _match(
    operator_id: int,
    rule: str,
    arrived: Sequence[Receipt],
    matched: list[Matched],
    unmatched: list[Receipt],
) -> None:
    keys = [receipt.remote_id for receipt in arrived]
    if rule != id_modes.AS_IS:
        keys = list(id_modes.forms(keys, rule))
    several = {
        id(receipt): id_modes.forms(receipt.other_ids, rule) for receipt in arrived if receipt.other_ids
    }
    wanted = {*keys, *(key for others in several.values() for key in others)}
    with connection.cursor() as cursor:
        cursor.execute(_MATCH, [operator_id, arrays.texts(list(wanted))])
        found = {row[0]: row[1:] for row in cursor.fetchall()}
    for receipt, key in zip(arrived, keys, strict=True):
        row = found.get(key)
        if row is None and receipt.other_ids:
            row = next((found[other] for other in several[id(receipt)] if other in found), None)
        if row is None:
            unmatched.append(receipt)
        else:
            matched.append(Matched(receipt, *row))


def _confirm(matched: Sequence[Matched], known: Mapping[int, Knowledge], now: datetime) -> None:
    """Count matches for the rule in use until it is beyond doubt; nothing after that."""
    doubtful = {key for key, of in known.items() if of.seen != of.rule}
    if not doubtful:
        return
    heard = Counter(
        match.receipt.operator_id
        for match in matched
        if match.receipt.operator_id in doubtful and id_modes.tells(match.receipt.remote_id)
    )
    for operator_id in sorted(heard):
        _hear(operator_id, {known[operator_id].rule: heard[operator_id]}, now)


def recognise(waiting: Sequence[Waiting], *, now: datetime) -> list[Matched]:
    """Try receipts that have waited for some time by the other rules; returns those that were believed.

    Their parts stay locked. Where that takes more evidence they are counted. In the caller's transaction.
    """
    old: dict[int, list[Waiting]] = {}
    for each in waiting:
        if each.received_at <= now - OVERTAKES:
            old.setdefault(each.receipt.operator_id, []).append(each)
    known = knowledge(old)
    return [found for key in sorted(old) for found in _recognise(key, known[key], old[key], now)]


def _recognise(
    operator_id: int, known: Knowledge, waiting: Sequence[Waiting], now: datetime
) -> list[Matched]:
    fitting = _fitting(operator_id, known, waiting)
    rules = {rule for _each, rule, _match in fitting} | set(known.counts)
    if not fitting:
        return []
    if not known.settled and len(rules) == 1:
        believed = [match for _each, _rule, match in fitting]
        _hear(operator_id, {rules.pop(): len(believed)}, now)
        return believed
    fresh = [(each.key, rule) for each, rule, _match in fitting if rule not in {each.fits, known.seen}]
    if fresh:
        _mark(fresh)
        _hear(operator_id, Counter(rule for _key, rule in fresh), now)
    return []


# What another is looking at is left to the next look.
_CANDIDATES = """
SELECT p.remote_id, p.submitted_at, p.id, p.message_id, p.parts, p.state, p.step
FROM routing_part p
WHERE p.operator_id = %s AND p.remote_id = ANY(%s::text[]) AND p.state IS NULL AND p.submitted_at > %s
ORDER BY p.id
FOR UPDATE SKIP LOCKED
"""


def _fitting(
    operator_id: int, known: Knowledge, waiting: Sequence[Waiting]
) -> list[tuple[Waiting, str, Matched]]:
    """Receipts that by one other rule, and by one only, name a part that was not reported yet."""
    fixed = [*(rule for rule in id_modes.RULES if rule != known.rule), *_put(operator_id)]
    tried = [_tried(each.receipt, known.rule, fixed) for each in waiting]
    since = min(each.received_at for each in waiting) - REPORTED_WITHIN
    with connection.cursor() as cursor:
        wanted = list({form for of in tried for form in of})
        cursor.execute(_CANDIDATES, [operator_id, arrays.texts(wanted), since])
        there = {row[0]: row[1:] for row in cursor.fetchall()}
    fitting = []
    for each, of in zip(waiting, tried, strict=True):
        hits = [
            (rule, there[form])
            for form, rule in of.items()
            if form in there and there[form][0] > each.received_at - REPORTED_WITHIN
        ]
        if len(hits) == 1:
            rule, row = hits[0]
            fitting.append((each, rule, Matched(each.receipt, *row[1:])))
    return fitting


def _tried(receipt: Receipt, used: str, fixed: Sequence[str]) -> dict[str, str]:
    """The rules by what they make of a receipt's ids, other than the rule in use does."""
    remote_ids = (receipt.remote_id, *receipt.other_ids)
    cut = (id_modes.CUT + prefix for each in remote_ids for prefix in id_modes.prefixes(each))
    tried = {
        form: rule
        for rule in (*cut, *fixed)
        for each in remote_ids
        if (form := id_modes.converted(each, rule)) is not None
    }
    for form in id_modes.forms(remote_ids, used):
        tried.pop(form, None)
    return tried


# Any: what answers begin with is the same in all of them.
_SOME = "SELECT remote_id FROM routing_part WHERE operator_id = %s LIMIT 5"


def _put(operator_id: int) -> set[str]:
    """Rules that put before a receipt's id what the operator's answers begin with."""
    with connection.cursor() as cursor:
        cursor.execute(_SOME, [operator_id])
        return {id_modes.PUT + prefix for (each,) in cursor.fetchall() for prefix in id_modes.prefixes(each)}


_MARK = """
UPDATE routing_parkedreceipt p SET receipt = p.receipt || jsonb_build_object('fits', u.rule)
FROM unnest(%s::uuid[], %s::text[]) AS u(id, rule) WHERE p.id = u.id
"""
_CALL_UP = """
UPDATE routing_parkedreceipt SET next_match_at = %s WHERE id IN (
    SELECT id FROM routing_parkedreceipt WHERE operator_id = %s AND receipt->>'fits' = %s FOR UPDATE SKIP LOCKED
)
"""
# The part was accepted after the first receipt that spoke against the rule in use, and reported by that rule.
_WORKS = """
SELECT EXISTS (SELECT FROM routing_part WHERE operator_id = %s AND state IS NOT NULL AND submitted_at > %s)
"""


def _mark(fresh: Sequence[tuple[UUID, str]]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            _MARK, [arrays.uuids([key for key, _rule in fresh]), arrays.texts([rule for _key, rule in fresh])]
        )


def _hear(operator_id: int, heard: Mapping[str, int], now: datetime) -> None:
    """Count receipts for rules, and believe in one when that is enough. ``updated_at`` stays: no bind is reopened."""
    row = Operator.objects.select_for_update(no_key=True).filter(pk=operator_id)
    columns = row.values_list("slug", "id_mode", "id_mode_seen", "id_evidence").first()
    if columns is None:
        return
    slug, *of = columns
    known = before = Knowledge.read(*of)
    for rule, count in heard.items():
        if rule != known.seen:
            known = known.heard(rule, count, at=now)
    sure = known.sure
    if sure is not None and sure != known.rule and known.settled and _works(operator_id, known.since):
        known = before.believing(before.seen)
    elif sure is not None:
        known = known.believing(sure)
        log.info("operator.id_mode_seen", operator=slug, mode=sure)
    row.update(id_mode_seen=known.seen, id_evidence=known.evidence)
    forget()
    if known.seen in {sure, *heard}:
        with connection.cursor() as cursor:
            cursor.execute(_CALL_UP, [now, operator_id, known.seen])


def _works(operator_id: int, since: datetime | None) -> bool:
    """Whether parts that were accepted since then are reported by the rule in use."""
    with connection.cursor() as cursor:
        cursor.execute(_WORKS, [operator_id, since])
        return bool(cursor.fetchone()[0])
