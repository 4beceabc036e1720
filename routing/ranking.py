"""How routes are ranked for a message, and which operator that makes its carrier.

A route matches by channel, prefix, country, network, tenant, sender and tag; what it leaves empty matches everything.
Routes that match are ranked: the longest prefix first, then one for this tenant before one for all, one for this
sender before one for any, one for this tag; the narrower network, one for the country; then the higher priority;
then the lower cost, an unknown one last: routes of one priority that have costs are least-cost routing. Among equals
chance decides by weight. Of the ranked routes the first whose operator is usable carries the message, so those
further down are what it fails over to; while none is usable it belongs to the best, and waits.

A route outside its hours does not count. Nor does one whose operator is in its quiet hours (:mod:`routing.quiet`),
and what ranks below it does not either unless an equal is awake or the operator's setting lets it. A message that is
left with no route is taken, and waits in no operator's lane (:data:`LATER`) until one opens.

Nothing here reads a clock or a table. What a request comes to is remembered for all that look alike to the routes, so
choosing costs one look-up.

A sandbox has no routes: whatever it sends goes to the sandbox's operator, which nobody else's messages reach.
"""

import itertools
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType

from gateway import numbers
from gateway.hooks import RouteRequest
from gateway.models.tenant import is_sandbox
from routing import networks, quiet, windows
from routing.networks import Ranges
from routing.quiet import Hush
from routing.windows import Window

NO_ROUTE = -1
# The lane of what waits for a route to open.
LATER = 0
# The operator of every sandbox: nothing leaves the house by it.
SANDBOX_OPERATOR_ID = -2
# Kinds of requests that are remembered.
_MEMORY = 50_000
_NONE: Mapping[int, Hush] = MappingProxyType({})
# What of a request is looked at: the number's beginning, tenant, sender, tag, country, time zones, priority.
_Key = tuple[str, int | None, str | None, str | None, str, tuple[str, ...], int]

Rank = tuple[int, bool, bool, bool, int, bool, int, Decimal]
_DEAREST = Decimal("-Infinity")


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
    country: str = ""
    network: str = ""
    tag: str = ""
    cost: Decimal | None = None
    windows: tuple[Window, ...] = ()

    def admits(self, request: RouteRequest) -> bool:
        """Whether it is for such a tenant, sender and tag."""
        return (
            (self.tenant_id is None or self.tenant_id == request.tenant_id)
            and (not self.sender or self.sender == request.sender)
            and (not self.tag or self.tag == request.tag)
        )

    def covers(self, digits: str, country: str, network: str) -> bool:
        """Whether it is for such a recipient."""
        return (
            digits.startswith(self.prefix)
            and (not self.country or self.country == country)
            and (not self.network or network.startswith(self.network))
        )

    def rank(self) -> tuple[bool, bool, bool, int, bool, int, Decimal]:
        """Compares rules of one prefix: the greater goes first."""
        return (
            self.tenant_id is not None,
            bool(self.sender),
            bool(self.tag),
            len(self.network),
            bool(self.country),
            self.priority,
            _DEAREST if self.cost is None else -self.cost,
        )


def _order(rule: Rule) -> Rank:
    return (len(rule.prefix), *rule.rank())


class _Kind:
    """What all requests come to that look alike: the open rules in groups of equals, best first.

    ``hushed``: the operators that are quiet for such requests. ``closed`` are the rules that will count later.
    """

    __slots__ = ("closed", "draw", "groups", "hushed", "only")

    def __init__(
        self,
        matching: Sequence[Rule],
        closed: Collection[Rule],
        down: Collection[int],
        hushed: Mapping[int, Hush] = _NONE,
    ) -> None:
        opened = sorted((rule for rule in matching if rule not in closed), key=_order, reverse=True)
        self.groups = [list(group) for _rank, group in itertools.groupby(opened, _order)]
        self.hushed = hushed
        if hushed:
            self.groups = _awake(self.groups, hushed)
            counting = {rule for group in self.groups for rule in group}
            self.closed = [rule for rule in matching if rule not in counting]
        else:
            self.closed = [rule for rule in matching if rule in closed]
        self.draw = self.best(lambda operator_id: operator_id not in down)
        self.only: int | None = None
        if not self.groups:
            self.only = LATER if self.closed else NO_ROUTE
        elif len({rule.operator_id for rule in self.draw}) == 1:
            self.only = self.draw[0].operator_id

    def best(self, usable: Callable[[int], bool], refused: Collection[int] = ()) -> list[Rule]:
        """The equals to draw from: the first usable ones, or the first at all; empty when there are none."""
        first: list[Rule] = []
        for group in self.groups:
            willing = [rule for rule in group if rule.operator_id not in refused] if refused else group
            good = [rule for rule in willing if usable(rule.operator_id)]
            if good:
                return good
            first = first or willing
        return first


def _awake(groups: Sequence[list[Rule]], hushed: Mapping[int, Hush]) -> list[list[Rule]]:
    """The groups without operators that are quiet, as far down as those let others carry what is theirs."""
    found: list[list[Rule]] = []
    for group in groups:
        resting = [hushed[rule.operator_id] for rule in group if rule.operator_id in hushed]
        if any(hush.elsewhere is False for hush in resting):
            break
        if len(resting) < len(group):
            found.append([rule for rule in group if rule.operator_id not in hushed])
        elif not all(hush.elsewhere for hush in resting):
            break
    return found


class _Channel:
    """A channel's rules, and what of a request they look at."""

    def __init__(self, rules: Sequence[Rule], ranges: Ranges, hushes: Mapping[int, Hush]) -> None:
        quiet = [hushes[key] for key in {rule.operator_id for rule in rules} & hushes.keys()]
        self.by_zone = any(hush.zones is not None for hush in quiet)
        self.by_priority = any(hush.exempt for hush in quiet)
        self.rules = rules
        self.tenants = {rule.tenant_id for rule in rules}
        self.senders = {rule.sender for rule in rules}
        self.tags = {rule.tag for rule in rules}
        self.by_country = any(rule.country for rule in rules)
        self.by_network = any(rule.network for rule in rules)
        self.depth = max(*(len(rule.prefix) for rule in rules), ranges.depth if self.by_network else 0)
        self.kinds: dict[_Key, _Kind] = {}


class Table:
    """Rules, ranked for whoever asks. One that leads to the sandbox's operator does not count.

    ``at`` is the moment that windows are held against; None is that all are open. ``down``: operators that are passed
    over unless the caller says which are usable. ``hushes``: the operators that are in their quiet hours.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        ranges: Ranges = networks.NONE,
        at: datetime | None = None,
        down: Collection[int] = (),
        hushes: Mapping[int, Hush] = _NONE,
    ) -> None:
        self.hushes = hushes
        # The same for tables that differ only in who is down.
        self.hours: object = self
        self._ranges = ranges
        self._down = frozenset(down)
        given = [rule for rule in rules if rule.operator_id != SANDBOX_OPERATOR_ID]
        self.closed = frozenset(
            rule for rule in given if at is not None and not windows.is_open(rule.windows, at)
        )
        self.operators = frozenset(rule.operator_id for rule in given)
        # Those that may have what a route brought them that is closed now.
        self.closing = frozenset(rule.operator_id for rule in self.closed) | frozenset(hushes)
        self.asks_for_tags = any(rule.tag for rule in given)
        self._channels = {
            channel: _Channel([rule for rule in given if rule.channel == channel], ranges, hushes)
            for channel in {rule.channel for rule in given}
        }

    def _kind(self, request: RouteRequest) -> _Kind | None:
        channel = self._channels.get(request.channel)
        if channel is None:
            return None
        recipient = request.recipient
        key = (
            recipient[: channel.depth + 1],
            request.tenant_id if request.tenant_id in channel.tenants else None,
            request.sender if request.sender in channel.senders else None,
            request.tag if request.tag in channel.tags else None,
            numbers.country(recipient) if channel.by_country else "",
            quiet.zones_of(recipient) if channel.by_zone else (),
            request.priority if channel.by_priority else 1,
        )
        kind = channel.kinds.get(key)
        if kind is None:
            if len(channel.kinds) >= _MEMORY:
                channel.kinds.clear()
            kind = channel.kinds[key] = self._made(channel, request, key[4])
        return kind

    def _made(
        self, channel: _Channel, request: RouteRequest, country: str, refused: Collection[int] = ()
    ) -> _Kind:
        digits = request.recipient.lstrip("+")
        network = self._ranges.network(digits) if channel.by_network else ""
        matching = [
            rule
            for rule in channel.rules
            if rule.operator_id not in refused
            and rule.admits(request)
            and rule.covers(digits, country, network)
        ]
        return _Kind(matching, self.closed, self._down, self._hushed(request))

    def _hushed(self, request: RouteRequest) -> dict[int, Hush]:
        if not self.hushes:
            return {}
        return {
            key: hush for key, hush in self.hushes.items() if hush.holds(request.recipient, request.priority)
        }

    def rests(self, operator_id: int, recipient: str, priority: int) -> bool:
        """Whether an operator's quiet hours keep a message from it."""
        hush = self.hushes.get(operator_id)
        return hush is not None and hush.holds(recipient, priority)

    def groups(self, request: RouteRequest) -> list[list[Rule]]:
        """The matching rules that are open, best first; those of one group are equals, to be told apart by weight."""
        kind = self._kind(request)
        return [] if kind is None else kind.groups

    def choose(
        self,
        request: RouteRequest,
        *,
        usable: Callable[[int], bool] | None = None,
        refused: Collection[int] = (),
        chance: Callable[[], float] = random.random,
    ) -> int:
        """The operator's id, :data:`LATER` or :data:`NO_ROUTE`; always :data:`SANDBOX_OPERATOR_ID` for a sandbox.

        ``usable`` says which operators work; when none does, the best is chosen all the same. Those that have
        ``refused`` the message are never chosen.
        """
        if is_sandbox(request.tenant_id):
            return SANDBOX_OPERATOR_ID
        kind = self._kind(request)
        if kind is None:
            return NO_ROUTE
        if usable is None and not refused:
            return kind.only if kind.only is not None else _weighted(kind.draw, chance)
        if refused and kind.hushed:
            # One that it will not go by in any case does not keep the others from it.
            country = numbers.country(request.recipient)
            kind = self._made(self._channels[request.channel], request, country, refused)
        best = kind.best(usable or self._is_up, refused)
        if best:
            return _weighted(best, chance)
        open_later = any(rule.operator_id not in refused for rule in kind.closed)
        return LATER if open_later else NO_ROUTE

    def _is_up(self, operator_id: int) -> bool:
        return operator_id not in self._down

    def ranked(self, request: RouteRequest) -> Iterator[tuple[Rule, bool]]:
        """The matching rules with whether they are open: open ones by rank and weight, then the closed."""
        kind = self._kind(request)
        if kind is not None:
            for group in kind.groups:
                yield from ((rule, True) for rule in sorted(group, key=lambda rule: -rule.weight))
            yield from ((rule, False) for rule in sorted(kind.closed, key=_order, reverse=True))


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
