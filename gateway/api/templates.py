"""``/v1/templates``: texts with variables, approved before they are sent."""

import re
from typing import Any

from django.http import HttpResponse
from django.urls import URLPattern
from rest_framework.request import Request

from gateway import content, templates
from gateway.api import pagination
from gateway.api.fields import Members
from gateway.api.paths import both
from gateway.api.rendering import stamp
from gateway.api.views import StrictRequest, View, answer, credential
from gateway.models import Template
from gateway.templates import Filters

CATEGORIES = ("utility", "marketing", "authentication", "other")
CHANNELS = tuple(content.LONGEST)
BODY_LENGTH = 4096
NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8})*")
LANGUAGE_LENGTH = 35

MEMBERS = ("name", "language", "channels", "body", "category")
_FILTERS = frozenset({"limit", "cursor", "name", "language", "channel", "status"})


class Templates(View):
    permission = "templates:manage"

    def get(self, request: Request) -> HttpResponse:
        given = pagination.parameters(request, known=_FILTERS)
        limit, after = pagination.limit_of(given), pagination.cursor_of(given)
        rows = templates.listed(tenant_id=credential(request).tenant_id, filters=_filters(given))
        page = list((rows if after is None else rows.filter(id__lt=after))[: limit + 1])
        following = pagination.cursor_after(page[limit - 1].pk) if len(page) > limit else None
        return answer(request, {"data": [_resource(row) for row in page[:limit]], "nextCursor": following})

    def post(self, request: StrictRequest) -> HttpResponse:
        given = _values(request.members, whole=True)
        values = _DEFAULTS | {name: value for name, value in given.items() if value is not None}
        made = templates.create(tenant_id=credential(request).tenant_id, values=values)
        return answer(request, _resource(made), status=201)


class OneTemplate(View):
    permission = "templates:manage"

    def get(self, request: Request, template_id: str) -> HttpResponse:
        key = pagination.key_of(template_id)
        return answer(
            request, _resource(templates.read(tenant_id=credential(request).tenant_id, template_id=key))
        )

    def patch(self, request: StrictRequest, template_id: str) -> HttpResponse:
        given = _values(request.members, whole=False)
        changed = templates.change(
            tenant_id=credential(request).tenant_id,
            template_id=pagination.key_of(template_id),
            changes={name: value for name, value in given.items() if value is not None},
        )
        return answer(request, _resource(changed))

    def delete(self, request: Request, template_id: str) -> HttpResponse:
        key = pagination.key_of(template_id)
        templates.remove(tenant_id=credential(request).tenant_id, template_id=key)
        return HttpResponse(status=204)


_DEFAULTS: dict[str, Any] = {
    "language": templates.DEFAULT_LANGUAGE,
    "channels": ["sms"],
    "category": CATEGORIES[0],
}


def _values(given: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """A template's members, None for those that are not given.

    Raises:
        errors.Invalid: naming each that is wrong; ``whole`` asks for those without a default.
    """
    members = Members(given, known=MEMBERS)
    values: dict[str, Any] = {
        "name": members.text("name", required=whole, longest=100, pattern=NAME),
        "language": members.text("language", longest=LANGUAGE_LENGTH, pattern=LANGUAGE),
        "channels": members.texts("channels", most=len(CHANNELS), allowed=CHANNELS),
        "body": members.text("body", required=whole, longest=BODY_LENGTH),
        "category": members.choice("category", CATEGORIES),
    }
    if values["channels"] == []:
        members.fault("channels", "REQUIRED", "At least one channel.")
    if values["body"] is not None and not templates.is_well_formed(values["body"]):
        members.fault(
            "body", "INVALID_VALUE", "Variables are written {{name}} or {{1}}; other braces come alone."
        )
    members.check()
    return values


def _filters(given: dict[str, str]) -> Filters:
    return Filters(
        name=given.get("name"),
        language=given.get("language"),
        channel=pagination.choice_of(given, "channel", CHANNELS),
        status=pagination.choice_of(given, "status", Template.Status.values),
    )


def _resource(row: Template) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "name": row.name,
        "language": row.language,
        "channels": row.channels,
        "body": row.body,
        "variables": templates.names(row.body),
        "category": row.category,
        "status": row.status,
        "reason": row.reason,
        "createdAt": stamp(row.created_at),
        "updatedAt": stamp(row.updated_at),
    }


ROUTES: list[URLPattern] = [
    *both("templates", Templates.as_view()),
    *both("templates/<str:template_id>", OneTemplate.as_view()),
]
