"""Messages that go on to another operator: refused by one, or waiting for one that does not work."""

import time
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.utils import timezone

from gateway import ids
from gateway.hooks import RouteRequest
from gateway.models import DueMessage, Message
from routing import circuit, delivery, operators, queues, relay, selection
from routing.contract import Outcome, TransportState, Verdict
from routing.delivery import Carrier
from routing.models import Delivery, Operator, OperatorState, Part, Route
from routing.relay import Relay
from tests.routing.conftest import report, status_of, timeline_of

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _anew(monkeypatch):
    monkeypatch.setattr(relay, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(queues, "publish", lambda **_task: None)
    circuit._seconds.clear()


@pytest.fixture
def pair(make_operator):
    """Two operators, the first before the second."""
    first, second = make_operator("first"), make_operator("second")
    Route.objects.create(operator=first, priority=2)
    Route.objects.create(operator=second, priority=1)
    return first, second


def forget():
    operators._cache.stale_at = selection._cache.stale_at = 0.0


def refuse(operator, *, error_code=None, verdict=Verdict.REFUSED):
    """Lease what waits for the operator, take it in hand, and have it refused."""
    forget()
    Relay().tick()
    keys = [str(key) for key in Delivery.objects.values_list("pk", flat=True)]
    now = datetime.now(tz=UTC)
    taken = delivery.take(delivery_ids=keys, worker="w1", now=now).get(operator.pk, [])
    outcomes = [
        Outcome(each.delivery_id, each.message_id, verdict, now, (), "0x45", error_code) for each in taken
    ]
    delivery.record(carrier=Carrier(operator.pk, operator.slug, "w1"), outcomes=outcomes)
    return len(outcomes)


def lanes_of(keys):
    found = dict(DueMessage.objects.filter(pk__in=keys).values_list("pk", "lane"))
    return [found.get(key) for key in keys]


def test_a_refused_message_goes_to_the_next_operator_at_once(pair, waiting):
    first, second = pair
    (key,) = waiting(first)
    assert refuse(first) == 1
    due = DueMessage.objects.get(pk=key)
    assert (due.lane, due.refused_by, due.attempts) == (second.pk, [first.pk], 0)
    assert due.due_at <= timezone.now()
    assert status_of(key) == "queued"
    assert timeline_of(key)[-1] == "operator.refused"


def test_it_ends_rejected_when_all_have_refused(pair, waiting):
    first, second = pair
    (key,) = waiting(first)
    refuse(first)
    refuse(second)
    assert status_of(key) == "rejected"
    assert lanes_of([key]) == [None]
    assert not Delivery.objects.exists()


@pytest.mark.parametrize("error_code", ["INVALID_RECIPIENT", "PARTLY_REJECTED_BY_OPERATOR"])
def test_a_refusal_that_others_would_repeat_is_final(pair, waiting, error_code):
    (key,) = waiting(pair[0])
    refuse(pair[0], error_code=error_code)
    assert status_of(key) == "rejected"


def test_a_message_that_is_put_off_stays_with_its_operator(pair, waiting):
    (key,) = waiting(pair[0])
    refuse(pair[0], verdict=Verdict.RETRY)
    assert lanes_of([key]) == [pair[0].pk]


def test_what_waits_for_a_lost_bind_goes_to_the_next_route(pair, waiting):
    first, second = pair
    keys = waiting(first, 5)
    report(first, up=False)
    turning = Relay()
    turning.tick()
    assert set(lanes_of(keys)) == {second.pk}
    assert turning.tick() == 5


def test_a_bind_that_comes_back_within_the_grace_keeps_its_messages(pair, waiting, monkeypatch):
    monkeypatch.setattr(relay, "GRACE_SECONDS", 60.0)
    keys = waiting(pair[0], 2)
    report(pair[0], up=False)
    Relay().tick()
    assert set(lanes_of(keys)) == {pair[0].pk}


def test_what_no_other_operator_can_carry_waits(make_operator, waiting):
    alone, other = make_operator("alone"), make_operator("other")
    Route.objects.create(operator=alone)
    Route.objects.create(operator=other, prefix="44")
    keys = waiting(alone, 3)
    report(alone, up=False)
    assert Relay().tick() == 0
    assert set(lanes_of(keys)) == {alone.pk}


def test_it_does_not_return_to_one_that_refused(pair, waiting):
    first, second = pair
    (key,) = waiting(second)
    DueMessage.objects.filter(pk=key).update(refused_by=[first.pk])
    report(second, up=False)
    Relay().tick()
    assert lanes_of([key]) == [second.pk]


def test_it_routes_what_waits_by_its_tag(make_operator, waiting):
    down, plain, tagged = (make_operator(slug) for slug in ("down", "plain", "tagged"))
    Route.objects.create(operator=plain)
    Route.objects.create(operator=tagged, tag="otp")
    keys = waiting(down, 2)
    Message.objects.filter(pk=keys[0]).update(metadata={"tag": "otp"})
    report(down, up=False)
    Relay().tick()
    assert lanes_of(keys) == [tagged.pk, plain.pk]


def test_what_waits_too_long_goes_to_another(pair, waiting):
    first, second = pair
    Operator.objects.filter(pk=first.pk).update(settings={"slow_seconds": 30}, rate=1)
    old = waiting(first, 5, due=timedelta(seconds=-60))
    young = waiting(first, 3)
    Relay().tick()
    assert set(lanes_of(old)) == {second.pk}
    assert set(lanes_of(young)) <= {first.pk, None}


def in_two_hours():
    """A window of an hour that is closed now."""
    hour = timezone.now().hour
    return {"from": f"{(hour + 2) % 24:02}:00", "to": f"{(hour + 3) % 24:02}:00"}


def test_what_has_only_closed_routes_waits_until_one_opens(make_operator, waiting):
    operator = make_operator("one")
    route = Route.objects.create(operator=operator, windows=[in_two_hours()])
    keys = waiting(None, 2)
    asked = RouteRequest(1, "sms", "+14155550101", None)
    assert selection.lanes([asked]) == [selection.LATER]
    assert Relay().tick() == 0
    assert selection.explain(asked)["reason"].startswith("no route is open")
    Route.objects.filter(pk=route.pk).update(windows=[])
    forget()
    Relay().tick()
    assert lanes_of(keys) == [operator.pk] * 2


def test_what_is_due_after_its_route_has_closed_does_not_go_by_it(pair, waiting):
    first, second = pair
    Route.objects.filter(operator=first).update(windows=[in_two_hours()])
    keys = waiting(first, 3)
    turning = Relay()
    turning.tick()
    turning.tick()
    assert Delivery.objects.filter(operator_id=second.pk).count() == 3
    assert not Delivery.objects.filter(operator_id=first.pk).exists()
    assert lanes_of(keys) == [None, None, None]


def test_accepting_passes_over_an_operator_that_is_down(pair):
    report(pair[0], up=False)
    assert selection.lanes([RouteRequest(1, "sms", "+14155550101", None)]) == [pair[1].pk]


def test_it_explains_the_choice_and_the_alternatives(pair):
    _first, second = pair
    Route.objects.filter(operator=second).update(cost=Decimal("0.004"), prefix="1")
    asked = RouteRequest(1, "sms", "+14155550101", None)
    assert selection.explain(asked) == {
        "operator": "second",
        "priority": 1,
        "cost": 0.004,
        "reason": "prefix +1, priority 1, least cost",
        "alternatives": [{"operator": "first", "priority": 2, "cost": None, "state": "ready"}],
    }
    report(second, up=False)
    forget()
    shown = selection.explain(asked)
    assert (shown["operator"], shown["alternatives"][0]["state"]) == ("first", "down")


def test_ten_thousand_waiting_move_within_seconds(pair, tenants):
    first, second = pair
    now = timezone.now() - timedelta(minutes=1)
    shared = {"tenant_id": tenants[0].pk, "channel": "sms", "priority": 1, "parts": 1, "lane": first.pk}
    rows = [
        DueMessage(message_id=key, recipient=f"+1415555{number:04}", due_at=now, **shared)
        for number, key in enumerate(ids.new(10_000))
    ]
    DueMessage.objects.bulk_create(rows, batch_size=2000)
    report(first, up=False)
    turning = Relay()
    started = time.monotonic()
    while DueMessage.objects.filter(lane=first.pk).exists():
        turning._reroute_at = 0.0
        turning._reroute(relay._waiting(), operators.standings(fresh=True))
        assert time.monotonic() - started < 5.0
    assert DueMessage.objects.filter(lane=second.pk).count() == 10_000


def tell(operator, *, tried, failed, worker="w1"):
    report(operator, worker=worker, ago=-60, detail={"minute": {"tried": tried, "failed": failed}})


def breaker(operator):
    operator.refresh_from_db()
    if operator.tripped_until is None:
        return "closed"
    return "open" if operator.tripped_until > timezone.now() else "probing"


@pytest.mark.parametrize(
    ("tried", "failed", "state"), [(20, 10, "open"), (19, 19, "closed"), (100, 49, "closed")]
)
def test_the_breaker_opens_at_half_of_twenty(make_operator, tried, failed, state):
    operator = make_operator("one")
    stamp = operator.updated_at
    tell(operator, tried=tried - 5, failed=failed, worker="w1")
    tell(operator, tried=5, failed=0, worker="w2")
    circuit.judge()
    assert breaker(operator) == state
    assert operator.updated_at == stamp


def test_a_breaker_that_is_switched_off_stays_closed(make_operator):
    operator = make_operator("one", settings={"breaker": False})
    tell(operator, tried=50, failed=50)
    circuit.judge()
    assert breaker(operator) == "closed"


@pytest.mark.parametrize(("failed", "state"), [(0, "closed"), (5, "open")])
def test_probes_close_the_breaker_or_open_it_again(make_operator, failed, state):
    operator = make_operator("one", tripped_until=timezone.now() - timedelta(seconds=1))
    circuit.judge()
    assert breaker(operator) == "probing"
    tell(operator, tried=5, failed=failed)
    circuit.judge()
    assert breaker(operator) == state


def test_an_operator_that_is_probed_gets_a_few_messages_at_a_time(make_operator, waiting):
    operator = make_operator("one", tripped_until=timezone.now() - timedelta(seconds=1))
    waiting(operator, 20)
    turning = Relay()
    assert [turning.tick(), turning.tick()] == [circuit.PROBES_AT_ONCE, 0]


def test_a_tripped_operator_loses_what_others_can_carry_and_keeps_the_rest(pair, waiting):
    first, second = pair
    circuit.trip(operator_ids=[first.pk], seconds=60, reason="for a test")
    keys = waiting(first, 2)
    Relay().tick()
    assert set(lanes_of(keys)) == {second.pk}
    report(second, up=False)
    DueMessage.objects.filter(pk__in=keys).update(lane=first.pk)
    forget()
    assert Relay().tick() == 2
    assert circuit.reset(operator_ids=[first.pk]) == 1
    assert breaker(first) == "closed"


def test_workers_tell_what_failed_in_the_last_minute(make_operator):
    operator = make_operator("one", up=False)
    now = datetime.now(tz=UTC)
    verdicts = [
        (Verdict.ACCEPTED, None),
        (Verdict.UNKNOWN, None),
        (Verdict.RETRY, None),
        (Verdict.REFUSED, None),
        (Verdict.REFUSED, "INVALID_RECIPIENT"),
    ]
    outcomes = [
        Outcome(uuid.uuid4(), uuid.uuid4(), verdict, now, error_code=code) for verdict, code in verdicts
    ]
    delivery.record(carrier=Carrier(operator.pk, "one", "w1"), outcomes=outcomes)
    operators.report(worker="w1", states={operator.pk: TransportState(True, 10, detail={"bound": 1})})
    told = OperatorState.objects.get(operator_id=operator.pk).detail
    assert told == {"bound": 1, "minute": {"tried": 5, "failed": 3}}


def parts(operator, tenant, *, ago, state, count=30):
    at = timezone.now() - timedelta(minutes=ago)
    Part.objects.bulk_create(
        Part(
            operator_id=operator.pk,
            remote_id=uuid.uuid4().hex,
            message_id=uuid.uuid4(),
            tenant_id=tenant.pk,
            state=state,
            submitted_at=at,
        )
        for _ in range(count)
    )


@pytest.mark.parametrize(
    ("before", "lately", "state"),
    [("delivered", None, "open"), (None, None, "closed"), ("delivered", "delivered", "closed")],
    ids=["it used to give them", "it never did", "it still does"],
)
def test_the_breaker_opens_when_receipts_stop(make_operator, tenants, before, lately, state):
    operator = make_operator("one")
    parts(operator, tenants[0], ago=60, state=before)
    parts(operator, tenants[0], ago=14, state=None)
    parts(operator, tenants[0], ago=5, state=lately, count=5)
    circuit.judge_receipts()
    assert breaker(operator) == state


def test_a_burst_that_is_young_does_not_open_it(make_operator, tenants):
    operator = make_operator("one")
    parts(operator, tenants[0], ago=60, state="delivered")
    parts(operator, tenants[0], ago=3, state=None)
    circuit.judge_receipts()
    assert breaker(operator) == "closed"


@pytest.mark.parametrize(("state", "after"), [("delivered", "closed"), (None, "open")])
def test_receipts_of_probes_close_it_and_their_want_opens_it(make_operator, tenants, state, after):
    operator = make_operator(
        "one",
        tripped_until=timezone.now() - timedelta(minutes=3),
        tripped_reason="no receipts for 15 minutes",
    )
    tell(operator, tried=30, failed=0)
    circuit.judge()
    assert breaker(operator) == "probing"
    parts(operator, tenants[0], ago=2, state=state)
    circuit.judge_receipts()
    assert breaker(operator) == after


def test_it_looks_for_silence_without_reading_all_parts():
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(
            f"EXPLAIN {circuit._SILENT}", {"minutes": 15.0, "least": 20, "open": 60.0, "no_receipts": ""}
        )
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "part_age" in plan
