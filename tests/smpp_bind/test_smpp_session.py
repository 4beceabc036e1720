"""The session without a socket: octets in, octets and events out, times as numbers."""

import random

import pytest

from smpp_bind import errors, framing, pdu, protocol
from smpp_bind.events import (
    Answered,
    AnsweredLate,
    BindRefused,
    Bound,
    Dead,
    Delivered,
    OutcomeUnknown,
    Unbound,
)
from smpp_bind.protocol import State
from smpp_bind.settings import BindSettings
from smpp_bind.window import LAST_SEQUENCE

BODY = pdu.encode_short_message_body(pdu.ShortMessage(destination="14155550101", message=b"hello"))
SM = pdu.ShortMessage(source="14155550101", message=b"hi")
RESP = pdu.RESP


def make(*, first_sequence=1, **changes):
    values = {"host": "h", "port": 1, "system_id": "me", "password": "secret", "window": 5, **changes}
    return protocol.Session(BindSettings(**values), first_sequence=first_sequence)


def written(session):
    return [
        (header.command_id, header.status, header.sequence)
        for header, _ in framing.Framer().feed(session.bytes_to_send())
    ]


def empty(command, sequence, status=0):
    return pdu.encode_empty(command_id=command, sequence=sequence, status=status)


def bind_resp(sequence=1, status=0, command=pdu.BIND_TRANSCEIVER | RESP):
    return pdu.encode_bind_resp(command_id=command, sequence=sequence, status=status, system_id="smsc")


def id_resp(sequence, message_id=None, status=0):
    return pdu.encode_id_resp(
        command_id=pdu.SUBMIT_SM_RESP, sequence=sequence, status=status, message_id=message_id
    )


def deliver(sequence=9, sm=SM):
    return pdu.encode_short_message(command_id=pdu.DELIVER_SM, sequence=sequence, sm=sm)


def bound(**changes):
    session = make(**changes)
    session.bind(0)
    session.bytes_to_send()
    first = changes.get("first_sequence", 1)
    assert session.receive_data(bind_resp(first), 0) == [Bound("smsc", None)]
    return session


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("transceiver", pdu.BIND_TRANSCEIVER),
        ("transmitter", pdu.BIND_TRANSMITTER),
        ("receiver", pdu.BIND_RECEIVER),
    ],
)
def test_it_binds(kind, command):
    session = make(bind=kind)
    session.bind(0)
    data = session.bytes_to_send()
    assert pdu.parse_header(data) == pdu.Header(len(data), command, 0, 1)
    assert pdu.decode_bind(data[16:]).password == "secret"
    version = pdu.encode_bind_resp(
        command_id=command | RESP, sequence=1, system_id="s", tlvs=((pdu.TLV_SC_INTERFACE_VERSION, b"\x34"),)
    )
    assert session.receive_data(version, 1) == [Bound("s", 0x34)]
    assert session.state is State.BOUND
    assert session.room == (0 if kind == "receiver" else 5)


def test_it_reports_a_refused_bind_and_is_over():
    session = make()
    session.bind(0)
    assert session.receive_data(bind_resp(status=pdu.ESME_RALYBND), 1) == [BindRefused(pdu.ESME_RALYBND)]
    assert session.state is State.OVER
    assert session.next_tick() is None


@pytest.mark.parametrize(("status", "told"), [(0x0E, 0x0E), (0, pdu.ESME_RUNKNOWNERR)])
def test_it_takes_a_nack_of_its_bind_for_a_refusal(status, told):
    session = make()
    session.bind(0)
    assert session.receive_data(empty(pdu.GENERIC_NACK, 1, status), 1) == [BindRefused(told)]


def test_it_gives_up_a_bind_that_is_not_answered():
    session = make(bind_timeout=10)
    session.bind(100)
    assert session.next_tick() == 110
    assert session.tick(109.9) == []
    assert session.tick(110) == [Dead("the bind was not answered")]


def test_it_hides_the_password():
    assert "secret" not in repr(make().settings)


def test_it_submits_and_matches_answers_in_any_order():
    session = bound()
    assert [session.submit(token, BODY, 1.0 + token) for token in range(3)] == [2, 3, 4]
    assert written(session) == [(pdu.SUBMIT_SM, 0, 2), (pdu.SUBMIT_SM, 0, 3), (pdu.SUBMIT_SM, 0, 4)]
    assert session.bytes_to_send() == b""
    data = id_resp(4, "c") + id_resp(2, "a") + id_resp(3, status=0x45)
    assert session.receive_data(data, 5) == [
        Answered(2, 0, "c", 3.0),
        Answered(0, 0, "a", 1.0),
        Answered(1, 0x45, "", 2.0),
    ]
    assert session.in_flight == 0


def test_it_submits_by_data_sm_when_told():
    session = bound(data_sm=True)
    session.submit("a", pdu.encode_data_sm_body(SM), 0)
    header, body = framing.Framer().feed(session.bytes_to_send())[0]
    assert (header.command_id, pdu.decode_data_sm(body)) == (pdu.DATA_SM, SM)
    answer = pdu.encode_id_resp(command_id=pdu.DATA_SM_RESP, sequence=header.sequence, message_id="x")
    assert session.receive_data(answer, 1) == [Answered("a", 0, "x", 0)]


def test_it_keeps_to_its_window():
    session = bound(window=2)
    session.submit("a", BODY, 0)
    session.submit("b", BODY, 0)
    assert session.room == 0
    with pytest.raises(errors.WindowFullError):
        session.submit("c", BODY, 0)
    session.receive_data(id_resp(2, "x"), 0)
    assert session.room == 1


@pytest.mark.parametrize("change", ["receiver", "unbound"])
def test_it_refuses_submits_where_they_cannot_go(change):
    session = bound(bind="receiver") if change == "receiver" else make()
    with pytest.raises(errors.NotBoundError):
        session.submit("a", BODY, 0)


def test_it_wraps_sequence_numbers():
    session = bound(first_sequence=LAST_SEQUENCE - 1)
    assert [session.submit("a", BODY, 0), session.submit("b", BODY, 0)] == [LAST_SEQUENCE, 1]


def test_it_ignores_answers_to_nothing_and_counts_them():
    session = bound()
    session.submit("a", BODY, 0)
    assert session.receive_data(id_resp(77, "x"), 0) == []
    assert session.receive_data(id_resp(2, "x") + id_resp(2, "x"), 0) == [Answered("a", 0, "x", 0)]
    assert session.late_answers == 2


def test_it_reports_a_submit_whose_answer_does_not_come():
    session = bound(response_timeout=60, enquire_link_seconds=0)
    session.submit("a", BODY, 10)
    session.submit("b", BODY, 20)
    assert session.next_tick() == 70
    assert session.tick(70) == [OutcomeUnknown("a", 10, "response_timeout")]
    assert session.receive_data(id_resp(2, "late") * 2, 71) == [AnsweredLate("a", 0, "late", 10)]
    assert session.in_flight == 1


def test_it_takes_a_nack_for_the_answer_of_a_submit_and_never_for_success():
    session = bound()
    session.submit("a", BODY, 0)
    session.submit("b", BODY, 0)
    data = empty(pdu.GENERIC_NACK, 2, 3) + empty(pdu.GENERIC_NACK, 3, 0)
    assert session.receive_data(data, 0) == [
        Answered("a", 3, "", 0),
        Answered("b", pdu.ESME_RUNKNOWNERR, "", 0),
    ]


def test_it_delivers_and_answers_when_told():
    session = bound()
    assert session.receive_data(deliver(9), 0) == [Delivered(9, SM, pdu.DELIVER_SM)]
    assert session.bytes_to_send() == b""
    session.answer(9)
    session.answer(10, pdu.ESME_RX_T_APPN)
    assert written(session) == [
        (pdu.DELIVER_SM_RESP, 0, 9),
        (pdu.DELIVER_SM_RESP, pdu.ESME_RX_T_APPN, 10),
    ]


def test_it_delivers_data_sm_and_answers_it_in_kind():
    session = bound()
    (event,) = session.receive_data(pdu.encode_data_sm(sequence=4, sm=SM), 0)
    assert (event.sequence, event.sm, event.command_id) == (4, SM, pdu.DATA_SM)
    session.answer(4, command_id=event.command_id)
    assert written(session) == [(pdu.DATA_SM_RESP, 0, 4)]


def test_it_takes_deliveries_on_a_transmitter_too():
    assert len(bound(bind="transmitter").receive_data(deliver(), 0)) == 1


def test_it_refuses_a_malformed_delivery_and_goes_on():
    session = bound()
    bad = pdu.HEADER.pack(18, pdu.DELIVER_SM, 0, 5) + b"\0\0"
    assert session.receive_data(bad + deliver(6), 0) == [Delivered(6, SM, pdu.DELIVER_SM)]
    assert written(session) == [(pdu.DELIVER_SM_RESP, pdu.ESME_RINVCMDLEN, 5)]
    assert session.malformed == 1


def test_it_answers_enquire_link_bound_or_not():
    session = make()
    session.bind(0)
    session.bytes_to_send()
    session.receive_data(empty(pdu.ENQUIRE_LINK, 3), 0)
    assert written(session) == [(pdu.ENQUIRE_LINK_RESP, 0, 3)]


def test_it_enquires_when_idle_and_is_content_with_an_answer():
    session = bound(enquire_link_seconds=30, enquire_link_timeout=10)
    assert session.next_tick() == 30
    assert session.tick(30) == []
    assert written(session) == [(pdu.ENQUIRE_LINK, 0, 2)]
    assert session.next_tick() == 40
    session.receive_data(empty(pdu.ENQUIRE_LINK_RESP, 2), 35)
    assert session.next_tick() == 65


def test_it_is_dead_when_the_enquiry_stays_unanswered():
    session = bound(enquire_link_seconds=30, enquire_link_timeout=10)
    session.submit("a", BODY, 5)
    session.tick(30)
    reason = "enquire_link was not answered"
    assert session.tick(40) == [OutcomeUnknown("a", 5, reason), Dead(reason)]


@pytest.mark.parametrize("command", [pdu.SUBMIT_SM, pdu.QUERY_SM, 0x00010200, pdu.BIND_TRANSCEIVER])
def test_it_nacks_requests_that_it_does_not_know(command):
    session = bound()
    session.receive_data(empty(command, 8) + deliver(9), 0)
    assert written(session) == [(pdu.GENERIC_NACK, pdu.ESME_RINVCMDID, 8)]


@pytest.mark.parametrize(
    "command", [pdu.OUTBIND, pdu.ALERT_NOTIFICATION, pdu.QUERY_SM | RESP, pdu.DATA_SM_RESP]
)
def test_it_is_silent_at_what_has_no_answer(command):
    session = bound()
    assert session.receive_data(empty(command, 8), 0) == []
    assert session.bytes_to_send() == b""


def test_it_unbinds_when_nothing_is_under_way():
    session = bound()
    assert session.unbind(10) == []
    assert written(session) == [(pdu.UNBIND, 0, 2)]
    assert session.receive_data(empty(pdu.UNBIND_RESP, 2), 11) == [Unbound(by_peer=False)]


def test_it_awaits_answers_before_it_unbinds_and_takes_no_more():
    session = bound()
    session.submit("a", BODY, 0)
    session.bytes_to_send()
    session.unbind(10)
    assert session.room == 0
    assert session.bytes_to_send() == b""
    assert session.receive_data(id_resp(2, "x") + deliver(9), 11) == [
        Answered("a", 0, "x", 0),
        Delivered(9, SM, pdu.DELIVER_SM),
    ]
    session.answer(9)
    assert [command for command, _, _ in written(session)] == [pdu.UNBIND, pdu.DELIVER_SM_RESP]


def test_it_unbinds_without_the_answers_at_its_deadline():
    session = bound(unbind_timeout=5)
    session.submit("a", BODY, 0)
    session.bytes_to_send()
    session.unbind(10)
    assert session.tick(15) == []
    assert [command for command, _, _ in written(session)] == [pdu.UNBIND]
    reason = "the unbind was not completed"
    assert session.tick(16) == [OutcomeUnknown("a", 0, reason), Dead(reason)]


def test_it_gives_up_at_once_when_stopped_before_it_is_bound():
    session = make()
    session.bind(0)
    assert [type(event) for event in session.unbind(1)] == [Dead]


def test_it_answers_the_unbind_of_the_smsc():
    session = bound()
    assert session.receive_data(empty(pdu.UNBIND, 40), 5) == [Unbound(by_peer=True)]
    assert written(session) == [(pdu.UNBIND_RESP, 0, 40)]


def test_it_still_takes_answers_that_come_behind_the_unbind_of_the_smsc():
    session = bound()
    session.submit("a", BODY, 0)
    session.submit("b", BODY, 0)
    session.bytes_to_send()
    assert session.receive_data(empty(pdu.UNBIND, 40) + id_resp(2, "x"), 5) == [Answered("a", 0, "x", 0)]
    assert written(session) == [(pdu.UNBIND_RESP, 0, 40)]
    assert session.room == 0
    assert session.tick(6) == [OutcomeUnknown("b", 0, "unbound"), Unbound(by_peer=True)]


def test_it_unbinds_when_both_ends_do_at_once():
    session = bound()
    session.unbind(1)
    assert session.receive_data(empty(pdu.UNBIND, 40), 2) == []
    assert [command for command, _, _ in written(session)] == [pdu.UNBIND, pdu.UNBIND_RESP]
    assert session.receive_data(empty(pdu.UNBIND_RESP, 2), 2) == [Unbound(by_peer=False)]


def test_it_unbinds_after_the_inactivity_time():
    session = bound(inactivity_seconds=100, enquire_link_seconds=0)
    session.submit("a", BODY, 50)
    session.receive_data(id_resp(2, "x"), 60)
    session.bytes_to_send()
    assert session.next_tick() == 160
    session.tick(160)
    assert [command for command, _, _ in written(session)] == [pdu.UNBIND]


def test_it_reports_all_in_flight_when_the_connection_is_lost_in_mid_pdu():
    session = bound()
    for token in "abc":
        session.submit(token, BODY, 0)
    assert session.receive_data(id_resp(2, "x") + id_resp(3, "y")[:-2], 1) == [Answered("a", 0, "x", 0)]
    assert session.connection_lost("reset") == [
        OutcomeUnknown("b", 0, "reset"),
        OutcomeUnknown("c", 0, "reset"),
        Dead("reset"),
    ]
    assert session.connection_lost("again") == []
    session.answer(4)
    assert [command for command, _, _ in written(session)] == [pdu.SUBMIT_SM] * 3


def test_it_ends_at_a_length_that_makes_no_sense_after_what_came_before():
    session = bound()
    session.submit("a", BODY, 0)
    session.submit("b", BODY, 0)
    session.bytes_to_send()
    events = session.receive_data(id_resp(2, "x") + b"\0" * 16, 1)
    assert [type(event) for event in events] == [Answered, OutcomeUnknown, Dead]
    assert written(session) == [(pdu.GENERIC_NACK, pdu.ESME_RINVCMDLEN, 0)]
    assert session.receive_data(id_resp(3, "y"), 1) == []


@pytest.mark.parametrize("seed", range(300))
def test_it_accounts_for_every_submit_exactly_once(seed):
    """Random peers: answers late, lost, twice, cut anywhere, links lost, unbinds of either end."""
    rnd = random.Random(seed)
    session = bound(
        window=rnd.randint(1, 8), response_timeout=20, enquire_link_seconds=15, enquire_link_timeout=5
    )
    now, told, outcomes, wire, open_sequences = 1.0, [], [], b"", []
    for step in range(120):
        now += rnd.random() * 2
        events = []
        if session.room and rnd.random() < 0.6:
            told.append(step)
            open_sequences.append(session.submit(step, BODY, now))
        if open_sequences and rnd.random() < 0.5:
            sequence = open_sequences.pop(rnd.randrange(len(open_sequences)))
            wire += rnd.choice(
                (id_resp(sequence, "id"), id_resp(sequence, status=8), empty(pdu.GENERIC_NACK, sequence), b"")
            )
        if rnd.random() < 0.1:
            wire += rnd.choice(
                (deliver(step), empty(pdu.ENQUIRE_LINK, step), empty(0x999, step), id_resp(99999, "x"))
            )
        cut = rnd.randint(0, len(wire))
        events += session.receive_data(wire[:cut], now)
        wire = wire[cut:]
        events += session.tick(now)
        if not wire and rnd.random() < 0.01:
            ours = rnd.random() < 0.5
            events += session.unbind(now) if ours else session.receive_data(empty(pdu.UNBIND, 1), now)
        framing.Framer().feed(session.bytes_to_send())
        outcomes += events
        if session.state is State.OVER:
            break
    outcomes += session.connection_lost("end of test")
    assert sorted(event.token for event in outcomes if isinstance(event, Answered | OutcomeUnknown)) == told
    assert [event for event in outcomes if isinstance(event, Unbound | Dead)] == [outcomes[-1]]
