"""Binds against a scripted SMSC: kept up, fed in order, paced, throttled, cut off."""

import itertools
import random
import threading
import time

import pytest

from smpp_bind import bind as binds
from smpp_bind import io_thread, pauses, pdu
from smpp_bind.group import Answer, BindGroup, Submit
from smpp_bind.settings import BindSettings
from tests.fakes import bind_owner
from tests.fakes.bind_owner import body, settings, submits
from tests.fakes.smsc import Smsc


@pytest.fixture
def smsc():
    with Smsc() as fake:
        yield fake


@pytest.fixture
def start():
    with bind_owner.groups() as made:
        yield made


def seen(smsc):
    return [int(sm.destination) for sm in smsc.submits]


def test_it_binds_and_submits_in_order(smsc, start):
    group, owner = start(settings(smsc))
    group.submit(submits(range(500)))
    owner.wait(lambda: len(owner.answers) == 500)
    assert seen(smsc) == list(range(500))
    first = owner.answers[0]
    assert (first.token, first.status, first.message_id, first.reason) == (0, 0, "id-1", "")
    assert 0 < time.monotonic() - first.sent_at < 5
    assert (group.state().bound, group.state().in_flight, group.state().pending) == (1, 0, 0)


def test_it_reads_answers_that_come_octet_by_octet(smsc, start):
    smsc.dribble = True
    group, owner = start(settings(smsc))
    group.submit(submits(range(50)))
    owner.wait(lambda: len(owner.answers) == 50)
    assert all(answer.status == 0 for answer in owner.answers)


def test_it_keeps_to_the_window_and_holds_the_rest(smsc, start):
    smsc.answer_submits = False
    group, _ = start(settings(smsc, window=7))
    group.submit(submits(range(20)))
    smsc.wait(lambda: len(smsc.submits) == 7)
    time.sleep(0.05)
    assert len(smsc.submits) == 7
    state = group.state()
    assert (state.in_flight, state.pending) == (7, 13)
    assert sorted(group.cancel()) == list(range(7, 20))


def test_it_shares_its_queue_between_all_binds(smsc, start):
    group, owner = start(settings(smsc, window=5), settings(smsc, window=5))
    group.submit(submits(range(200)))
    owner.wait(lambda: len(owner.answers) == 200)
    assert sorted(seen(smsc)) == list(range(200))
    assert len(smsc.clients) == 2


def test_it_submits_on_the_transmitter_and_hears_on_the_receiver(smsc, start):
    group, owner = start(settings(smsc, bind="transmitter"), settings(smsc, bind="receiver"))
    assert (group.state().bound, group.state().sending) == (2, 1)
    group.submit(submits(range(5)))
    owner.wait(lambda: len(owner.answers) == 5)
    receiver = next(n for n, client in enumerate(smsc.clients) if client.kind == pdu.BIND_RECEIVER)
    smsc.deliver(pdu.ShortMessage(message=b"hi"), sequence=77, client=receiver)
    owner.wait(lambda: owner.delivered)
    group.answer(owner.delivered)
    smsc.wait(lambda: pdu.DELIVER_SM_RESP in smsc.commands())
    assert [header.sequence for header, _ in smsc.received if header.command_id == pdu.DELIVER_SM_RESP] == [
        77
    ]


def test_it_hands_over_deliveries_in_batches_and_answers_with_the_status_told(smsc, start):
    group, owner = start(settings(smsc))
    data = b"".join(
        pdu.encode_short_message(command_id=pdu.DELIVER_SM, sequence=n, sm=pdu.ShortMessage(message=b"hi"))
        for n in range(1, 101)
    )
    smsc.clients[0].send(data)
    owner.wait(lambda: len(owner.delivered) == 100)
    assert pdu.DELIVER_SM_RESP not in smsc.commands()
    group.answer(owner.delivered[:50])
    group.answer(owner.delivered[50:], pdu.ESME_RX_T_APPN)
    smsc.wait(lambda: smsc.commands().count(pdu.DELIVER_SM_RESP) == 100)
    statuses = [header.status for header, _ in smsc.received if header.command_id == pdu.DELIVER_SM_RESP]
    assert statuses == [0] * 50 + [pdu.ESME_RX_T_APPN] * 50


def test_it_answers_no_delivery_of_an_earlier_session(smsc, start):
    group, owner = start(settings(smsc))
    smsc.deliver(pdu.ShortMessage(message=b"hi"), sequence=5)
    owner.wait(lambda: owner.delivered)
    smsc.close_clients()
    smsc.wait(lambda: len(smsc.binds_seen) == 2)
    owner.wait(lambda: owner.states[-1].bound == 1)
    group.answer(owner.delivered)
    group.submit(submits([1]))
    owner.wait(lambda: owner.answers)
    assert pdu.DELIVER_SM_RESP not in smsc.commands()


def test_it_sends_nothing_before_its_time_and_then_within_milliseconds(smsc, start):
    group, owner = start(settings(smsc, window=100))
    begin = time.monotonic() + 0.05
    group.submit([Submit(number, body(number), begin + number / 200) for number in range(40)])
    owner.wait(lambda: len(owner.answers) == 40)
    lateness = sorted(answer.sent_at - (begin + answer.token / 200) for answer in owner.answers)
    assert lateness[0] >= 0
    assert lateness[20] < 0.005


def test_it_puts_batches_in_order_of_their_times(smsc, start):
    group, owner = start(settings(smsc))
    begin = time.monotonic() + 0.1
    group.submit([Submit(number, body(number), begin + number / 1000) for number in range(20, 40)])
    group.submit([Submit(number, body(number), begin + number / 1000) for number in range(20)])
    owner.wait(lambda: len(owner.answers) == 40)
    assert seen(smsc) == list(range(40))


def throttling(status, *, after, seconds):
    """Statuses of an SMSC that throttles for `seconds` once it has taken `after` submits."""
    yield from [0] * after
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield status
    yield from itertools.repeat(0)


@pytest.mark.parametrize("status", [pdu.ESME_RTHROTTLED, pdu.ESME_RMSGQFUL])
def test_it_pauses_when_throttled_and_repeats_in_order(smsc, start, monkeypatch, status):
    monkeypatch.setattr(pauses, "FIRST", 0.2)
    smsc.statuses = throttling(status, after=5, seconds=0.1)
    group, owner = start(settings(smsc, window=10))
    group.submit(submits(range(30)))
    owner.wait(lambda: len(owner.answers) == 30)
    assert owner.outcomes() == dict.fromkeys(range(30), 0)
    assert owner.throttled == [0.2]
    assert seen(smsc)[-25:] == list(range(5, 30))
    assert seen(smsc)[:-25] == list(range(len(smsc.submits) - 25))
    assert smsc.submit_times[-25] - smsc.submit_times[-26] >= 0.15


def test_it_pauses_longer_each_time_until_something_goes_through(smsc, start, monkeypatch):
    monkeypatch.setattr(pauses, "FIRST", 0.05)
    monkeypatch.setattr(pauses, "LONGEST", 0.15)
    smsc.statuses = itertools.chain([0x58] * 4, [0], [0x58], itertools.repeat(0))
    group, owner = start(settings(smsc, window=1))
    group.submit(submits(range(3)))
    owner.wait(lambda: len(owner.answers) == 3)
    assert owner.throttled == [0.05, 0.1, 0.15, 0.15, 0.05]
    assert seen(smsc) == [0, 0, 0, 0, 0, 1, 1, 2]


def test_it_gives_back_what_it_has_not_sent(smsc, start):
    smsc.answer_submits = False
    group, owner = start(settings(smsc, window=2))
    group.submit(submits(range(10)))
    smsc.wait(lambda: len(smsc.submits) == 2)
    assert group.cancel([0, 1, 5, 7, 99]) == [5, 7]
    assert group.state().pending == 6
    assert owner.answers == []


def test_it_gives_back_what_its_owner_chooses_and_takes_it_again(smsc, start):
    smsc.answer_submits = False
    group, _ = start(settings(smsc, window=2))
    group.submit(submits(range(10)))
    smsc.wait(lambda: len(smsc.submits) == 2)
    taken = group.cancel_where(lambda token: token % 2 == 0)
    assert [item.token for item in taken] == [2, 4, 6, 8]
    group.submit(taken)
    assert group.cancel() == [3, 5, 7, 9, 2, 4, 6, 8]


def test_it_reports_what_was_in_flight_when_the_smsc_closes_in_mid_pdu_and_sends_the_rest_later(smsc, start):
    smsc.cut_after = 5
    group, owner = start(settings(smsc, window=10))
    group.submit(submits(range(40)))
    owner.wait(lambda: len(owner.answers) == 40)
    outcomes = owner.outcomes()
    assert [outcomes[number] for number in range(4)] == [0] * 4
    assert outcomes[4] is None
    unknown = [answer for answer in owner.answers if answer.status is None]
    assert 1 <= len(unknown) <= 10
    assert all(answer.reason for answer in unknown)
    # None was sent twice: what had gone is unknown, what had not gone waited.
    assert len(seen(smsc)) == len(set(seen(smsc)))
    assert len(smsc.binds_seen) == 2


def test_it_loses_no_outcome_over_many_broken_links(smsc, start):
    rnd = random.Random(1)

    def sometimes_cut(client, header, sm):
        if rnd.random() < 0.01:
            client.close()
        else:
            client.send(
                pdu.encode_id_resp(command_id=pdu.SUBMIT_SM_RESP, sequence=header.sequence, message_id="x")
            )

    smsc.on_submit = sometimes_cut
    both = (settings(smsc, reconnect_max_seconds=0.02), settings(smsc, reconnect_max_seconds=0.02))
    group, owner = start(*both)
    for first in range(0, 1000, 100):
        group.submit(submits(range(first, first + 100)))
    owner.wait(lambda: len(owner.answers) == 1000, 10)
    assert sorted(answer.token for answer in owner.answers) == list(range(1000))


def test_it_reports_a_submit_that_is_never_answered(smsc, start):
    smsc.answer_submits = False
    group, owner = start(settings(smsc, response_timeout=0.1))
    group.submit(submits([1]))
    owner.wait(lambda: owner.answers)
    assert owner.answers[0]._replace(sent_at=0) == Answer(1, None, "", 0, "response_timeout")
    assert group.state().bound == 1


def test_it_waits_for_an_smsc_that_is_not_there_yet(start):
    with Smsc() as placeholder:
        port = placeholder.port
    elsewhere = BindSettings(
        host="127.0.0.1",
        port=port,
        system_id="me",
        password="pw",
        reconnect_min_seconds=0.05,
        reconnect_max_seconds=0.1,
    )
    group, owner = start(elsewhere, wait=False)
    group.submit(submits(range(3)))
    owner.wait(lambda: owner.states and "refused" in owner.states[-1].last_error.lower())
    assert group.state().pending == 3
    with Smsc(port=port) as smsc:
        owner.wait(lambda: len(owner.answers) == 3)
        assert seen(smsc) == [0, 1, 2]
        assert group.state().last_error == ""
        group.stop()


def test_it_says_why_a_bind_was_refused_and_tries_again(smsc, start, monkeypatch):
    monkeypatch.setattr(binds, "WRONG_SECONDS", 0.1)
    smsc.bind_status = pdu.ESME_RINVPASWD
    group, owner = start(settings(smsc), wait=False)
    smsc.wait(lambda: len(smsc.binds_seen) >= 2)
    assert group.state().last_error == "bind refused: ESME_RINVPASWD, check the password"
    smsc.bind_status = 0
    owner.wait(lambda: owner.states[-1].bound == 1)


def test_it_leaves_the_smsc_time_when_it_says_already_bound(smsc, start, monkeypatch):
    monkeypatch.setattr(binds, "TAKEN_SECONDS", 0.3)
    smsc.bind_status = pdu.ESME_RALYBND
    start(settings(smsc), wait=False)
    smsc.wait(lambda: len(smsc.binds_seen) >= 2)
    assert smsc.binds_seen[1] - smsc.binds_seen[0] >= 0.3


def test_it_gives_up_a_bind_that_is_not_answered_and_tries_again(smsc, start):
    smsc.answer_binds = False
    start(settings(smsc, bind_timeout=0.1), wait=False)
    smsc.wait(lambda: len(smsc.binds_seen) >= 2)


def test_it_binds_again_after_the_smsc_unbinds(smsc, start):
    _, owner = start(settings(smsc))
    smsc.request(pdu.UNBIND, sequence=9)
    smsc.wait(lambda: pdu.UNBIND_RESP in smsc.commands())
    smsc.wait(lambda: len(smsc.binds_seen) == 2)
    owner.wait(lambda: owner.states[-1].bound == 1)


def test_it_leaves_a_link_whose_peer_is_dead(smsc, start):
    smsc.answer_enquire_link = False
    smsc.answer_submits = False
    group, owner = start(settings(smsc, enquire_link_seconds=0.1, enquire_link_timeout=0.1))
    group.submit(submits([1]))
    owner.wait(lambda: owner.answers)
    assert owner.answers[0].reason == "enquire_link was not answered"
    smsc.wait(lambda: len(smsc.binds_seen) >= 2)


def test_it_stays_on_an_idle_link_that_answers(smsc, start):
    group, _ = start(settings(smsc, enquire_link_seconds=0.05, enquire_link_timeout=0.2))
    smsc.wait(lambda: smsc.commands().count(pdu.ENQUIRE_LINK) >= 4)
    assert len(smsc.binds_seen) == 1
    assert group.state().bound == 1


def test_it_unbinds_cleanly_after_the_answers_under_way(smsc, start):
    waiting = []
    smsc.on_submit = lambda client, header, sm: waiting.append((client, header.sequence))
    group, owner = start(settings(smsc))
    group.submit(submits(range(3)))
    smsc.wait(lambda: len(waiting) == 3)
    stopped = []
    thread = threading.Thread(target=lambda: stopped.append(group.stop()))
    thread.start()
    time.sleep(0.05)
    assert pdu.UNBIND not in smsc.commands()
    for client, sequence in waiting:
        client.send(pdu.encode_id_resp(command_id=pdu.SUBMIT_SM_RESP, sequence=sequence, message_id="x"))
    thread.join(3)
    assert stopped == [True]
    assert owner.outcomes() == {0: 0, 1: 0, 2: 0}
    assert smsc.commands()[-1] == pdu.UNBIND
    assert [each.phase for each in group.state().binds] == ["stopped"]


def test_it_stops_in_time_beside_an_smsc_that_answers_nothing(smsc, start):
    smsc.answer_submits = smsc.answer_unbinds = False
    group, owner = start(settings(smsc, unbind_timeout=0.2, window=2))
    group.submit(submits(range(5)))
    smsc.wait(lambda: len(smsc.submits) == 2)
    started = time.monotonic()
    assert group.stop()
    assert time.monotonic() - started < 1
    assert owner.outcomes() == {0: None, 1: None}
    assert group.cancel() == [2, 3, 4]
    assert pdu.UNBIND in smsc.commands()


def test_it_cuts_connections_when_stopping_takes_too_long(smsc, start):
    smsc.answer_submits = False
    group, owner = start(settings(smsc, unbind_timeout=30))
    group.submit(submits([1]))
    smsc.wait(lambda: smsc.submits)
    assert group.stop(0.1) is False
    assert owner.outcomes() == {1: None}


def test_it_stops_while_it_connects_and_waits(smsc, start):
    smsc.answer_binds = False
    group, _ = start(settings(smsc), wait=False)
    smsc.wait(lambda: smsc.binds_seen)
    assert group.stop(1)


def test_it_goes_on_when_its_owner_fails(smsc, caplog):
    done = threading.Event()

    def fail(answers):
        done.set()
        raise ValueError("owner")

    io = io_thread.IoThread()
    io.start()
    group = BindGroup(io, [settings(smsc)], on_answers=fail, on_delivered=print)
    group.start()
    group.submit(submits([1]))
    assert done.wait(3)
    done.clear()
    group.submit(submits([2]))
    assert done.wait(3)
    assert group.stop()
    io.stop()
    assert "smpp_bind_callback_failed" in caplog.text


def test_it_doubles_its_backoff_with_full_jitter_up_to_a_bound():
    each = BindSettings(host="h", port=1, system_id="a", password="b", reconnect_max_seconds=60)
    for attempt, bound in [(0, 1), (1, 2), (5, 32), (6, 60), (500, 60)]:
        tries = [binds.backoff(attempt, each) for _ in range(300)]
        assert 0 < min(tries) < bound * 0.1 + 0.1
        assert bound * 0.9 < max(tries) <= bound
