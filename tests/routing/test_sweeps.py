"""Leases that run out, workers that vanish, validity that ends while waiting."""

from datetime import timedelta

import pytest
from django.utils import timezone

from gateway.models import DueMessage
from routing import delivery, sweeps
from routing.models import Delivery, Operator, OperatorState
from routing.relay import Relay
from tests.routing.conftest import report, status_of, timeline_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def leased(make_operator, waiting, monkeypatch):
    monkeypatch.setattr("routing.queues.publish", lambda **_: None)

    def lease(**fields):
        operator = make_operator("one", **fields)
        keys = waiting(operator, 2)
        Relay().tick()
        return operator, keys

    return lease


def take(now, worker="w1"):
    keys = [str(key) for key in Delivery.objects.values_list("pk", flat=True)]
    delivery.take(delivery_ids=keys, worker=worker, now=now)


def age_leases(seconds):
    for row in Delivery.objects.all():
        Delivery.objects.filter(pk=row.pk).update(lease_until=row.lease_until - timedelta(seconds=seconds))


def test_it_leaves_leases_that_run(leased, now):
    leased()
    assert sweeps.reclaim(now=now) == 0


def test_it_returns_what_nobody_took_in_time(leased, now):
    _operator, keys = leased()
    age_leases(60)
    assert sweeps.reclaim(now=now) == 2
    assert set(DueMessage.objects.values_list("pk", "attempts")) == {(key, 0) for key in keys}
    assert {status_of(key) for key in keys} == {"accepted"}


def test_it_returns_what_a_silent_worker_had_in_hand(leased, now):
    operator, keys = leased()
    take(now)
    age_leases(15)
    report(operator, ago=30)
    assert sweeps.reclaim(now=now) == 2
    assert {status_of(key) for key in keys} == {"queued"}
    assert set(DueMessage.objects.values_list("attempts", flat=True)) == {1}


def test_it_leaves_what_a_speaking_worker_has_in_hand(leased, now):
    leased()
    take(now)
    age_leases(15)
    assert sweeps.reclaim(now=now) == 0


def test_it_gives_a_worker_that_has_not_spoken_yet_a_moment(leased, now):
    leased()
    take(now, worker="new")
    assert sweeps.reclaim(now=now) == 0


def test_it_does_not_send_again_where_the_operator_forbids_it(leased, now):
    _operator, keys = leased(on_unknown_outcome=Operator.UnknownOutcome.UNKNOWN)
    take(now)
    OperatorState.objects.all().delete()
    age_leases(15)
    sweeps.reclaim(now=now)
    assert {status_of(key) for key in keys} == {"sent"}
    assert not DueMessage.objects.exists()


def test_it_expires_what_waited_too_long(make_operator, waiting, now):
    operator = make_operator("one", up=False)
    late = waiting(operator, 2, expires_at=timezone.now() - timedelta(seconds=1))
    fresh = waiting(operator, 1, expires_at=timezone.now() + timedelta(seconds=60))
    assert sweeps.expire(now=now) == 2
    assert [status_of(key) for key in late + fresh] == ["expired", "expired", "accepted"]
    assert timeline_of(late[0]) == ["message.expired"]
