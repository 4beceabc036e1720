"""What operators' SMSCs do in the field, one behaviour a test: the transport's side of it, over real sockets."""

import contextlib
import queue
import time
import uuid

import pytest

from routing.contract import Inbound, OperatorSettings, Outbound, Receipt, ReceiptState, Verdict
from smpp_bind import pdu, simulator
from smpp_bind.simulator import Span
from smpp_bind.transport import SmppTransport
from tests.fakes.esme import Client

LONG = "0123456789" * 40


class Sink:
    def __init__(self, *, acknowledges=True) -> None:
        self.arrived: queue.SimpleQueue = queue.SimpleQueue()
        self._acknowledges = acknowledges

    def receipts(self, transport, arrived) -> None:
        for each in arrived:
            self.arrived.put(each)
        if self._acknowledges:
            transport.acknowledge(arrived)

    def changed(self) -> None:
        pass

    def next(self, count=1):
        return [self.arrived.get(timeout=4) for _ in range(count)]

    def hears_nothing(self, seconds=0.05):
        with contextlib.suppress(queue.Empty):
            return not self.arrived.get(timeout=seconds)
        return True


@contextlib.contextmanager
def linked(*faults, account=None, sink=None, up=True, **settings):
    """A transport towards a simulator of these settings and faults."""
    settings = {"receipt_delay": Span(), **settings}
    with simulator.start_in_thread(simulator.Settings(fault=faults, **settings)) as smsc:
        wanted = {"host": "127.0.0.1", "port": smsc.port, "system_id": "esme", "window": 20}
        wanted |= {"reconnect_min_seconds": 0.05, "reconnect_max_seconds": 0.1} | (account or {})
        transport = SmppTransport(OperatorSettings(7, "field", "sms", None, wanted))
        sink = sink or Sink()
        transport.start(sink=sink)
        try:
            if up:
                wait(lambda: transport.state().up)
            yield transport, smsc, sink
        finally:
            transport.stop(deadline=2)


def wait(condition, seconds=4.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


def outbound(text="hello", recipient="+14155550101"):
    return Outbound(
        delivery_id=uuid.uuid4(),
        message_id=uuid.uuid4(),
        tenant_id=1,
        channel="sms",
        recipient=recipient,
        sender="ACME",
        text=text,
        content=None,
        parts=1 if len(text) <= 160 else -(-len(text) // 153),
        metadata=None,
        expires_at=None,
    )


class Sent:
    """Messages handed over, and what comes of them."""

    def __init__(self, transport, *messages) -> None:
        self.messages = messages
        self._came: queue.SimpleQueue = queue.SimpleQueue()
        transport.submit(messages, self._came.put)

    def outcomes(self, timeout=6):
        """In the order of the messages."""
        found = {}
        while len(found) < len(self.messages):
            found |= {each.delivery_id: each for each in self._came.get(timeout=timeout)}
        return [found[message.delivery_id] for message in self.messages]

    @property
    def verdicts(self):
        return [outcome.verdict for outcome in self.outcomes()]

    def nothing_more(self):
        return self._came.empty()


def one(transport, text="hello"):
    (outcome,) = Sent(transport, outbound(text)).outcomes()
    return outcome


# Receipts: when, how often, where.


def test_it_hands_on_a_receipt_that_comes_before_the_answer():
    with linked(receipts="before-answer", latency=Span(0.3, 0.3)) as (transport, _smsc, sink):
        sent = Sent(transport, outbound())
        (receipt,) = sink.next()
        assert sent.nothing_more()
        (outcome,) = sent.outcomes()
        assert (receipt.remote_id,) == outcome.remote_ids


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({"receipts": "final"}, 3),
        ({"receipts": "duplicate"}, 6),
        ({"receipts": "out-of-order"}, 3),
        ({"receipts": "none"}, 0),
        ({"mix": {"none": 1}}, 0),
        ({"receipts": "intermediate"}, 6),
    ],
)
def test_it_hands_on_receipts_as_often_as_they_come(settings, count):
    with linked(**settings) as (transport, smsc, sink):
        outcomes = Sent(transport, *(outbound() for _ in range(3))).outcomes()
        receipts = sink.next(count)
        ids = {outcome.remote_ids[0] for outcome in outcomes}
        assert {receipt.remote_id for receipt in receipts} == (ids if count else set())
        assert sink.hears_nothing()
        wait(lambda: smsc.stats()["receipts_pending"] == 0)


def test_it_hands_on_receipts_from_another_bind():
    with linked(account={"binds": 2}, receipt_bind="other") as (transport, smsc, sink):
        wait(lambda: smsc.stats()["bound"] == 2)
        outcome = one(transport)
        assert sink.next()[0].remote_id == outcome.remote_ids[0]


def test_it_hands_on_receipts_after_a_reconnect():
    with linked(receipts="after-reconnect") as (transport, smsc, sink):
        outcome = one(transport)
        assert sink.hears_nothing()
        smsc.close_connections()
        assert sink.next()[0].remote_id == outcome.remote_ids[0]


def test_it_hands_on_intermediate_receipts_as_such():
    with linked(receipts="intermediate") as (transport, _smsc, sink):
        one(transport)
        assert {each.state for each in sink.next(2)} == {ReceiptState.ENROUTE, ReceiptState.DELIVERED}


@pytest.mark.parametrize(("rule", "parts"), [("final", [0, 1, 2]), ("first-part", [0]), ("last-part", [2])])
def test_it_hands_on_the_receipts_of_parts(rule, parts):
    with linked(receipts=rule) as (transport, _smsc, sink):
        outcome = one(transport, LONG)
        assert len(outcome.remote_ids) == 3
        found = {receipt.remote_id for receipt in sink.next(len(parts))}
        assert found == {outcome.remote_ids[number] for number in parts}
        assert sink.hears_nothing()


def test_it_answers_a_receipt_only_once_it_is_acknowledged():
    with linked(sink=Sink(acknowledges=False)) as (transport, smsc, sink):
        one(transport)
        (receipt,) = sink.next()
        time.sleep(0.03)
        assert smsc.stats()["receipts_acknowledged"] == 0
        transport.acknowledge([receipt])
        wait(lambda: smsc.stats()["receipts_acknowledged"] == 1)


def test_it_gets_a_receipt_again_that_it_had_not_acknowledged():
    with linked(sink=Sink(acknowledges=False)) as (transport, smsc, sink):
        one(transport)
        (first,) = sink.next()
        smsc.close_connections()
        (again,) = sink.next()
        assert again.remote_id == first.remote_id


# Receipts: ids and words.


@pytest.mark.parametrize(
    ("answered", "reported", "base"),
    [
        ("decimal", "same", None),
        ("hex", "upper", None),
        ("upper", "hex", None),
        ("uuid", "upper", None),
        ("decimal", "padded", None),
        ("padded", "decimal", None),
        ("decimal", "hex", (10, 16)),
        ("hex", "decimal", (16, 10)),
        ("decimal", "0x", (10, 16)),
    ],
)
def test_it_folds_ids_but_for_their_base(answered, reported, base):
    with linked(id_style=answered, receipt_id_style=reported) as (transport, _smsc, sink):
        (sent,), (receipt,) = one(transport).remote_ids, sink.next()
        if base is None:
            assert receipt.remote_id == sent
        else:
            assert int(receipt.remote_id, base[1]) == int(sent, base[0])


STYLES = ("text", "tlv", "both", "text-seconds", "minimal", "lower", "capitals", "spaced", "letters", "esm0")


@pytest.mark.parametrize(
    "style", [*STYLES, "payload", "data-sm", "data-sm,both", "minimal,lower,spaced,esm0"]
)
@pytest.mark.parametrize("outcome", ["delivered", "failed"])
def test_it_reads_receipts_however_they_are_written(style, outcome):
    with linked(receipt_style=style, mix={outcome: 1}) as (transport, smsc, sink):
        (sent,), (receipt,) = one(transport).remote_ids, sink.next()
        assert isinstance(receipt, Receipt)
        states = {"delivered": ReceiptState.DELIVERED, "failed": ReceiptState.UNDELIVERABLE}
        assert (receipt.remote_id, receipt.state) == (sent, states[outcome])
        wait(lambda: smsc.stats()["receipts_acknowledged"] == 1)


@pytest.mark.parametrize("style", ["text", "tlv", "both"])
def test_it_never_guesses_at_a_state_of_no_specification(style):
    with linked(receipt_style=style, mix={"odd": 1}) as (transport, _smsc, sink):
        one(transport)
        (receipt,) = sink.next()
        assert receipt.state is ReceiptState.UNKNOWN
        assert receipt.code.split(":") == ["42" if style == "tlv" else "NOROUTE", "613"]


# Answers to submits.


@pytest.mark.parametrize("status", ["ESME_RTHROTTLED", "ESME_RMSGQFUL"])
def test_it_rests_when_throttled_and_keeps_order_and_receipts(status):
    with linked(f"refuse:{status}@after=3,for=0.9") as (transport, smsc, sink):
        sent = Sent(transport, *(outbound(f"text {number}") for number in range(12)))
        wait(lambda: transport.state().paused_until is not None)
        outcomes = sent.outcomes()
        assert {outcome.verdict for outcome in outcomes} == {Verdict.ACCEPTED}
        ids = [int(outcome.remote_ids[0]) for outcome in outcomes]
        assert ids == sorted(ids)
        assert {receipt.remote_id for receipt in sink.next(12)} == {str(each) for each in ids}
        assert smsc.stats()["throttled"] >= 9


@pytest.mark.parametrize(
    ("fault", "verdict", "code"),
    [
        ("refuse:ESME_RINVDSTADR", Verdict.REFUSED, "0x0000000B"),
        ("nack:ESME_RINVDSTADR", Verdict.REFUSED, "0x0000000B"),
        ("refuse:ESME_RSYSERR", Verdict.RETRY, "0x00000008"),
        ("refuse:0x00000420", Verdict.REFUSED, "0x00000420"),
    ],
)
def test_it_refuses_only_the_messages_that_were_refused(fault, verdict, code):
    with linked(f"{fault}@to=99") as (transport, _smsc, _sink):
        bad = outbound(recipient="+14155550199")
        first, second, third = Sent(transport, outbound(), bad, outbound()).outcomes()
        assert (first.verdict, third.verdict) == (Verdict.ACCEPTED, Verdict.ACCEPTED)
        assert (second.verdict, second.code) == (verdict, code)


def test_it_tells_of_a_long_message_of_which_a_part_was_refused():
    with linked("refuse:ESME_RINVDSTADR@part=2") as (transport, _smsc, _sink):
        outcome = one(transport, LONG)
        assert (outcome.verdict, outcome.error_code) == (Verdict.REFUSED, "PARTLY_REJECTED_BY_OPERATOR")


@pytest.mark.parametrize("fault", ["no-answer", "lose"])
def test_it_does_not_know_what_came_of_a_submit_without_an_answer(fault):
    with linked(f"{fault}@every=2", account={"response_timeout": 0.3}) as (transport, _smsc, _sink):
        sent = Sent(transport, *(outbound() for _ in range(4)))
        assert sent.verdicts == [Verdict.ACCEPTED, Verdict.UNKNOWN] * 2
        assert transport.state().up


def test_it_tells_one_outcome_though_the_answer_comes_late_or_twice():
    late = ("late:400@every=3", "twice@every=3")
    with linked(*late[:1], account={"response_timeout": 0.2}) as (transport, smsc, _sink):
        sent = Sent(transport, *(outbound() for _ in range(3)))
        assert sent.verdicts == [Verdict.ACCEPTED, Verdict.ACCEPTED, Verdict.UNKNOWN]
        wait(lambda: smsc.stats()["answered"] == 3)
        smsc.order("clear")
        smsc.order("fault twice")
        assert Sent(transport, outbound()).verdicts == [Verdict.ACCEPTED]
        time.sleep(0.03)
        assert sent.nothing_more()


def test_it_takes_answers_out_of_order():
    with linked("late:60@every=2") as (transport, _smsc, _sink):
        sent = Sent(transport, *(outbound() for _ in range(6)))
        ids = [int(outcome.remote_ids[0]) for outcome in sent.outcomes()]
        assert ids == sorted(ids)


def test_it_accepts_what_was_accepted_without_an_id():
    with linked("no-id", receipts="none") as (transport, _smsc, _sink):
        assert one(transport).verdict is Verdict.ACCEPTED


# Links that break.


@pytest.mark.parametrize("fault", ["cut", "close", "reset", "huge", "short"])
def test_it_comes_back_after_a_link_that_broke_in_the_middle_of_the_window(fault):
    with linked(f"{fault}@after=4,first=5", latency=Span(0.01, 0.01)) as (transport, smsc, _sink):
        first = Sent(transport, *(outbound() for _ in range(10))).verdicts
        assert set(first) <= {Verdict.ACCEPTED, Verdict.UNKNOWN}
        assert Verdict.UNKNOWN in first
        wait(lambda: transport.state().up)
        assert Sent(transport, *(outbound() for _ in range(5))).verdicts == [Verdict.ACCEPTED] * 5
        assert smsc.stats()["binds"] >= 2


def test_it_takes_the_answers_that_follow_an_unbind():
    with linked("unbind@first=5,after=4", latency=Span(0.05, 0.05)) as (transport, smsc, _sink):
        sent = Sent(transport, *(outbound() for _ in range(10)))
        assert sent.verdicts == [Verdict.ACCEPTED] * 10
        wait(lambda: smsc.stats()["binds"] == 2)
        wait(lambda: transport.state().up)


def test_it_leaves_a_peer_that_does_not_answer_enquire_link():
    account = {"enquire_link_seconds": 0.1, "enquire_link_timeout": 0.1}
    with linked("deaf@first=1", account=account) as (transport, smsc, _sink):
        wait(lambda: smsc.stats()["binds"] == 2)
        wait(lambda: transport.state().up)
        assert one(transport).verdict is Verdict.ACCEPTED


def test_it_tries_again_when_a_bind_is_never_answered():
    with linked("no-bind-answer@first=1", account={"bind_timeout": 0.2}) as (transport, _smsc, _sink):
        assert one(transport).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize(
    ("fault", "told"),
    [("linger:9", "ESME_RALYBND"), ("refuse-bind:ESME_RINVPASWD@after=1", "ESME_RINVPASWD")],
)
def test_it_says_why_it_cannot_bind_again(fault, told):
    with linked(fault) as (transport, smsc, _sink):
        smsc.close_connections()
        wait(lambda: told in transport.state().detail["lastError"])
        assert not transport.state().up


def test_it_works_with_the_binds_that_it_is_given():
    with linked("refuse-bind:ESME_RALYBND@above=2", account={"binds": 3}) as (transport, smsc, _sink):
        wait(lambda: "ESME_RALYBND" in transport.state().detail["lastError"])
        wait(lambda: smsc.stats()["bound"] == 2)
        assert Sent(transport, *(outbound() for _ in range(50))).verdicts == [Verdict.ACCEPTED] * 50


def test_it_binds_a_pair_where_transceivers_are_refused():
    with linked("refuse-bind@kind=transceiver", account={"bind": "pair"}) as (transport, smsc, sink):
        wait(lambda: smsc.stats()["bound"] == 2)
        assert one(transport).remote_ids == (sink.next()[0].remote_id,)


@pytest.mark.parametrize(
    "fault",
    [
        "bare-bind",
        "odd-bind",
        "deliver-first",
        "enquire-first",
        "dribble:3",
        "sequence:0x7FFFFFFE",
        "sequence:0xFFFFFFF0",
    ],
)
def test_it_works_with_an_odd_bind(fault):
    with linked(fault) as (transport, smsc, sink):
        outcomes = Sent(transport, *(outbound() for _ in range(4))).outcomes()
        assert {receipt.remote_id for receipt in sink.next(4)} == {each.remote_ids[0] for each in outcomes}
        wait(lambda: smsc.stats()["receipts_pending"] == 0)


def test_it_unbinds_before_it_goes():
    with linked("linger:60") as (transport, smsc, _sink):
        transport.stop(deadline=2)
        wait(lambda: smsc.stats()["connected"] == 0)
        with Client(smsc.port) as other:
            assert other.bind().status == 0


# What nobody asked for.


@pytest.mark.parametrize(
    "order", ["alert", "enquire", "stray-nack", "stray-answer", "unknown", "malformed", "garbage"]
)
def test_it_goes_on_whatever_it_is_sent(order):
    with linked() as (transport, smsc, sink):
        for _ in range(3):
            smsc.order(order)
        outcome = one(transport)
        assert sink.next()[0].remote_id == outcome.remote_ids[0]
        assert smsc.stats()["binds"] == 1


def test_it_goes_on_when_it_is_asked_to_bind_though_it_is():
    with linked() as (transport, smsc, _sink):
        outbind = pdu.HEADER.pack(26, pdu.OUTBIND, 0, 7) + b"SMSC\0pass\0"
        smsc.order(f"raw {outbind.hex()}")
        assert one(transport).verdict is Verdict.ACCEPTED
        assert smsc.stats()["binds"] == 1


# Texts from handsets.


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("auto", "Grüße ✓"),
        ("gsm", "€ [x] ~"),
        ("latin1", "Grüße"),
        ("ucs2", "Привет 😀"),
        ("ascii", "plain"),
        ("payload", LONG),
        ("data-sm", "hello"),
        ("auto", ""),
    ],
)
def test_it_hands_on_texts_in_every_alphabet(words, text):
    with linked() as (_transport, smsc, sink):
        smsc.order(f"mo-as {words} 33612345678 38080 {text}")
        (found,) = sink.next()
        assert isinstance(found, Inbound)
        assert (found.sender, found.recipient, found.text) == ("33612345678", "38080", text)
        assert found.part is None
        wait(lambda: smsc.stats()["mo_acknowledged"] == 1)


@pytest.mark.parametrize("joined", ["udh8", "udh16", "sar"])
@pytest.mark.parametrize(
    ("order", "numbers"),
    [
        ("auto", [1, 2, 3]),
        ("reversed", [3, 2, 1]),
        ("doubled", [1, 1, 2, 2, 3, 3]),
        ("missing", [1, 3]),
        ("auto,data-sm", [1, 2, 3]),
    ],
)
def test_it_hands_on_parts_with_their_places(joined, order, numbers):
    with linked() as (_transport, smsc, sink):
        smsc.order(f"mo-as {order},{joined} 33612345678 38080 {LONG}")
        found = sink.next(len(numbers))
        assert [each.part[2] for each in found] == numbers
        assert {each.part[1] for each in found} == {max(numbers)}
        assert len({each.part[0] for each in found}) == 1
        if numbers == [1, 2, 3]:
            assert "".join(each.text for each in found) == LONG


def test_it_hands_on_whatever_octets_come():
    with linked() as (transport, smsc, sink):
        for _ in range(30):
            smsc.order("mo-as garbage 33612345678 38080")
        assert all(each.sender == "33612345678" for each in sink.next(30))
        wait(lambda: smsc.stats()["mo_acknowledged"] == 30)
        assert transport.state().up
