"""An SMPP operator from its row to what the SMSC has: a worker's desk, a real database, real sockets."""

import contextlib
import queue
import threading
import time

import pytest
from django.db import connection
from django.utils import timezone

from gateway.models import DueMessage, Message
from routing import handover, operators, queues
from routing.desk import Desk
from routing.models import Delivery, Operator, OperatorState
from routing.relay import Relay
from smpp_bind import simulator
from smpp_bind.simulator import Span
from tests.routing.conftest import status_of


@pytest.fixture
def desk(transactional_db, tmp_path, settings):
    settings.JOURNAL_FOLDER = tmp_path / "journal"
    opened = Desk(serves=frozenset({"smsc"}), on_queues=lambda _queues: None)
    handover.process.desk = opened
    opened.start()
    yield opened
    opened.stop()
    handover.process.desk = None


@pytest.fixture
def tasks(monkeypatch):
    published: queue.SimpleQueue = queue.SimpleQueue()
    monkeypatch.setattr(
        queues, "publish", lambda *, queue, delivery_ids: published.put([str(key) for key in delivery_ids])
    )
    return published


@contextlib.contextmanager
def smsc_of(*, account=None, on_unknown_outcome="retry", receipts="none", **settings):
    """A simulator and the operator that is its account."""
    smsc = simulator.start_in_thread(simulator.Settings(port=0, receipts=receipts, **settings))
    told = {"host": "127.0.0.1", "port": smsc.port, "system_id": "esme", "reconnect_min_seconds": 0.05}
    operator = Operator.objects.create(
        slug="smsc",
        transport="smpp",
        channel="sms",
        settings=told | {"reconnect_max_seconds": 0.2} | (account or {}),
        on_unknown_outcome=on_unknown_outcome,
    )
    try:
        yield smsc, operator
    finally:
        smsc.stop()


def wait(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def up(operator):
    wait(lambda: OperatorState.objects.filter(operator_id=operator.pk, up=True).exists())
    operators.standings(fresh=True)


def until(condition, tasks, seconds=10.0):
    """Turn the relay and the worker until it is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        Relay().tick()
        while not tasks.empty():
            handover.hand_over(delivery_ids=tasks.get())
        time.sleep(0.02)


def widen(operator, desk):
    """What an administrator does, and the desk's next look at it."""
    Operator.objects.filter(pk=operator.pk).update(
        settings=operator.settings | {"window": 20}, updated_at=timezone.now()
    )
    desk.changed()


def carry(delivery_ids):
    try:
        handover.hand_over(delivery_ids=delivery_ids)
    finally:
        connection.close()


def all_are(status, keys):
    return lambda: {status_of(key) for key in keys} == {status}


def test_settings_may_change_under_way_and_nothing_is_lost(desk, waiting, tasks):
    with smsc_of(account={"window": 1}, latency=Span(0.2, 0.2)) as (smsc, operator):
        keys = waiting(operator, 8)
        up(operator)
        Relay().tick()
        work = threading.Thread(target=carry, args=(tasks.get(),))
        work.start()
        wait(lambda: smsc.stats()["submits"] >= 2)
        widen(operator, desk)
        work.join(8)
        assert not work.is_alive()
        until(all_are("sent", keys), tasks)
        assert smsc.stats()["submits"] == 8
        assert not DueMessage.objects.exists()
        assert not Delivery.objects.exists()


def test_settings_may_change_between_the_parts_of_a_message(desk, waiting, tasks):
    with smsc_of(account={"window": 1}, latency=Span(0.4, 0.4)) as (smsc, operator):
        (key,) = waiting(operator, 1, parts=3)
        Message.objects.filter(pk=key).update(text="x" * 400)
        up(operator)
        Relay().tick()
        work = threading.Thread(target=carry, args=(tasks.get(),))
        work.start()
        wait(lambda: smsc.stats()["submits"] == 1)
        widen(operator, desk)
        work.join(8)
        assert not work.is_alive()
        until(all_are("sent", [key]), tasks)
        # What was sent before the change is sent once more, and no more than that.
        assert 3 < smsc.stats()["submits"] <= 3 + 2


def test_a_submit_without_an_answer_is_sent_again_where_the_operator_says_so(desk, waiting, tasks):
    with smsc_of(account={"response_timeout": 0.3}, fault=("lose@first=2",)) as (smsc, operator):
        keys = waiting(operator, 3)
        up(operator)
        until(all_are("sent", keys), tasks)
        assert smsc.stats()["submits"] == 5
        assert not Delivery.objects.exists()


def test_a_submit_without_an_answer_counts_as_sent_where_the_operator_says_so(desk, waiting, tasks):
    with smsc_of(
        account={"response_timeout": 0.3}, fault=("lose@first=2",), on_unknown_outcome="unknown"
    ) as (smsc, operator):
        keys = waiting(operator, 3)
        up(operator)
        until(all_are("sent", keys), tasks)
        assert smsc.stats()["submits"] == 3
        codes = list(Message.objects.filter(pk__in=keys).values_list("error_code", flat=True))
        assert sorted(codes, key=str) == [None, "OUTCOME_UNKNOWN", "OUTCOME_UNKNOWN"]


@pytest.mark.parametrize("policy", ["retry", "unknown"])
def test_a_link_that_is_lost_before_the_answers_loses_no_message(desk, waiting, tasks, policy):
    with smsc_of(fault=("no-answer@first=3",), on_unknown_outcome=policy) as (smsc, operator):
        keys = waiting(operator, 3)
        up(operator)
        Relay().tick()
        work = threading.Thread(target=carry, args=(tasks.get(),))
        work.start()
        wait(lambda: smsc.stats()["submits"] == 3)
        smsc.close_connections()
        work.join(8)
        assert not work.is_alive()
        up(operator)
        until(all_are("sent", keys), tasks)
        assert smsc.stats()["submits"] == (6 if policy == "retry" else 3)


def test_an_answer_after_its_time_tells_under_which_id_a_receipt_will_come(desk, waiting, tasks):
    account = {"response_timeout": 0.3}
    with smsc_of(account=account, fault=("late:500",), receipts="final", on_unknown_outcome="unknown") as (
        smsc,
        operator,
    ):
        keys = waiting(operator, 3)
        up(operator)
        until(all_are("delivered", keys), tasks)
        assert smsc.stats()["submits"] == 3


def test_an_answer_after_its_time_keeps_a_message_from_being_sent_again(desk, waiting, tasks):
    account = {"response_timeout": 0.3}
    with smsc_of(account=account, fault=("late:500",)) as (smsc, operator):
        (key,) = waiting(operator, 1)
        up(operator)
        Relay().tick()
        handover.hand_over(delivery_ids=tasks.get())
        wait(lambda: status_of(key) == "queued")
        wait(lambda: status_of(key) == "sent")
        assert not DueMessage.objects.exists()
        assert smsc.stats()["submits"] == 1


def test_a_message_that_lacks_metadata_is_rejected_and_says_why(desk, waiting, tasks):
    account = {"tlvs": {"0x1400": {"from": "metadata.dlt_entity_id", "required": True}}}
    with smsc_of(account=account) as (smsc, operator):
        keys = waiting(operator, 2)
        Message.objects.filter(pk=keys[0]).update(metadata={"dlt_entity_id": "17011580181"})
        up(operator)
        until(lambda: [status_of(key) for key in keys] == ["sent", "rejected"], tasks)
        assert Message.objects.get(pk=keys[1]).error_code == "METADATA_INVALID"
        assert smsc.stats()["submits"] == 1
