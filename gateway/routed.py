"""Whose lane each submission goes to, as the outer apps have it."""

from collections.abc import Callable, Sequence
from functools import partial

from gateway.hooks import RouteRequest, hooks
from gateway.storing import Submission

NO_ROUTE = -1
# Of a message that only a step of its fallback has a route for; it waits in no operator's lane until it is there.
BY_FALLBACK = -3
NOWHERE = 0

_Route = Callable[[Sequence[RouteRequest]], list[int]]


def lanes(*, submissions: Sequence[Submission]) -> list[int]:
    """The operator of each, :data:`NOWHERE`, :data:`BY_FALLBACK` or :data:`NO_ROUTE`."""
    if hooks.route is None:
        return [NOWHERE] * len(submissions)
    found = _lanes(submissions, partial(hooks.route, fresh=False))
    # A route made a moment ago must count before a tenant is told that there is none.
    return _lanes(submissions, hooks.route) if NO_ROUTE in found else found


def _lanes(submissions: Sequence[Submission], route: _Route) -> list[int]:
    found = route([_asked(submission) for submission in submissions])
    return _by_fallback(submissions, found, route) if NO_ROUTE in found else found


def _asked(s: Submission) -> RouteRequest:
    tag = s.metadata.get("tag") if s.metadata else None
    return RouteRequest(s.tenant_id, s.channel, s.recipient, s.sender, s.parts, tag, s.priority)


def _steps(s: Submission) -> list[RouteRequest]:
    tag = s.metadata.get("tag") if s.metadata else None
    return [
        RouteRequest(
            s.tenant_id, step["channel"], s.recipient, step.get("from") or s.sender, 1, tag, s.priority
        )
        for step in s.fallback or ()
    ]


def ways(submission: Submission) -> list[RouteRequest]:
    """What it asks for: as it is, then by its fallback."""
    return [_asked(submission), *_steps(submission)]


def _by_fallback(submissions: Sequence[Submission], found: Sequence[int], route: _Route) -> list[int]:
    """Those without a route of which a later step has one are :data:`BY_FALLBACK`."""
    without = [place for place, lane in enumerate(found) if lane == NO_ROUTE]
    asked = [(place, step) for place in without for step in _steps(submissions[place])]
    answers = route([step for _place, step in asked]) if asked else []
    served = {place for (place, _step), lane in zip(asked, answers, strict=True) if lane != NO_ROUTE}
    return [BY_FALLBACK if place in served else lane for place, lane in enumerate(found)]
