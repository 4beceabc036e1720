"""What comes of messages whose parts fare differently, over real sockets."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from routing.contract import Verdict
from smpp_bind import jobs
from smpp_bind.simulator import Span
from tests.smpp_bind.test_transport import Answers, bound, outbound, wait

LONG = "x" * 400


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(jobs, "AGAIN_SECONDS", (0.05, 0.1, 0.1))


def long(**fields):
    return outbound(LONG, parts=3, **fields)


def test_a_part_that_was_put_off_is_sent_again_and_completes_the_message():
    with bound(fault=("refuse:0x08@part=2,first=2",)) as (transport, smsc, _sink):
        (outcome,) = Answers(transport, [long()]).next(1)
        assert outcome.verdict is Verdict.ACCEPTED
        assert len(set(outcome.remote_ids)) == 3
        assert "" not in outcome.remote_ids
        assert smsc.stats()["submits"] == 5


def test_a_part_that_is_put_off_time_and_again_ends_the_message():
    with bound(fault=("refuse:0x08@part=2",)) as (transport, smsc, _sink):
        (outcome,) = Answers(transport, [long()]).next(1)
        assert (outcome.verdict, outcome.error_code) == (Verdict.REFUSED, "PARTLY_REJECTED_BY_OPERATOR")
        assert outcome.code == "0x00000008"
        assert smsc.stats()["submits"] == 3 + 3


def test_a_part_is_not_sent_again_after_the_messages_validity():
    with bound(fault=("refuse:0x08@part=2",)) as (transport, smsc, _sink):
        jobs.AGAIN_SECONDS = (10.0,)
        ends = datetime.now(tz=UTC) + timedelta(seconds=5)
        (outcome,) = Answers(transport, [long(expires_at=ends)]).next(1)
        assert outcome.error_code == "PARTLY_REJECTED_BY_OPERATOR"
        assert smsc.stats()["submits"] == 3


def test_a_message_of_which_no_part_was_taken_waits_as_a_whole():
    with bound(fail=100, fail_status=0x08) as (transport, smsc, _sink):
        (outcome,) = Answers(transport, [long()]).next(1)
        assert (outcome.verdict, outcome.code) == (Verdict.RETRY, "0x00000008")
        assert smsc.stats()["submits"] == 3


def test_a_part_that_was_refused_for_good_ends_the_message():
    with bound(fault=("refuse:0x45@part=3", "refuse:0x08@part=2,first=1")) as (transport, smsc, _sink):
        (outcome,) = Answers(transport, [long()]).next(1)
        assert (outcome.verdict, outcome.error_code) == (Verdict.REFUSED, "PARTLY_REJECTED_BY_OPERATOR")
        assert outcome.code == "0x00000045"
        assert smsc.stats()["submits"] == 3


def test_a_message_with_an_unanswered_part_is_unknown():
    account = {"response_timeout": 0.2}
    with bound(account=account, fault=("lose@part=2", "refuse:0x08@part=3")) as (transport, _smsc, _sink):
        (outcome,) = Answers(transport, [long()]).next(1)
        assert (outcome.verdict, outcome.code) == (Verdict.UNKNOWN, "response_timeout")


def test_the_operators_own_rules_class_its_refusals():
    account = {"errors": {"0x40B": "temporary", "0x45": "permanent:INVALID_RECIPIENT", "0x0B": "permanent"}}
    faults = ("refuse:0x40B@to=1", "refuse:0x45@to=2", "refuse:0x0B@to=3")
    with bound(account=account, fault=faults) as (transport, _smsc, _sink):
        messages = [outbound(recipient=f"+1415555010{digit}") for digit in (1, 2, 3)]
        outcomes = {outcome.delivery_id: outcome for outcome in Answers(transport, messages).next(3)}
        found = [outcomes[message.delivery_id] for message in messages]
        assert [(each.verdict, each.error_code) for each in found] == [
            (Verdict.RETRY, None),
            (Verdict.REFUSED, "INVALID_RECIPIENT"),
            (Verdict.REFUSED, None),
        ]


def test_a_status_of_the_operators_own_pauses_it():
    account = {"errors": {"1035": "throttling"}}
    with bound(account=account, fault=("refuse:1035@first=1",)) as (transport, _smsc, _sink):
        answers = Answers(transport, [outbound() for _ in range(3)])
        wait(lambda: transport.state().paused_until is not None)
        assert {outcome.verdict for outcome in answers.next(3)} == {Verdict.ACCEPTED}


def test_a_refusal_of_what_has_expired_meanwhile_lets_it_wait_to_be_ended():
    with bound(fail=100, fail_status=0x62, latency=Span(1.3, 1.3)) as (transport, _smsc, _sink):
        ends = datetime.now(tz=UTC) + timedelta(seconds=1.2)
        (outcome,) = Answers(transport, [outbound(expires_at=ends)]).next(1)
        assert (outcome.verdict, outcome.code) == (Verdict.RETRY, "0x00000062")


def test_a_message_that_cannot_be_written_keeps_no_other_from_being_sent():
    account = {"tlvs": {"0x1400": {"from": "metadata.entity", "required": True}}}
    with bound(account=account) as (transport, smsc, _sink):
        metadata = {"entity": "17011580181"}
        broken = [
            outbound(),
            outbound(metadata=metadata, sender="a sender too long"),
            outbound("\ud83d", metadata=metadata),
            outbound(metadata=metadata, expires_at=datetime.now(tz=UTC)),
            outbound(5, metadata=metadata),
        ]
        outcomes = Answers(transport, [*broken, outbound(metadata=metadata)]).next(6)
        found = {outcome.delivery_id: outcome for outcome in outcomes}
        assert [(found[each.delivery_id].verdict, found[each.delivery_id].error_code) for each in broken] == [
            (Verdict.REFUSED, "METADATA_INVALID"),
            (Verdict.REFUSED, "INVALID_SENDER"),
            (Verdict.REFUSED, "UNENCODABLE"),
            (Verdict.RETRY, None),
            (Verdict.REFUSED, "UNENCODABLE"),
        ]
        assert found[broken[0].delivery_id].code == "TLV 0x1400: metadata entity is missing"
        assert smsc.stats()["submits"] == 1


def test_an_answer_after_its_time_is_told():
    account = {"response_timeout": 0.2, "receipts": "none"}
    with bound(account=account, fault=("late:400",)) as (transport, _smsc, sink):
        with capture_logs() as logs:
            message = long()
            (outcome,) = Answers(transport, [message]).next(1)
            assert outcome.verdict is Verdict.UNKNOWN
            known = sink.arrived.get(timeout=3)
        assert (known.verdict, known.delivery_id) == (Verdict.ACCEPTED, message.delivery_id)
        assert transport.state().detail["lateAnswers"] == 3
        told = [each for each in logs if each["event"] == "submit.answered_late"]
        assert {(each["message_id"], each["status"]) for each in told} == {(str(message.message_id), 0)}
        assert sorted(each["remote_id"] for each in told) == sorted(known.remote_ids)


def test_what_was_never_sent_waits_again_when_the_transport_stops():
    with bound(account={"window": 2}, latency=Span(0.3, 0.3)) as (transport, smsc, _sink):
        messages = [outbound() for _ in range(6)]
        answers = Answers(transport, messages)
        wait(lambda: smsc.stats()["submits"] == 2)
        transport.stop(deadline=3)
        verdicts = {outcome.delivery_id: outcome.verdict for outcome in answers.next(6)}
        assert [verdicts[message.delivery_id] for message in messages] == [
            *[Verdict.ACCEPTED] * 2,
            *[Verdict.RETRY] * 4,
        ]
        assert smsc.stats()["submits"] == 2


def test_a_message_of_which_parts_were_never_sent_waits_again_as_a_whole():
    with bound(account={"window": 1}, latency=Span(0.2, 0.2)) as (transport, smsc, _sink):
        answers = Answers(transport, [long()])
        wait(lambda: smsc.stats()["submits"] == 1)
        transport.stop(deadline=3)
        (outcome,) = answers.next(1)
        assert (outcome.verdict, outcome.remote_ids) == (Verdict.RETRY, ())


def test_a_message_whose_part_waits_to_be_sent_again_waits_as_a_whole_when_the_transport_stops():
    with bound(fault=("refuse:0x08@part=2",)) as (transport, smsc, _sink):
        jobs.AGAIN_SECONDS = (10.0,)
        answers = Answers(transport, [long()])
        wait(lambda: transport.state().detail["pending"] == 1)
        transport.stop(deadline=3)
        assert answers.next(1)[0].verdict is Verdict.RETRY
        assert smsc.stats()["submits"] == 3


def test_what_is_given_to_a_stopped_transport_waits_again_at_once():
    with bound() as (transport, smsc, _sink):
        transport.stop(deadline=3)
        outcomes = Answers(transport, [outbound(), long()]).next(2)
        assert {outcome.verdict for outcome in outcomes} == {Verdict.RETRY}
        assert smsc.stats()["submits"] == 0


def test_stopping_ends_what_a_dead_operator_leaves_unanswered():
    with bound(account={"window": 2}, no_answer=100) as (transport, smsc, _sink):
        answers = Answers(transport, [outbound() for _ in range(4)])
        wait(lambda: smsc.stats()["submits"] == 2)
        transport.stop(deadline=0.3)
        verdicts = sorted(outcome.verdict for outcome in answers.next(4))
        assert verdicts == [Verdict.RETRY, Verdict.RETRY, Verdict.UNKNOWN, Verdict.UNKNOWN]


def test_texts_that_take_more_submits_than_announced_keep_the_operators_pace():
    with bound(rate=50.0, account={"default_alphabet": "ucs2"}) as (transport, smsc, _sink):
        start = time.monotonic()
        messages = [outbound("x" * 100, not_before=start + number / 50) for number in range(12)]
        Answers(transport, messages).next(12)
        assert smsc.stats()["submits"] == 24
        assert 23 / 50 <= time.monotonic() - start < 1.0


def test_it_tells_which_bind_is_down():
    account = {"bind": "pair"}
    with bound(account=account, fault=("refuse-bind:0x0D@kind=receiver",)) as (transport, _smsc, _sink):
        wait(lambda: "receiver down" in transport.state().detail["state"])
        assert transport.state().up
        sender, receiver = transport.state().detail["binds"]
        assert (sender["kind"], sender["phase"], sender["lastError"]) == ("transmitter", "bound", "")
        assert (receiver["kind"], receiver["inFlight"]) == ("receiver", 0)
        assert "ESME_RBINDFAIL" in receiver["lastError"]
