"""The relay against a real database; what it would publish is collected."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from routing import queues, relay
from routing.models import Delivery, Operator, Route
from routing.operators import standings
from routing.relay import Relay
from tests.routing.conftest import report

pytestmark = pytest.mark.django_db


@pytest.fixture
def published(monkeypatch) -> list[tuple[str, list[str]]]:
    """(queue, message ids) a task."""
    tasks: list[tuple[str, list[str]]] = []

    def publish(*, queue, delivery_ids):
        found = dict(Delivery.objects.filter(pk__in=delivery_ids).values_list("pk", "message_id"))
        tasks.append((queue, [found[key] for key in delivery_ids]))

    monkeypatch.setattr(queues, "publish", publish)
    return tasks


def drain(published) -> list:
    return [key for _queue, keys in published for key in keys]


def test_it_leases_what_is_due_to_the_operators_queue(make_operator, waiting, published):
    operator = make_operator("one")
    keys = waiting(operator, 3)
    assert Relay().tick() == 3
    assert published == [("operator.one", keys)]
    assert Delivery.objects.filter(operator_id=operator.pk, worker=None).count() == 3


def test_it_leaves_what_is_not_due_yet(make_operator, waiting, published):
    waiting(make_operator("one"), due=timedelta(minutes=5))
    assert Relay().tick() == 0
    assert published == []


@pytest.mark.parametrize(
    "said",
    [{"up": False}, {"ago": 60}, {"paused_until": timezone.now() + timedelta(hours=1)}],
    ids=["unbound", "silent worker", "throttled"],
)
def test_it_leaves_the_rows_of_an_operator_that_is_not_ready(make_operator, waiting, published, said):
    operator = make_operator("one")
    report(operator, **said)
    waiting(operator, 2)
    assert Relay().tick() == 0


def test_it_serves_others_while_one_operator_is_down(make_operator, waiting, published):
    down, up = make_operator("down", up=False), make_operator("up")
    waiting(down, 50)
    keys = waiting(up, 2)
    assert Relay().tick() == 2
    assert drain(published) == keys


def test_it_sends_high_before_normal_before_bulk(make_operator, waiting, published):
    operator = make_operator("one", rate=1)  # room for two
    waiting(operator, 5, priority=2)
    normal = waiting(operator, 1, priority=1)
    high = waiting(operator, 1, priority=0)
    Relay().tick()
    assert drain(published) == high + normal


def test_it_shares_an_operator_fairly_among_tenants(make_operator, waiting, published, tenants):
    operator = make_operator("one", rate=5)  # room for ten
    waiting(operator, 100, tenant=tenants[0])
    late = waiting(operator, 5, tenant=tenants[1])
    Relay().tick()
    assert set(late) <= set(drain(published))
    assert len(drain(published)) == 10


def test_it_keeps_the_queue_shallow(make_operator, waiting, published):
    waiting(make_operator("one", rate=10), 60)
    turns = [Relay().tick() for _ in range(3)]
    assert turns == [20, 0, 0]


def test_it_counts_parts_not_messages(make_operator, waiting, published):
    waiting(make_operator("one", rate=10), 60, parts=4)
    Relay().tick()
    Relay().tick()
    assert Delivery.objects.count() <= 20


def test_it_publishes_chunks_of_about_a_second(make_operator, waiting, published):
    waiting(make_operator("one", rate=7), 14)
    Relay().tick()
    assert [len(keys) for _queue, keys in published] == [7, 7]


def test_it_finds_a_route_for_rows_that_have_none(make_operator, waiting, published):
    operator = make_operator("one")
    Route.objects.create(operator=operator)
    keys = waiting(None, 2)
    turning = Relay()
    turning.tick()
    turning.tick()
    assert drain(published) == keys


def test_it_moves_rows_of_a_removed_operator_to_another(make_operator, waiting, published):
    gone, other = make_operator("gone"), make_operator("other")
    Route.objects.create(operator=other)
    keys = waiting(gone, 2)
    Operator.objects.filter(pk=gone.pk).delete()
    turning = Relay()
    turning.tick()
    turning.tick()
    assert drain(published) == keys


@pytest.mark.django_db(transaction=True)
def test_two_relays_at_once_lease_nothing_twice(make_operator, waiting):
    operator = make_operator("one")
    keys = waiting(operator, 300)
    leased: list = []

    def lease_all():
        try:
            for _ in range(30):
                leased.extend(
                    relay.lease(
                        standing=standings(fresh=True)[operator.pk],
                        priority=1,
                        tenant_ids=[tenant for (tenant,) in _tenants()],
                        room=20,
                    )
                )
        finally:
            connection.close()

    threads = [threading.Thread(target=lease_all) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(leased) == len({key for key, _parts in leased}) == 300
    assert set(Delivery.objects.values_list("message_id", flat=True)) == set(keys)


def _tenants():
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT id FROM gateway_tenant")
        return cursor.fetchall()
