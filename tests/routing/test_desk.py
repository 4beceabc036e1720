"""A worker process's desk against a real database and a real SMSC: operators come and go, chunks are carried."""

import contextlib
import queue
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.db import DataError
from django.utils import timezone

from gateway.models import InboundMessage
from routing import bind_slots, delivery, handover, hands, queues, sweeps
from routing import desk as desk_module
from routing.desk import Desk
from routing.models import Delivery, Operator, OperatorState, ParkedReceipt
from routing.relay import Relay
from smpp_bind import simulator
from smpp_bind.simulator import Span
from tests.routing.conftest import status_of

pytestmark = pytest.mark.django_db(transaction=True)

# The sandboxes have an operator of their own.
ALWAYS = {"operator.sandbox"}


@pytest.fixture
def smsc():
    with simulator.start_in_thread(simulator.Settings(port=0, receipt_delay=Span(0.02, 0.02))) as running:
        yield running


@pytest.fixture
def operator(smsc):
    account = {"host": "127.0.0.1", "port": smsc.port, "system_id": "esme", "window": 10}
    return Operator.objects.create(slug="one", transport="smpp", settings=account)


@pytest.fixture
def consumed() -> list[set[str]]:
    return []


@pytest.fixture
def desk(tmp_path, settings, consumed, db):
    settings.JOURNAL_FOLDER = tmp_path / "journal"
    opened = Desk(serves=None, on_queues=consumed.append)
    handover.process.desk = opened
    opened.start()
    yield opened
    if not opened.stopping.is_set():
        opened.stop()
    handover.process.desk = None


@pytest.fixture
def tasks(monkeypatch):
    """What the relay publishes, as chunks of ids."""
    published: queue.SimpleQueue = queue.SimpleQueue()
    monkeypatch.setattr(
        queues, "publish", lambda *, queue, delivery_ids: published.put([str(key) for key in delivery_ids])
    )
    return published


def wait(condition, seconds=15.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def is_up(operator):
    return OperatorState.objects.filter(
        operator_id=operator.pk, up=True, seen_at__gt=timezone.now() - timedelta(seconds=3)
    ).exists()


def deliver(tasks):
    wait(lambda: Relay().tick() > 0)
    while not tasks.empty():
        handover.hand_over(delivery_ids=tasks.get())
    assert handover.process.desk.hands.settle(seconds=15)


def test_it_carries_messages_to_their_receipts(desk, operator, waiting, tasks, smsc):
    wait(lambda: is_up(operator))
    keys = waiting(operator, 25)

    def all_delivered():
        # A relay hands out a few windows at a time.
        if Relay().tick():
            while not tasks.empty():
                handover.hand_over(delivery_ids=tasks.get())
        sweeps.rematch(now=timezone.now())
        return {status_of(key) for key in keys} == {"delivered"}

    wait(all_delivered)
    assert smsc.stats()["submits"] == 25
    assert not Delivery.objects.exists()
    assert not ParkedReceipt.objects.exists()


def test_it_opens_an_operator_that_is_added_while_it_runs(desk, consumed, smsc):
    wait(lambda: consumed and consumed[-1] == ALWAYS)
    account = {"host": "127.0.0.1", "port": smsc.port, "system_id": "late"}
    operator = Operator.objects.create(slug="late", transport="smpp", settings=account)
    wait(lambda: is_up(operator), seconds=4)
    assert consumed[-1] == ALWAYS | {"operator.late"}


def test_it_closes_an_operator_that_is_switched_off(desk, operator, consumed, smsc):
    wait(lambda: smsc.stats()["bound"] == 1)
    operator.active = False
    operator.save()
    wait(lambda: smsc.stats()["bound"] == 0)
    wait(lambda: consumed[-1] == ALWAYS)


def test_it_binds_anew_when_the_account_changes(desk, operator, smsc):
    wait(lambda: smsc.stats()["bound"] == 1)
    operator.settings = operator.settings | {"binds": 2}
    operator.save()
    wait(lambda: smsc.stats()["bound"] == 2)


def test_an_operator_that_stalls_costs_the_others_nothing(desk, operator, waiting, tasks, smsc):
    with simulator.start_in_thread(simulator.Settings(port=0, fault=("lose",))) as silent:
        account = {"host": "127.0.0.1", "port": silent.port, "system_id": "esme", "window": 10}
        stalled = Operator.objects.create(slug="stalled", transport="smpp", settings=account)
        wait(lambda: is_up(operator) and is_up(stalled))
        stuck = waiting(stalled, 3)
        wait(lambda: Relay().tick() > 0)
        began = time.monotonic()
        while not tasks.empty():
            handover.hand_over(delivery_ids=tasks.get())
        wait(lambda: silent.stats()["submits"] == 3)
        (key,) = waiting(operator)
        wait(lambda: Relay().tick() > 0)
        handover.hand_over(delivery_ids=tasks.get())
        wait(lambda: status_of(key) in {"sent", "delivered"})
        assert time.monotonic() - began < 5  # and not the minute that the answers are waited for
        assert {status_of(each) for each in stuck} == {"sending"}


def test_it_leaves_to_others_the_queue_of_an_operator_that_it_is_behind_with(
    desk, operator, waiting, tasks, consumed, smsc, monkeypatch
):
    monkeypatch.setattr(hands, "BEHIND_SECONDS", 0.1)
    Operator.objects.filter(pk=operator.pk).update(rate=50, updated_at=timezone.now())
    wait(lambda: operator.pk in desk._open and desk._open[operator.pk].settings.rate == 50)
    wait(lambda: is_up(operator))
    waiting(operator, 100)
    wait(lambda: Relay().tick() > 0)
    while not tasks.empty():
        handover.hand_over(delivery_ids=tasks.get())
    wait(lambda: consumed[-1] == ALWAYS)
    wait(lambda: consumed[-1] == ALWAYS | {"operator.one"})
    assert desk.hands.settle(seconds=15)
    assert smsc.stats()["submits"] == 100


def test_what_the_window_holds_is_no_backlog(desk, waiting, tasks, consumed):
    with simulator.start_in_thread(simulator.Settings(port=0, fault=("lose",))) as silent:
        account = {"host": "127.0.0.1", "port": silent.port, "system_id": "esme", "window": 10}
        stalled = Operator.objects.create(slug="slow", transport="smpp", rate=2, settings=account)
        wait(lambda: is_up(stalled))
        waiting(stalled, 2)
        wait(lambda: Relay().tick() > 0)
        while not tasks.empty():
            handover.hand_over(delivery_ids=tasks.get())
        wait(lambda: silent.stats()["submits"] == 2)
        time.sleep(1.2)
        assert consumed[-1] == ALWAYS | {"operator.slow"}


def test_a_desk_without_a_slot_gives_back_what_it_is_handed(desk, operator, waiting, tasks):
    wait(lambda: is_up(operator))
    (key,) = waiting(operator)
    wait(lambda: Relay().tick() > 0)
    # Another process, known to the operator before, has all that it allows.
    with bind_slots_taken(operator):
        operator.settings |= {"max_binds": 1}
        operator.save()
        wait(lambda: operator.pk in desk._open and desk._open[operator.pk].binds == 0)
        handover.hand_over(delivery_ids=tasks.get())
        assert status_of(key) == "queued"
        assert not Delivery.objects.exists()


@contextlib.contextmanager
def bind_slots_taken(operator):
    slots = bind_slots.Slots()
    assert slots.hold(wishes={operator.pk: bind_slots.Wish(1, 1)}) == {operator.pk: 1}
    try:
        yield
    finally:
        slots.close()


@pytest.mark.parametrize("broken", [KeyError("a bug"), DataError("one of its values")])
def test_an_outcome_that_cannot_be_recorded_costs_no_other(
    desk, operator, waiting, tasks, monkeypatch, broken
):
    wait(lambda: is_up(operator))
    bad, *good = waiting(operator, 4)
    record = delivery.record

    def recording(*, carrier, outcomes):
        if any(outcome.message_id == bad for outcome in outcomes):
            raise broken
        record(carrier=carrier, outcomes=outcomes)

    monkeypatch.setattr(delivery, "record", recording)
    deliver(tasks)
    assert {status_of(key) for key in good} <= {"sent", "delivered"}
    assert status_of(bad) == "sending"
    assert desk.hands.held() == []


def test_it_outlives_an_operator_whose_secrets_do_not_open(desk, operator):
    wait(lambda: is_up(operator))
    sealed = Operator.objects.create(
        slug="sealed", transport="smpp", settings={}, secrets=b"not sealed at all"
    )
    wait(lambda: OperatorState.objects.filter(operator_id=sealed.pk).exists())
    assert not OperatorState.objects.get(operator_id=sealed.pk).up
    OperatorState.objects.all().delete()
    wait(lambda: is_up(operator))


def test_it_says_what_is_wrong_with_an_operators_settings(desk):
    operator = Operator.objects.create(slug="bad", transport="smpp", settings={"host": "127.0.0.1"})
    wait(lambda: OperatorState.objects.filter(operator_id=operator.pk).exists())
    state = OperatorState.objects.get(operator_id=operator.pk)
    assert not state.up
    assert "port is missing" in state.detail["error"]


def test_it_reports_a_lost_bind_at_once(desk, operator, smsc):
    wait(lambda: is_up(operator))
    smsc.refuse(5)
    smsc.close_connections()
    began = time.monotonic()
    wait(lambda: not is_up(operator))
    assert time.monotonic() - began < 0.9


def test_it_gives_back_what_it_has_no_transport_for(desk, operator, waiting, tasks):
    wait(lambda: is_up(operator))
    (key,) = waiting(operator)
    wait(lambda: Relay().tick() > 0)
    operator.active = False
    operator.save()
    wait(lambda: operator.pk not in desk._open)
    handover.hand_over(delivery_ids=tasks.get())
    assert status_of(key) == "queued"
    assert not Delivery.objects.exists()


def test_it_drains_what_is_in_flight_when_it_stops(desk, operator, waiting, tasks, smsc):
    wait(lambda: is_up(operator))
    keys = waiting(operator, 10)
    deliver(tasks)
    desk.stop()
    assert {status_of(key) for key in keys} <= {"sent", "delivered"}
    assert smsc.stats()["bound"] == 0
    assert not OperatorState.objects.filter(worker=desk.worker).exists()


def test_it_stops_in_time_however_many_operators_stall(desk, waiting, tasks, monkeypatch):
    monkeypatch.setattr(desk_module, "DRAIN_SECONDS", 0.2)
    with simulator.start_in_thread(simulator.Settings(port=0, fault=("lose",))) as silent:
        account = {"host": "127.0.0.1", "port": silent.port, "unbind_timeout": 1}
        stalled = [
            Operator.objects.create(slug=name, transport="smpp", settings=account | {"system_id": name})
            for name in ("x", "y", "z")
        ]
        wait(lambda: all(is_up(each) for each in stalled))
        keys = [key for each in stalled for key in waiting(each)]
        wait(lambda: Relay().tick() > 0)
        while not tasks.empty():
            handover.hand_over(delivery_ids=tasks.get())
        wait(lambda: silent.stats()["submits"] == 3)
        began = time.monotonic()
        desk.stop()
        assert time.monotonic() - began < 3
    assert {status_of(key) for key in keys} == {"queued"}


def test_it_keeps_what_handsets_send(desk, operator, smsc):
    wait(lambda: is_up(operator))
    smsc.inject_mo("33612345678", "38080", "Bonjour")
    wait(InboundMessage.objects.exists)
    message = InboundMessage.objects.get()
    assert (message.operator, message.sender, message.text) == ("one", "33612345678", "Bonjour")
    wait(lambda: smsc.stats()["mo_acknowledged"] == 1)


def test_it_expires_in_hand_only_what_is_late(desk, operator, waiting, tasks):
    wait(lambda: is_up(operator))
    late = waiting(operator, expires_at=datetime.now(tz=UTC) + timedelta(seconds=0.1))
    time.sleep(0.15)
    deliver(tasks)
    assert status_of(late[0]) == "expired"
