"""``/v1/opt-outs``: who does not want messages; one by one, imported, exported."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import URLPattern
from rest_framework.request import Request

from gateway import errors, opt_outs
from gateway.api import pagination
from gateway.api.contacts import phone_member
from gateway.api.fields import Members
from gateway.api.imports import Rows, csv_rows, is_csv, json_rows
from gateway.api.paths import both
from gateway.api.rendering import stamp
from gateway.api.views import StrictRequest, View, answer, credential
from gateway.errors import Detail
from gateway.models import OptOut

SCOPES = ("tenant", "sender")
REASON_LENGTH = 1000
SENDER = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 ._&'+-]{1,11}|\+?[0-9]{3,15}")
MEMBERS = ("phone", "to", "scope", "sender", "reason")
EXPORTED = ("id", "phone", "scope", "sender", "source", "reason", "text", "inboundId", "createdAt")
# Columns of an export that an import takes no notice of: what it makes has its own.
_UNREAD = frozenset(EXPORTED) - frozenset(MEMBERS)
_FILTERS = frozenset(
    {"limit", "cursor", "phone", "scope", "sender", "source", "createdAfter", "createdBefore"}
)
_BATCH = 500


class OptOuts(View):
    permission = "contacts:manage"

    def get(self, request: Request) -> HttpResponse:
        given = pagination.parameters(request, known=_FILTERS)
        limit, after = pagination.limit_of(given), pagination.cursor_of(given)
        rows = opt_outs.listed(tenant_id=credential(request).tenant_id, filters=_filters(given))
        page = list((rows if after is None else rows.filter(id__lt=after))[: limit + 1])
        following = pagination.cursor_after(page[limit - 1].pk) if len(page) > limit else None
        return answer(request, {"data": [_resource(row) for row in page[:limit]], "nextCursor": following})

    def post(self, request: StrictRequest) -> HttpResponse:
        wanted = _row(request.members)
        row, new = opt_outs.add(
            tenant_id=credential(request).tenant_id,
            phone=wanted.phone,
            sender=wanted.sender,
            source=OptOut.Source.API,
            reason=wanted.reason,
        )
        return answer(request, _resource(row), status=201 if new else 200)

    def delete(self, request: Request) -> HttpResponse:
        given = pagination.parameters(request, known=("phone", "sender"))
        phone, sender = pagination.phone_of(given), _sender_of(given)
        if phone is None:
            raise errors.Invalid(details=[Detail("phone", "REQUIRED", "Whose opt-outs to remove.")])
        if not opt_outs.remove(tenant_id=credential(request).tenant_id, phone=phone, sender=sender):
            raise errors.NotFound
        return HttpResponse(status=204)


class OneOptOut(View):
    permission = "contacts:manage"

    def get(self, request: Request, opt_out_id: str) -> HttpResponse:
        found = opt_outs.read(
            tenant_id=credential(request).tenant_id, opt_out_id=pagination.key_of(opt_out_id)
        )
        return answer(request, _resource(found))

    def delete(self, request: Request, opt_out_id: str) -> HttpResponse:
        opt_outs.remove_one(tenant_id=credential(request).tenant_id, opt_out_id=pagination.key_of(opt_out_id))
        return HttpResponse(status=204)


class Import(View):
    permission = "contacts:manage"

    def post(self, request: StrictRequest) -> HttpResponse:
        call = Rows(_import_of(request), _row)
        done = opt_outs.import_(tenant_id=credential(request).tenant_id, rows=call.valid)
        outcomes = [(key, "created" if new else "unchanged") for key, new in done]
        return answer(request, call.render(outcomes, ("created", "unchanged")))


class Export(View):
    permission = "contacts:manage"

    def get(self, request: Request) -> HttpResponseBase:
        pagination.parameters(request, known=())
        rows = opt_outs.exported(tenant_id=credential(request).tenant_id)
        return StreamingHttpResponse(
            _lines(rows),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": 'attachment; filename="opt-outs.csv"'},
        )


def _filters(given: dict[str, str]) -> opt_outs.Filters:
    return opt_outs.Filters(
        phone=pagination.phone_of(given),
        scope=_choice(given, "scope", SCOPES),
        sender=_sender_of(given),
        source=_choice(given, "source", OptOut.Source.values),
        created_after=pagination.moment_of(given, "createdAfter"),
        created_before=pagination.moment_of(given, "createdBefore"),
    )


def _choice(given: dict[str, str], name: str, allowed: Sequence[str]) -> str | None:
    text = given.get(name)
    if text is None or text in allowed:
        return text
    raise errors.Invalid(details=[Detail(name, "INVALID_VALUE", f"One of {', '.join(allowed)}.")])


def _sender_of(given: dict[str, str]) -> str | None:
    """A query's sender; a plus that was not escaped arrives as a space.

    Raises:
        errors.InvalidSender: it cannot be one.
    """
    sender = given.get("sender")
    if sender is None:
        return None
    sender = sender.lstrip(" ")
    if not SENDER.fullmatch(sender):
        detail = Detail("sender", errors.InvalidSender.code, errors.InvalidSender.message)
        raise errors.InvalidSender(details=[detail])
    return sender


def _import_of(request: StrictRequest) -> Sequence[Any]:
    if is_csv(request):
        rows = csv_rows(request, columns={*MEMBERS, *EXPORTED})
        return [{name: cell for name, cell in row.items() if name not in _UNREAD} for row in rows]
    members = Members(request.members, known=("optOuts",))
    rows = json_rows(members, "optOuts")
    members.check()
    return rows


def _row(body: Any) -> opt_outs.Row:
    """An opt-out that a body asks for.

    Raises:
        errors.Problem: naming each member that is not valid.
    """
    members = Members(body, known=MEMBERS)
    phone = phone_member(members)
    scope = members.choice("scope", SCOPES)
    sender = _sender(members, required=scope == "sender")
    if sender and scope != "sender":
        members.fault("sender", "INVALID_VALUE", "Only with the scope sender.")
    reason = members.text("reason", longest=REASON_LENGTH)
    members.check()
    return opt_outs.Row(phone or "", sender or "", reason)


def _sender(members: Members, *, required: bool) -> str | None:
    found = members.value("sender", required=required)
    if found is None:
        return None
    if type(found) is not str:
        members.fault("sender", "INVALID_TYPE", "Must be a string.")
    elif not SENDER.fullmatch(found):
        members.fault("sender", errors.InvalidSender.code, errors.InvalidSender.message)
    else:
        return found
    return None


def _resource(row: OptOut) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "phone": row.phone,
        "scope": "sender" if row.sender else "tenant",
        "sender": row.sender or None,
        "source": row.source,
        "reason": row.reason,
        "text": row.text,
        "inboundId": None if row.inbound_id is None else str(row.inbound_id),
        "createdAt": stamp(row.created_at),
    }


def _lines(rows: Iterable[OptOut]) -> Iterator[str]:
    """CSV with a header, some hundred lines at a time."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(EXPORTED)
    for count, row in enumerate(rows, 1):
        shown = _resource(row)
        writer.writerow([_cell(shown[name]) for name in EXPORTED])
        if count % _BATCH == 0:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


_plain_number = re.compile(r"[+-]?[0-9]+")


def _cell(value: str | None) -> str:
    """A cell that no spreadsheet takes for a formula: a quote goes before what might be one."""
    if value and value[0] in "=+-@\t\r\n" and not _plain_number.fullmatch(value):
        return f"'{value}"
    return value or ""


ROUTES: list[URLPattern] = [
    *both("opt-outs", OptOuts.as_view()),
    *both("opt-outs/import", Import.as_view()),
    *both("opt-outs/export", Export.as_view()),
    *both("opt-outs/<str:opt_out_id>", OneOptOut.as_view()),
]
