"""Receipts over real binds, with every habit that operators have: each message is delivered, and once."""

import contextlib
from datetime import UTC, datetime

import pytest

from gateway.models import Event, Message
from routing import handover, matching, receipts, sweeps
from routing.models import Operator, ParkedReceipt
from routing.relay import Relay
from smpp_bind import simulator
from smpp_bind.simulator import Span
from tests.routing.conftest import status_of, timeline_of
from tests.routing.test_desk import consumed, desk, is_up, tasks, wait  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db(transaction=True)

SHORT, LONG = "hello", "All work and no play makes Jack a dull boy. " * 12


@pytest.fixture(autouse=True)
def _unknown(monkeypatch):
    matching.forget()
    monkeypatch.setattr(receipts, "SETTLE_SECONDS", 0.5)


HABITS = [
    (SHORT, {"receipts": "before-answer,duplicate"}),
    (SHORT, {"receipts": "out-of-order,intermediate"}),
    (SHORT, {"receipts": "final,duplicate", "receipt_bind": "other"}),
    (LONG, {"receipts": "each-part,duplicate,out-of-order", "receipt_bind": "other"}),
    (LONG, {"receipts": "first-part"}),
    (LONG, {"receipts": "last-part"}),
    (SHORT, {"receipt_style": "tlv,esm0"}),
    (SHORT, {"receipt_style": "minimal,lower,letters,spaced,esm0"}),
    (LONG, {"receipt_style": "both,capitals,text-seconds,payload"}),
    (SHORT, {"receipt_style": "both,data-sm"}),
]


def test_it_delivers_whatever_the_operators_habits(desk, waiting, tasks):  # noqa: F811
    sent = {}
    with contextlib.ExitStack() as stack:
        for text, habits in HABITS:
            settings = simulator.Settings(port=0, receipt_delay=Span(0.02, 0.02), **habits)
            smsc = stack.enter_context(simulator.start_in_thread(settings))
            keys = waiting(added(smsc, slug=f"o{len(sent)}"), 4)
            Message.objects.filter(pk__in=keys).update(text=text)
            sent[" ".join(habits.values())] = keys
        every = [key for keys in sent.values() for key in keys]
        wait(lambda: ended(every, tasks), seconds=30.0)
        statuses = {habits: {status_of(key) for key in keys} for habits, keys in sent.items()}
        assert statuses == {key: {"delivered"} for key in sent}
        wait(lambda: not ParkedReceipt.objects.exists() or sweep())
    for key in every:
        assert timeline_of(key).count("message.delivered") == 1


def test_it_takes_receipts_that_come_after_the_link_was_lost(desk, waiting, tasks):  # noqa: F811
    settings = simulator.Settings(port=0, receipt_delay=Span(0.02, 0.02), receipts="after-reconnect")
    with simulator.start_in_thread(settings) as smsc:
        operator = bound(smsc)
        keys = waiting(operator, 6)
        wait(lambda: not ended(keys, tasks) and {status_of(key) for key in keys} == {"sent"})
        smsc.close_connections()
        wait(lambda: ended(keys, tasks))
        assert {status_of(key) for key in keys} == {"delivered"}


def test_it_keeps_a_word_that_it_does_not_know(desk, waiting, tasks):  # noqa: F811
    settings = simulator.Settings(port=0, receipt_delay=Span(0.02, 0.02), mix={"odd": 1.0})
    with simulator.start_in_thread(settings) as smsc:
        (key,) = waiting(bound(smsc))
        wait(lambda: not ended([key], tasks) and "receipt.interim" in timeline_of(key))
        assert status_of(key) == "sent"
        assert Event.objects.get(message_id=key, type="receipt.interim").operator_code


def added(smsc, *, slug="one") -> Operator:
    account = {"host": "127.0.0.1", "port": smsc.port, "system_id": "esme", "window": 10, "binds": 2}
    account |= {"reconnect_min_seconds": 0.05, "reconnect_max_seconds": 0.2}
    return Operator.objects.create(slug=slug, transport="smpp", settings=account)


def bound(smsc) -> Operator:
    operator = added(smsc)
    wait(lambda: is_up(operator) and smsc.stats()["bound"] == 2)
    return operator


def ended(keys, tasks) -> bool:  # noqa: F811
    """Let relay, worker and sweep have a turn."""
    if Relay().tick():
        while not tasks.empty():
            handover.hand_over(delivery_ids=tasks.get())
    sweep()
    return {status_of(key) for key in keys} <= {"delivered", "failed", "expired", "rejected"}


def sweep() -> None:
    sweeps.rematch(now=datetime.now(tz=UTC))
