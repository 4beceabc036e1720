"""Several binds of one operator: pairs, shares, refusals, losses, pauses and the end, over real sockets."""

import itertools
import threading
import time

import pytest

from smpp_bind import bind as binds
from smpp_bind import pace, pauses, pdu, simulator
from smpp_bind import settings as bind_settings
from smpp_bind.group import Submit
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


@pytest.fixture
def quick(monkeypatch):
    """Patience of tenths of a second."""
    monkeypatch.setattr(binds, "TAKEN_SECONDS", 0.1)
    monkeypatch.setattr(binds, "WRONG_SECONDS", 0.1)
    monkeypatch.setattr(binds, "WRONG_LONGEST_SECONDS", 0.3)


class Counted(Smsc):
    """Notes which client each submit came by, and admits so many binds at once."""

    def __init__(self, *, allowed=99, refusal=pdu.ESME_RALYBND):
        self.allowed = allowed
        self.refusal = refusal
        self.by_client = []
        self.bound = []
        super().__init__()

    def _take_bind(self, client, header, raw):
        live = [each for each in self.bound if each.sock.fileno() >= 0]
        self.bind_status = 0 if len(live) < self.allowed else self.refusal
        if not self.bind_status:
            self.bound = [*live, client]
        super()._take_bind(client, header, raw)

    def _take_submit(self, client, header, sm):
        self.by_client.append((client, int(sm.destination)))
        super()._take_submit(client, header, sm)

    def shares(self):
        return sorted(
            [number for each, number in self.by_client if each is client] for client in self.clients
        )


def pair(smsc, **changes):
    return settings(smsc, bind="transmitter", **changes), settings(smsc, bind="receiver", **changes)


def client_of(smsc, command):
    return next(each for each in reversed(smsc.clients) if each.kind == command)


def test_it_submits_on_while_the_receiver_is_lost_and_says_so(smsc, start):
    group, owner = start(*pair(smsc))
    assert group.state().summary == "transmitter bound, receiver bound"
    smsc.answer_binds = False
    client_of(smsc, pdu.BIND_RECEIVER).close()
    owner.wait(lambda: owner.states[-1].bound == 1)
    group.submit(submits(range(5)))
    owner.wait(lambda: len(owner.answers) == 5)
    state = group.state()
    assert (state.bound, state.sending) == (1, 1)
    assert state.summary == "transmitter bound, receiver down: closed by the SMSC"


def test_it_holds_submits_while_the_transmitter_is_lost_and_takes_receipts_meanwhile(smsc, start):
    group, owner = start(*pair(smsc, bind_timeout=0.2))
    receiver = client_of(smsc, pdu.BIND_RECEIVER)
    smsc.answer_binds = False
    client_of(smsc, pdu.BIND_TRANSMITTER).close()
    owner.wait(lambda: owner.states[-1].bound == 1)
    group.submit(submits(range(3)))
    receiver.send(pdu.encode_short_message(command_id=pdu.DELIVER_SM, sequence=1, sm=pdu.ShortMessage()))
    owner.wait(lambda: owner.delivered)
    assert group.state().summary.startswith("transmitter down, receiver bound: ")
    assert (group.state().sending, group.state().pending, smsc.submits) == (0, 3, [])
    smsc.answer_binds = True
    owner.wait(lambda: len(owner.answers) == 3)
    assert group.state().summary == "transmitter bound, receiver bound"


def test_it_takes_receipts_on_the_receiver_for_submits_of_the_transmitter(start):
    with simulator.start_in_thread(simulator.Settings(receipt_delay=simulator.settings.Span())) as smsc:
        group, owner = start(*pair(smsc))
        group.submit(submits(range(20)))
        owner.wait(lambda: len(owner.answers) == 20)
        owner.wait(lambda: len(owner.delivered) == 20)
        assert {each.bind.settings.bind for each in owner.delivered} == {"receiver"}
        group.answer(owner.delivered)


def test_it_spreads_a_batch_over_all_binds_by_their_room(start):
    with Counted() as smsc:
        smsc.answer_submits = False
        group, _ = start(settings(smsc), settings(smsc), settings(smsc))
        group.submit(submits(range(15)))
        smsc.wait(lambda: len(smsc.submits) == 15)
        assert [len(each) for each in smsc.shares()] == [5, 5, 5]
        group.submit(submits(range(15, 40)))
        smsc.wait(lambda: len(smsc.submits) == 30)
        assert [len(each) for each in smsc.shares()] == [10, 10, 10]
        assert group.state().pending == 10


def test_it_fills_up_a_small_window_beside_a_large_one(start):
    with Counted() as smsc:
        smsc.answer_submits = False
        group, _ = start(settings(smsc, window=2), settings(smsc, window=10))
        group.submit(submits(range(12)))
        smsc.wait(lambda: len(smsc.submits) == 12)
        assert sorted(len(each) for each in smsc.shares()) == [2, 10]


def test_it_takes_turns_when_one_is_sent_at_a_time(start):
    with Counted() as smsc:
        group, owner = start(settings(smsc), settings(smsc), settings(smsc))
        for number in range(9):
            group.submit(submits([number]))
            owner.wait(lambda number=number: len(owner.answers) == number + 1)
        assert [len(each) for each in smsc.shares()] == [3, 3, 3]


def test_it_keeps_the_parts_of_a_message_on_one_bind_and_in_order(start):
    with Counted() as smsc:
        group, owner = start(settings(smsc, window=40), settings(smsc, window=40))
        parts = [Submit(n, body(n), continues=n % 4 > 0) for n in range(40)]
        group.submit(parts)
        owner.wait(lambda: len(owner.answers) == 40)
        for share in smsc.shares():
            assert share == sorted(share)
            assert {n - n % 4 + part for n in share for part in range(4)} == set(share)


def test_it_goes_on_over_the_others_when_one_of_three_is_lost(start):
    with Counted() as smsc:
        smsc.on_submit = lambda client, header, sm: None
        group, owner = start(settings(smsc), settings(smsc), settings(smsc))
        group.submit(submits(range(30)))
        smsc.wait(lambda: len(smsc.submits) == 30)
        smsc.on_submit = None
        lost = smsc.clients[0]
        of_lost = {number for client, number in smsc.by_client if client is lost}
        group.submit(submits(range(30, 60)))
        lost.close()
        owner.wait(lambda: len(owner.answers) == 40)
        assert {token for token, status in owner.outcomes().items() if status is None} == of_lost
        assert {answer.reason for answer in owner.answers if answer.status is None} == {"closed by the SMSC"}
        assert {token for token, status in owner.outcomes().items() if status == 0} == set(range(30, 60))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("refusal", [pdu.ESME_RALYBND, pdu.ESME_RBINDFAIL])
def test_it_works_on_with_the_binds_that_it_gets_and_asks_patiently_for_more(start, refusal):
    with Counted(allowed=2, refusal=refusal) as smsc:
        group, owner = start(*[settings(smsc)] * 3, wait=False)
        name = pdu.STATUS_NAMES[refusal]
        owner.wait(lambda: owner.states and owner.states[-1].summary == f"2 of 3 bound: {name}")
        group.submit(submits(range(50)))
        owner.wait(lambda: len(owner.answers) == 50)
        assert group.state().last_error == f"bind refused: {name}"
        smsc.wait(lambda: len(smsc.binds_seen) >= 5)
        waits = [after - before for before, after in itertools.pairwise(smsc.binds_seen[2:])]
        assert min(waits) >= 0.1
        smsc.allowed = 3
        owner.wait(lambda: owner.states[-1].summary == "3 of 3 bound")


def test_it_says_of_a_simulated_smsc_how_many_binds_it_got(start):
    with simulator.start_in_thread(simulator.Settings(max_binds=2)) as smsc:
        _, owner = start(*[settings(smsc)] * 3, wait=False)
        owner.wait(lambda: owner.states and owner.states[-1].summary == "2 of 3 bound: ESME_RALYBND")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (pdu.ESME_RINVPASWD, "bind refused: ESME_RINVPASWD, check the password"),
        (pdu.ESME_RINVSYSID, "bind refused: ESME_RINVSYSID, check the system_id"),
    ],
)
def test_it_slows_down_where_the_account_is_refused(smsc, start, status, error):
    smsc.bind_status = status
    group, owner = start(settings(smsc), wait=False)
    smsc.wait(lambda: len(smsc.binds_seen) >= 4)
    waits = [after - before for before, after in itertools.pairwise(smsc.binds_seen)]
    assert [wait >= least for wait, least in zip(waits, (0.05, 0.1, 0.15), strict=False)] == [True] * 3
    owner.wait(lambda: owner.states[-1].last_error == error)
    assert group.state().summary == f"0 of 1 bound: {error.removeprefix('bind refused: ')}"


def test_it_waits_up_to_a_minute_where_the_account_is_refused_and_five_seconds_where_all_binds_are_taken():
    given = bind_settings.BindSettings(host="h", port=1, system_id="a", password="b")
    for attempt, bound in [(0, 5), (1, 10), (3, 40), (4, 60), (500, 60)]:
        tries = [binds.backoff(attempt, given, refused=pdu.ESME_RINVPASWD) for _ in range(200)]
        assert bound / 2 <= min(tries) <= max(tries) <= bound
        assert max(tries) - min(tries) > bound / 4
    for attempt, bound in [(0, 1), (3, 8), (500, 15)]:
        tries = [binds.backoff(attempt, given, refused=pdu.ESME_RALYBND) for _ in range(200)]
        assert 5 < min(tries) <= max(tries) <= 5 + bound
    assert max(binds.backoff(0, given, refused=pdu.ESME_RSYSERR) for _ in range(50)) <= 1


def test_it_raises_no_storm_against_an_smsc_that_closes_what_it_has_just_bound(smsc, start):
    group, owner = start(settings(smsc, reconnect_min_seconds=0.1, reconnect_max_seconds=10.0), wait=False)
    ended = time.monotonic() + 0.5
    while time.monotonic() < ended:
        if group.state().bound:
            smsc.close_clients()
        time.sleep(0.005)
    assert len(smsc.binds_seen) <= 8
    owner.wait(lambda: owner.states[-1].last_error == "closed by the SMSC")


def test_it_pauses_at_the_operators_own_codes_and_at_no_others(smsc, start, monkeypatch):
    monkeypatch.setattr(pauses, "FIRST", 0.1)
    smsc.statuses = itertools.chain([0x401, pdu.ESME_RMSGQFUL, 0x401], itertools.repeat(0))
    group, owner = start(settings(smsc, window=1), throttling=frozenset({0x401}))
    group.submit(submits(range(4)))
    owner.wait(lambda: len(owner.answers) == 4)
    assert owner.outcomes() == {0: pdu.ESME_RMSGQFUL, 1: 0, 2: 0, 3: 0}
    assert [int(sm.destination) for sm in smsc.submits] == [0, 0, 1, 1, 2, 3]
    assert {sm.registered_delivery for sm in smsc.submits} == {1}
    assert len(owner.throttled) == 2


def test_it_pauses_all_binds_at_once_and_sends_one_ahead_after_it(start, monkeypatch):
    monkeypatch.setattr(pauses, "FIRST", 0.15)
    with Counted() as smsc:
        group, owner = start(settings(smsc), settings(smsc))
        smsc.statuses = itertools.chain([0, pdu.ESME_RTHROTTLED], itertools.repeat(pdu.ESME_RTHROTTLED))
        group.submit(submits(range(60)))
        owner.wait(lambda: len(owner.throttled) == 2)
        assert len(smsc.submits) <= 22
        sent_at = smsc.submit_times
        assert sent_at[-1] - sent_at[-2] >= 0.14  # one alone, after the pause
        assert group.state().paused_for > 0
        smsc.statuses = itertools.repeat(0)
        owner.wait(lambda: len(owner.answers) == 60)
        assert owner.throttled == [0.15, 0.3]
        assert owner.outcomes() == dict.fromkeys(range(60), 0)


def test_it_does_not_wait_for_ever_for_the_one_sent_ahead(smsc, start, monkeypatch):
    monkeypatch.setattr(pauses, "FIRST", 0.05)
    monkeypatch.setattr(pauses, "PROBE_SECONDS", 0.1)
    smsc.statuses = iter([pdu.ESME_RTHROTTLED])
    group, owner = start(settings(smsc, window=1 + 5))
    group.submit(submits([0]))
    owner.wait(lambda: owner.throttled)
    smsc.answer_submits = False
    group.submit(submits(range(1, 6)))
    smsc.wait(lambda: len(smsc.submits) == 2)
    smsc.wait(lambda: len(smsc.submits) == 7)
    assert smsc.submit_times[2] - smsc.submit_times[1] >= 0.09


def test_it_leaves_all_that_was_never_sent_when_stopped_in_a_pause(smsc, start):
    smsc.statuses = itertools.chain([0, 0], itertools.repeat(pdu.ESME_RTHROTTLED))
    group, owner = start(settings(smsc, window=5))
    group.submit(submits(range(20)))
    owner.wait(lambda: owner.throttled)
    started = time.monotonic()
    assert group.stop()
    assert time.monotonic() - started < 0.5
    assert group.stop()
    assert sorted([*owner.outcomes(), *group.cancel()]) == list(range(20))
    group.submit(submits([77]))
    assert group.cancel() == [77]


def test_it_leaves_all_when_stopped_while_no_bind_is_up(smsc, start):
    smsc.bind_status = pdu.ESME_RINVPASWD
    group, owner = start(settings(smsc), settings(smsc), wait=False)
    group.submit(submits(range(5)))
    owner.wait(lambda: owner.states and owner.states[-1].last_error)
    started = time.monotonic()
    assert group.stop()
    assert time.monotonic() - started < 0.5
    assert group.cancel() == list(range(5))
    time.sleep(0.05)  # a bind written just before may still be on its way
    seen = len(smsc.binds_seen)
    time.sleep(0.15)
    assert len(smsc.binds_seen) == seen


def test_it_stops_within_its_time_whoever_calls_and_however_often(smsc, start):
    smsc.answer_submits = smsc.answer_unbinds = False
    group, owner = start(settings(smsc, unbind_timeout=30), settings(smsc, unbind_timeout=30))
    group.submit(submits(range(50)))
    smsc.wait(lambda: len(smsc.submits) == 20)
    started = time.monotonic()
    threads = [threading.Thread(target=group.stop, args=(0.4,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - started < 0.5
    assert set(owner.outcomes().values()) == {None}
    assert sorted([*owner.outcomes(), *group.cancel()]) == list(range(50))
    assert {each.phase for each in group.state().binds} == {"stopped"}


def test_it_keeps_the_rate_after_a_stall_and_is_not_throttled_for_catching_up(start):
    rate = 400
    given = simulator.Settings(throttle_above=rate + rate // 5)
    with simulator.start_in_thread(given) as smsc:
        group, owner = start(settings(smsc, window=50))
        begin = time.monotonic()
        group.submit([Submit(n, body(n), begin + n / rate) for n in range(200)])
        owner.wait(lambda: len(owner.answers) > 50)
        smsc.refuse(0.3)
        smsc.close_connections()
        owner.wait(lambda: len(owner.answers) == 200)
        assert owner.throttled == []
        sent = sorted(answer.sent_at for answer in owner.answers)
        for each in sent:
            assert sum(each <= moment < each + 0.25 for moment in sent) <= rate / 4 + rate * pace.LATE + 1


def test_it_comes_through_an_smsc_that_enforces_less_than_the_rate(start, monkeypatch):
    monkeypatch.setattr(pauses, "FIRST", 0.1)
    monkeypatch.setattr(pauses, "LONGEST", 0.4)
    with simulator.start_in_thread(simulator.Settings(throttle_above=200)) as smsc:
        group, owner = start(settings(smsc, window=50))
        begin = time.monotonic()
        group.submit([Submit(n, body(n), begin + n / 400) for n in range(260)])
        owner.wait(lambda: len(owner.answers) == 260, 10)
        assert owner.throttled
        assert owner.outcomes() == dict.fromkeys(range(260), 0)
        assert smsc.stats()["throttled"] <= 150
