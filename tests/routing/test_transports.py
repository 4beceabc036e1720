"""The battery that every transport must pass, each against something real."""

import queue
import time
import uuid

import pytest

from routing import desk
from routing.contract import OperatorSettings, Outbound, Receipt, ReceiptState, Verdict
from routing.errors import OperatorSettingsError, UnknownTransport
from smpp_bind import simulator
from tests.fakes.http_operator import HttpOperator
from tests.fakes.rcs import Google
from tests.fakes.whatsapp import Meta

# A message is one request, and what becomes of it is posted to the intake.
BY_HTTP = {"http", "whatsapp", "rcs"}


class Sink:
    """Keeps what arrives and acknowledges it, as the desk does after its commit."""

    def __init__(self) -> None:
        self.arrived: queue.SimpleQueue = queue.SimpleQueue()
        self.changes = 0

    def receipts(self, transport, arrived) -> None:
        for each in arrived:
            self.arrived.put(each)
        transport.acknowledge(arrived)

    def changed(self) -> None:
        self.changes += 1

    def next(self, count: int) -> list:
        return [self.arrived.get(timeout=5) for _ in range(count)]


@pytest.fixture(params=["simulator", "smpp", "http", "whatsapp", "rcs"])
def kind(request):
    return request.param


@pytest.fixture
def operator(kind):
    if kind == "simulator":
        yield OperatorSettings(1, "one", "sms", None, {"receipt_delay_ms": 10})
        return
    if kind == "http":
        with HttpOperator() as fake:
            yield OperatorSettings(1, "one", "sms", None, fake.account(window=20))
        return
    if kind == "whatsapp":
        with Meta() as fake:
            yield OperatorSettings(
                1, "one", "whatsapp", None, fake.account(window=20), secrets={"token": fake.TOKEN}
            )
        return
    if kind == "rcs":
        with Google() as fake:
            yield OperatorSettings(
                1, "one", "rcs", None, fake.account(window=20), secrets={"token": fake.TOKEN}
            )
        return
    smsc = simulator.start_in_thread(simulator.Settings(port=0))
    try:
        account = {"host": "127.0.0.1", "port": smsc.port, "system_id": "esme", "window": 20}
        yield OperatorSettings(1, "one", "sms", None, account, secrets={"password": "pw"})
    finally:
        smsc.stop()


@pytest.fixture
def sink():
    return Sink()


@pytest.fixture
def transport(kind, operator, sink):
    made = desk.make(kind, operator)
    made.start(sink=sink)
    deadline = time.monotonic() + 5
    while not made.state().up and time.monotonic() < deadline:
        time.sleep(0.01)
    yield made
    made.stop(deadline=5)


def outbound(text="hello", *, parts=1, not_before=0.0):
    return Outbound(
        uuid.uuid4(),
        uuid.uuid4(),
        1,
        "sms",
        "+14155550101",
        "ACME",
        text,
        None,
        parts,
        None,
        None,
        not_before,
    )


def submit(transport, messages):
    """The outcomes of all messages, in the order in which they came."""
    came: queue.SimpleQueue = queue.SimpleQueue()
    transport.submit(messages, came.put)
    outcomes = []
    while len(outcomes) < len(messages):
        outcomes += came.get(timeout=5)
    return outcomes


def test_it_is_up_once_started_and_down_once_stopped(kind, operator, transport):
    assert transport.state().up
    assert transport.state().window > 0
    transport.stop(deadline=5)
    assert not transport.state().up


def test_it_gives_each_message_one_outcome(transport):
    messages = [outbound() for _ in range(300)]
    outcomes = submit(transport, messages)
    assert {outcome.delivery_id for outcome in outcomes} == {message.delivery_id for message in messages}
    assert {outcome.verdict for outcome in outcomes} == {Verdict.ACCEPTED}
    assert len({outcome.remote_ids for outcome in outcomes}) == 300


def test_it_reports_every_message_under_the_id_it_gave(kind, transport, sink):
    if kind in BY_HTTP:
        pytest.skip("what it reports comes to the intake")
    outcomes = submit(transport, [outbound() for _ in range(20)])
    arrived = sink.next(20)
    assert all(isinstance(each, Receipt) and each.state is ReceiptState.DELIVERED for each in arrived)
    assert {each.remote_id for each in arrived} == {outcome.remote_ids[0] for outcome in outcomes}


def test_it_gives_a_long_message_an_id_for_each_of_its_submits(kind, transport):
    (outcome,) = submit(transport, [outbound("x" * 400, parts=3)])
    assert len(set(outcome.remote_ids)) == (1 if kind in BY_HTTP else 3)


def test_it_gives_back_what_it_has_not_sent_yet(kind, transport):
    if kind == "simulator":
        pytest.skip("there is nothing that it has not sent")
    later = outbound(not_before=time.monotonic() + 60)
    came: queue.SimpleQueue = queue.SimpleQueue()
    transport.submit([later], came.put)
    assert transport.withdraw([later.delivery_id, uuid.uuid4()]) == [later.delivery_id]
    assert transport.withdraw([later.delivery_id]) == []
    assert came.empty()


def test_it_sends_nothing_before_its_moment(transport):
    began = time.monotonic()
    submit(transport, [outbound(not_before=began + 0.2)])
    assert time.monotonic() - began >= 0.2


def test_it_refuses_settings_that_make_no_sense(kind):
    with pytest.raises(OperatorSettingsError):
        desk.make(kind, OperatorSettings(1, "one", "sms", None, {"outcome": "nonsense", "port": "x"}))


def test_there_is_no_transport_by_another_name(operator):
    with pytest.raises(UnknownTransport):
        desk.make("pigeon", operator)
