"""What handsets sent, from whatever transport: made whole, given to the tenant of its number, and kept.

One commit for all that came together. What fails for a reason of its own, and not because the database is away, is
found by halves, so that the others are kept as they should be; by itself it is kept for nobody, with what went wrong
among its raw fields as ``failure``, and tried again for an hour.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from django.db import Error as DatabaseError
from django.db import connection, transaction

from gateway import ids, inbound, numbers_owned, outages
from gateway.inbound import Arrival
from routing import operators, reassembly
from routing.contract import Inbound
from routing.models import Operator

log = structlog.get_logger(__name__)

# How often operators' channels are read anew: a new operator's first message waits for none.
FRESH_SECONDS = 2.0
TAKE_UP_BATCH = 500
# How long before it was given to a tenant a number's messages are taken up.
TAKES_UP = timedelta(days=7)
# How long what failed, and numbers that were given, are looked at by the sweep.
LOOKS_BACK = timedelta(hours=1)


def keep(*, arrived: Sequence[Inbound], slugs: dict[int, str]) -> None:
    """Keep handsets' messages and do what follows from them, in one transaction, or within the caller's.

    ``slugs`` names the operators. Pieces of long messages are kept until the others are there.

    Raises:
        django.db.Error: the database is away, or wants it tried again; nothing is kept.
    """
    if not arrived:
        return
    try:
        with transaction.atomic():
            _keep(arrived, slugs)
    except Exception as error:
        if isinstance(error, DatabaseError) and outages.is_away(error):
            raise
        log.exception("inbound.not_acted_upon", messages=len(arrived))
        if len(arrived) == 1:
            _keep_bare(arrived[0], slugs, error)
            return
        # The outer transaction: all of both halves, or nothing.
        half = len(arrived) // 2
        with transaction.atomic():
            keep(arrived=arrived[:half], slugs=slugs)
            keep(arrived=arrived[half:], slugs=slugs)


def _keep(arrived: Sequence[Inbound], slugs: dict[int, str]) -> None:
    pieces = [_addressed(each) for each in arrived if reassembly.is_piece(each)]
    whole: Sequence[Inbound] = arrived
    if pieces:
        whole = [each for each in arrived if not reassembly.is_piece(each)]
        whole += reassembly.collect(pieces=pieces, now=datetime.now(tz=UTC))
    hand_in(arrivals=[_arrival(each, slugs) for each in whole])


def hand_in(*, arrivals: Sequence[Arrival]) -> None:
    """Keep whole messages, each for the tenant of its number; in the caller's transaction."""
    by_tenant: dict[int, list[Arrival]] = {}
    nobodys = []
    for arrival, tenant_id in zip(arrivals, numbers_owned.owners(arrivals=arrivals), strict=True):
        if tenant_id is None:
            nobodys.append(arrival)
        else:
            by_tenant.setdefault(tenant_id, []).append(arrival)
    # In one order, so that no two workers wait for each other.
    for tenant_id in sorted(by_tenant):
        inbound.receive(tenant_id=tenant_id, arrivals=by_tenant[tenant_id])
    if nobodys:
        inbound.store(arrivals=nobodys)


def _addressed(piece: Inbound) -> Inbound:
    return replace(piece, sender=inbound.plain(piece.sender), recipient=inbound.plain(piece.recipient))


def _arrival(each: Inbound, slugs: dict[int, str]) -> Arrival:
    return Arrival(
        slugs.get(each.operator_id, ""),
        each.sender,
        each.recipient,
        each.text,
        each.occurred_at,
        each.raw,
        _channel(each.operator_id),
        _lane(each.operator_id),
    )


def _lane(operator_id: int) -> int:
    """Where replies go: by the operator itself, unless it cannot send now or only receives."""
    standing = operators.standings().get(operator_id)
    return operator_id if standing is not None and standing.ready else 0


def _keep_bare(each: Inbound, slugs: dict[int, str], error: Exception) -> None:
    """Keep what could not be acted upon; its raw fields too, as far as PostgreSQL takes them."""
    raw = _storable(json.loads(json.dumps(each.raw, default=str)))
    failure = {"failure": type(error).__name__, "part": each.part}
    arrival = replace(_arrival(each, slugs), raw=raw | failure)
    with transaction.atomic():
        inbound.store(arrivals=[arrival])


def _storable(value: Any) -> Any:
    """A JSON value whose texts PostgreSQL can hold."""
    if isinstance(value, str):
        return inbound.plain(value)
    if isinstance(value, list):
        return [_storable(each) for each in value]
    if isinstance(value, dict):
        return {inbound.plain(name): _storable(each) for name, each in value.items()}
    return value


class _Channels:
    """By operator's id."""

    def __init__(self) -> None:
        self.known: dict[int, str] = {}
        self.stale_at = 0.0


_channels = _Channels()


def _channel(operator_id: int) -> str:
    now = time.monotonic()
    if operator_id not in _channels.known or now >= _channels.stale_at:
        _channels.known = dict(Operator.objects.values_list("id", "channel"))
        # One that is gone; its messages still are.
        _channels.known.setdefault(operator_id, "sms")
        _channels.stale_at = now + FRESH_SECONDS
    return _channels.known[operator_id]


def give_up_pieces(*, now: datetime, slugs: dict[int, str]) -> int:
    """Keep what there is of long messages that were not whole in time; returns how many."""
    count = 0
    while True:
        with transaction.atomic():
            found = reassembly.give_up(now=now)
            keep(arrived=found, slugs=slugs)
        if not found:
            reassembly.forget(now=now)
            return count
        count += len(found)
        log.warning("inbound.pieces_given_up", messages=len(found))


# What came to a number before it was given to a tenant; and what failed when it came. Nobody's have an index.
_NOBODYS = """
SELECT m.id, m.operator, m.channel, m.sender, m.recipient, m.text, m.raw::text, m.received_at
FROM gateway_inboundmessage m
WHERE m.tenant_id IS NULL AND m.id > %(after)s
  AND (EXISTS (SELECT FROM gateway_number n
               WHERE n.channel = m.channel AND n.number = lower(ltrim(m.recipient, '+'))
                 AND n.created_at > %(lately)s AND m.id < %(now)s)
       OR (m.id > %(failed)s AND m.raw ? 'failure'))
ORDER BY m.id LIMIT %(limit)s
FOR UPDATE SKIP LOCKED
"""
_TAKEN = "DELETE FROM gateway_inboundmessage WHERE id = ANY(%s::uuid[])"


def take_up(*, now: datetime) -> int:
    """Give tenants what came to their numbers before they were given to them, and once more what failed; returns how
    many were looked at.

    One that a tenant gets is a new message of its, received when it was.
    """
    looked_at = 0
    after = ids.floor(now - TAKES_UP)
    numbers_owned.forget()
    while True:
        given: dict[str, Any] = {
            "after": after,
            "lately": now - LOOKS_BACK,
            "failed": ids.floor(now - LOOKS_BACK),
            "now": ids.floor(now),
            "limit": TAKE_UP_BATCH,
        }
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_NOBODYS, given)
            rows = cursor.fetchall()
            _take_up(rows)
        looked_at += len(rows)
        if len(rows) < TAKE_UP_BATCH:
            return looked_at
        after = rows[-1][0]


def _take_up(rows: Sequence[tuple[Any, ...]]) -> None:
    """Hand in those that have an owner now, each by itself: what fails stays as it is."""
    arrivals = []
    for _key, operator, channel, sender, recipient, text, raw, at in rows:
        fields = {name: value for name, value in json.loads(raw).items() if name != "failure"}
        arrivals.append(Arrival(operator, sender, recipient, text, at, fields, channel))
    owners = numbers_owned.owners(arrivals=arrivals)
    for row, arrival, tenant_id in zip(rows, arrivals, owners, strict=True):
        if tenant_id is None:
            continue
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(_TAKEN, [[row[0]]])
                inbound.receive(tenant_id=tenant_id, arrivals=[arrival])
        except Exception as error:
            if isinstance(error, DatabaseError) and outages.is_away(error):
                raise
            log.exception("inbound.not_taken_up", inbound_id=str(row[0]))
