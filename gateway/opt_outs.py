"""Who does not want messages: of a tenant at all (sender ``''``), or of one of its senders.

Senders are kept as they were given and compared without regard to case or a leading plus: ``ACME`` is ``acme``,
``+4242`` is ``4242``.

An opt-out is one transaction with what follows from it: messages that wait for the number end as ``rejected``, and
its event is told to the tenant's webhooks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from gateway import arrays, errors, ids, lifecycle, statuses
from gateway.hooks import Fact, hooks
from gateway.lifecycle import Move
from gateway.models import OptOut
from gateway.statuses import Status

OPTED_OUT, OPTED_IN = "contact.opted_out", "contact.opted_in"
EXPORT_CHUNK = 2000


def same(sender: str) -> str:
    """What is equal for senders that are one."""
    return sender.removeprefix("+").casefold()


# The unique index answers it alone.
_BLOCKED = """
SELECT o.tenant_id, o.phone, o.sender
FROM (SELECT DISTINCT * FROM unnest(%s::bigint[], %s::text[]) AS w (tenant_id, phone)) w
JOIN gateway_optout o ON o.tenant_id = w.tenant_id AND o.phone = w.phone
"""


def blocked(*, wanted: Sequence[tuple[int, str, str | None]]) -> list[bool]:
    """For each ``(tenant_id, phone, sender)`` whether the recipient opted out of it; phones are E.164.

    One query, none for an empty list. Without a sender only an opt-out of the whole tenant counts.
    """
    if not wanted:
        return []
    tenants = arrays.numbers([tenant_id for tenant_id, _phone, _sender in wanted])
    phones = arrays.plain([phone for _tenant_id, phone, _sender in wanted])
    with connection.cursor() as cursor:
        cursor.execute(_BLOCKED, (tenants, phones))
        rows = cursor.fetchall()
    return match(wanted=wanted, rows=rows)


# Tenant, phone and sender of an opt-out.
Unwilling = tuple[int, str, str]


def match(*, wanted: Sequence[tuple[int, str, str | None]], rows: Sequence[Unwilling]) -> list[bool]:
    """For each ``(tenant_id, phone, sender)`` whether one of the opt-outs is about it."""
    if not rows:
        return [False] * len(wanted)
    found: dict[tuple[int, str], set[str]] = {}
    for tenant_id, phone, sender in rows:
        found.setdefault((tenant_id, phone), set()).add(same(sender))
    return [_among(found.get((tenant_id, phone)), sender) for tenant_id, phone, sender in wanted]


def _among(senders: set[str] | None, sender: str | None) -> bool:
    return senders is not None and ("" in senders or (sender is not None and same(sender) in senders))


def add(
    *,
    tenant_id: int,
    phone: str,
    sender: str,
    source: str,
    reason: str | None = None,
) -> tuple[OptOut, bool]:
    """Opt a number out, of the whole tenant when ``sender`` is empty; returns the row and whether it is new.

    One that is there stays as it is. A new one is told, and what waits for the number is refused. Works inside a
    transaction.
    """
    with transaction.atomic():
        ((key, new),) = put(tenant_id=tenant_id, rows=[Row(phone, sender, reason)], source=source)
        if new:
            _tell(tenant_id, [key], OPTED_OUT)
        return OptOut.objects.for_tenant(tenant_id).get(pk=key), new


def remove(*, tenant_id: int, phone: str, sender: str | None = None) -> int:
    """Take a number's opt-outs away, and tell it; returns how many there were. Works inside a transaction.

    ``sender`` None takes all of them, ``''`` only that of the whole tenant, another only that sender's.
    """
    with transaction.atomic():
        return _take(tenant_id, [row.pk for row in _of(tenant_id, phone, sender)])


def lift(*, tenant_id: int, wanted: Sequence[tuple[str, str]]) -> set[str]:
    """Take away the phones' opt-outs of the whole tenant and of the sender each is given with, ``(phone, sender)``;
    the phones that had one. In the caller's transaction, and told by the caller.
    """
    senders = {phone: same(sender) for phone, sender in wanted}
    rows = OptOut.objects.for_tenant(tenant_id).filter(phone__in=senders).order_by("phone", "id")
    found = [row for row in rows.select_for_update() if same(row.sender) in {"", senders[row.phone]}]
    if found:
        OptOut.objects.for_tenant(tenant_id).filter(pk__in=[row.pk for row in found]).delete()
    return {row.phone for row in found}


def _take(tenant_id: int, keys: Sequence[UUID]) -> int:
    """Remove and tell; how many there were."""
    rows = OptOut.objects.for_tenant(tenant_id).filter(pk__in=keys).select_for_update()
    there = list(rows.values_list("pk", flat=True)) if keys else []
    if there:
        _tell(tenant_id, there, OPTED_IN)
        OptOut.objects.for_tenant(tenant_id).filter(pk__in=there).delete()
    return len(there)


def _of(tenant_id: int, phone: str, sender: str | None) -> list[OptOut]:
    """The number's opt-outs, of the sender if one is given."""
    rows = OptOut.objects.for_tenant(tenant_id).filter(phone=phone).order_by("id")
    return [row for row in rows if sender is None or same(row.sender) == same(sender)]


def read(*, tenant_id: int, opt_out_id: UUID) -> OptOut:
    """One opt-out.

    Raises:
        errors.NotFound: the tenant has no such one.
    """
    found = OptOut.objects.for_tenant(tenant_id).filter(pk=opt_out_id).first()
    if found is None:
        raise errors.NotFound
    return found


def remove_one(*, tenant_id: int, opt_out_id: UUID) -> None:
    """Take one opt-out away.

    Raises:
        errors.NotFound: the tenant has no such one.
    """
    with transaction.atomic():
        if not _take(tenant_id, [opt_out_id]):
            raise errors.NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a list is narrowed to; None is no matter. ``sender`` is compared as at acceptance."""

    phone: str | None = None
    scope: str | None = None
    sender: str | None = None
    source: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


def listed(*, tenant_id: int, filters: Filters) -> QuerySet[OptOut, OptOut]:
    """The tenant's opt-outs that match, newest first."""
    rows = OptOut.objects.for_tenant(tenant_id).order_by("-id")
    if filters.phone is not None:
        rows = rows.filter(phone=filters.phone)
    if filters.scope is not None:
        rows = rows.filter(sender="") if filters.scope == "tenant" else rows.exclude(sender="")
    if filters.sender is not None:
        bare = filters.sender.removeprefix("+")
        rows = rows.filter(Q(sender__iexact=bare) | Q(sender__iexact=f"+{bare}"))
    if filters.source is not None:
        rows = rows.filter(source=filters.source)
    if filters.created_after is not None:
        rows = rows.filter(id__gte=ids.floor(filters.created_after))
    if filters.created_before is not None:
        rows = rows.filter(id__lt=ids.floor(filters.created_before))
    return rows


class Row(NamedTuple):
    """An opt-out to make; ``sender`` is empty for the whole tenant.

    ``text`` and ``inbound_id`` are the evidence: what the handset wrote, and the message that it wrote it in.
    """

    phone: str
    sender: str
    reason: str | None = None
    text: str | None = None
    inbound_id: UUID | None = None


_INSERT = """
INSERT INTO gateway_optout (id, tenant_id, phone, sender, source, reason, text, inbound_id, created_at)
SELECT n.id, %(tenant)s, n.phone, n.sender, %(source)s, n.reason, n.text, n.inbound_id, now()
FROM unnest(%(ids)s::uuid[], %(phones)s::text[], %(senders)s::text[], %(reasons)s::text[], %(texts)s::text[],
            %(inbound)s::uuid[]) AS n (id, phone, sender, reason, text, inbound_id)
ON CONFLICT (tenant_id, phone, sender) DO NOTHING
"""
_THERE = """
SELECT o.phone, o.sender, o.id FROM gateway_optout o
WHERE o.tenant_id = %s AND o.phone = ANY(%s::text[])
ORDER BY o.id DESC
"""


def import_(*, tenant_id: int, rows: Sequence[Row]) -> list[tuple[UUID, bool]]:
    """Opt all of them out in one transaction, and tell it: for each its id, and whether it is new.

    What is there already stays as it is; of several alike the first counts.
    """
    with transaction.atomic():
        outcomes = put(tenant_id=tenant_id, rows=rows, source=OptOut.Source.IMPORT)
        _tell(tenant_id, [key for key, new in outcomes if new], OPTED_OUT)
    return outcomes


def put(*, tenant_id: int, rows: Sequence[Row], source: str) -> list[tuple[UUID, bool]]:
    """As :func:`import_`, in the caller's transaction and told by the caller."""
    phones = arrays.plain({row.phone for row in rows})
    wanted = {(row.phone, same(row.sender)): row for row in reversed(rows)}
    new: set[UUID] = set()
    there = _there(tenant_id, phones)
    # Again for those that another call added, and took away again, in between.
    while missing := sorted(wanted.keys() - there.keys()):
        keys = ids.texts(len(missing))
        _insert(tenant_id, keys, [wanted[key] for key in missing], source)
        new.update(map(UUID, keys))
        there |= _there(tenant_id, phones)
    outcomes = []
    made = []
    for row in rows:
        found = there[row.phone, same(row.sender)]
        outcomes.append((found, found in new))
        if found in new:
            made.append((row.phone, row.sender))
            new.discard(found)
    _refuse_waiting(tenant_id, made)
    return outcomes


# The message's own index finds them, a probe a day that is kept. What a relay or a step of a fallback has its hands
# on is left to them: it is asked again before it is handed over.
_WAITING = """
WITH unwilling AS (
    SELECT * FROM unnest(%(phones)s::text[], %(senders)s::text[]) AS u(phone, sender)
), waiting AS (
    SELECT d.message_id FROM unwilling u
    JOIN gateway_message m ON m.tenant_id = %(tenant)s AND m.recipient = u.phone
    JOIN gateway_duemessage d ON d.message_id = m.id
    WHERE m.status = ANY(%(waiting)s::text[]) AND NOT m.exempt
      AND (u.sender = '' OR lower(ltrim(m.sender, '+')) = u.sender)
    FOR UPDATE OF d SKIP LOCKED
)
DELETE FROM gateway_duemessage d USING waiting w WHERE d.message_id = w.message_id RETURNING d.message_id
"""


def _refuse_waiting(tenant_id: int, unwilling: Sequence[tuple[str, str]]) -> None:
    """End the messages that wait for these numbers and senders; whoever deletes a due row has the message."""
    if not unwilling:
        return
    given: dict[str, Any] = {
        "tenant": tenant_id,
        "phones": arrays.plain([phone for phone, _sender in unwilling]),
        "senders": arrays.texts([same(sender) for _phone, sender in unwilling]),
        "waiting": [status.value for status in statuses.WAITING],
    }
    with connection.cursor() as cursor:
        cursor.execute(_WAITING, given)
        keys = {key for (key,) in cursor.fetchall()}
    now = datetime.now(tz=UTC)
    lifecycle.move(
        moves=[Move(key, Status.REJECTED, now, error_code=errors.RecipientOptedOut.code) for key in keys]
    )


# A consent's event belongs to its opt-out, as one that a handset brought about belongs to the handset's message.
_TELL = """
INSERT INTO gateway_event (id, tenant_id, message_id, type, sequence, occurred_at, data)
SELECT n.event_id, o.tenant_id, o.id, %(type)s, %(sequence)s, %(at)s,
       jsonb_build_object('phone', o.phone, 'scope', CASE o.sender WHEN '' THEN 'tenant' ELSE 'sender' END,
                          'sender', nullif(o.sender, ''), 'reason', o.reason, 'text', o.text,
                          'inboundId', o.inbound_id, 'channel', 'sms')
FROM unnest(%(events)s::uuid[], %(ids)s::uuid[]) AS n (event_id, id)
JOIN gateway_optout o ON o.id = n.id
"""


def _tell(tenant_id: int, keys: Sequence[UUID], type_: str) -> None:
    """Write the events of opt-outs that are new, or are about to go, and queue their callbacks."""
    if not keys:
        return
    events = ids.new(len(keys))
    given: dict[str, Any] = {
        "events": arrays.uuids(events),
        "ids": arrays.uuids(keys),
        "type": type_,
        "sequence": 1 if type_ == OPTED_OUT else 2,
        "at": datetime.now(tz=UTC),
    }
    with connection.cursor() as cursor:
        cursor.execute(_TELL, given)
    facts = [Fact(event, tenant_id, key, type_, None) for event, key in zip(events, keys, strict=True)]
    for fan_out in hooks.fan_out:
        fan_out(facts)


def _there(tenant_id: int, phones: str) -> dict[tuple[str, str], UUID]:
    """The oldest of each that is there."""
    with connection.cursor() as cursor:
        cursor.execute(_THERE, (tenant_id, phones))
        return {(phone, same(sender)): key for phone, sender, key in cursor.fetchall()}


def _insert(tenant_id: int, keys: list[str], rows: Sequence[Row], source: str) -> None:
    given: dict[str, Any] = {
        "tenant": tenant_id,
        "ids": arrays.plain(keys),
        "phones": arrays.plain([row.phone for row in rows]),
        "senders": arrays.texts([row.sender for row in rows]),
        "source": source,
        "reasons": arrays.texts([row.reason for row in rows]),
        "texts": arrays.texts([row.text for row in rows]),
        "inbound": arrays.texts([row.inbound_id.hex if row.inbound_id else None for row in rows]),
    }
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, given)


def exported(*, tenant_id: int) -> Iterator[OptOut]:
    """All of the tenant's, oldest first, read a page at a time."""
    rows = OptOut.objects.for_tenant(tenant_id).order_by("id")
    after = UUID(int=0)
    while page := list(rows.filter(id__gt=after)[:EXPORT_CHUNK]):
        yield from page
        after = page[-1].pk
