"""Which operator carries a message.

Routes that match are ranked: the longest prefix first, then one for this tenant before one for all, one for this
sender before one for all, then the higher priority; among equals chance decides by weight. Ranking is pure; the
routes are read every two seconds at most.

A sandbox has no routes: whatever it sends goes to the sandbox's operator, which nobody else's messages reach.
"""

import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.hooks import RouteRequest
from gateway.models.tenant import is_sandbox
from routing import operators
from routing.models import Route

NO_ROUTE = -1
# The operator of every sandbox: nothing leaves the house by it.
SANDBOX_OPERATOR_ID = -2
SANDBOX_SLUG = "sandbox"
REFRESH_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Rule:
    """A route as ranking sees it."""

    operator_id: int
    channel: str
    prefix: str
    tenant_id: int | None
    sender: str
    priority: int
    weight: int

    def admits(self, request: RouteRequest) -> bool:
        return (self.tenant_id is None or self.tenant_id == request.tenant_id) and (
            not self.sender or self.sender == request.sender
        )

    def rank(self) -> tuple[bool, bool, int]:
        return (self.tenant_id is not None, bool(self.sender), self.priority)


class Table:
    """Rules by channel and prefix. One that leads to the sandbox's operator does not count."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._by_prefix: dict[str, dict[str, list[Rule]]] = defaultdict(lambda: defaultdict(list))
        for rule in rules:
            if rule.operator_id != SANDBOX_OPERATOR_ID:
                self._by_prefix[rule.channel][rule.prefix].append(rule)
        self._lengths = {
            channel: sorted({len(prefix) for prefix in prefixes}, reverse=True)
            for channel, prefixes in self._by_prefix.items()
        }

    def groups(self, request: RouteRequest) -> list[list[Rule]]:
        """The matching rules, best first; those of one group are equals, to be told apart by weight."""
        digits = request.recipient.lstrip("+")
        prefixes = self._by_prefix.get(request.channel, {})
        groups: list[list[Rule]] = []
        for length in self._lengths.get(request.channel, ()):
            rules = [rule for rule in prefixes.get(digits[:length], ()) if rule.admits(request)]
            ranks = sorted({rule.rank() for rule in rules}, reverse=True)
            groups.extend([rule for rule in rules if rule.rank() == rank] for rank in ranks)
        return groups

    def choose(
        self,
        request: RouteRequest,
        *,
        usable: Callable[[int], bool] = lambda _operator_id: True,
        chance: Callable[[], float] = random.random,
    ) -> int:
        """The operator's id, or :data:`NO_ROUTE`; of a sandbox's message always :data:`SANDBOX_OPERATOR_ID`.

        An equal that is not usable (down, or has refused this message) is passed over; when none of the best
        group is usable the message still belongs to that group and waits for it.
        """
        if is_sandbox(request.tenant_id):
            return SANDBOX_OPERATOR_ID
        groups = self.groups(request)
        if not groups:
            return NO_ROUTE
        best = [rule for rule in groups[0] if usable(rule.operator_id)] or groups[0]
        return _weighted(best, chance)


def _weighted(rules: Sequence[Rule], chance: Callable[[], float]) -> int:
    if len(rules) == 1:
        return rules[0].operator_id
    total = sum(rule.weight for rule in rules)
    point = chance() * total
    for rule in rules:
        point -= rule.weight
        if point < 0:
            return rule.operator_id
    return rules[-1].operator_id


class _Cache:
    def __init__(self) -> None:
        self.table = Table(())
        self.stale_at = 0.0


_cache = _Cache()


def table(*, fresh: bool = False) -> Table:
    """The routes in force, at most :data:`REFRESH_SECONDS` old."""
    if fresh or time.monotonic() >= _cache.stale_at:
        _cache.table = Table(_read())
        _cache.stale_at = time.monotonic() + REFRESH_SECONDS
    return _cache.table


def _read() -> list[Rule]:
    rows = Route.objects.filter(active=True, operator__active=True).values_list(
        "operator_id", "channel", "prefix", "tenant_id", "sender", "priority", "weight"
    )
    return [Rule(*row) for row in rows]


def lanes(requests: Sequence[RouteRequest]) -> list[int]:
    """The operator of each message about to be accepted, :data:`NO_ROUTE` where there is none."""
    routes = table()
    chosen = [routes.choose(request) for request in requests]
    if NO_ROUTE in chosen:
        # A route made a moment ago must count before a tenant is told that there is none.
        routes = table(fresh=True)
        chosen = [
            routes.choose(request) if lane == NO_ROUTE else lane
            for request, lane in zip(requests, chosen, strict=True)
        ]
    return chosen


def explain(request: RouteRequest) -> dict[str, Any] | None:
    """The route that a message would take now: ``{"operator": slug}``, None where there is none."""
    (lane,) = lanes([request])
    standing = operators.standings().get(lane)
    if standing is None and lane != NO_ROUTE:
        standing = operators.standings(fresh=True).get(lane)
    return None if standing is None else {"operator": standing.slug}
