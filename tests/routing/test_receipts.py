"""Receipts before answers, repeated, out of order, per part, for nothing we know."""

from datetime import timedelta

import pytest

from gateway.models import Event, Message
from gateway.statuses import Status
from routing import receipts
from routing.contract import Outcome, Receipt, ReceiptState, Verdict
from routing.models import ParkedReceipt, Part
from tests.routing.conftest import status_of, timeline_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(make_operator):
    return make_operator("one")


@pytest.fixture
def sent(operator, waiting, now):
    """A message that the operator accepted under these ids."""

    def make(*remote_ids, status=Status.SENT):
        (key,) = waiting(operator)
        Message.objects.filter(pk=key).update(status=status)
        expect(operator, key, remote_ids, now)
        return key

    return make


def expect(operator, key, remote_ids, now):
    told = [Outcome(key, key, Verdict.ACCEPTED, now, tuple(remote_ids))]
    receipts.expect(operator_id=operator.pk, outcomes=told)


def arrive(operator, now, *said):
    """(remote id, state) of each receipt, in one batch."""
    arrived = [
        Receipt(operator.pk, remote_id, ReceiptState(state), now, code=state.upper())
        for remote_id, state in said
    ]
    return receipts.record(arrived=arrived, slugs={operator.pk: operator.slug}, now=now)


def rematch(operator, now):
    return receipts.rematch(slugs={operator.pk: operator.slug}, now=now)


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("delivered", "delivered"),
        ("read", "read"),
        ("expired", "expired"),
        ("undeliverable", "failed"),
        ("deleted", "failed"),
        ("rejected", "rejected"),
    ],
)
def test_it_moves_the_message_by_what_the_operator_says(operator, sent, now, state, status):
    key = sent("a1")
    assert arrive(operator, now, ("a1", state)) == 1
    assert status_of(key) == status


@pytest.mark.parametrize("state", ["enroute", "accepted", "unknown"])
def test_it_stores_but_does_not_guess_from_what_is_not_final(operator, sent, now, state):
    key = sent("a1")
    arrive(operator, now, ("a1", state))
    assert status_of(key) == "sent"
    assert timeline_of(key) == ["receipt.interim"]


def test_it_keeps_the_operators_own_word(operator, sent, now):
    key = sent("a1")
    arrive(operator, now, ("a1", "undeliverable"))
    event = Event.objects.get(message_id=key)
    assert (event.operator, event.operator_code, event.error_code) == (
        "one",
        "UNDELIVERABLE",
        "UNDELIVERABLE",
    )


def test_it_takes_a_repeated_receipt_as_a_line_not_a_step(operator, sent, now):
    key = sent("a1")
    arrive(operator, now, ("a1", "delivered"))
    arrive(operator, now, ("a1", "delivered"), ("a1", "undeliverable"))
    assert status_of(key) == "delivered"
    assert timeline_of(key) == ["message.delivered", "receipt.repeated", "receipt.repeated"]


def test_it_takes_one_of_two_in_the_same_batch(operator, sent, now):
    key = sent("a1")
    arrive(operator, now, ("a1", "delivered"), ("a1", "delivered"))
    assert timeline_of(key) == ["message.delivered", "receipt.repeated"]


@pytest.mark.parametrize(
    ("states", "status", "timeline"),
    [
        (("delivered", "read"), "read", ["message.delivered", "message.read"]),
        (("enroute", "delivered"), "delivered", ["receipt.interim", "message.delivered"]),
        (("delivered", "enroute"), "delivered", ["receipt.interim", "message.delivered"]),
        (("read", "delivered"), "read", ["message.read", "receipt.repeated"]),
        (
            ("delivered", "delivered", "read", "read", "undeliverable"),
            "read",
            ["message.delivered", "message.read", *["receipt.repeated"] * 3],
        ),
        (("undeliverable", "delivered"), "failed", ["message.failed", "receipt.repeated"]),
    ],
)
def test_it_reads_several_of_one_part_in_one_batch_in_order(operator, sent, now, states, status, timeline):
    key = sent("a1")
    arrive(operator, now, *(("a1", state) for state in states))
    assert status_of(key) == status
    assert sorted(timeline_of(key)) == sorted(timeline)
    arrive(operator, now, ("a1", "delivered"))
    assert status_of(key) == status


def test_it_notes_a_receipt_for_a_message_that_has_ended(operator, sent, now):
    key = sent("a1", status=Status.EXPIRED)
    arrive(operator, now, ("a1", "delivered"))
    assert status_of(key) == "expired"
    assert timeline_of(key) == ["receipt.late"]


def test_it_lets_a_read_follow_a_delivery(operator, sent, now):
    key = sent("a1")
    arrive(operator, now, ("a1", "delivered"))
    arrive(operator, now, ("a1", "read"))
    assert status_of(key) == "read"


def test_it_parks_a_receipt_that_overtook_its_answer_and_matches_it_then(operator, waiting, now):
    (key,) = waiting(operator)
    Message.objects.filter(pk=key).update(status=Status.SENDING)
    assert arrive(operator, now, ("a1", "delivered")) == 0
    assert ParkedReceipt.objects.count() == 1
    expect(operator, key, ["a1"], now)
    # the answer calls the parked receipt up at once
    assert ParkedReceipt.objects.get().next_match_at <= now + timedelta(seconds=1)
    rematch(operator, now + timedelta(seconds=1))
    assert status_of(key) == "delivered"
    assert not ParkedReceipt.objects.exists()


def test_it_keeps_the_order_of_what_was_parked(operator, waiting, now):
    (key,) = waiting(operator)
    Message.objects.filter(pk=key).update(status=Status.SENDING)
    arrive(operator, now, ("a1", "enroute"), ("a1", "delivered"), ("a1", "read"))
    expect(operator, key, ["a1"], now)
    rematch(operator, now + timedelta(seconds=1))
    assert status_of(key) == "read"
    assert sorted(timeline_of(key)) == ["message.delivered", "message.read", "receipt.interim"]


def test_it_tries_an_unknown_receipt_ever_more_slowly(operator, now):
    arrive(operator, now, ("nobody", "delivered"))
    waits = []
    for _ in range(4):
        due = ParkedReceipt.objects.get().next_match_at
        rematch(operator, due)
        waits.append(ParkedReceipt.objects.get().next_match_at - due)
    assert waits == sorted(waits)
    assert waits[-1] > 4 * waits[0]


def test_it_does_not_mix_up_operators_that_use_the_same_id(operator, make_operator, sent, now):
    key = sent("a1")
    arrive(make_operator("two"), now, ("a1", "delivered"))
    assert status_of(key) == "sent"


def test_it_means_the_newest_message_when_an_operator_uses_an_id_again(operator, sent, now):
    old, new = sent("a1"), sent("a1")
    arrive(operator, now, ("a1", "delivered"))
    assert (status_of(old), status_of(new)) == ("sent", "delivered")


def test_it_waits_for_every_part_of_a_long_message(operator, sent, now):
    key = sent("a1", "a2", "a3")
    arrive(operator, now, ("a1", "delivered"), ("a3", "delivered"))
    assert status_of(key) == "sent"
    arrive(operator, now, ("a2", "delivered"))
    assert status_of(key) == "delivered"


def test_it_fails_a_long_message_by_one_part(operator, sent, now):
    key = sent("a1", "a2")
    arrive(operator, now, ("a1", "delivered"))
    arrive(operator, now, ("a2", "undeliverable"))
    assert status_of(key) == "failed"


def test_it_settles_for_the_parts_that_an_operator_reports(operator, sent, now):
    key = sent("a1", "a2")
    arrive(operator, now, ("a2", "delivered"))
    rematch(operator, now + timedelta(seconds=receipts.SETTLE_SECONDS - 1))
    assert status_of(key) == "sent"
    rematch(operator, now + timedelta(seconds=receipts.SETTLE_SECONDS + 1))
    assert status_of(key) == "delivered"
    assert not ParkedReceipt.objects.exists()


def test_it_does_not_take_back_a_failure_for_a_part_that_was_delivered(operator, sent, now):
    key = sent("a1", "a2", "a3")
    arrive(operator, now, ("a1", "undeliverable"))
    arrive(operator, now, ("a2", "delivered"), ("a3", "delivered"))
    rematch(operator, now + timedelta(seconds=receipts.SETTLE_SECONDS + 1))
    assert status_of(key) == "failed"
    assert not ParkedReceipt.objects.exists()


def test_it_notes_a_part_that_fails_after_the_others_stood_for_all(operator, sent, now):
    key = sent("a1", "a2")
    arrive(operator, now, ("a1", "delivered"))
    rematch(operator, now + timedelta(seconds=receipts.SETTLE_SECONDS + 1))
    arrive(operator, now, ("a2", "undeliverable"))
    assert status_of(key) == "delivered"
    assert timeline_of(key) == ["message.delivered", "receipt.late"]


@pytest.mark.parametrize("reported", [("a1",), ("a3",), ("a1", "a2", "a3"), ("a3", "a2", "a1")])
def test_it_takes_a_receipt_for_the_first_the_last_or_each_part(operator, sent, now, reported):
    key = sent("a1", "a2", "a3")
    for each in reported:
        arrive(operator, now, (each, "enroute"))
        arrive(operator, now, (each, "delivered"))
    rematch(operator, now + timedelta(seconds=receipts.SETTLE_SECONDS + 1))
    assert status_of(key) == "delivered"


def test_it_forgets_nothing_when_a_batch_is_mixed(operator, sent, now):
    keys = [sent(f"m{number}") for number in range(5)]
    arrive(operator, now, *[(f"m{number}", "delivered") for number in range(5)], ("nobody", "delivered"))
    assert {status_of(key) for key in keys} == {"delivered"}
    assert ParkedReceipt.objects.count() == 1
    assert set(Part.objects.values_list("state", flat=True)) == {"delivered"}
