"""From an event to its callbacks, inside the transaction that wrote the event.

What is fanned out here is committed with the status or not at all, and nothing is cached: a webhook made or
deleted a moment ago counts.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from gateway import arrays, ids
from gateway.hooks import Fact
from webhooks import catalogue, destinations
from webhooks.models.callback import State

_WEBHOOKS = "SELECT id, tenant_id, events, active, ordered FROM webhooks_webhook WHERE tenant_id = ANY(%s)"
_SMS = "SELECT id FROM gateway_message WHERE id = ANY(%s) AND channel = 'sms'"
_INBOUND_SMS = "SELECT id FROM gateway_inboundmessage WHERE id = ANY(%s) AND channel = 'sms'"
_WRITE = """
WITH r AS (
    SELECT * FROM unnest(%(ids)s::uuid[], %(tenants)s::bigint[], %(endpoints)s::uuid[], %(events)s::uuid[],
                         %(messages)s::uuid[], %(types)s::text[], %(states)s::text[], %(ordered)s::bool[])
        AS r(id, tenant_id, endpoint, event_id, message_id, type, state, ordered)
), written AS (
    INSERT INTO webhooks_callback (id, tenant_id, endpoint, event_id, message_id, type, state, attempts)
    SELECT id, tenant_id, endpoint, event_id, message_id, type, state, 0 FROM r
)
INSERT INTO webhooks_duecallback (callback_id, tenant_id, endpoint, event_id, message_id, next_attempt_at,
                                  leased, ordered, attempt, first_attempt_at)
SELECT id, tenant_id, endpoint, event_id, message_id,
       CASE state WHEN 'held' THEN '9999-01-01 00:00:00+00' ELSE now() END, false, ordered, 0,
       -- of one that is held: since when
       CASE state WHEN 'held' THEN now() END
FROM r
"""


# Whoever gave a message a callbackUrl has just been told so in the answer to that very request.
_KNOWN = "message.accepted"


class _Wish(NamedTuple):
    """A webhook's wish for one type; ``sms_only`` when it was named in MessageMedia's way alone."""

    endpoint: UUID
    state: str
    sms_only: bool = False
    ordered: bool = False


def fan_out(facts: Sequence[Fact]) -> None:
    """Queue the callbacks of events, for the webhooks subscribed to them and for the messages' own URLs.

    To be called in the transaction that wrote the events; a webhook that is inactive has its callbacks held.
    """
    wishes = _wishes({fact.tenant_id for fact in facts})
    rows: list[tuple[Fact, _Wish]] = []
    texts: list[tuple[Fact, _Wish]] = []
    for fact in facts:
        if fact.callback_url and fact.type != _KNOWN:
            endpoint = destinations.of_host(tenant_id=fact.tenant_id, url=fact.callback_url)
            rows.append((fact, _Wish(endpoint, State.OPEN.value)))
        for wish in wishes.get((fact.tenant_id, fact.type), ()):
            if wish.sms_only:
                texts.append((fact, wish))
            elif fact.type != catalogue.DISABLED or fact.message_id != wish.endpoint:
                rows.append((fact, wish))
    if texts:
        sms = _of_sms([fact for fact, _wish in texts])
        rows.extend((fact, wish) for fact, wish in texts if fact.message_id in sms)
    if rows:
        _write(rows)


def _wishes(tenant_ids: Iterable[int]) -> dict[tuple[int, str], list[_Wish]]:
    """By tenant and type of event."""
    found: dict[tuple[int, str], list[_Wish]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_WEBHOOKS, [list(tenant_ids)])
        for endpoint, tenant_id, names, active, ordered in cursor.fetchall():
            state = State.OPEN.value if active else State.HELD.value
            own = {name for name in names if name in catalogue.OWN}
            foreign = {type_ for name in names if (type_ := catalogue.MESSAGEMEDIA.get(name)) is not None}
            for type_ in own | foreign:
                wish = _Wish(endpoint, state, type_ not in own, ordered)
                found.setdefault((tenant_id, type_), []).append(wish)
    return found


def _of_sms(facts: Sequence[Fact]) -> set[UUID]:
    """The messages, ours and handsets', that are text messages."""
    found: set[UUID] = set()
    inbound = {fact.message_id for fact in facts if fact.type in catalogue.INBOUND}
    ours = {fact.message_id for fact in facts} - inbound
    with connection.cursor() as cursor:
        for query, keys in ((_SMS, ours), (_INBOUND_SMS, inbound)):
            if keys:
                cursor.execute(query, [list(keys)])
                found.update(key for (key,) in cursor.fetchall())
    return found


def _write(rows: Sequence[tuple[Fact, _Wish]]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            _WRITE,
            {
                "ids": arrays.plain(ids.texts(len(rows))),
                "tenants": arrays.numbers(fact.tenant_id for fact, _wish in rows),
                "endpoints": arrays.uuids(wish.endpoint for _fact, wish in rows),
                "events": arrays.uuids(fact.event_id for fact, _wish in rows),
                "messages": arrays.uuids(fact.message_id for fact, _wish in rows),
                "types": arrays.texts([fact.type for fact, _wish in rows]),
                "states": arrays.texts([wish.state for _fact, wish in rows]),
                "ordered": arrays.plain("t" if wish.ordered else "f" for _fact, wish in rows),
            },
        )
