"""``/v1/keywords``: what happens when a handset sends a certain word."""

import re
from typing import Any

from django.http import HttpResponse
from django.urls import URLPattern
from rest_framework.request import Request

from gateway import keywords
from gateway.api import pagination
from gateway.api.fields import Members
from gateway.api.pagination import key_of
from gateway.api.paths import both
from gateway.api.rendering import stamp
from gateway.api.views import StrictRequest, View, answer, credential
from gateway.keywords import Action, Match, Rule

REPLY_LENGTH = 1600
# Everything but controls, and what is no more than a blank; one space between words. JavaScript reads it alike.
_LETTERS = (
    r"[^\u0000-\u0020\u007f-\u00a0\u00ad\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]"
)
WORD = f"{_LETTERS}+"
WORDS = f"{WORD}(?: {WORD})*"
MEMBERS = frozenset({"keyword", "match", "action", "replyText", "callbackUrl"})
PERMISSIONS = {
    "GET": "inbound:read",
    "POST": "contacts:manage",
    "PATCH": "contacts:manage",
    "DELETE": "contacts:manage",
}
_words = re.compile(WORDS)
_COLUMNS = {
    "keyword": "keyword",
    "match": "match",
    "action": "action",
    "replyText": "reply_text",
    "callbackUrl": "callback_url",
}


class Keywords(View):
    permissions = PERMISSIONS

    def get(self, request: Request) -> HttpResponse:
        given = pagination.parameters(request, known=("limit", "cursor"))
        limit, after = pagination.limit_of(given), pagination.cursor_of(given)
        rules = keywords.listed(tenant_id=credential(request).tenant_id, after=after, limit=limit + 1)
        following = pagination.cursor_after(rules[limit - 1].id) if len(rules) > limit else None
        return answer(request, {"data": [_resource(rule) for rule in rules[:limit]], "nextCursor": following})

    def post(self, request: StrictRequest) -> HttpResponse:
        given = _values(request.members, required=True)
        values = {name: value for name, value in given.items() if value is not None}
        made = keywords.create(tenant_id=credential(request).tenant_id, values=values)
        return answer(request, _resource(made), status=201)


class OneKeyword(View):
    permissions = PERMISSIONS

    def get(self, request: Request, keyword_id: str) -> HttpResponse:
        found = keywords.read(tenant_id=credential(request).tenant_id, keyword_id=key_of(keyword_id))
        return answer(request, _resource(found))

    def patch(self, request: StrictRequest, keyword_id: str) -> HttpResponse:
        values = _values(request.members, required=False)
        changed = keywords.change(
            tenant_id=credential(request).tenant_id,
            keyword_id=key_of(keyword_id),
            changes={column: values[column] for name, column in _COLUMNS.items() if name in request.members},
        )
        return answer(request, _resource(changed))

    def delete(self, request: Request, keyword_id: str) -> HttpResponse:
        keywords.remove(tenant_id=credential(request).tenant_id, keyword_id=key_of(keyword_id))
        return HttpResponse(status=204)


def _values(body: dict[str, Any], *, required: bool) -> dict[str, Any]:
    """A body's members by column; None for those that are absent or null.

    Raises:
        errors.Problem: naming each member that is not valid.
    """
    members = Members(body, known=MEMBERS)
    values = {
        "keyword": _word(members, required=required or "keyword" in members),
        "match": members.choice("match", Match.values, required=not required and "match" in members),
        "action": members.choice("action", Action.values, required=required or "action" in members),
        "reply_text": members.text("replyText", longest=REPLY_LENGTH),
        "callback_url": members.url("callbackUrl"),
    }
    members.check()
    return values


def _word(members: Members, *, required: bool) -> str | None:
    """A keyword in the form that it is kept in."""
    given = members.text("keyword", required=required, longest=keywords.LENGTH)
    if given is None:
        return None
    if not _words.fullmatch(given):
        members.fault("keyword", "INVALID_CHARACTER", "One word, or words with one space between them.")
        return None
    word = keywords.canonical(given)
    if len(word) > keywords.LENGTH:
        members.fault("keyword", "INVALID_LENGTH", f"At most {keywords.LENGTH} characters in capitals.")
        return None
    return word


def _resource(rule: Rule) -> dict[str, Any]:
    return {
        "id": str(rule.id),
        "keyword": rule.keyword,
        "match": rule.match,
        "action": rule.action,
        "replyText": rule.reply_text,
        "callbackUrl": rule.callback_url,
        "builtIn": rule.built_in,
        "createdAt": stamp(rule.created_at),
        "updatedAt": stamp(rule.updated_at),
    }


ROUTES: list[URLPattern] = [
    *both("keywords", Keywords.as_view()),
    *both("keywords/<str:keyword_id>", OneKeyword.as_view()),
]
