"""What taking in hand, recording and giving back do to the ledger."""

from datetime import timedelta

import pytest

from gateway import lifecycle
from gateway.lifecycle import Move
from gateway.models import DueMessage, Message, OptOut
from gateway.statuses import Status
from routing import delivery
from routing.contract import Outcome, Verdict
from routing.delivery import Carrier
from routing.models import Delivery, Part
from routing.relay import Relay
from tests.routing.conftest import status_of, timeline_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(make_operator):
    return make_operator("one")


@pytest.fixture
def carrier(operator):
    return Carrier(operator.pk, operator.slug, "w1")


@pytest.fixture
def leased(operator, waiting, monkeypatch):
    """Messages leased to the operator; their delivery ids by message id."""
    monkeypatch.setattr("routing.queues.publish", lambda **_: None)

    def lease(count=1, **fields):
        keys = waiting(operator, count, **fields)
        Relay().tick()
        found = dict(Delivery.objects.filter(message_id__in=keys).values_list("message_id", "pk"))
        return {key: found[key] for key in keys}

    return lease


def take(leased, now, worker="w1"):
    taken = delivery.take(delivery_ids=[str(key) for key in leased.values()], worker=worker, now=now)
    return [message for messages in taken.values() for message in messages]


def outcome(leased, key, verdict, now, **fields):
    return Outcome(leased[key], key, verdict, now, **fields)


def test_it_takes_messages_in_hand_in_order(leased, now):
    rows = leased(3)
    assert [message.message_id for message in take(rows, now)] == list(rows)
    assert {status_of(key) for key in rows} == {"sending"}


def test_it_takes_nothing_twice(leased, now):
    rows = leased(2)
    assert len(take(rows, now)) == 2
    assert take(rows, now, worker="w2") == []


def test_it_does_not_send_what_was_cancelled(leased, now):
    rows = leased(2)
    first, second = rows
    lifecycle.move(moves=[Move(first, Status.CANCELED, now)])
    assert [message.message_id for message in take(rows, now)] == [second]
    assert not Delivery.objects.filter(message_id=first).exists()


def test_it_expires_what_is_too_late_to_send(leased, now):
    (key,) = rows = leased(1, expires_at=now + timedelta(seconds=5))
    assert take(rows, now + timedelta(seconds=6)) == []
    assert status_of(key) == "expired"
    assert Message.objects.get(pk=key).error_code == "EXPIRED_BEFORE_SUBMISSION"
    assert not Delivery.objects.exists()


@pytest.mark.parametrize("sender", ["", "ACME", "acme"])
def test_it_does_not_send_to_who_has_opted_out_meanwhile(leased, tenants, now, sender):
    first, second = rows = leased(2, sender="ACME")
    Message.objects.filter(pk=second).update(recipient="+14155550199")
    OptOut.objects.create(tenant=tenants[0], phone="+14155550101", sender=sender)
    assert [message.message_id for message in take(rows, now)] == [second]
    refused = Message.objects.get(pk=first)
    assert (refused.status, refused.error_code) == ("rejected", "RECIPIENT_OPTED_OUT")
    assert timeline_of(first) == ["message.rejected"]
    assert not Delivery.objects.filter(message_id=first).exists()


@pytest.mark.parametrize("own_sender", [None, "ACME"])
def test_it_sends_to_who_has_opted_out_of_others(leased, tenants, now, own_sender):
    rows = leased(1, sender=own_sender)
    OptOut.objects.create(tenant=tenants[0], phone="+14155550101", sender="OTHER")
    OptOut.objects.create(tenant=tenants[1], phone="+14155550101")
    assert len(take(rows, now)) == 1


def test_it_sends_an_exempt_reply_to_who_has_opted_out(leased, tenants, now):
    (key,) = rows = leased(1)
    Message.objects.filter(pk=key).update(exempt=True)
    OptOut.objects.create(tenant=tenants[0], phone="+14155550101")
    assert len(take(rows, now)) == 1


def test_it_tells_of_the_validity_before_the_opt_out(leased, tenants, now):
    (key,) = rows = leased(1, expires_at=now + timedelta(seconds=5))
    OptOut.objects.create(tenant=tenants[0], phone="+14155550101")
    assert take(rows, now + timedelta(seconds=6)) == []
    assert status_of(key) == "expired"


def test_it_records_an_acceptance_with_the_ids_to_expect(leased, carrier, now):
    (key,) = rows = leased()
    take(rows, now)
    told = [outcome(rows, key, Verdict.ACCEPTED, now, remote_ids=("a1", "a2"))]
    delivery.record(carrier=carrier, outcomes=told)
    assert status_of(key) == "sent"
    assert list(Part.objects.order_by("number").values_list("remote_id", "number", "parts")) == [
        ("a1", 1, 2),
        ("a2", 2, 2),
    ]
    assert not Delivery.objects.exists()
    assert Message.objects.get(pk=key).operator == "one"


def test_it_records_a_refusal_with_the_operators_code(leased, carrier, now):
    (key,) = rows = leased()
    take(rows, now)
    told = [outcome(rows, key, Verdict.REFUSED, now, code="0x0000000B", error_code="INVALID_RECIPIENT")]
    delivery.record(carrier=carrier, outcomes=told)
    message = Message.objects.get(pk=key)
    assert (message.status, message.error_code) == ("rejected", "INVALID_RECIPIENT")
    assert timeline_of(key) == ["message.rejected"]


def test_it_lets_what_was_put_off_wait_at_its_old_place(leased, carrier, now):
    (key,) = rows = leased()
    due_at = Delivery.objects.get(message_id=key).due_at
    take(rows, now)
    delivery.record(carrier=carrier, outcomes=[outcome(rows, key, Verdict.RETRY, now)])
    waiting = DueMessage.objects.get(pk=key)
    assert (waiting.due_at, waiting.attempts) == (due_at, 1)
    assert status_of(key) == "queued"


def test_it_slows_down_what_keeps_failing(leased, carrier, now):
    (key,) = rows = leased()
    Delivery.objects.update(attempts=5)
    due_at = Delivery.objects.get(message_id=key).due_at
    take(rows, now)
    delivery.record(carrier=carrier, outcomes=[outcome(rows, key, Verdict.UNKNOWN, now)])
    assert DueMessage.objects.get(pk=key).due_at > due_at + timedelta(seconds=20)


def test_it_does_not_charge_a_try_that_the_operator_never_saw(leased, now):
    (key,) = rows = leased()
    take(rows, now)
    delivery.give_back(delivery_ids=[rows[key]], message_ids=[key], worker="w1", now=now)
    assert DueMessage.objects.get(pk=key).attempts == 0


def test_it_leaves_an_unanswered_submit_sent_where_the_operator_wants_that(leased, operator, now):
    (key,) = rows = leased()
    take(rows, now)
    carrier = Carrier(operator.pk, operator.slug, "w1", retries_unknown=False)
    delivery.record(carrier=carrier, outcomes=[outcome(rows, key, Verdict.UNKNOWN, now)])
    assert status_of(key) == "sent"
    assert not DueMessage.objects.exists()


def test_it_believes_an_acceptance_that_comes_after_the_lease(leased, operator, carrier, now):
    """Another worker's retry must not follow a submit that the operator took."""
    (key,) = rows = leased()
    take(rows, now)
    # The lease ran out: the row waits again.
    delivery.give_back(delivery_ids=[rows[key]], message_ids=[key], worker="w1", now=now)
    delivery.record(carrier=carrier, outcomes=[outcome(rows, key, Verdict.ACCEPTED, now, remote_ids=("a1",))])
    assert status_of(key) == "sent"
    assert not DueMessage.objects.exists()
    assert Part.objects.filter(remote_id="a1").exists()


def test_it_ignores_another_workers_row_in_a_late_refusal(leased, carrier, now):
    (key,) = rows = leased()
    take(rows, now, worker="w2")
    delivery.record(carrier=carrier, outcomes=[outcome(rows, key, Verdict.REFUSED, now)])
    assert status_of(key) == "sending"
    assert Delivery.objects.filter(worker="w2").exists()


def test_it_gives_up_what_was_put_off_for_two_days(leased, carrier, now):
    rows = leased(2)
    old, young = rows
    take(rows, now)
    Delivery.objects.update(due_at=now - timedelta(hours=60), attempts=3)
    Delivery.objects.filter(message_id=old).update(attempts=delivery.MOST_TRIES)
    put_off = [outcome(rows, key, Verdict.RETRY, now, code="0x08") for key in (old, young)]
    delivery.record(carrier=carrier, outcomes=put_off)
    assert (status_of(old), status_of(young)) == ("rejected", "queued")
    assert Message.objects.get(pk=old).error_code == "REJECTED_BY_OPERATOR"
