"""Who does not want messages: of a tenant at all (sender ``''``), or of one of its senders.

Senders are kept as they were given and compared without regard to case or a leading plus: ``ACME`` is ``acme``,
``+4242`` is ``4242``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from gateway import arrays, errors, ids
from gateway.models import OptOut

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
    text: str | None = None,
    inbound_id: UUID | None = None,
) -> tuple[OptOut, bool]:
    """Opt a number out, of the whole tenant when ``sender`` is empty; returns the row and whether it is new.

    One that is there stays as it is. Works inside a transaction.
    """
    there = _of(tenant_id, phone, sender)
    if there:
        return there[0], False
    return OptOut.objects.for_tenant(tenant_id).get_or_create(
        tenant_id=tenant_id,
        phone=phone,
        sender=sender,
        defaults={"source": source, "reason": reason, "text": text, "inbound_id": inbound_id},
    )


def remove(*, tenant_id: int, phone: str, sender: str | None = None) -> int:
    """Take a number's opt-outs away; returns how many there were. Works inside a transaction.

    ``sender`` None takes all of them, ``''`` only that of the whole tenant, another only that sender's.
    """
    keys = [row.pk for row in _of(tenant_id, phone, sender)]
    if not keys:
        return 0
    return OptOut.objects.for_tenant(tenant_id).filter(pk__in=keys).delete()[0]


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
    if not OptOut.objects.for_tenant(tenant_id).filter(pk=opt_out_id).delete()[0]:
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
    """One of an import; ``sender`` is empty for the whole tenant."""

    phone: str
    sender: str
    reason: str | None


_INSERT = """
INSERT INTO gateway_optout (id, tenant_id, phone, sender, source, reason, created_at)
SELECT n.id, %(tenant)s, n.phone, n.sender, 'import', n.reason, now()
FROM unnest(%(ids)s::uuid[], %(phones)s::text[], %(senders)s::text[], %(reasons)s::text[])
     AS n (id, phone, sender, reason)
ON CONFLICT (tenant_id, phone, sender) DO NOTHING
"""
_THERE = """
SELECT o.phone, o.sender, o.id FROM gateway_optout o
WHERE o.tenant_id = %s AND o.phone = ANY(%s::text[])
ORDER BY o.id DESC
"""


def import_(*, tenant_id: int, rows: Sequence[Row]) -> list[tuple[UUID, bool]]:
    """Opt all of them out in one transaction: for each its id, and whether it is new.

    What is there already stays as it is; of several alike the first counts.
    """
    phones = arrays.plain({row.phone for row in rows})
    wanted = {(row.phone, same(row.sender)): row for row in reversed(rows)}
    new: set[UUID] = set()
    with transaction.atomic():
        there = _there(tenant_id, phones)
        # Again for those that another call added, and took away again, in between.
        while missing := sorted(wanted.keys() - there.keys()):
            keys = ids.texts(len(missing))
            _insert(tenant_id, keys, [wanted[key] for key in missing])
            new.update(map(UUID, keys))
            there |= _there(tenant_id, phones)
    outcomes = []
    for row in rows:
        found = there[row.phone, same(row.sender)]
        outcomes.append((found, found in new))
        new.discard(found)
    return outcomes


def _there(tenant_id: int, phones: str) -> dict[tuple[str, str], UUID]:
    """The oldest of each that is there."""
    with connection.cursor() as cursor:
        cursor.execute(_THERE, (tenant_id, phones))
        return {(phone, same(sender)): key for phone, sender, key in cursor.fetchall()}


def _insert(tenant_id: int, keys: list[str], rows: Sequence[Row]) -> None:
    given: dict[str, str | int] = {
        "tenant": tenant_id,
        "ids": arrays.plain(keys),
        "phones": arrays.plain([row.phone for row in rows]),
        "senders": arrays.texts([row.sender for row in rows]),
        "reasons": arrays.texts([row.reason for row in rows]),
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
