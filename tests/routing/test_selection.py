"""Ranking is pure: rules in, an operator out."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.hooks import RouteRequest
from routing.selection import NO_ROUTE, Rule, Table


def rule(operator_id, *, prefix="", tenant_id=None, sender="", priority=0, weight=1, channel="sms"):
    return Rule(operator_id, channel, prefix, tenant_id, sender, priority, weight)


def request(recipient="+33612345678", *, tenant_id=1, sender=None, channel="sms"):
    return RouteRequest(tenant_id, channel, recipient, sender)


def test_it_takes_the_longest_prefix_before_a_higher_priority():
    table = Table([rule(1, priority=9), rule(2, prefix="33"), rule(3, prefix="336"), rule(4, prefix="44")])
    assert table.choose(request()) == 3


def test_it_takes_a_tenants_own_route_before_everybodys():
    table = Table([rule(1, priority=5), rule(2, tenant_id=1), rule(3, tenant_id=2, priority=9)])
    assert table.choose(request()) == 2


def test_it_takes_a_senders_route_before_any_senders():
    table = Table([rule(1), rule(2, sender="ACME")])
    assert table.choose(request(sender="ACME")) == 2
    assert table.choose(request(sender="OTHER")) == 1


def test_it_takes_the_higher_priority_among_equals():
    assert Table([rule(1, priority=1), rule(2, priority=2)]).choose(request()) == 2


def test_it_keeps_channels_apart():
    assert Table([rule(1, channel="whatsapp")]).choose(request()) == NO_ROUTE


def test_it_shares_by_weight():
    table = Table([rule(1, weight=1), rule(2, weight=3)])
    chosen = [table.choose(request(), chance=lambda i=i: i / 400) for i in range(400)]
    assert (chosen.count(1), chosen.count(2)) == (100, 300)


def test_it_passes_over_equals_that_are_down_then_takes_a_lesser_route():
    table = Table([rule(1, priority=1), rule(2, priority=1), rule(3)])
    assert {table.choose(request(), usable=lambda key: key == 2) for _ in range(50)} == {2}
    assert table.choose(request(), usable=lambda key: key == 3) == 3


def test_it_waits_for_the_best_while_none_is_usable():
    table = Table([rule(1, priority=1), rule(2, priority=1), rule(3)])
    assert {table.choose(request(), usable=lambda _key: False) for _ in range(50)} <= {1, 2}


rules = st.builds(
    rule,
    st.integers(1, 9),
    prefix=st.sampled_from(["", "3", "33", "336", "44", "4"]),
    tenant_id=st.sampled_from([None, 1, 2]),
    sender=st.sampled_from(["", "ACME"]),
    priority=st.integers(0, 2),
    weight=st.integers(1, 3),
)


@given(st.lists(rules, max_size=12), st.sampled_from(["+33612345678", "+447700900000", "+15550001"]))
def test_it_chooses_only_among_the_best_that_match(given_rules, recipient):
    wanted = request(recipient)
    matching = [each for each in given_rules if recipient[1:].startswith(each.prefix) and each.admits(wanted)]
    chosen = Table(given_rules).choose(wanted)
    if not matching:
        assert chosen == NO_ROUTE
        return
    best = max((len(each.prefix), *each.rank()) for each in matching)
    assert chosen in {each.operator_id for each in matching if (len(each.prefix), *each.rank()) == best}


@given(st.lists(rules, min_size=1, max_size=6), st.floats(0, 1, exclude_max=True))
def test_it_does_not_depend_on_the_order_of_the_rules(given_rules, point):
    wanted = request()
    groups = [{each.operator_id for each in group} for group in Table(given_rules).groups(wanted)]
    assert groups == [
        {each.operator_id for each in group} for group in Table(given_rules[::-1]).groups(wanted)
    ]
