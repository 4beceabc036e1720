"""Long messages of handsets, made whole of their pieces.

Pieces may come in any order, twice, over several binds and to several workers. They are kept in a table until the set
is whole; whoever adds to a set holds its advisory lock until the commit, so that exactly one of two workers with the
last pieces sees all of them. Those of a whole set are kept on, their total negative, as long as a set may wait: a
piece that comes again then is known. A set that stays incomplete is given up: what is there goes on with gaps marked;
so is one of which a piece comes with another text, as the sender uses the reference for another message.

Sets are told apart as 3GPP TS 23.040 §9.2.3.24.1 has it, by sender, recipient, reference and total; SMPP's SAR alike.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from django.db import connection

from gateway import arrays
from routing.contract import Inbound

# Since the last piece came; the table is swept once a minute.
WAITS = timedelta(minutes=5)
GAP = "[…]"
BATCH = 500


class _Key(NamedTuple):
    operator_id: int
    sender: str
    recipient: str
    reference: int
    total: int


class _Piece(NamedTuple):
    id: int
    key: _Key
    number: int
    text: str
    raw: dict[str, Any]
    received_at: datetime


def is_piece(arrived: Inbound) -> bool:
    """Whether it is one of several pieces."""
    if arrived.part is None:
        return False
    _reference, total, number = arrived.part
    return total > 1 and 1 <= number <= total


# One after the other in one order, so that no two workers wait for each other.
_LOCK = """
SELECT pg_advisory_xact_lock(hashtextextended(k, 7235))
FROM unnest(%s::text[]) WITH ORDINALITY AS n(k, place) ORDER BY place
"""
# Not what is there: of the set that waits by number, of one that was whole only with the same text.
_KEEP = """
INSERT INTO routing_inboundpart (operator_id, sender, recipient, reference, total, number, text, raw, received_at)
SELECT DISTINCT ON (n.operator_id, n.sender, n.recipient, n.reference, n.total, n.number)
       n.operator_id, n.sender, n.recipient, n.reference, n.total, n.number, n.text, n.raw, %(now)s
FROM json_to_recordset(%(pieces)s::json) AS n(
    operator_id int, sender text, recipient text, reference int, total smallint, number smallint, text text,
    raw jsonb)
WHERE NOT EXISTS (
    SELECT FROM routing_inboundpart p
    WHERE (p.operator_id, p.sender, p.recipient, p.reference) = (n.operator_id, n.sender, n.recipient, n.reference)
      AND p.number = n.number AND (p.total = n.total OR (p.total = -n.total AND p.text = n.text))
)
"""
_OTHERS = """
SELECT DISTINCT p.operator_id, p.sender, p.recipient, p.reference, p.total
FROM json_to_recordset(%(pieces)s::json) AS n(
    operator_id int, sender text, recipient text, reference int, total smallint, number smallint, text text)
JOIN routing_inboundpart p USING (operator_id, sender, recipient, reference, total, number)
WHERE p.text <> n.text
"""
_SETS = """
WITH k AS (
    SELECT * FROM json_to_recordset(%(keys)s::json) AS k(
        operator_id int, sender text, recipient text, reference int, total smallint)
)
SELECT p.id, p.operator_id, p.sender, p.recipient, p.reference, p.total, p.number, p.text, p.raw::text, p.received_at
FROM k JOIN routing_inboundpart p USING (operator_id, sender, recipient, reference, total)
ORDER BY p.operator_id, p.sender, p.recipient, p.reference, p.total, p.number
"""
_WHOLE = "UPDATE routing_inboundpart SET total = -total WHERE id = ANY(%s::bigint[])"
_GONE = "DELETE FROM routing_inboundpart WHERE id = ANY(%s::bigint[])"


def collect(*, pieces: Sequence[Inbound], now: datetime) -> list[Inbound]:
    """Keep pieces; returns the messages that they make whole, and what there is of those that they take the reference
    of. In the caller's transaction.
    """
    ended: list[Inbound] = []
    for several in _rounds(pieces):
        ended += _collect(several, now)
    return ended


def _rounds(pieces: Sequence[Inbound]) -> list[list[Inbound]]:
    """In order, but in each only one text of a piece: usually all of them in one."""
    rounds: list[list[Inbound]] = []
    texts: dict[tuple[_Key, int], list[str]] = {}
    for piece in pieces:
        assert piece.part is not None
        known = texts.setdefault((_key(piece), piece.part[2]), [])
        if piece.text not in known:
            known.append(piece.text)
        place = known.index(piece.text)
        if place == len(rounds):
            rounds.append([])
        rounds[place].append(piece)
    return rounds


def _collect(pieces: Sequence[Inbound], now: datetime) -> list[Inbound]:
    keys = sorted({_key(piece) for piece in pieces})
    rows = json.dumps([_row(piece) for piece in pieces])
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [arrays.texts([json.dumps(key) for key in keys])])
        cursor.execute(_OTHERS, {"pieces": rows})
        others = _sets(sorted(_Key(*row) for row in cursor.fetchall()))
        _execute(_GONE, [piece.id for several in others for piece in several])
        cursor.execute(_KEEP, {"pieces": rows, "now": now})
    whole = [several for several in _sets(keys) if len(several) == several[0].key.total]
    _execute(_WHOLE, [piece.id for several in whole for piece in several])
    return [_joined(several) for several in (*others, *whole)]


_OLD = """
SELECT DISTINCT operator_id, sender, recipient, reference, total FROM routing_inboundpart
WHERE received_at < %s AND total > 0 LIMIT %s
"""
_FORGET = "DELETE FROM routing_inboundpart WHERE received_at < %s AND total < 0"


def give_up(*, now: datetime) -> list[Inbound]:
    """Remove sets to which nothing has come for too long; returns what there is of them. In the caller's transaction.

    At most :data:`BATCH`; none when no set is so old.
    """
    late = now - WAITS
    with connection.cursor() as cursor:
        cursor.execute(_OLD, [late, BATCH])
        keys = sorted(_Key(*row) for row in cursor.fetchall())
        cursor.execute(_LOCK, [arrays.texts([json.dumps(key) for key in keys])])
    old = [several for several in _sets(keys) if max(piece.received_at for piece in several) < late]
    _execute(_GONE, [piece.id for several in old for piece in several])
    return [_joined(several) for several in old]


def forget(*, now: datetime) -> None:
    """Remove the pieces of messages that were whole some time ago."""
    with connection.cursor() as cursor:
        cursor.execute(_FORGET, [now - WAITS])


def _key(piece: Inbound) -> _Key:
    assert piece.part is not None
    reference, total, _number = piece.part
    return _Key(piece.operator_id, piece.sender, piece.recipient, reference, total)


def _row(piece: Inbound) -> dict[str, Any]:
    """A piece as a row; its text is JSON, which half a surrogate pair survives."""
    assert piece.part is not None
    return _key(piece)._asdict() | {"number": piece.part[2], "text": json.dumps(piece.text), "raw": piece.raw}


def _sets(keys: Sequence[_Key]) -> list[list[_Piece]]:
    """The pieces of each set that has any, by number."""
    if not keys:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_SETS, {"keys": json.dumps([key._asdict() for key in keys])})
        pieces = [
            _Piece(row[0], _Key(*row[1:6]), row[6], json.loads(row[7]), json.loads(row[8]), row[9])
            for row in cursor.fetchall()
        ]
    return [list(several) for _key, several in groupby(pieces, key=attrgetter("key"))]


def _execute(statement: str, keys: Sequence[int]) -> None:
    if keys:
        with connection.cursor() as cursor:
            cursor.execute(statement, [arrays.numbers(keys)])


def _joined(pieces: Sequence[_Piece]) -> Inbound:
    key = pieces[0].key
    there = {piece.number: piece for piece in pieces}
    missing = [number for number in range(1, key.total + 1) if number not in there]
    raw: dict[str, Any] = {"parts": [piece.raw for piece in pieces]}
    if missing:
        raw["missing"] = missing
    return Inbound(
        operator_id=key.operator_id,
        sender=key.sender,
        recipient=key.recipient,
        text=_paired("".join(_texts(there, key.total))),
        occurred_at=min(piece.received_at for piece in pieces),
        raw=raw,
    )


def _texts(there: dict[int, _Piece], total: int) -> Iterable[str]:
    """The texts in order, with one mark for pieces in a row that are missing."""
    gap = False
    for number in range(1, total + 1):
        if number in there:
            yield there[number].text
        elif not gap:
            yield GAP
        gap = number not in there


def _paired(text: str) -> str:
    """With halves of surrogate pairs joined; U+FFFD for one that stays alone."""
    return text.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")
