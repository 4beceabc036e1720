"""``/v1/contacts``: whom a tenant writes to; one by one, by tags, or imported by the thousand."""

import re
from collections.abc import Sequence
from typing import Any

from django.http import HttpResponse
from django.urls import URLPattern, path
from rest_framework.request import Request

from gateway import contacts, opt_outs
from gateway.api import pagination
from gateway.api.fields import Members
from gateway.api.imports import Rows, csv_rows, is_csv, json_rows
from gateway.api.paths import both
from gateway.api.rendering import stamp
from gateway.api.views import StrictRequest, View, answer, credential
from gateway.models import Contact

TAG_LENGTH, NAME_LENGTH, EMAIL_LENGTH, LANGUAGE_LENGTH = 64, 255, 254, 35
EMAIL = re.compile(r"[A-Za-z0-9!#$%&'*+\-./=?^_`{|}~]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.\-]{0,251}[A-Za-z0-9])?")
LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8})*")

MEMBERS = frozenset({"phone", "to", "name", "email", "language", "tags", "customFields"})
COLUMNS = MEMBERS - {"customFields"}
_FILTERS = frozenset({"limit", "cursor", "phone", "tag", "createdAfter", "createdBefore"})


class Contacts(View):
    permission = "contacts:manage"

    def get(self, request: Request) -> HttpResponse:
        tenant_id = credential(request).tenant_id
        given = pagination.parameters(request, known=_FILTERS)
        limit, after = pagination.limit_of(given), pagination.cursor_of(given)
        rows = contacts.listed(tenant_id=tenant_id, filters=_filters(given))
        page = list((rows if after is None else rows.filter(id__lt=after))[: limit + 1])
        following = pagination.cursor_after(page[limit - 1].pk) if len(page) > limit else None
        return answer(request, {"data": _resources(page[:limit]), "nextCursor": following})

    def post(self, request: StrictRequest) -> HttpResponse:
        values = _values(request.members)
        values = {name: value for name, value in values.items() if value is not None}
        made = contacts.create(tenant_id=credential(request).tenant_id, values=values)
        return answer(request, _resource(made), status=201)


class OneContact(View):
    permission = "contacts:manage"

    def get(self, request: Request, contact_id: str) -> HttpResponse:
        tenant_id = credential(request).tenant_id
        return answer(
            request, _resource(contacts.read(tenant_id=tenant_id, contact_id=pagination.key_of(contact_id)))
        )

    def patch(self, request: StrictRequest, contact_id: str) -> HttpResponse:
        changed = contacts.change(
            tenant_id=credential(request).tenant_id,
            contact_id=pagination.key_of(contact_id),
            changes=_changes(request.members),
        )
        return answer(request, _resource(changed))

    def delete(self, request: Request, contact_id: str) -> HttpResponse:
        contacts.remove(tenant_id=credential(request).tenant_id, contact_id=pagination.key_of(contact_id))
        return HttpResponse(status=204)


class Tags(View):
    permission = "contacts:manage"

    def post(self, request: StrictRequest, contact_id: str) -> HttpResponse:
        members = Members(request.members, known=("tags",))
        tags = _tags(members, "tags", required=True)
        members.check()
        changed = contacts.tag(
            tenant_id=credential(request).tenant_id, contact_id=pagination.key_of(contact_id), tags=tags or ()
        )
        return answer(request, _resource(changed))


class OneTag(View):
    permission = "contacts:manage"

    def delete(self, request: Request, contact_id: str, tag: str) -> HttpResponse:
        changed = contacts.untag(
            tenant_id=credential(request).tenant_id,
            contact_id=pagination.key_of(contact_id),
            tag=tag.removesuffix("/"),
        )
        return answer(request, _resource(changed))


class Import(View):
    permission = "contacts:manage"

    def post(self, request: StrictRequest) -> HttpResponse:
        rows, tags = _import_of(request)
        call = Rows(rows, lambda row: _row(row, tags))
        outcomes = contacts.import_(tenant_id=credential(request).tenant_id, rows=call.valid)
        return answer(request, call.render(outcomes, ("created", "updated", "duplicate")))


def phone_member(members: Members, *, required: bool = True) -> str | None:
    """The phone of a body, under either of its names."""
    if "to" not in members:
        return members.phone("phone", required=required or "phone" in members)
    if "phone" in members:
        members.fault("to", "INVALID_VALUE", "The same as phone: give one of them.")
    return members.phone("to", required=True)


def _filters(given: dict[str, str]) -> contacts.Filters:
    return contacts.Filters(
        phone=pagination.phone_of(given),
        tag=given.get("tag"),
        created_after=pagination.moment_of(given, "createdAfter"),
        created_before=pagination.moment_of(given, "createdBefore"),
    )


def _values(body: Any, *, required: bool = True) -> dict[str, Any]:
    """A body's members by column; None for those that are absent or null.

    Raises:
        errors.Problem: naming each member that is not valid.
    """
    members = Members(body, known=MEMBERS)
    values = {
        "phone": phone_member(members, required=required),
        "name": members.text("name", longest=NAME_LENGTH),
        "email": members.text("email", longest=EMAIL_LENGTH, pattern=EMAIL),
        "language": members.text("language", longest=LANGUAGE_LENGTH, pattern=LANGUAGE),
        "tags": _tags(members, "tags"),
        "custom_fields": members.pairs("customFields", most=contacts.CUSTOM_FIELDS),
    }
    members.check()
    return values


def _tags(members: Members, name: str, *, required: bool = False) -> list[str] | None:
    if required:
        members.value(name, required=True)
    return members.texts(name, most=contacts.TAGS, longest=TAG_LENGTH)


_NAMES = {"customFields": "custom_fields", "to": "phone"}
_EMPTY: dict[str, Any] = {"tags": [], "custom_fields": {}}


def _changes(body: dict[str, Any]) -> dict[str, Any]:
    """The columns that a PATCH changes; null empties them."""
    values = _values(body, required=False)
    given = {_NAMES.get(name, name) for name in body}
    return {
        name: _EMPTY.get(name) if value is None else value for name, value in values.items() if name in given
    }


def _import_of(request: StrictRequest) -> tuple[Sequence[Any], list[str]]:
    """The rows of a call, and the tags that each of them gets."""
    if is_csv(request):
        return csv_rows(request, columns=COLUMNS, custom=True), []
    members = Members(request.members, known=("contacts", "tags"))
    tags = _tags(members, "tags")
    rows = json_rows(members, "contacts")
    members.check()
    return rows, tags or []


def _row(body: Any, tags: Sequence[str]) -> contacts.Row:
    values = _values(body)
    return contacts.Row(
        phone=values["phone"],
        name=values["name"],
        email=values["email"],
        language=values["language"],
        tags=list(dict.fromkeys([*(values["tags"] or ()), *tags])),
        custom_fields=values["custom_fields"] or {},
    )


def _resource(contact: Contact) -> dict[str, Any]:
    return _resources([contact])[0]


def _resources(found: Sequence[Contact]) -> list[dict[str, Any]]:
    opted_out = opt_outs.blocked(wanted=[(contact.tenant_id, contact.phone, None) for contact in found])
    return [_shown(contact, opted_out=out) for contact, out in zip(found, opted_out, strict=True)]


def _shown(contact: Contact, *, opted_out: bool) -> dict[str, Any]:
    return {
        "id": str(contact.pk),
        "phone": contact.phone,
        "name": contact.name,
        "email": contact.email,
        "language": contact.language,
        "tags": contact.tags,
        "customFields": contact.custom_fields,
        "optedOut": opted_out,
        "createdAt": stamp(contact.created_at),
        "updatedAt": stamp(contact.updated_at),
    }


ROUTES: list[URLPattern] = [
    *both("contacts", Contacts.as_view()),
    *both("contacts/import", Import.as_view()),
    *both("contacts/<str:contact_id>", OneContact.as_view()),
    *both("contacts/<str:contact_id>/tags", Tags.as_view()),
    # A tag may hold a slash.
    path("contacts/<str:contact_id>/tags/<path:tag>", OneTag.as_view()),
]
