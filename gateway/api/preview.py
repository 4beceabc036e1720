"""``POST /v1/messages/preview``: what would become of a message, without sending it."""

from datetime import UTC, datetime
from typing import Any

from django.http import HttpResponse
from django.urls import URLPattern

from gateway import errors, magic, numbers, opt_outs, routed
from gateway.api import schema
from gateway.api.paths import both
from gateway.api.rendering import stamp
from gateway.api.views import StrictRequest, View, answer, credential
from gateway.errors import Problem
from gateway.hooks import hooks
from gateway.storing import Submission


class Preview(View):
    permission = "messages:send"

    def post(self, request: StrictRequest) -> HttpResponse:
        now = datetime.now(tz=UTC)
        draft = schema.message(request.members, credential=credential(request), key=None, now=now)
        if draft.refused is not None:
            raise draft.refused
        step, route = _route(draft)
        return answer(request, _preview(draft, route, _problem(draft, route)) | {"fallbackStep": step})


def _route(draft: Submission) -> tuple[int, dict[str, Any] | None]:
    """The step of its chain that it would begin with, and for that the operator now, why, and who else could."""
    for number, asked in enumerate(routed.ways(draft)):
        if hooks.explain is not None and (route := hooks.explain(asked)) is not None:
            return number, route
    return 0, None


def _problem(draft: Submission, route: dict[str, Any] | None) -> Problem | None:
    """Why the message would be refused: the first reason that sending finds.

    Raises:
        errors.InvalidRecipient: as for sending.
    """
    problem = magic.refusal(tenant_id=draft.tenant_id, recipient=draft.recipient)
    if isinstance(problem, errors.InvalidRecipient):
        raise problem
    if problem is not None:
        return problem
    if route is None:
        return errors.NoRoute()
    is_blocked = any(opt_outs.blocked(wanted=[(draft.tenant_id, draft.recipient, draft.sender)]))
    return errors.RecipientOptedOut() if is_blocked else None


def _preview(draft: Submission, route: dict[str, Any] | None, problem: Problem | None) -> dict[str, Any]:
    return {
        "to": draft.recipient,
        "from": draft.sender,
        "channel": draft.channel,
        "encoding": draft.encoding,
        "parts": draft.parts,
        "characters": None if draft.text is None else len(draft.text),
        "text": draft.text,
        "country": numbers.country(draft.recipient),
        "route": route and {name: value for name, value in route.items() if name != "alternatives"},
        "alternatives": (route or {}).get("alternatives", []),
        "problem": problem and {"errorCode": problem.code, "message": problem.message},
        "sendAt": stamp(draft.send_at),
    }


ROUTES: list[URLPattern] = both("messages/preview", Preview.as_view())
