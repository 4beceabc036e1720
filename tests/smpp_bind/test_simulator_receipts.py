"""The simulator's receipts and texts from handsets: when, how worded, to which bind, and that none is lost."""

import contextlib
import re
import time

import pytest

from smpp_bind import decoding, dlr, pdu, simulator
from smpp_bind.simulator import Settings, Span
from tests.fakes.esme import Client


@pytest.fixture
def smsc():
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(
            simulator.start_in_thread(Settings(**{"receipt_delay": Span(), **settings}))
        )


@pytest.fixture
def client():
    with contextlib.ExitStack() as stack:

        def connect(running, *, bind=pdu.BIND_TRANSCEIVER, **who):
            found = stack.enter_context(Client(running.port))
            assert found.bind(bind, **who).status == 0
            return found

        yield connect


def long_submits(count=3, **fields):
    for number in range(1, count + 1):
        header = bytes((5, 0, 3, 77, count, number))
        yield {"esm_class": 0x40, "message": header + b"part %d" % number, **fields}


def test_it_reports_in_the_usual_words(smsc, client):
    esme = client(smsc())
    answer = esme.submitted()
    receipt = esme.receipt()
    assert receipt.sm.esm_class == pdu.ESM_CLASS_RECEIPT
    assert (receipt.sm.source, receipt.sm.destination) == ("33612345678", "ACME")
    assert (receipt.sm.source_ton, receipt.sm.source_npi, receipt.sm.destination_ton) == (1, 1, 5)
    assert re.fullmatch(
        rf"id:{answer.id} sub:001 dlvrd:001 submit date:\d{{10}} done date:\d{{10}} "
        "stat:DELIVRD err:000 text:Your code is 123456",
        receipt.text,
    )


@pytest.mark.parametrize("style", ["text", "tlv", "both", "text-seconds", "minimal", "esm0"])
@pytest.mark.parametrize("outcome", ["delivered", "failed", "expired", "rejected", "unknown"])
def test_it_words_every_outcome_so_that_it_can_be_read(smsc, client, style, outcome):
    esme = client(smsc(receipt_style=style, mix={outcome: 1}))
    answer = esme.submitted()
    found = dlr.parse(esme.receipt().sm)
    assert found.remote_id == answer.id
    assert found.state == {"failed": "undeliverable"}.get(outcome, outcome)


def test_it_leaves_out_what_the_style_leaves_out(smsc, client):
    def receipt(style):
        esme = client(smsc(receipt_style=style, mix={"failed": 1}))
        esme.submitted()
        return esme.receipt()

    tlv = receipt("tlv")
    assert tlv.text == ""
    assert dict(tlv.sm.tlvs)[pdu.TLV_NETWORK_ERROR_CODE] == b"\x03\x00\x01"
    assert "sub:" not in receipt("minimal").text
    assert re.search(r"done date:\d{12} ", receipt("text-seconds").text)
    assert receipt("esm0").sm.esm_class == 0


@pytest.mark.parametrize(
    ("id_style", "receipt_id_style", "spell"),
    [
        ("hex", "decimal", lambda answered: str(int(answered, 16))),
        ("decimal", "hex", lambda answered: f"{int(answered):x}"),
        ("hex", "upper", str.upper),
        ("uuid", "upper", str.upper),
        ("decimal", "padded", lambda answered: answered.zfill(20)),
        ("padded", "decimal", lambda answered: answered.lstrip("0")),
    ],
)
def test_it_spells_ids_differently_in_receipts(smsc, client, id_style, receipt_id_style, spell):
    esme = client(smsc(id_style=id_style, receipt_id_style=receipt_id_style))
    answer = esme.submitted()
    assert esme.receipt().text.split()[0] == f"id:{spell(answer.id)}"


@pytest.mark.parametrize(
    ("registered", "outcome", "reports"),
    [
        (0, "delivered", []),
        (1, "delivered", ["delivered"]),
        (1, "failed", ["undeliverable"]),
        (2, "delivered", []),
        (2, "failed", ["undeliverable"]),
        (0x10, "delivered", ["enroute"]),
        (0x11, "delivered", ["enroute", "delivered"]),
        (1, "none", []),
    ],
)
def test_it_reports_what_was_asked_for(smsc, client, registered, outcome, reports):
    esme = client(smsc(mix={outcome: 1}))
    esme.submitted(registered_delivery=registered)
    assert [dlr.parse(esme.receipt().sm).state for _ in reports] == reports
    assert esme.hears_nothing(0.05)


@pytest.mark.parametrize(
    ("rule", "registered", "numbers"),
    [
        ("final", [1, 1, 1], [1, 2, 3]),
        ("final", [0, 0, 1], [3]),
        ("each-part", [0, 0, 1], [1, 2, 3]),
        ("first-part", [1, 1, 1], [1]),
        ("last-part", [1, 1, 1], [3]),
        ("duplicate", [0, 0, 1], [3, 3]),
        ("none", [1, 1, 1], []),
    ],
)
def test_it_reports_the_parts_of_a_long_message_by_the_rule(smsc, client, rule, registered, numbers):
    esme = client(smsc(receipts=rule))
    by_id = {}
    receipts = []
    for asked, fields in zip(registered, long_submits(), strict=True):
        esme.submit(registered_delivery=asked, **fields)
    while len(by_id) < 3 or len(receipts) < len(numbers):
        found = esme.read()
        if found.command == pdu.DELIVER_SM:
            receipts.append(dlr.parse(found.sm).remote_id)
        else:
            by_id[found.id] = len(by_id) + 1
    assert [by_id[each] for each in receipts] == numbers
    assert esme.hears_nothing(0.05)


def test_it_gives_all_parts_of_a_long_message_the_same_outcome(smsc, client):
    esme = client(smsc(mix={"delivered": 1, "failed": 1, "expired": 1}, receipt_delay=Span(0.001, 0.001)))
    seen = set()
    for number in range(12):
        for fields in long_submits(destination=f"3361234560{number}"):
            esme.submitted(**fields)
        states = {dlr.parse(esme.receipt().sm).state for _ in range(3)}
        assert len(states) == 1
        seen |= states
    assert len(seen) > 1


def test_it_reports_before_the_answer_when_asked(smsc, client):
    esme = client(smsc(receipts="before-answer"))
    esme.submit()
    first, second = esme.read(), esme.read()
    assert (first.command, second.command) == (pdu.DELIVER_SM, pdu.SUBMIT_SM_RESP)
    assert dlr.parse(first.sm).remote_id == second.id


def test_it_reports_after_the_delay(smsc, client):
    esme = client(smsc(receipt_delay=Span(0.1, 0.1)))
    began = time.monotonic()
    esme.submitted()
    assert time.monotonic() - began < 0.08
    esme.receipt()
    assert 0.09 < time.monotonic() - began < 0.5


def test_it_mixes_outcomes_by_weight_the_same_with_the_same_seed(smsc, client):
    def states():
        esme = client(smsc(mix={"delivered": 80, "failed": 20}, seed=3, receipt_delay=Span(0.02, 0.02)))
        for _ in range(300):
            esme.submit()
        return [dlr.parse(esme.receipt().sm).state for _ in range(300)]

    found = states()
    assert found == states()
    assert 30 < found.count("undeliverable") < 90


@pytest.mark.parametrize(
    ("digits", "state"),
    [("0006", "delivered"), ("0007", "undeliverable"), ("0008", "expired"), ("0009", "rejected")],
)
def test_it_lets_the_recipient_decide(smsc, client, digits, state):
    esme = client(smsc(magic=True, mix={"unknown": 1}))
    esme.submitted(destination=f"1500555{digits}")
    assert dlr.parse(esme.receipt().sm).state == state


def test_it_lets_the_recipient_decide_that_it_never_reports_or_refuses_or_stays_silent(smsc, client):
    esme = client(smsc(magic=True))
    assert esme.submitted(destination="15005550010").status == 0
    assert esme.submitted(destination="15005550012").status == pdu.ESME_RSYSERR
    assert esme.hears_nothing(0.05)
    esme.submit(destination="15005550013")
    assert esme.read().command == pdu.DELIVER_SM


def test_it_sends_a_transmitters_receipts_to_a_receiver_of_the_same_system_id(smsc, client):
    running = smsc()
    stranger = client(running, system_id="another")
    sender = client(running, bind=pdu.BIND_TRANSMITTER)
    answer = sender.submitted()
    receiver = client(running, bind=pdu.BIND_RECEIVER)
    assert dlr.parse(receiver.receipt().sm).remote_id == answer.id
    assert sender.hears_nothing(0.05)
    assert stranger.hears_nothing(0.05)


def test_it_keeps_receipts_on_the_submitting_bind_when_asked(smsc, client):
    running = smsc(receipt_bind="same")
    first, second = client(running), client(running)
    for _ in range(5):
        first.submitted()
        first.receipt()
    assert second.hears_nothing(0.05)
    first.submit()
    first.sock.close()
    second.receipt()


def test_it_spreads_receipts_over_the_binds_of_a_system_id(smsc, client):
    running = smsc(receipt_delay=Span(0.001, 0.001))
    first, second = client(running), client(running)
    for _ in range(10):
        first.submitted()
        time.sleep(0.004)
    assert not first.hears_nothing()
    assert not second.hears_nothing()


def test_it_sends_again_what_a_lost_connection_had_not_acknowledged(smsc, client):
    running = smsc(deliver_window=4)
    first = client(running)
    ids = [first.submitted().id for _ in range(10)]
    first.receipt()
    first.sock.close()
    while running.stats()["connected"]:
        time.sleep(0.005)
    second = client(running)
    found = [dlr.parse(second.receipt().sm).remote_id for _ in range(9)]
    assert found == ids[1:]
    assert second.ask(pdu.ENQUIRE_LINK).status == 0
    stats = running.stats()
    assert (stats["receipts_made"], stats["receipts_acknowledged"], stats["receipts_pending"]) == (10, 10, 0)
    assert stats["receipts_sent"] > 10


def test_it_sends_no_more_than_the_window_unacknowledged(smsc, client):
    esme = client(smsc(deliver_window=3))
    for _ in range(5):
        esme.submit()
    delivered = []
    for _ in range(8):
        found = esme.read()
        if found.command == pdu.DELIVER_SM:
            delivered.append(found)
        if len(delivered) == 3:
            break
    while not esme.hears_nothing(0.05):
        pass
    esme.acknowledge(delivered[0])
    assert esme.read().command == pdu.DELIVER_SM
    assert esme.hears_nothing(0.05)


def test_it_sends_a_receipt_again_that_was_refused_for_the_moment_only(smsc, client):
    running = smsc()
    esme = client(running)
    esme.submitted(message=b"later")
    esme.acknowledge(esme.read(pdu.DELIVER_SM), status=pdu.ESME_RX_T_APPN)
    esme.submitted(message=b"never")
    esme.acknowledge(esme.read(pdu.DELIVER_SM), status=pdu.ESME_RX_P_APPN)
    again = esme.receipt()
    assert again.text.endswith("later")
    assert esme.ask(pdu.ENQUIRE_LINK).status == 0
    assert running.stats()["receipts_dropped"] == 1
    assert running.stats()["receipts_pending"] == 0


def test_it_sends_texts_from_handsets(smsc, client):
    running = smsc()
    esme = client(running)
    assert running.inject_mo("+33600000001", "38080", "STOP €") == 1
    found = esme.receipt().sm
    assert (found.source, found.source_ton, found.destination) == ("33600000001", 1, "38080")
    assert (found.data_coding, decoding.text_of(found)) == (0, "STOP €")


@pytest.mark.parametrize("text", ["long " * 60, "Привет, это длинный текст. " * 8])
def test_it_sends_long_texts_in_parts(smsc, client, text):
    running = smsc()
    esme = client(running)
    count = running.inject_mo("33600000001", "38080", text)
    parts = [esme.receipt().sm for _ in range(count)]
    assert count > 1
    assert [decoding.place_of(part)[1:] for part in parts] == [(count, n) for n in range(1, count + 1)]
    assert "".join(decoding.text_of(part) for part in parts) == text


def test_it_keeps_a_text_until_somebody_binds(smsc, client):
    running = smsc()
    running.inject_mo("33600000001", "38080", "hello")
    client(running, bind=pdu.BIND_TRANSMITTER)
    assert decoding.text_of(client(running, bind=pdu.BIND_RECEIVER).receipt().sm) == "hello"


def test_it_sends_a_flow_of_texts(smsc, client):
    running = smsc(mo="again", mo_rate=100, mo_count=20)
    esme = client(running)
    began = time.monotonic()
    assert {decoding.text_of(esme.receipt().sm) for _ in range(20)} == {"again"}
    assert 0.1 < time.monotonic() - began < 1
    assert esme.hears_nothing(0.05)
    assert running.stats()["mo_acknowledged"] == 20
