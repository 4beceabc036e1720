"""What a route can match, in which order routes are tried, and that none is lost."""

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.hooks import RouteRequest
from routing import windows
from routing.networks import Ranges
from routing.ranking import LATER, NO_ROUTE, Rule, Table

RANGES = Ranges({"336": "20801", "33612": "20820", "44": "23410"})
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)  # a Wednesday
SHUT = windows.parse([{"from": "13:00", "to": "14:00"}])


def rule(operator_id, **fields):
    values = {"channel": "sms", "prefix": "", "tenant_id": None, "sender": "", "priority": 0, "weight": 1}
    return Rule(operator_id, **values | fields)


def request(recipient="+33612345678", *, tenant_id=1, sender=None, tag=None):
    return RouteRequest(tenant_id, "sms", recipient, sender, 1, tag)


def test_it_matches_the_country():
    table = Table([rule(1, country="FR"), rule(2, country="GB")])
    assert table.choose(request()) == 1
    assert table.choose(request("+447700900123")) == 2
    assert table.choose(request("+14155550101")) == NO_ROUTE


def test_it_matches_the_network_of_the_longest_range():
    table = Table([rule(1, network="20801"), rule(2, network="20820"), rule(3, network="234")], ranges=RANGES)
    assert table.choose(request("+33611111111")) == 1
    assert table.choose(request("+33612345678")) == 2
    assert table.choose(request("+447700900123")) == 3


def test_it_takes_a_network_before_its_country():
    table = Table([rule(1, network="208", priority=9), rule(2, network="20820")], ranges=RANGES)
    assert table.choose(request()) == 2


def test_it_matches_the_tag():
    table = Table([rule(1), rule(2, tag="otp")])
    assert table.choose(request(tag="otp")) == 2
    assert table.choose(request(tag="other")) == table.choose(request()) == 1


def test_it_takes_the_cheapest_of_one_priority_and_an_unknown_cost_last():
    costs = {1: None, 2: "0.005", 3: "0.004", 4: "0.0041"}
    table = Table([rule(key, cost=cost and Decimal(cost)) for key, cost in costs.items()])
    assert table.choose(request()) == 3
    assert [group[0].operator_id for group in table.groups(request())] == [3, 4, 2, 1]
    assert Table([rule(1, priority=1), rule(2, cost=Decimal(0))]).choose(request()) == 1


def test_it_waits_for_a_route_that_is_closed_now():
    table = Table([rule(1, windows=SHUT)], at=NOON)
    assert table.choose(request()) == LATER
    assert Table([rule(1, windows=SHUT), rule(2)], at=NOON).choose(request()) == 2
    assert Table([rule(1, windows=SHUT)], at=NOON.replace(hour=13)).choose(request()) == 1


def test_it_never_returns_to_an_operator_that_refused():
    table = Table([rule(1), rule(2), rule(3, windows=SHUT)], at=NOON)
    assert table.choose(request(), refused=[1]) == 2
    assert table.choose(request(), refused=[1, 2]) == LATER
    assert table.choose(request(), refused=[1, 2, 3]) == NO_ROUTE


def test_it_passes_over_what_is_down_unless_all_is():
    rules = [rule(1, priority=1), rule(2)]
    assert Table(rules, down={1}).choose(request()) == 2
    assert Table(rules, down={1, 2}).choose(request()) == 1
    assert Table(rules, down={1}).choose(request(), refused=[2]) == 1


def test_it_remembers_kinds_of_requests_apart():
    table = Table([rule(1), rule(2, prefix="336", tenant_id=2), rule(3, sender="ACME", tag="otp")])
    for _ in range(2):
        assert table.choose(request()) == 1
        assert table.choose(request(tenant_id=2)) == 2
        assert table.choose(request(sender="ACME")) == 1
        assert table.choose(request(sender="ACME", tag="otp")) == 3
        assert table.choose(request("+33112345678", tenant_id=2)) == 1


rules = st.builds(
    rule,
    st.integers(1, 6),
    prefix=st.sampled_from(["", "3", "33", "336", "44"]),
    country=st.sampled_from(["", "FR", "GB"]),
    network=st.sampled_from(["", "208", "20801", "20820"]),
    tenant_id=st.sampled_from([None, 1, 2]),
    sender=st.sampled_from(["", "ACME"]),
    tag=st.sampled_from(["", "otp"]),
    cost=st.sampled_from([None, Decimal(0), Decimal("0.004"), Decimal("0.0041")]),
    windows=st.sampled_from([(), SHUT]),
    priority=st.integers(-1, 2),
    weight=st.integers(1, 3),
)
requests = st.builds(
    request,
    st.sampled_from(["+33612345678", "+33611111111", "+447700900123", "+14155550101"]),
    tenant_id=st.sampled_from([1, 2, 3]),
    sender=st.sampled_from([None, "ACME"]),
    tag=st.sampled_from([None, "otp"]),
)


def matches(each, wanted):
    digits = wanted.recipient[1:]
    country = {"33": "FR", "44": "GB"}.get(digits[:2], "US")
    return each.admits(wanted) and each.covers(digits, country, RANGES.network(digits))


@given(st.lists(rules, max_size=10), requests)
def test_it_loses_no_route_that_matches(given_rules, wanted):
    table = Table(given_rules, ranges=RANGES, at=NOON)
    ranked = list(table.ranked(wanted))
    expected = [each for each in given_rules if matches(each, wanted)]
    assert Counter(each for each, _open in ranked) == Counter(expected)
    assert all(is_open == (not each.windows) for each, is_open in ranked)


@given(st.lists(rules, max_size=10), requests)
def test_it_orders_all_rules_in_one_line(given_rules, wanted):
    groups = Table(given_rules, ranges=RANGES).groups(wanted)
    places = [(len(group[0].prefix), *group[0].rank()) for group in groups]
    assert places == sorted(set(places), reverse=True)
    assert all(
        (len(each.prefix), *each.rank()) == at
        for group, at in zip(groups, places, strict=True)
        for each in group
    )


@given(st.lists(rules, min_size=1, max_size=10), requests, st.sets(st.integers(1, 6)))
def test_it_chooses_a_usable_operator_wherever_there_is_one(given_rules, wanted, working):
    table = Table(given_rules, ranges=RANGES)
    chosen = table.choose(wanted, usable=working.__contains__)
    able = {each.operator_id for each in given_rules if matches(each, wanted)}
    if able & working:
        assert chosen in working
    elif able:
        assert chosen in {each.operator_id for each in table.groups(wanted)[0]}
    else:
        assert chosen == NO_ROUTE


@given(st.lists(rules, max_size=10), st.lists(requests, max_size=8))
def test_it_chooses_the_same_with_and_without_memory(given_rules, several):
    table = Table(given_rules, ranges=RANGES, at=NOON)
    for wanted in several:
        anew = Table(given_rules, ranges=RANGES, at=NOON)
        assert table.choose(wanted, chance=lambda: 0.5) == anew.choose(wanted, chance=lambda: 0.5)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_it_shares_among_equals_exactly_by_weight(weights):
    table = Table([rule(key, weight=weight) for key, weight in enumerate(weights, start=1)])
    total = sum(weights)
    drawn = Counter(table.choose(request(), chance=lambda i=i: (i + 0.5) / total) for i in range(total))
    assert [drawn[key] for key in range(1, len(weights) + 1)] == weights


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("2026-03-27T07:30:00Z", True),  # Friday, 08:30 in winter
        ("2026-03-27T06:30:00Z", False),
        ("2026-03-30T06:30:00Z", True),  # Monday, 08:30 in summer
        ("2026-03-30T18:30:00Z", False),  # 20:30
        ("2026-03-28T09:00:00Z", False),  # a Saturday
    ],
)
def test_a_window_keeps_its_hours_when_the_clocks_change(at, is_open):
    hours = {"days": [1, 2, 3, 4, 5], "from": "08:00", "to": "20:00", "zone": "Europe/Paris"}
    assert windows.is_open(windows.parse([hours]), datetime.fromisoformat(at)) is is_open


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        ("2026-10-25T00:30:00Z", True),  # 02:30 for the first time
        ("2026-10-25T01:30:00Z", True),  # and for the second
        ("2026-10-25T02:30:00Z", False),
    ],
)
def test_a_window_holds_an_hour_that_comes_twice(at, is_open):
    hours = windows.parse([{"from": "02:00", "to": "03:00", "zone": "Europe/Paris"}])
    assert windows.is_open(hours, datetime.fromisoformat(at)) is is_open


def test_a_window_over_midnight_belongs_to_the_day_it_starts_on():
    night = windows.parse([{"days": [5], "from": "22:00", "to": "06:00"}])
    friday = datetime(2026, 7, 3, tzinfo=UTC)
    assert windows.is_open(night, friday.replace(hour=23))
    assert windows.is_open(night, friday.replace(day=4, hour=5))
    assert not windows.is_open(night, friday.replace(hour=5))
    assert not windows.is_open(night, friday.replace(day=4, hour=23))


@pytest.mark.parametrize(
    ("given_windows", "named"),
    [
        ({}, "windows must be"),
        ([1], r"windows\[0\] must be"),
        ([{}, {"till": "08:00"}], r"windows\[1\] has no member 'till'"),
        ([{"from": "8:00"}], r"windows\[0\].from"),
        ([{"to": "24:01"}], r"windows\[0\].to"),
        ([{"from": "08:00", "to": "08:00"}], r"windows\[0\].from"),
        ([{"days": [0]}], r"windows\[0\].days"),
        ([{"days": [True]}], r"windows\[0\].days"),
        ([{"zone": "Europe/Nowhere"}], r"windows\[0\].zone"),
        ([{"zone": "../etc/passwd"}], r"windows\[0\].zone"),
        ([{"zone": 5}], r"windows\[0\].zone"),
    ],
)
def test_windows_refuse_what_is_not_of_the_form(given_windows, named):
    with pytest.raises(ValueError, match=named):
        windows.parse(given_windows)
