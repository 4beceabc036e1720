"""Operators of earlier steps still report: late failures are lines, late deliveries deliver."""

from datetime import timedelta

import pytest

from gateway.models import DueMessage
from routing import receipts
from routing.contract import Verdict
from routing.models import Part
from tests.routing.chains import SMS, World

pytestmark = pytest.mark.django_db

LONG = {"channel": "sms", "content": {"text": "x" * 200}}


@pytest.fixture
def world(make_operator, waiting, now, monkeypatch):
    monkeypatch.setattr("routing.queues.publish", lambda **_: None)
    return World(make_operator, waiting, now)


@pytest.fixture
def gone_on(world):
    """Sent by whatsapp as ``w1``, not delivered in time, waiting for sms."""
    key = world.make(SMS, after=60)
    world.send("w1")
    world.later(60)
    world.sweep()
    return key


def settle(world):
    world.later(receipts.SETTLE_SECONDS + 1)
    receipts.rematch(slugs=world.slugs, now=world.now)


def test_it_notes_a_late_failure(world, gone_on):
    world.report(world.whatsapp, ("w1", "undeliverable"))
    assert (world.status(gone_on), world.waits(gone_on)) == ("sent", world.sms.pk)
    assert world.timeline(gone_on) == ["message.sent", "message.fallback", "receipt.late"]


def test_it_notes_a_late_failure_while_the_step_is_with_its_operator(world, gone_on):
    world.send("s1")
    world.report(world.whatsapp, ("w1", "expired"))
    assert (world.status(gone_on), world.timeline(gone_on)[-1]) == ("sent", "receipt.late")


def test_it_is_delivered_by_a_late_delivery_and_the_waiting_step_is_dropped(world, gone_on):
    world.report(world.whatsapp, ("w1", "delivered"))
    assert world.status(gone_on) == "delivered"
    assert not DueMessage.objects.exists()
    assert world.take() == []


def test_it_is_read_by_a_late_read(world, gone_on):
    world.report(world.whatsapp, ("w1", "read"))
    assert world.status(gone_on) == "read"
    assert not DueMessage.objects.exists()


def test_it_does_not_hand_over_a_step_that_was_leased_when_the_delivery_came(world, gone_on):
    world.lease()
    world.report(world.whatsapp, ("w1", "delivered"))
    assert world.take() == []
    assert world.status(gone_on) == "delivered"


def test_it_stays_delivered_when_a_step_in_hand_goes_out(world, gone_on):
    (message,) = world.take()
    world.report(world.whatsapp, ("w1", "delivered"))
    world.answer(Verdict.ACCEPTED, message, remote_ids=("s1",))
    assert (world.row(gone_on).status, world.row(gone_on).operator) == ("delivered", "wa")
    assert world.timeline(gone_on)[-1] == "fallback.sent"
    world.report(world.sms, ("s1", "undeliverable"))
    assert (world.status(gone_on), world.timeline(gone_on)[-1]) == ("delivered", "receipt.late")


def test_it_does_not_wait_again_once_delivered(world, gone_on):
    (message,) = world.take()
    world.report(world.whatsapp, ("w1", "delivered"))
    world.answer(Verdict.RETRY, message)
    assert (world.status(gone_on), world.waits(gone_on)) == ("delivered", None)


def test_it_ends_neither_by_a_late_failure_nor_twice_when_all_report(world, gone_on):
    world.send("s1")
    world.report(world.sms, ("s1", "undeliverable"))
    world.report(world.whatsapp, ("w1", "delivered"))
    assert world.status(gone_on) == "failed"
    assert world.timeline(gone_on)[-2:] == ["message.failed", "receipt.late"]


def test_it_believes_both_steps_in_one_batch(world, gone_on):
    world.send("s1")
    world.report(world.sms, ("s1", "undeliverable"))
    assert world.status(gone_on) == "failed"


def test_it_lets_a_delivery_win_over_a_failure_in_the_same_batch(world, gone_on, make_operator):
    world.send("s1")
    arrived = [
        receipts.Receipt(world.sms.pk, "s1", receipts.ReceiptState.UNDELIVERABLE, world.now),
        receipts.Receipt(world.whatsapp.pk, "w1", receipts.ReceiptState.DELIVERED, world.now),
    ]
    receipts.record(arrived=arrived, slugs=world.slugs, now=world.now)
    assert world.status(gone_on) == "delivered"
    assert world.timeline(gone_on)[-2:] == ["message.delivered", "receipt.late"]


def test_it_counts_the_parts_of_one_step_only(world):
    key = world.make(LONG, LONG, after=60)
    world.refuse()
    world.send("a1", "a2")
    world.report(world.sms, ("a1", "delivered"), ("a2", "undeliverable"))
    assert world.row(key).fallback_step == 2
    world.send("b1", "b2")
    world.report(world.sms, ("b1", "delivered"))
    assert world.status(key) == "sent"
    world.report(world.sms, ("b2", "delivered"))
    assert world.status(key) == "delivered"
    assert set(Part.objects.values_list("remote_id", "step")) == {("a1", 1), ("a2", 1), ("b1", 2), ("b2", 2)}


def test_it_goes_on_once_when_every_part_fails(world):
    key = world.make(LONG, LONG, SMS)
    world.refuse()
    world.send("a1", "a2")
    world.report(world.sms, ("a1", "undeliverable"), ("a2", "undeliverable"))
    assert world.row(key).fallback_step == 2
    world.send("b1", "b2")
    world.report(world.sms, ("b1", "undeliverable"))
    world.report(world.sms, ("b2", "undeliverable"))
    assert (world.row(key).fallback_step, world.timeline(key)[-1]) == (3, "receipt.late")


def test_it_does_not_settle_a_step_of_which_a_part_failed(world):
    key = world.make(LONG, SMS)
    world.refuse()
    world.send("a1", "a2")
    world.report(world.sms, ("a1", "delivered"))
    world.report(world.sms, ("a2", "undeliverable"))
    settle(world)
    assert (world.status(key), world.waits(key)) == ("sent", world.sms.pk)


def test_it_settles_a_late_delivery_and_drops_the_waiting_step(world):
    key = world.make(LONG, SMS | {"afterSeconds": 5})
    world.refuse()
    world.send("a1", "a2")
    world.report(world.sms, ("a1", "delivered"))
    world.later(5)
    world.sweep()
    assert world.waits(key) == world.sms.pk
    settle(world)
    assert (world.status(key), world.waits(key)) == ("delivered", None)


def test_it_settles_what_was_parked_by_the_release_before(world):
    key = world.make(LONG)
    world.refuse()
    world.send("a1", "a2")
    world.report(world.sms, ("a1", "delivered"))
    row = receipts_parked()
    del row.receipt["step"]
    row.save()
    settle(world)
    assert world.status(key) == "delivered"


def receipts_parked():
    from routing.models import ParkedReceipt

    return ParkedReceipt.objects.get()


def test_it_takes_parts_without_a_step_for_the_present_one(world):
    """Those that the release before wrote."""
    key = world.make(SMS)
    world.send("w1")
    Part.objects.update(step=None)
    world.report(world.whatsapp, ("w1", "undeliverable"))
    assert world.waits(key) == world.sms.pk


def test_it_leaves_the_parts_of_messages_without_a_chain_without_a_step(world, waiting):
    (key,) = waiting(world.sms)
    world.send("s1")
    assert Part.objects.get(message_id=key).step is None


def test_it_goes_on_past_a_time_that_is_over_while_waiting(world, gone_on):
    world.later(timedelta(days=1).total_seconds())
    assert world.sweep() == 0
    assert world.status(gone_on) == "sent"
