import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from gateway import ids
from gateway.models import Event
from tests.webhooks.outcomes_of import BROKEN, OK, Process
from tests.webhooks.world import make_facts, make_webhook
from webhooks import fanout
from webhooks.models import DueCallback

pytestmark = pytest.mark.django_db

TYPES = ["message.sent", "message.delivered"]


@pytest.fixture
def process():
    return Process()


def story(tenant):
    """Two events of one message, fanned out one after the other; their event ids in order."""
    (first,) = make_facts(tenant, type=TYPES[0])
    last = dataclasses.replace(first, event_id=ids.one(), type=TYPES[1])
    event = Event.objects.get(pk=first.event_id)
    event.pk, event.type = last.event_id, last.type
    event.save(force_insert=True)
    for fact in (first, last):
        fanout.fan_out([fact])
    return [str(first.event_id), str(last.event_id)]


def make_due():
    DueCallback.objects.filter(leased=False).update(
        next_attempt_at=datetime.now(tz=UTC) - timedelta(seconds=1)
    )


def events(items):
    return sorted(item.event_id for item in items)


def test_it_makes_the_next_callback_of_a_message_after_the_one_before(tenant, process):
    make_webhook(tenant, events=TYPES, ordered=True)
    stories = [story(tenant) for _ in range(3)]
    assert events(process.attempt(OK)) == sorted(first for first, _last in stories)
    assert events(process.attempt(OK)) == sorted(last for _first, last in stories)


def test_it_waits_for_the_one_before_through_its_retries_and_no_longer_than_its_life(tenant, process):
    make_webhook(tenant, events=TYPES, ordered=True, retries=1, retry_delay=5)
    first, last = story(tenant)
    assert events(process.attempt(BROKEN)) == [first]
    assert process.attempt(OK) == []
    make_due()
    assert events(process.attempt(BROKEN)) == [first]
    assert events(process.attempt(OK)) == [last]


def test_it_waits_while_the_one_before_is_at_the_failover(tenant, process):
    make_webhook(tenant, events=TYPES, ordered=True, failover_url="http://127.0.0.1:9/second")
    first, last = story(tenant)
    process.attempt(BROKEN)
    make_due()
    assert events(process.attempt(OK)) == [first]
    assert events(process.attempt(OK)) == [last]


def test_it_does_not_wait_for_another_webhooks(tenant, process):
    make_webhook(tenant, events=TYPES, ordered=True)
    slow = make_webhook(tenant, "http://127.0.0.1:9/slow", events=TYPES, ordered=True)
    first, last = story(tenant)
    DueCallback.objects.filter(endpoint=slow.pk).update(
        next_attempt_at=datetime.now(tz=UTC) + timedelta(hours=1)
    )
    assert events(process.attempt(OK)) == [first]
    assert events(process.attempt(OK)) == [last]


def test_it_promises_no_order_unless_asked(tenant, process):
    make_webhook(tenant, events=TYPES)
    assert events(process.attempt(OK)) == []
    assert events([*story(tenant)] and process.attempt(OK)) != []
    assert not DueCallback.objects.exists()
