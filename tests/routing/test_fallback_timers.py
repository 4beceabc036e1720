"""A step that is not delivered in time: the same message goes on with the next one."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction

from gateway.models import DueMessage, FallbackTimer, Message
from routing import fallbacks
from routing.contract import Verdict
from tests.routing.chains import SMS, World

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(make_operator, waiting, now, monkeypatch):
    monkeypatch.setattr("routing.queues.publish", lambda **_: None)
    return World(make_operator, waiting, now)


def test_it_waits_until_the_time_is_over(world):
    key = world.make(SMS, after=60)
    world.later(59)
    assert world.sweep() == 0
    assert world.waits(key) == world.whatsapp.pk


def test_it_goes_on_from_waiting(world):
    key = world.make(SMS, after=60)
    world.later(60)
    assert world.sweep() == 1
    row = world.row(key)
    assert (row.status, row.channel, row.text, row.fallback_step) == ("accepted", "sms", "by text", 1)
    due = DueMessage.objects.get(pk=key)
    assert (due.lane, due.channel) == (world.sms.pk, "sms")
    (event,) = world.events(key)
    assert (event.type, event.error_code, event.data["reason"]) == (
        "message.fallback",
        "NOT_DELIVERED_IN_TIME",
        "NOT_DELIVERED_IN_TIME",
    )
    assert not FallbackTimer.objects.exists()
    assert world.send("s1").channel == "sms"


def test_it_goes_on_from_sent(world):
    key = world.make(SMS, after=60)
    world.send("w1")
    world.later(60)
    world.sweep()
    assert (world.status(key), world.waits(key)) == ("sent", world.sms.pk)
    world.send("s1")
    assert world.timeline(key) == ["message.sent", "message.fallback", "fallback.sent"]


def test_it_goes_on_and_on_each_time_from_when_the_step_began(world):
    key = world.make(SMS, SMS | {"afterSeconds": 30}, SMS | {"afterSeconds": 40}, after=60)
    world.send("w1")
    world.later(62)
    world.sweep()
    assert world.timer(key) == 30
    world.send("s1")
    world.later(30)
    world.sweep()
    assert (world.row(key).fallback_step, world.timer(key)) == (2, 40)
    # this step is still waiting for its operator when its time is over
    world.later(40)
    world.sweep()
    assert (world.row(key).fallback_step, world.timer(key), world.status(key)) == (3, None, "sent")
    assert DueMessage.objects.filter(pk=key).count() == 1


def test_it_looks_again_at_what_a_worker_has_in_hand(world):
    key = world.make(SMS, after=60)
    (message,) = world.take()
    world.later(60)
    assert world.sweep() == 1
    assert (world.status(key), world.timer(key), world.waits(key)) == ("sending", 1, None)
    assert world.sweep() == 0
    world.answer(Verdict.ACCEPTED, message, remote_ids=("w1",))
    world.later(1)
    world.sweep()
    assert (world.status(key), world.waits(key)) == ("sent", world.sms.pk)


def test_it_looks_again_at_what_is_on_its_way_to_a_worker(world):
    key = world.make(SMS, after=60)
    world.lease()
    world.later(60)
    world.sweep()
    assert (world.status(key), world.timer(key), world.waits(key)) == ("accepted", 1, None)


def test_it_looks_again_at_a_later_step_in_hand(world):
    key = world.make(SMS, SMS | {"afterSeconds": 5}, after=60)
    world.send("w1")
    world.later(60)
    world.sweep()
    (message,) = world.take()
    world.later(5)
    world.sweep()
    assert (world.row(key).fallback_step, world.timer(key)) == (1, 1)
    world.answer(Verdict.ACCEPTED, message, remote_ids=("s1",))
    world.later(1)
    world.sweep()
    assert (world.row(key).fallback_step, world.waits(key)) == (2, world.sms.pk)


@pytest.mark.parametrize("status", ["delivered", "read", "failed", "expired", "rejected", "canceled"])
def test_it_lets_what_has_ended_rest(world, status):
    key = world.make(SMS, after=60)
    world.send("w1")
    Message.objects.filter(pk=key).update(status=status)
    world.later(60)
    assert world.sweep() == 1
    assert world.status(key) == status
    assert not FallbackTimer.objects.exists()
    assert not DueMessage.objects.exists()


def test_it_lets_what_is_past_its_validity_rest(world):
    key = world.make(SMS, after=60, expires_at=world.now + timedelta(seconds=60))
    world.send("w1")
    world.later(61)
    world.sweep()
    assert (world.status(key), world.row(key).fallback_step) == ("sent", 0)
    assert not FallbackTimer.objects.exists()


def test_it_forgets_the_timers_of_messages_that_are_gone(world):
    key = world.make(SMS, after=60)
    Message.objects.filter(pk=key).delete()
    world.later(60)
    assert world.sweep() == 1
    assert not FallbackTimer.objects.exists()


def test_it_stays_where_it_is_when_no_step_has_a_route(world):
    key = world.make({"channel": "rcs", "content": {"text": "by rcs"}}, after=60)
    world.later(60)
    world.sweep()
    assert (world.status(key), world.waits(key), world.row(key).channel) == (
        "accepted",
        world.whatsapp.pk,
        "whatsapp",
    )
    assert not FallbackTimer.objects.exists()


def test_it_takes_many_at_once(world, django_assert_max_num_queries):
    keys = [world.make(SMS, after=60) for _ in range(50)]
    world.later(60)
    with django_assert_max_num_queries(25):
        assert world.sweep() == 50
    assert {world.waits(key) for key in keys} == {world.sms.pk}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("table", ["gateway_duemessage", "gateway_message"])
def test_it_waits_for_nobody_who_has_the_message(world, table):
    """A relay that leases it, a cancel, a receipt."""
    key = world.make(SMS, after=60)
    world.later(60)
    column = "message_id" if table == "gateway_duemessage" else "id"
    held, done = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SELECT FROM {table} WHERE {column} = %s FOR UPDATE", [key])
            held.set()
            done.wait(5)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(5)
    assert world.sweep() == 1
    done.set()
    thread.join()
    assert (world.row(key).fallback_step, world.timer(key)) == (0, 1)
    world.later(1)
    world.sweep()
    assert world.waits(key) == world.sms.pk


@pytest.mark.django_db(transaction=True)
def test_it_takes_each_message_one_step_however_many_sweep(world, together):
    keys = [world.make(SMS, SMS, after=60) for _ in range(30)]
    world.later(60)
    looked = sum(together(lambda _number: fallbacks.fall_back(now=world.now), 4))
    assert looked == 30
    assert {world.row(key).fallback_step for key in keys} == {1}
    assert {len(world.events(key)) for key in keys} == {1}
