"""Which operator carries a message: the routes in force, ranked as :mod:`routing.ranking` does.

They are read every two seconds at most, and with them which operators are to be passed over; the networks' ranges
every minute.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog

from gateway.hooks import RouteRequest
from routing import networks, operators, quiet, windows
from routing.models import Route
from routing.networks import Ranges
from routing.operators import Standing
from routing.ranking import LATER, NO_ROUTE, SANDBOX_OPERATOR_ID, Rule, Table

__all__ = [
    "LATER", "NO_ROUTE", "SANDBOX_OPERATOR_ID", "SANDBOX_SLUG", "Rule", "Table", "explain", "lanes", "table",
]  # fmt: skip

log = structlog.get_logger(__name__)

SANDBOX_SLUG = "sandbox"
REFRESH_SECONDS = 2.0
RANGES_SECONDS = 60.0


class _Cache:
    def __init__(self) -> None:
        self.table = Table(())
        self.known: tuple[Any, ...] = ()
        self.hours: tuple[Any, ...] = ()
        self.lock = threading.Lock()
        self.ranges = networks.NONE
        self.ranges_stale_at = 0.0
        self.stale_at = 0.0


_cache = _Cache()


def table(*, fresh: bool = False) -> Table:
    """The routes in force, at most :data:`REFRESH_SECONDS` old."""
    if fresh or time.monotonic() >= _cache.stale_at:
        with _cache.lock:
            _refresh(datetime.now(tz=UTC))
        _cache.stale_at = time.monotonic() + REFRESH_SECONDS
    return _cache.table


def _refresh(now: datetime) -> None:
    """Read the routes and how their operators are; what is remembered of requests stays while nothing changed."""
    rules = _read()
    ranges = _ranges() if any(rule.network for rule in rules) else networks.NONE
    down = frozenset(key for key, standing in operators.standings().items() if not standing.trusted)
    closed = frozenset(rule for rule in rules if not windows.is_open(rule.windows, now))
    hushes = quiet.hushes(now=now)
    hours = (rules, ranges, closed, hushes)
    if hours != _cache.hours:
        _cache.hours = hours
    known = (*hours, down)
    if known != _cache.known:
        table = Table(rules, ranges=ranges, at=now, down=down, hushes=hushes)
        table.hours = _cache.hours
        _cache.table, _cache.known = table, known


def _ranges() -> Ranges:
    if time.monotonic() >= _cache.ranges_stale_at:
        _cache.ranges = networks.read()
        _cache.ranges_stale_at = time.monotonic() + RANGES_SECONDS
    return _cache.ranges


def _read() -> list[Rule]:
    rows = Route.objects.filter(active=True, operator__active=True).order_by("id")
    rules = []
    for route in rows:
        try:
            rules.append(_rule(route))
        except ValueError as error:
            # Written past the forms. It must not take the other routes with it.
            log.warning("route.windows_refused", route=route.pk, reason=str(error))
    return rules


def _rule(route: Route) -> Rule:
    return Rule(
        operator_id=route.operator_id,
        channel=route.channel,
        prefix=route.prefix,
        tenant_id=route.tenant_id,
        sender=route.sender,
        priority=route.priority,
        weight=route.weight,
        country=route.country,
        network=route.network,
        tag=route.tag,
        cost=route.cost,
        windows=windows.parse(route.windows),
    )


def lanes(requests: Sequence[RouteRequest], *, fresh: bool = True) -> list[int]:
    """The operator of each message about to be accepted, :data:`NO_ROUTE` where there is none.

    ``fresh``: the routes are read again before that is said of any.
    """
    routes = table()
    chosen = [routes.choose(request) for request in requests]
    if fresh and NO_ROUTE in chosen:
        routes = table(fresh=True)
        chosen = [
            routes.choose(request) if lane == NO_ROUTE else lane
            for request, lane in zip(requests, chosen, strict=True)
        ]
    return chosen


def explain(request: RouteRequest) -> dict[str, Any] | None:
    """The route that a message would take now, None where there is none.

    Returns:
        ``operator`` (its slug, None when no route is open now), ``priority``, ``cost`` of a part, ``reason`` in words
        and ``alternatives``: the other operators in the order in which they would be tried, each with ``operator``,
        ``priority``, ``cost`` and ``state`` (ready, down, tripped, closed, quiet).
    """
    (lane,) = lanes([request])
    if lane == NO_ROUTE:
        return None
    standings = operators.standings()
    if lane not in standings:
        standings = operators.standings(fresh=True)
    ranked: dict[int, Rule] = {}
    if lane != SANDBOX_OPERATOR_ID:
        for rule, _is_open in table().ranked(request):
            ranked.setdefault(rule.operator_id, rule)
    own = ranked.pop(lane, None)
    return {
        **_shown(standings.get(lane), own),
        "reason": _reason(request, lane, own, standings),
        "alternatives": [
            {**_shown(standings.get(key), rule), "state": _state(request, rule, standings.get(key))}
            for key, rule in ranked.items()
        ],
    }


def _shown(standing: Standing | None, rule: Rule | None) -> dict[str, Any]:
    return {
        "operator": standing and standing.slug,
        "priority": rule and rule.priority,
        "cost": None if rule is None or rule.cost is None else float(rule.cost),
    }


def _state(request: RouteRequest, rule: Rule, standing: Standing | None) -> str:
    if rule in table().closed:
        return "closed"
    if table().rests(rule.operator_id, request.recipient, request.priority):
        return "quiet"
    if standing is None or not standing.up:
        return "down"
    return "tripped" if standing.tripped else "ready"


def _reason(request: RouteRequest, lane: int, rule: Rule | None, standings: Mapping[int, Standing]) -> str:
    if lane == SANDBOX_OPERATOR_ID:
        return "the sandbox's own operator"
    if rule is None:
        return _waits(request, standings)
    words = [f"prefix +{rule.prefix}"] if rule.prefix else ["any number"]
    words += ["the tenant's own"] if rule.tenant_id is not None else []
    named = (("sender", rule.sender), ("tag", rule.tag), ("network", rule.network), ("country", rule.country))
    words += [f"{name} {value}" for name, value in named if value]
    words.append(f"priority {rule.priority}")
    words += ["least cost"] if rule.cost is not None else []
    state = _state(request, rule, standings.get(lane))
    words += [f"{state}, and none better is usable"] if state != "ready" else []
    return ", ".join(words)


def _waits(request: RouteRequest, standings: Mapping[int, Standing]) -> str:
    """Why no operator has it now."""
    routes = table()
    resting = (
        rule.operator_id
        for rule, _is_open in routes.ranked(request)
        if rule not in routes.closed and routes.rests(rule.operator_id, request.recipient, request.priority)
    )
    operator_id = next(resting, None)
    if operator_id is None or operator_id not in standings:
        return "no route is open now: the message waits for one"
    until = quiet.until(operator_id=operator_id, recipient=request.recipient, now=datetime.now(tz=UTC))
    told = "" if until is None else f" until {until:%Y-%m-%dT%H:%M:%SZ}"
    return f"quiet hours of {standings[operator_id].slug}{told}: the message waits"
