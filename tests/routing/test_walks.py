"""Looking through what waits in lanes, a chunk of each queue in turn."""

import pytest

from gateway.models import DueMessage
from routing import failover, operators
from routing.failover import Queue, Walk
from routing.models import Route
from routing.ranking import LATER

pytestmark = pytest.mark.django_db


def test_a_long_queue_does_not_keep_a_short_one_waiting(make_operator, waiting, tenants, monkeypatch):
    operator = make_operator("one")
    Route.objects.create(operator=operator)
    long, short = tenants
    waiting(None, 5, tenant=long)
    waiting(None, 1, tenant=short)
    seen = []
    look = failover._relane
    monkeypatch.setattr(failover, "CHUNK", 2)
    monkeypatch.setattr(failover, "_relane", lambda queue, *more: seen.append(queue) or look(queue, *more))
    queues = [Queue(LATER, 1, long.pk), Queue(LATER, 1, short.pk)]
    walk = Walk(once=True)
    assert walk.relane(queues=queues, standings=operators.standings()) == 6
    assert [queue.tenant_id for queue in seen] == [long.pk, short.pk, long.pk, long.pk]
    assert DueMessage.objects.filter(lane=operator.pk).count() == 6


def test_a_look_goes_on_after_the_queue_that_the_one_before_ended_with():
    queues = [Queue(LATER, 1, tenant_id) for tenant_id in (1, 2, 3)]
    walk = Walk()
    walk._last = queues[1]
    assert walk._in_turn(queues) == [queues[2], queues[0], queues[1]]
