"""SMPP as routing sees it, against the simulator over real sockets: what operators answer and report."""

import contextlib
import queue
import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from routing.contract import Inbound, OperatorSettings, Outbound, Receipt, ReceiptState, Verdict
from smpp_bind import pdu, simulator
from smpp_bind.simulator import Span
from smpp_bind.transport import SmppTransport


class Sink:
    def __init__(self) -> None:
        self.arrived: queue.SimpleQueue = queue.SimpleQueue()

    def receipts(self, transport, arrived) -> None:
        for each in arrived:
            self.arrived.put(each)
        transport.acknowledge(arrived)

    def late(self, transport, outcomes) -> None:
        for each in outcomes:
            self.arrived.put(each)

    def changed(self) -> None:
        pass


@contextlib.contextmanager
def bound(*, rate=None, account=None, **settings):
    """A transport bound to a simulator of these settings."""
    smsc = simulator.start_in_thread(simulator.Settings(port=0, **settings))
    wanted = {"host": "127.0.0.1", "port": smsc.port, "system_id": "esme", "window": 20}
    wanted |= {"reconnect_min_seconds": 0.05, "reconnect_max_seconds": 0.2} | (account or {})
    transport = SmppTransport(OperatorSettings(7, "one", "sms", rate, wanted))
    sink = Sink()
    transport.start(sink=sink)
    try:
        wait(lambda: transport.state().up)
        yield transport, smsc, sink
    finally:
        transport.stop(deadline=3)
        smsc.stop()


def wait(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


def outbound(text="hello", recipient="+14155550101", **fields):
    shared = {"sender": "ACME", "content": None, "parts": 1, "metadata": None, "expires_at": None}
    return Outbound(uuid.uuid4(), uuid.uuid4(), 1, "sms", recipient, text=text, **shared | fields)


class Answers:
    def __init__(self, transport, messages) -> None:
        self._came: queue.SimpleQueue = queue.SimpleQueue()
        transport.submit(messages, self._came.put)

    def next(self, count, timeout=8):
        outcomes = []
        while len(outcomes) < count:
            outcomes += self._came.get(timeout=timeout)
        return outcomes


def test_it_pauses_on_throttling_and_keeps_the_order():
    with bound(throttle_above=30) as (transport, smsc, _sink):
        messages = [outbound(f"text {number}") for number in range(45)]
        outcomes = Answers(transport, messages).next(45)
        assert {outcome.verdict for outcome in outcomes} == {Verdict.ACCEPTED}
        # remote ids count up in the order of acceptance
        ids = {outcome.delivery_id: int(outcome.remote_ids[0]) for outcome in outcomes}
        assert [ids[message.delivery_id] for message in messages] == sorted(ids.values())
        assert smsc.stats()["throttled"] > 0


def test_it_tells_the_relay_of_a_pause():
    with bound(throttle_above=1) as (transport, _smsc, _sink):
        answers = Answers(transport, [outbound() for _ in range(3)])
        wait(lambda: transport.state().paused_until is not None)
        assert transport.state().paused_until > time.monotonic()
        answers.next(3, timeout=15)


@pytest.mark.parametrize(
    ("status", "verdict", "error_code"),
    [
        (0x0B, Verdict.REFUSED, "INVALID_RECIPIENT"),
        (0x0A, Verdict.REFUSED, "INVALID_SENDER"),
        (0x45, Verdict.REFUSED, None),
        (0x08, Verdict.RETRY, None),
    ],
)
def test_it_classes_refusals_by_their_status(status, verdict, error_code):
    with bound(fail=100, fail_status=status) as (transport, _smsc, _sink):
        (outcome,) = Answers(transport, [outbound()]).next(1)
        assert (outcome.verdict, outcome.error_code) == (verdict, error_code)
        assert outcome.code == f"0x{status:08X}"


def test_it_reports_an_unknown_outcome_when_the_link_is_lost_before_the_answer():
    with bound(no_answer=100) as (transport, smsc, _sink):
        answers = Answers(transport, [outbound() for _ in range(5)])
        wait(lambda: smsc.stats()["submits"] == 5)
        smsc.close_connections()
        assert {outcome.verdict for outcome in answers.next(5)} == {Verdict.UNKNOWN}
        wait(lambda: transport.state().up)


def test_it_sends_what_was_waiting_after_it_is_bound_again():
    with bound(account={"window": 1}, latency=Span(0.3, 0.3)) as (transport, smsc, _sink):
        answers = Answers(transport, [outbound() for _ in range(3)])
        wait(lambda: smsc.stats()["submits"] == 1)
        smsc.close_connections()
        verdicts = [outcome.verdict for outcome in answers.next(3)]
        assert sorted(verdicts) == [Verdict.ACCEPTED, Verdict.ACCEPTED, Verdict.UNKNOWN]


def test_it_gives_back_what_was_not_written():
    with bound(account={"window": 2}, no_answer=100) as (transport, smsc, _sink):
        messages = [outbound() for _ in range(6)]
        Answers(transport, messages)
        wait(lambda: smsc.stats()["submits"] == 2)
        assert transport.withdraw([message.delivery_id for message in messages]) == [
            message.delivery_id for message in messages[2:]
        ]


def test_it_does_not_give_back_a_message_with_a_part_under_way():
    with bound(account={"window": 2}, no_answer=100) as (transport, smsc, _sink):
        long = outbound("x" * 400, parts=3)
        short = outbound()
        Answers(transport, [long, short])
        wait(lambda: smsc.stats()["submits"] == 2)
        assert transport.withdraw([long.delivery_id, short.delivery_id]) == [short.delivery_id]


@pytest.mark.parametrize("style", ["text", "tlv", "both", "text-seconds", "minimal", "esm0"])
def test_it_reads_every_style_of_receipt(style):
    with bound(receipt_style=style) as (transport, _smsc, sink):
        (outcome,) = Answers(transport, [outbound()]).next(1)
        receipt = sink.arrived.get(timeout=3)
        assert isinstance(receipt, Receipt)
        assert (receipt.remote_id, receipt.state) == (outcome.remote_ids[0], ReceiptState.DELIVERED)


def test_it_tells_ids_by_their_digits_whatever_their_case():
    with bound(id_style="hex", receipt_id_style="upper") as (transport, _smsc, sink):
        (outcome,) = Answers(transport, [outbound()]).next(1)
        assert sink.arrived.get(timeout=3).remote_id == outcome.remote_ids[0]


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        ("delivered", ReceiptState.DELIVERED),
        ("failed", ReceiptState.UNDELIVERABLE),
        ("expired", ReceiptState.EXPIRED),
        ("rejected", ReceiptState.REJECTED),
    ],
)
def test_it_reads_every_final_state(outcome, state):
    with bound(mix={outcome: 100.0}) as (transport, _smsc, sink):
        Answers(transport, [outbound()]).next(1)
        assert sink.arrived.get(timeout=3).state is state


def test_it_hands_on_what_handsets_send():
    with bound() as (_transport, smsc, sink):
        smsc.inject_mo("33612345678", "38080", "Grüße ✓")
        arrived = sink.arrived.get(timeout=3)
        assert isinstance(arrived, Inbound)
        assert (arrived.sender, arrived.recipient, arrived.text) == ("33612345678", "38080", "Grüße ✓")


@pytest.mark.parametrize(
    ("alphabet", "octets", "text"),
    [("gsm", b"\x05 \x00", "é @"), ("latin1", b"\xe9 @", "é @"), ("ucs2", b"\x04\x36", "ж")],
)
def test_it_reads_what_handsets_send_by_the_operators_default_alphabet(alphabet, octets, text):
    with bound(account={"default_alphabet": alphabet}) as (_transport, smsc, sink):
        sm = pdu.ShortMessage(source="33612345678", destination="38080", message=octets)
        smsc.order(f"mo-raw {pdu.encode_short_message_body(sm).hex()}")
        assert sink.arrived.get(timeout=3).text == text


def test_it_binds_a_pair_and_takes_receipts_on_the_receiver():
    with bound(account={"bind": "pair"}, receipt_bind="any") as (transport, smsc, sink):
        wait(lambda: smsc.stats()["bound"] == 2)
        Answers(transport, [outbound()]).next(1)
        assert sink.arrived.get(timeout=3).state is ReceiptState.DELIVERED


def test_it_spreads_over_several_binds():
    with bound(account={"binds": 3, "window": 2}) as (transport, smsc, _sink):
        wait(lambda: smsc.stats()["bound"] == 3)
        assert transport.state().window == 6
        Answers(transport, [outbound() for _ in range(60)]).next(60)


def test_it_keeps_the_operators_pace():
    with bound(rate=50.0) as (transport, _smsc, _sink):
        start = time.monotonic()
        messages = [outbound(not_before=start + number / 50) for number in range(26)]
        Answers(transport, messages).next(26)
        assert 0.5 <= time.monotonic() - start < 1.0


def test_it_submits_by_data_sm_where_the_operator_wants_that():
    with bound(account={"data_sm": True}) as (transport, _smsc, sink):
        (outcome,) = Answers(transport, [outbound("x" * 300)]).next(1)
        assert outcome.verdict is Verdict.ACCEPTED
        assert sink.arrived.get(timeout=3).state is ReceiptState.DELIVERED


@pytest.mark.parametrize("concatenation", ["udh8", "udh16", "sar", "payload"])
def test_it_sends_long_messages_the_operators_way(concatenation):
    with bound(account={"concatenation": concatenation}) as (transport, _smsc, _sink):
        (outcome,) = Answers(transport, [outbound("x" * 400, parts=3)]).next(1)
        assert len(outcome.remote_ids) == (1 if concatenation == "payload" else 3)


def test_it_sends_the_validity_on():
    with bound() as (transport, _smsc, _sink):
        late = datetime.now(tz=UTC) + timedelta(hours=1)
        (outcome,) = Answers(transport, [outbound(expires_at=late)]).next(1)
        assert outcome.verdict is Verdict.ACCEPTED
