"""A step that fails for good: the same message goes on with the next one."""

import dataclasses
from datetime import timedelta

import pytest
from django.db.models import Sum

from gateway import lifecycle
from gateway.lifecycle import Move
from gateway.models import DueMessage, FallbackTimer, Message, OptOut, Tally, TallyDelta
from gateway.statuses import Status
from routing import delivery, sweeps
from routing.contract import Outcome, Verdict
from routing.models import Delivery, Part, Route
from tests.routing.chains import SMS, World

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(make_operator, waiting, now, monkeypatch):
    monkeypatch.setattr("routing.queues.publish", lambda **_: None)
    return World(make_operator, waiting, now)


def test_it_goes_on_when_the_operator_refuses_it(world):
    key = world.make(SMS)
    world.refuse()
    row = world.row(key)
    assert (row.status, row.fallback_step) == ("queued", 1)
    assert (row.channel, row.text, row.content, row.encoding, row.parts, row.sender) == (
        "sms",
        "by text",
        None,
        "GSM-7",
        1,
        "ACME",
    )
    due = DueMessage.objects.get(pk=key)
    assert (due.lane, due.channel, due.attempts, due.refused_by) == (world.sms.pk, "sms", 0, [])
    (event,) = world.events(key)
    assert (event.type, event.status, event.operator, event.operator_code, event.error_code) == (
        "message.fallback",
        None,
        "wa",
        "0x0B",
        "INVALID_RECIPIENT",
    )
    assert event.data == {
        "step": 1,
        "reason": "INVALID_RECIPIENT",
        "from": {
            "channel": "whatsapp",
            "sender": "ACME",
            "text": "hello",
            "content": None,
            "encoding": None,
            "parts": 1,
        },
        "to": {"channel": "sms", "sender": "ACME"},
    }


def test_it_is_delivered_by_the_step_that_works(world):
    key = world.make(SMS)
    world.refuse()
    message = world.send("s1")
    assert (message.channel, message.text) == ("sms", "by text")
    world.report(world.sms, ("s1", "delivered"))
    row = world.row(key)
    assert (row.status, row.operator) == ("delivered", "sms")
    assert world.timeline(key) == ["message.fallback", "message.sent", "message.delivered"]
    assert [event.sequence for event in world.events(key)] == [2, 3, 4]


def test_it_ends_when_the_last_step_fails(world):
    key = world.make(SMS)
    world.refuse()
    world.refuse()
    row = world.row(key)
    assert (row.status, row.error_code, row.operator) == ("rejected", "INVALID_RECIPIENT", "sms")
    assert not DueMessage.objects.exists()
    assert not Delivery.objects.exists()


@pytest.mark.parametrize("state", ["undeliverable", "expired", "rejected", "deleted"])
def test_it_stays_sent_while_the_next_step_is_on_its_way(world, state):
    key = world.make(SMS)
    world.send("w1")
    world.report(world.whatsapp, ("w1", state))
    assert (world.status(key), world.waits(key)) == ("sent", world.sms.pk)
    (message,) = world.take()
    assert (world.status(key), message.text) == ("sent", "by text")
    world.answer(Verdict.ACCEPTED, message, remote_ids=("s1",))
    row = world.row(key)
    assert (row.status, row.operator) == ("sent", "sms")
    assert world.timeline(key) == ["message.sent", "message.fallback", "fallback.sent"]
    assert world.events(key)[-1].data == {"remoteIds": ["s1"]}
    assert world.events(key)[-1].operator == "sms"
    world.report(world.sms, ("s1", "delivered"))
    assert world.status(key) == "delivered"


def test_it_fails_from_sent_when_the_last_step_fails(world):
    key = world.make(SMS)
    world.send("w1")
    world.report(world.whatsapp, ("w1", "undeliverable"))
    world.send("s1")
    world.report(world.sms, ("s1", "undeliverable"))
    assert world.status(key) == "failed"
    assert world.timeline(key)[-1] == "message.failed"


def test_it_is_rejected_from_sent_when_the_last_step_is_refused(world):
    key = world.make(SMS)
    world.send("w1")
    world.report(world.whatsapp, ("w1", "undeliverable"))
    world.refuse()
    assert world.status(key) == "rejected"


def test_it_waits_again_when_a_later_step_is_put_off(world):
    key = world.make(SMS)
    world.send("w1")
    world.report(world.whatsapp, ("w1", "undeliverable"))
    (message,) = world.take()
    world.answer(Verdict.RETRY, message)
    assert (world.status(key), world.waits(key)) == ("sent", world.sms.pk)
    assert world.send("s1").text == "by text"


def test_it_waits_again_when_nobody_took_a_later_step_in_time(world):
    key = world.make(SMS)
    world.send("w1")
    world.report(world.whatsapp, ("w1", "undeliverable"))
    world.lease()
    Delivery.objects.update(lease_until=world.now - timedelta(seconds=60))
    assert sweeps.reclaim(now=world.now) == 1
    assert (world.status(key), world.waits(key)) == ("sent", world.sms.pk)


def test_it_takes_the_sender_of_the_step_and_then_its_own_again(world):
    key = world.make(SMS | {"from": "TWO"}, SMS)
    world.refuse()
    assert world.row(key).sender == DueMessage.objects.get(pk=key).sender == "TWO"
    world.refuse()
    assert (world.row(key).sender, world.row(key).fallback_step) == ("ACME", 2)


def test_it_keeps_what_it_was_before_in_its_timeline(world):
    key = world.make(SMS)
    media = {"media": {"url": "https://example.com/a.png", "type": "image"}}
    Message.objects.filter(pk=key).update(text=None, content=media)
    world.refuse()
    assert world.row(key).content is None
    assert world.events(key)[0].data["from"]["content"] == media


def test_it_counts_the_parts_of_the_step(world):
    key = world.make({"channel": "sms", "content": {"text": "x" * 400}})
    world.refuse()
    assert world.row(key).parts == DueMessage.objects.get(pk=key).parts == 3


def test_it_keeps_quotes_and_backslashes(world):
    text = 'a "quoted" \\ {word}, NULL\nand a new line'
    key = world.make({"channel": "sms", "content": {"text": text}})
    world.refuse()
    assert world.row(key).text == text


def test_it_passes_over_a_step_without_a_route(world):
    key = world.make({"channel": "rcs", "content": {"text": "by rcs"}}, SMS)
    world.refuse()
    assert (world.row(key).fallback_step, world.waits(key)) == (2, world.sms.pk)


def test_it_passes_over_a_step_whose_template_is_gone(world):
    key = world.make({"channel": "sms", "content": {"template": {"name": "gone", "language": "en"}}}, SMS)
    world.refuse()
    assert (world.row(key).fallback_step, world.row(key).text) == (2, "by text")


def test_it_sends_media_as_a_step(world):
    media = {"media": {"url": "https://example.com/a.png", "type": "image"}}
    key = world.make({"channel": "whatsapp", "content": media})
    world.refuse()
    (message,) = world.take()
    assert (message.message_id, message.text, message.content) == (key, None, media)


def test_it_ends_when_no_step_has_a_route(world):
    Route.objects.filter(channel="sms").delete()
    key = world.make(SMS, SMS)
    world.refuse()
    assert (world.status(key), world.row(key).fallback_step) == ("rejected", 0)
    assert not DueMessage.objects.exists()


def test_it_ends_when_its_validity_is_over(world):
    key = world.make(SMS, expires_at=world.now + timedelta(seconds=30))
    world.send("w1")
    world.later(31)
    world.report(world.whatsapp, ("w1", "expired"))
    assert world.status(key) == "expired"


def test_it_is_left_to_a_receipt_when_a_later_step_is_not_answered(world):
    key = world.make(SMS)
    world.send("w1")
    world.report(world.whatsapp, ("w1", "undeliverable"))
    (message,) = world.take()
    carrier = dataclasses.replace(world.carrier(world.sms.pk), retries_unknown=False)
    told = [Outcome(message.delivery_id, key, Verdict.UNKNOWN, world.now)]
    delivery.record(carrier=carrier, outcomes=told)
    assert (world.status(key), world.waits(key), world.row(key).operator) == ("sent", None, "sms")
    assert (world.timeline(key)[-1], world.events(key)[-1].error_code) == ("fallback.sent", "OUTCOME_UNKNOWN")


def test_it_gives_up_when_the_recipient_has_opted_out(world, tenants):
    key = world.make(SMS, SMS)
    world.send("w1")
    world.report(world.whatsapp, ("w1", "undeliverable"))
    OptOut.objects.create(tenant=tenants[0], phone=world.row(key).recipient)
    assert world.take() == []
    row = world.row(key)
    assert (row.status, row.error_code, row.fallback_step) == ("rejected", "RECIPIENT_OPTED_OUT", 1)
    assert not DueMessage.objects.exists()


def test_it_is_counted_where_it_is_at_every_step(world):
    world.make(SMS)
    seen = [tallied()]
    world.send("w1")
    seen.append(tallied())
    world.report(world.whatsapp, ("w1", "undeliverable"))
    seen.append(tallied())
    world.send("s1")
    seen.append(tallied())
    world.report(world.sms, ("s1", "delivered"))
    seen.append(tallied())
    assert seen == [
        {},
        {("whatsapp", "", "accepted"): -1, ("whatsapp", "wa", "sent"): 1},
        {("whatsapp", "", "accepted"): -1, ("sms", "wa", "sent"): 1},
        {("whatsapp", "", "accepted"): -1, ("sms", "sms", "sent"): 1},
        {("whatsapp", "", "accepted"): -1, ("sms", "sms", "delivered"): 1},
    ]


def tallied():
    """By channel, operator and status; the fixture's message was never counted in."""
    rows = TallyDelta.objects.filter(measure=Tally.Measure.STATUS)
    sums = rows.values_list("channel", "operator", "value").annotate(total=Sum("count"))
    return {(channel, operator, status): total for channel, operator, status, total in sums if total}


def test_it_keeps_two_tenants_apart(world, tenants):
    """Their chains fail in the same batch; each goes on as itself."""
    ours = world.make(SMS)
    theirs = world.make({"channel": "sms", "content": {"text": "theirs"}})
    for table, column in ((Message, "pk"), (DueMessage, "message_id")):
        table.objects.filter(**{column: theirs}).update(tenant_id=tenants[1].pk)
    messages = world.take()
    told = [
        Outcome(message.delivery_id, message.message_id, Verdict.REFUSED, world.now) for message in messages
    ]
    delivery.record(carrier=world.carrier(world.whatsapp.pk), outcomes=told)
    assert set(DueMessage.objects.values_list("pk", "tenant_id")) == {
        (ours, tenants[0].pk),
        (theirs, tenants[1].pk),
    }
    assert {event.tenant_id for event in world.events(theirs)} == {tenants[1].pk}
    assert (world.row(ours).text, world.row(theirs).text) == ("by text", "theirs")


def test_it_expires_while_a_later_step_waits(world):
    key = world.make(SMS, expires_at=world.now + timedelta(seconds=30))
    world.send("w1")
    world.report(world.whatsapp, ("w1", "undeliverable"))
    world.later(31)
    assert sweeps.expire(now=world.now) == 1
    assert world.status(key) == "expired"


def test_it_leaves_messages_without_a_chain_as_they_were(world):
    key = world.make()
    Message.objects.filter(pk=key).update(fallback=None)
    world.refuse()
    assert world.status(key) == "rejected"


def test_it_sends_each_message_of_a_batch_its_own_way(world):
    with_chain, without = world.make(SMS), world.make()
    Message.objects.filter(pk=without).update(fallback=None)
    messages = world.take()
    told = [
        Outcome(message.delivery_id, message.message_id, Verdict.REFUSED, world.now) for message in messages
    ]
    delivery.record(carrier=world.carrier(world.whatsapp.pk), outcomes=told)
    assert (world.status(with_chain), world.status(without)) == ("queued", "rejected")


def test_it_starts_the_clock_of_the_new_step_and_stops_the_old_ones(world):
    timed = world.make(SMS, SMS | {"afterSeconds": 45}, after=60)
    untimed = world.make(SMS | {"afterSeconds": 60}, SMS, after=60)
    for message in world.take():
        world.answer(Verdict.REFUSED, message)
    assert world.timer(timed) == 45
    assert world.timer(untimed) is None


def test_it_drops_what_was_leased_for_the_step_before(world):
    """The first worker fell silent, the second try was leased; then the first one's acceptance came to light."""
    key = world.make(SMS)
    (message,) = world.take()
    carrier = world.carrier(world.whatsapp.pk)
    delivery.give_back(
        delivery_ids=[message.delivery_id], message_ids=[key], worker="w1", now=world.now, tried=True
    )
    world.lease()
    told = [Outcome(message.delivery_id, key, Verdict.ACCEPTED, world.now, remote_ids=("w1",))]
    delivery.record(carrier=carrier, outcomes=told)
    world.report(world.whatsapp, ("w1", "undeliverable"))
    assert not Delivery.objects.exists()
    assert world.send("s1").text == "by text"


def test_it_does_not_give_an_old_delivery_a_new_steps_content(world):
    """A delivery row that outlived its step finds the message somewhere else."""
    key = world.make(SMS)
    world.send("w1")
    stale = Delivery.objects.create(
        message_id=key,
        tenant_id=world.row(key).tenant_id,
        operator_id=world.whatsapp.pk,
        priority=1,
        parts=1,
        due_at=world.now,
        attempts=1,
        lease_until=world.now + timedelta(seconds=60),
        queued_at=world.now,
        worker="elsewhere",
    )
    world.report(world.whatsapp, ("w1", "undeliverable"))
    Delivery.objects.filter(pk=stale.pk).update(worker=None)
    assert delivery.take(delivery_ids=[str(stale.pk)], worker="w1", now=world.now) == {}
    assert world.waits(key) == world.sms.pk


def test_it_keeps_a_waiting_step_when_a_late_acceptance_of_the_one_before_comes(world):
    """Killed, reclaimed, gone on; then the journal is replayed."""
    key = world.make(SMS, after=5)
    (message,) = world.take()
    delivery.give_back(delivery_ids=[message.delivery_id], message_ids=[key], worker="w1", now=world.now)
    world.later(6)
    world.sweep()
    assert world.waits(key) == world.sms.pk
    told = [Outcome(message.delivery_id, key, Verdict.ACCEPTED, world.now, remote_ids=("w1",))]
    for _twice in range(2):
        delivery.record(carrier=world.carrier(world.whatsapp.pk), outcomes=told)
    assert (world.status(key), world.waits(key)) == ("sent", world.sms.pk)
    assert Part.objects.filter(message_id=key).count() == 1
    world.report(world.whatsapp, ("w1", "undeliverable"))
    assert (world.status(key), world.timeline(key)[-1]) == ("sent", "receipt.late")
    world.send("s1")
    assert world.timeline(key)[-1] == "fallback.sent"


def test_it_is_not_taken_on_once_cancelled(world):
    key = world.make(SMS, after=5)
    DueMessage.objects.filter(pk=key).delete()
    lifecycle.move(moves=[Move(key, Status.CANCELED, world.now)])
    world.later(6)
    world.sweep()
    assert world.status(key) == "canceled"
    assert not FallbackTimer.objects.exists()
    assert not DueMessage.objects.exists()
