"""What comes of a message from what came of its parts: every way in which they may be answered."""

import uuid
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from routing.contract import Outbound, Verdict
from smpp_bind.group import Answer
from smpp_bind.jobs import AGAIN_SECONDS, Job
from smpp_bind.refusals import Kind, Refusals

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
ACCEPTED, TEMPORARY, PERMANENT, NO_ROUTE = 0, 0x08, 0x45, 0x0B
statuses = st.sampled_from([ACCEPTED, ACCEPTED, TEMPORARY, PERMANENT, NO_ROUTE, None])
refusals = Refusals()


def job(parts, **fields):
    key = uuid.uuid4()
    message = Outbound(
        key, key, 1, "sms", "+14155550101", "ACME", "x", None, parts, None, fields.get("expires_at")
    )
    return Job(message, [b""] * parts, lambda outcomes: None)


def answered(*given_, unsent=0, **fields):
    made = job(len(given_) + unsent, **fields)
    for number, status in enumerate(given_):
        made.take(
            number, Answer((made, number), status, "" if status else f"00{number}A", 0.0, "lost"), refusals
        )
    made.open -= unsent
    made.unsent = unsent > 0
    return made


@given(st.lists(statuses, min_size=1, max_size=6), st.integers(0, 2))
def test_every_way_has_one_meaning(given_, unsent):
    made = answered(*given_, unsent=unsent)
    assert made.open == 0
    outcome = made.outcome(NOW)
    refused = [
        status
        for status in given_
        if status is not None and refusals.of(status).kind is Kind.PERMANENT and status
    ]
    if all(status == ACCEPTED for status in given_) and not unsent:
        assert outcome.verdict is Verdict.ACCEPTED
        assert len(outcome.remote_ids) == len(given_)
    else:
        assert outcome.remote_ids == ()
    # Nothing is given up unless the operator said so, or kept saying "later" of a part of what it took.
    if outcome.verdict is Verdict.REFUSED:
        assert refused or TEMPORARY in given_
        assert (outcome.error_code == "PARTLY_REJECTED_BY_OPERATOR") == (ACCEPTED in given_)
    if unsent and not refused:
        assert outcome.verdict is Verdict.RETRY
    if outcome.verdict is Verdict.UNKNOWN:
        assert None in given_


@given(st.lists(statuses, min_size=1, max_size=6))
def test_only_what_completes_a_message_is_sent_again(given_):
    made = answered(*given_)
    again = made.again_after(NOW)
    may = set(given_) == {ACCEPTED, TEMPORARY}
    if may:
        assert again == AGAIN_SECONDS[0]
        numbers = [number for number, status in enumerate(given_) if status == TEMPORARY]
        assert made.again() == numbers
        assert made.open == len(numbers)
    elif TEMPORARY in given_:
        assert again is None


def test_a_part_is_sent_again_so_often_and_ever_later():
    made = answered(ACCEPTED, TEMPORARY)
    waited = []
    while (delay := made.again_after(NOW)) is not None:
        waited.append(delay)
        made.again()
        made.take(1, Answer((made, 1), TEMPORARY, "", 0.0), refusals)
    assert tuple(waited) == AGAIN_SECONDS == tuple(sorted(waited))
    assert made.outcome(NOW).error_code == "PARTLY_REJECTED_BY_OPERATOR"


def test_no_part_is_sent_again_that_would_come_too_late():
    soon = NOW + timedelta(seconds=AGAIN_SECONDS[0])
    assert answered(ACCEPTED, TEMPORARY, expires_at=soon).again_after(NOW) is None
    assert answered(ACCEPTED, TEMPORARY, expires_at=soon + timedelta(seconds=1)).again_after(NOW) is not None


def test_a_refusal_after_the_validity_is_the_ledgers_to_end():
    assert answered(PERMANENT, expires_at=NOW).outcome(NOW).verdict is Verdict.RETRY
    assert answered(PERMANENT, expires_at=NOW + timedelta(seconds=1)).outcome(NOW).verdict is Verdict.REFUSED
    assert answered(ACCEPTED, PERMANENT, expires_at=NOW).outcome(NOW).verdict is Verdict.REFUSED


def test_late_answers_make_known_what_was_not():
    made = answered(ACCEPTED, None, None)
    assert made.outcome(NOW).verdict is Verdict.UNKNOWN
    late = [Answer((made, number), 0, f"00{number}A", 0.0) for number in (1, 2)]
    assert not made.take_late(1, late[0])
    assert made.outcome(NOW).verdict is Verdict.UNKNOWN
    assert made.take_late(2, late[1])
    outcome = made.outcome(NOW)
    assert (outcome.verdict, outcome.remote_ids) == (Verdict.ACCEPTED, ("a", "1a", "2a"))


def test_a_late_refusal_leaves_a_message_unknown():
    made = answered(None)
    assert not made.take_late(0, Answer((made, 0), PERMANENT, "", 0.0))
    assert made.outcome(NOW).verdict is Verdict.UNKNOWN
