"""The people that a tenant writes to, one a phone number."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet

from gateway import arrays, errors, ids
from gateway.errors import Detail, Problem
from gateway.models import Contact

TAGS = 50
CUSTOM_FIELDS = 50

_json = msgspec.json.Encoder()


def create(*, tenant_id: int, values: dict[str, Any]) -> Contact:
    """A new contact; ``values`` are columns of :class:`Contact`, the phone among them.

    Raises:
        errors.ContactExists: the tenant has one of this phone.
    """
    try:
        with transaction.atomic():
            return Contact.objects.create(tenant_id=tenant_id, **values)
    except IntegrityError as error:
        raise errors.ContactExists from error


def read(*, tenant_id: int, contact_id: UUID) -> Contact:
    """One contact.

    Raises:
        errors.NotFound: the tenant has no such one.
    """
    return _found(Contact.objects.for_tenant(tenant_id).filter(pk=contact_id))


def change(*, tenant_id: int, contact_id: UUID, changes: dict[str, Any]) -> Contact:
    """The contact with these columns changed.

    Raises:
        errors.NotFound: the tenant has no such one.
        errors.ContactExists: another contact has the new phone.
    """
    try:
        with transaction.atomic():
            contact = _locked(tenant_id, contact_id)
            return _saved(contact, **changes) if changes else contact
    except IntegrityError as error:
        raise errors.ContactExists from error


def tag(*, tenant_id: int, contact_id: UUID, tags: Sequence[str]) -> Contact:
    """The contact with these tags added.

    Raises:
        errors.NotFound: the tenant has no such one.
        errors.Invalid: they would be too many.
    """
    with transaction.atomic():
        contact = _locked(tenant_id, contact_id)
        together = list(dict.fromkeys([*contact.tags, *tags]))
        if len(together) > TAGS:
            raise _too_many("tags", TAGS)
        return contact if together == contact.tags else _saved(contact, tags=together)


def untag(*, tenant_id: int, contact_id: UUID, tag: str) -> Contact:
    """The contact without the tag; one that it does not have is no error.

    Raises:
        errors.NotFound: the tenant has no such contact.
    """
    with transaction.atomic():
        contact = _locked(tenant_id, contact_id)
        if tag not in contact.tags:
            return contact
        return _saved(contact, tags=[other for other in contact.tags if other != tag])


def remove(*, tenant_id: int, contact_id: UUID) -> None:
    """Forget a contact.

    Raises:
        errors.NotFound: the tenant has no such one.
    """
    if not Contact.objects.for_tenant(tenant_id).filter(pk=contact_id).delete()[0]:
        raise errors.NotFound


def _locked(tenant_id: int, contact_id: UUID) -> Contact:
    return _found(Contact.objects.for_tenant(tenant_id).filter(pk=contact_id).select_for_update())


def _found(rows: QuerySet[Contact, Contact]) -> Contact:
    contact = rows.first()
    if contact is None:
        raise errors.NotFound
    return contact


def _saved(contact: Contact, **changes: Any) -> Contact:
    for name, value in changes.items():
        setattr(contact, name, value)
    contact.save(update_fields=[*changes, "updated_at"])
    return contact


def _too_many(name: str, most: int) -> errors.Invalid:
    return errors.Invalid(
        details=[Detail(name, "TOO_MANY", f"At most {most}, those that are there included.")]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What a list is narrowed to; None is no matter."""

    phone: str | None = None
    tag: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


def listed(*, tenant_id: int, filters: Filters) -> QuerySet[Contact, Contact]:
    """The tenant's contacts that match, newest first."""
    rows = Contact.objects.for_tenant(tenant_id).order_by("-id")
    if filters.phone is not None:
        rows = rows.filter(phone=filters.phone)
    if filters.tag is not None:
        rows = rows.filter(tags__contains=[filters.tag])
    if filters.created_after is not None:
        rows = rows.filter(id__gte=ids.floor(filters.created_after))
    if filters.created_before is not None:
        rows = rows.filter(id__lt=ids.floor(filters.created_before))
    return rows


@dataclass(slots=True)
class Row:
    """One of an import. None leaves a member as it is; tags and custom fields are added to those there are."""

    phone: str
    name: str | None = None
    email: str | None = None
    language: str | None = None
    tags: list[str] = field(default_factory=list)
    custom_fields: dict[str, str] = field(default_factory=dict)


Outcome = tuple[UUID, str] | Problem

_THERE = """
SELECT phone, id, tags, custom_fields::text FROM gateway_contact
WHERE tenant_id = %s AND phone = ANY(%s::text[])
ORDER BY phone
FOR UPDATE
"""
_ROWS = """
unnest(%(ids)s::uuid[], %(phones)s::text[], %(names)s::text[], %(emails)s::text[], %(languages)s::text[],
       %(tags)s::jsonb[], %(custom)s::jsonb[]) AS n (id, phone, name, email, language, tags, custom)
"""
_TAGS = "ARRAY(SELECT jsonb_array_elements_text(n.tags))"
_INSERT = f"""
INSERT INTO gateway_contact
    (id, tenant_id, phone, name, email, language, tags, custom_fields, created_at, updated_at)
SELECT n.id, %(tenant)s, n.phone, n.name, n.email, n.language, {_TAGS}, n.custom, now(), now()
FROM {_ROWS}
ON CONFLICT (tenant_id, phone) DO NOTHING
RETURNING phone, id
"""
_UPDATE = f"""
UPDATE gateway_contact c
SET name = coalesce(n.name, c.name), email = coalesce(n.email, c.email),
    language = coalesce(n.language, c.language), tags = {_TAGS}, custom_fields = n.custom, updated_at = now()
FROM {_ROWS}
WHERE c.id = n.id AND c.tenant_id = %(tenant)s
"""


def import_(*, tenant_id: int, rows: Sequence[Row]) -> list[Outcome]:
    """Create or update a contact for each row, in one transaction.

    Returns for each row the contact's id and ``created``, ``updated`` or, for all but the last row of a phone,
    ``duplicate``: those are not looked at. A row that would leave a contact with too much is refused.
    """
    waiting = {row.phone: row for row in rows}
    done: dict[str, Outcome] = {}
    with transaction.atomic():
        # Again for those that another call created in between.
        while waiting:
            there = _there(tenant_id, list(waiting))
            done |= _update(tenant_id, there, [waiting.pop(phone) for phone in there])
            done |= _insert(tenant_id, [waiting[phone] for phone in sorted(waiting)])
            waiting = {phone: row for phone, row in waiting.items() if phone not in done}
    last = {row.phone: place for place, row in enumerate(rows)}
    return [
        _duplicate(done[row.phone]) if last[row.phone] != place else done[row.phone]
        for place, row in enumerate(rows)
    ]


def _duplicate(outcome: Outcome) -> Outcome:
    return outcome if isinstance(outcome, Problem) else (outcome[0], "duplicate")


_Kept = tuple[UUID, list[str], dict[str, str]]


def _there(tenant_id: int, phones: list[str]) -> dict[str, _Kept]:
    """The contacts of these phones, locked in the order that every import has."""
    with connection.cursor() as cursor:
        cursor.execute(_THERE, (tenant_id, arrays.plain(phones)))
        rows = cursor.fetchall()
    return {phone: (key, tags, msgspec.json.decode(custom)) for phone, key, tags, custom in rows}


def _update(tenant_id: int, there: dict[str, _Kept], rows: list[Row]) -> dict[str, Outcome]:
    done: dict[str, Outcome] = {}
    good, keys = [], []
    for row in rows:
        key, tags, custom = there[row.phone]
        row.tags = list(dict.fromkeys([*tags, *row.tags]))
        row.custom_fields = custom | row.custom_fields
        problem = _excess(row)
        done[row.phone] = problem or (key, "updated")
        if problem is None:
            good.append(row)
            keys.append(key.hex)
    if good:
        with connection.cursor() as cursor:
            cursor.execute(_UPDATE, _columns(tenant_id, keys, good))
    return done


def _excess(row: Row) -> Problem | None:
    if len(row.tags) > TAGS:
        return _too_many("tags", TAGS)
    if len(row.custom_fields) > CUSTOM_FIELDS:
        return _too_many("customFields", CUSTOM_FIELDS)
    return None


def _insert(tenant_id: int, rows: list[Row]) -> dict[str, Outcome]:
    """The outcomes of those that were new."""
    good = [row for row in rows if _excess(row) is None]
    done: dict[str, Outcome] = {row.phone: problem for row in rows if (problem := _excess(row))}
    if good:
        with connection.cursor() as cursor:
            cursor.execute(_INSERT, _columns(tenant_id, ids.texts(len(good)), good))
            done |= {phone: (key, "created") for phone, key in cursor.fetchall()}
    return done


def _columns(tenant_id: int, keys: list[str], rows: Sequence[Row]) -> dict[str, str | int]:
    return {
        "tenant": tenant_id,
        "ids": arrays.plain(keys),
        "phones": arrays.plain([row.phone for row in rows]),
        "names": arrays.texts([row.name for row in rows]),
        "emails": arrays.texts([row.email for row in rows]),
        "languages": arrays.texts([row.language for row in rows]),
        "tags": arrays.texts([_json.encode(row.tags).decode() for row in rows]),
        "custom": arrays.texts([_json.encode(row.custom_fields).decode() for row in rows]),
    }
