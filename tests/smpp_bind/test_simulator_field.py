"""The simulator's faults by name: what goes wrong, at which submits and binds, at start and by order."""

import contextlib
import socket
import time

import pytest

from smpp_bind import dlr, pdu, simulator
from smpp_bind.simulator import Settings, SettingsError, Span
from smpp_bind.simulator.faults import KINDS
from tests.fakes.esme import Client, submit_body


@pytest.fixture
def smsc():
    with contextlib.ExitStack() as stack:
        yield lambda *faults, **settings: stack.enter_context(
            simulator.start_in_thread(Settings(fault=faults, **{"receipt_delay": Span(), **settings}))
        )


@pytest.fixture
def client():
    with contextlib.ExitStack() as stack:

        def connect(running, *, bind=pdu.BIND_TRANSCEIVER, **who):
            found = stack.enter_context(Client(running.port))
            if bind:
                assert found.bind(bind, **who).status == 0
            return found

        yield connect


def part(number, total=3):
    return {"esm_class": 0x40, "message": bytes((5, 0, 3, 9, total, number)) + b"part"}


def statuses(esme, count, **fields):
    for _ in range(count):
        esme.submit(**fields)
    return [esme.read(pdu.SUBMIT_SM_RESP).status for _ in range(count)]


@pytest.mark.parametrize(
    ("conditions", "struck"),
    [
        ("", [1, 1, 1, 1, 1, 1]),
        ("@every=3", [0, 0, 1, 0, 0, 1]),
        ("@first=2", [1, 1, 0, 0, 0, 0]),
        ("@after=4", [0, 0, 0, 0, 1, 1]),
        ("@after=1,first=2", [0, 1, 0, 0, 0, 0]),
        ("@to=78", [1, 1, 1, 1, 1, 1]),
        ("@to=79", [0, 0, 0, 0, 0, 0]),
        ("@part=1", [0, 0, 0, 0, 0, 0]),
        ("@share=100,for=9", [1, 1, 1, 1, 1, 1]),
    ],
)
def test_it_refuses_the_submits_that_the_conditions_choose(smsc, client, conditions, struck):
    running = smsc(f"refuse:0x0B{conditions}", receipts="none")
    assert statuses(client(running), 6) == [pdu.ESME_RINVDSTADR * each for each in struck]
    assert running.stats()["faults"] == {f"refuse:0x0B{conditions}": sum(struck)}
    assert running.stats()["refused"] == sum(struck)


def test_it_refuses_one_part_of_a_long_message_for_a_time_only(smsc, client):
    esme = client(smsc("refuse:0x14@part=2,first=1", receipts="none"))
    found = [esme.submitted(**part(number)).status for number in (1, 2, 3, 2)]
    assert found == [0, pdu.ESME_RMSGQFUL, 0, 0]


def test_it_throttles_for_a_time_by_order(smsc, client):
    running = smsc(receipts="none")
    esme = client(running)
    running.order("throttle 0.3")
    assert esme.submitted().status == pdu.ESME_RTHROTTLED
    time.sleep(0.31)
    assert esme.submitted().status == 0
    assert running.stats()["throttled"] == 1


def test_it_nacks_a_submit(smsc, client):
    esme = client(smsc("nack:0x58"))
    sequence = esme.submit()
    answer = esme.read()
    assert (answer.command, answer.status, answer.sequence) == (pdu.GENERIC_NACK, 0x58, sequence)


def test_it_leaves_a_submit_unanswered_that_it_took_or_that_it_lost(smsc, client):
    running = smsc("no-answer@to=1", "lose@to=2")
    esme = client(running)
    esme.submit(destination="331")
    assert esme.read().command == pdu.DELIVER_SM
    esme.submit(destination="332")
    assert esme.hears_nothing(0.05)
    assert (running.stats()["accepted"], running.stats()["unanswered"]) == (1, 2)


def test_it_answers_late_and_so_out_of_order(smsc, client):
    esme = client(smsc("late:120@every=2", receipts="none"))
    sent = [esme.submit() for _ in range(4)]
    found = [esme.read().sequence for _ in range(4)]
    assert found == [sent[0], sent[2], sent[1], sent[3]]


def test_it_answers_twice_or_without_an_id(smsc, client):
    esme = client(smsc("twice@to=1", "no-id@to=2", receipts="none"))
    answer = esme.submitted(destination="331")
    assert esme.read() == answer
    answer = esme.submitted(destination="332")
    assert (answer.status, answer.body) == (0, b"\0")


@pytest.mark.parametrize(("fault", "octets"), [("cut", 30), ("close", 10), ("reset", 0)])
def test_it_drops_the_connection_at_a_submit(smsc, client, fault, octets):
    running = smsc(f"{fault}@every=3", receipts="none")
    esme = client(running)
    esme.submitted()
    esme.submitted()
    esme.submit()
    assert len(esme.rest()) == octets
    while running.stats()["connected"]:
        time.sleep(0.005)
    assert client(running).submitted().status == 0


def test_it_unbinds_and_still_answers(smsc, client):
    esme = client(smsc("unbind@every=3", latency=Span(0.05, 0.05), receipts="none"))
    sent = {esme.submit() for _ in range(3)}
    asked = esme.read()
    assert asked.command == pdu.UNBIND
    esme.send(pdu.UNBIND_RESP, sequence=asked.sequence)
    assert {esme.read().sequence for _ in range(3)} == sent
    with pytest.raises(EOFError):
        esme.read()


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("enquire", pdu.ENQUIRE_LINK),
        ("alert", pdu.ALERT_NOTIFICATION),
        ("stray-nack", pdu.GENERIC_NACK),
        ("stray-answer", pdu.SUBMIT_SM_RESP),
        ("unknown", 0x00010999),
        ("malformed", pdu.DELIVER_SM),
        ("unbind", pdu.UNBIND),
    ],
)
def test_it_sends_what_nobody_asked_for_at_a_submit_and_by_order(smsc, client, name, command):
    running = smsc(f"{name}@first=1", receipts="none")
    esme = client(running)
    esme.submit()
    assert esme.read().command == command
    assert esme.read().command == pdu.SUBMIT_SM_RESP
    assert running.order(name) == {"ok": True, "connections": 1}
    assert esme.read().command == command


def test_it_names_the_handset_and_the_client_in_an_alert(smsc, client):
    running = smsc()
    esme = client(running)
    running.order("alert")
    body = esme.read(pdu.ALERT_NOTIFICATION).body
    assert body == b"\1\x0133600000001\0\1\1esme\0\x04\x22\0\x01\0"


@pytest.mark.parametrize(("order", "length"), [("huge", 0x7FFFFFFF), ("short", 7)])
def test_it_sends_lengths_that_cannot_be(smsc, client, order, length):
    running = smsc()
    esme = client(running)
    running.order(order)
    assert int.from_bytes(esme.sock.recv(4), "big") == length


def test_it_sends_garbage_and_octets_as_given(smsc, client):
    running = smsc()
    esme = client(running)
    running.order("garbage")
    found = esme.read()
    assert len(found.body) == 36
    assert not found.command & pdu.RESP
    running.order("raw 00000010800000ff0000000000000001")
    assert esme.read().command == 0x800000FF


@pytest.mark.parametrize(
    ("fault", "bind", "status"),
    [
        ("refuse-bind", pdu.BIND_TRANSCEIVER, pdu.ESME_RBINDFAIL),
        ("refuse-bind:ESME_RINVPASWD", pdu.BIND_RECEIVER, pdu.ESME_RINVPASWD),
        ("refuse-bind@kind=transceiver", pdu.BIND_TRANSCEIVER, pdu.ESME_RBINDFAIL),
        ("refuse-bind@kind=transceiver", pdu.BIND_TRANSMITTER, 0),
    ],
)
def test_it_refuses_binds_by_kind(smsc, client, fault, bind, status):
    esme = client(smsc(fault), bind=None)
    assert esme.bind(bind).status == status


def test_it_refuses_binds_above_a_number_with_the_status_asked_for(smsc, client):
    running = smsc("refuse-bind:0x0D@above=2")
    binds = [client(running) for _ in range(2)]
    assert client(running, bind=None).bind().status == pdu.ESME_RBINDFAIL
    assert client(running, system_id="another")
    binds[0].sock.close()
    while running.stats()["bound"] == 3:
        time.sleep(0.005)
    assert client(running)


def test_it_takes_a_lost_connection_for_bound_for_a_while(smsc, client):
    running = smsc("linger:0.4")
    first = client(running)
    first.sock.close()
    while running.stats()["connected"]:
        time.sleep(0.002)
    assert client(running, bind=None).bind().status == pdu.ESME_RALYBND
    time.sleep(0.41)
    second = client(running)
    second.ask(pdu.UNBIND)
    assert client(running)


def test_it_never_answers_a_bind(smsc, client):
    running = smsc("no-bind-answer@first=1")
    esme = client(running, bind=None)
    esme.send(pdu.BIND_TRANSCEIVER, b"us\0pw\0\0\x34\0\0\0")
    assert esme.hears_nothing(0.05)
    assert esme.ask(pdu.ENQUIRE_LINK).status == 0
    assert client(running)


@pytest.mark.parametrize(("fault", "length"), [("bare-bind", 0), ("odd-bind", 20)])
def test_it_answers_a_bind_oddly(smsc, client, fault, length):
    esme = client(smsc(fault), bind=None)
    answer = esme.bind()
    assert (answer.status, len(answer.body)) == (0, length)
    assert esme.submitted().status == 0


@pytest.mark.parametrize(
    ("fault", "command"), [("deliver-first", pdu.DELIVER_SM), ("enquire-first", pdu.ENQUIRE_LINK)]
)
def test_it_sends_something_ahead_of_the_answer_to_a_bind(smsc, client, fault, command):
    running = smsc(fault)
    running.inject_mo("33600000001", "38080", "early")
    esme = client(running, bind=None)
    esme.send(pdu.BIND_RECEIVER, b"us\0pw\0\0\x34\0\0\0")
    assert [esme.read().command for _ in range(2)] == [command, pdu.BIND_RECEIVER | pdu.RESP]


def test_it_draws_the_same_faults_with_the_same_seed(smsc, client):
    def found():
        return statuses(client(smsc("refuse@share=50", seed=5, receipts="none")), 60)

    assert found() == found()
    assert 15 < found().count(0) < 45


@pytest.mark.parametrize(
    ("start", "numbers"),
    [("0x7FFFFFFF", [0x7FFFFFFF, 1, 2]), ("0x80000005", [0x80000005, 0x80000006, 0x80000007])],
)
def test_it_begins_its_sequence_numbers_where_asked(smsc, client, start, numbers):
    running = smsc(f"sequence:{start}")
    esme = client(running)
    for _ in numbers:
        running.order("enquire")
    assert [esme.read().sequence for _ in numbers] == numbers


def test_it_writes_by_drops(smsc, client):
    running = smsc("dribble:5", receipts="none")
    esme = client(running)
    esme.submit()
    pieces = []
    while sum(map(len, pieces)) < 33:
        pieces.append(esme.sock.recv(65536))
    assert len(pieces) > 1
    assert esme.ask(pdu.ENQUIRE_LINK).status == 0


def test_it_leaves_enquire_link_and_unbind_unanswered(smsc, client):
    running = smsc("deaf", "no-unbind-answer")
    esme = client(running)
    esme.send(pdu.ENQUIRE_LINK)
    esme.send(pdu.UNBIND)
    assert esme.hears_nothing(0.05)
    assert running.order("clear") == {"ok": True, "faults": 2}
    assert esme.ask(pdu.ENQUIRE_LINK).status == 0


def test_it_calls_a_client_to_bind(smsc):
    running = smsc(system_id="us", password="hush")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running.order(f"outbind 127.0.0.1 {listener.getsockname()[1]}")
        peer, _ = listener.accept()
    with peer:
        peer.settimeout(3)
        header = pdu.parse_header(peer.recv(16))
        assert (header.command_id, header.length) == (pdu.OUTBIND, 24)
        assert peer.recv(100) == b"us\0hush\0"
        body = b"us\0hush\0\0\x34\0\0\0"
        peer.sendall(pdu.HEADER.pack(16 + len(body), pdu.BIND_RECEIVER, 0, 1) + body)
        assert pdu.parse_header(peer.recv(100)).command_id == pdu.BIND_RECEIVER | pdu.RESP
    assert running.stats()["outbinds"] == 1


def test_it_counts_a_call_that_nobody_took(smsc):
    running = smsc()
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    running.order(f"outbind 127.0.0.1 {port}")
    deadline = time.monotonic() + 3
    while not running.stats()["outbinds_failed"]:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_it_sets_faults_by_order(smsc, client):
    running = smsc(receipts="none")
    esme = client(running)
    running.order("fault refuse:ESME_RINVSRCADR@every=2")
    assert statuses(esme, 4) == [0, pdu.ESME_RINVSRCADR, 0, pdu.ESME_RINVSRCADR]
    assert running.order("clear") == {"ok": True, "faults": 1}
    assert statuses(esme, 2) == [0, 0]
    running.order("fault refuse:ESME_RINVSRCADR@every=2")
    assert statuses(esme, 2) == [0, pdu.ESME_RINVSRCADR]
    assert running.stats()["faults"] == {"refuse:ESME_RINVSRCADR@every=2": 3}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("dance", "fault: there is no fault 'dance'; there are refuse, "),
        ("refuse:0", "0 is no refusal"),
        ("refuse:odd", "'odd' is no command_status"),
        ("cut:5", "cut takes no argument"),
        ("late:soon", "give milliseconds"),
        ("dribble:0", "'0' is not a whole number above 0"),
        ("refuse@each=3", "there is no condition 'each'; there are every, "),
        ("refuse@every=", "every= needs a value"),
        ("refuse@every=-1", "'-1' is not a whole number above 0"),
        ("refuse@share=101", "at most 100 per cent"),
        ("deaf@to=12", "deaf is not about what to= selects"),
        ("refuse@kind=receiver", "refuse is not about what kind= selects"),
        ("refuse-bind@kind=sender", "'sender' is none of transmitter, receiver, transceiver"),
    ],
)
def test_it_refuses_faults_that_make_no_sense(smsc, spec, message):
    with pytest.raises(SettingsError, match=message):
        Settings(fault=(spec,))
    with pytest.raises(ValueError, match=message):
        smsc().order(f"fault {spec}")


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("dance", "Unknown order 'dance'"),
        ("mo 1", "Give mo FROM TO TEXT"),
        ("mo-as ucs2", "Give mo-as WORDS FROM TO TEXT"),
        ("mo-as ucs2,gsm 1 2 text", "ucs2 and gsm exclude each other"),
        ("mo-as prose 1 2 text", "'prose' is none of"),
        ("mo-as binary 1 2 text", "non-hexadecimal"),
        ("mo-raw xyz", "non-hexadecimal"),
        ("outbind 127.0.0.1", "is not a whole number"),
        ("outbind 127.0.0.1 70000", "70000 is no port"),
        ("throttle 0", "more than 0"),
        ("alert now", "alert takes nothing more"),
    ],
)
def test_it_says_what_is_wrong_with_an_order(smsc, order, message):
    with pytest.raises(ValueError, match=message):
        smsc().order(order)


def test_it_explains_its_orders(smsc):
    orders = smsc().order("help")["orders"]
    assert orders["outbind HOST PORT"]
    assert {"help", "stats", "mo FROM TO TEXT", "alert"} < set(orders)


def test_it_has_a_line_for_every_fault():
    assert all(kind.help for kind in KINDS.values())


def test_it_holds_receipts_until_the_connection_is_gone(smsc, client):
    running = smsc(receipts="after-reconnect")
    first = client(running)
    answer = first.submitted()
    assert first.hears_nothing(0.05)
    first.sock.close()
    assert dlr.parse(client(running).receipt().sm).remote_id == answer.id


def test_it_reports_on_another_bind(smsc, client):
    running = smsc(receipt_bind="other")
    first, second = client(running), client(running)
    for _ in range(5):
        answer = first.submitted()
        assert dlr.parse(second.receipt().sm).remote_id == answer.id
    assert first.hears_nothing(0.05)


def test_it_reports_out_of_order(smsc, client):
    esme = client(smsc(receipts="out-of-order"))
    ids = [esme.submitted().id for _ in range(4)]
    found = [dlr.parse(esme.receipt().sm).remote_id for _ in range(4)]
    assert sorted(found) == ids
    assert found != ids


def test_it_combines_rules_for_receipts(smsc, client):
    esme = client(smsc(receipts="before-answer,duplicate,intermediate"))
    esme.submit()
    found = [esme.read() for _ in range(4)]
    assert [each.command for each in found] == [pdu.DELIVER_SM] * 3 + [pdu.SUBMIT_SM_RESP]
    assert [dlr.parse(each.sm).state for each in found[:3]] == ["enroute", "delivered", "delivered"]


@pytest.mark.parametrize(
    ("style", "text"),
    [
        ("lower", "stat:undeliv err:001"),
        ("capitals", "STAT:UNDELIV ERR:001"),
        ("spaced", "stat: UNDELIV err: 001"),
        ("letters", "stat:UNDELIV err:E001"),
        ("minimal,lower,spaced", "stat: undeliv err: 001"),
    ],
)
def test_it_words_receipts_as_other_operators_do(smsc, client, style, text):
    esme = client(smsc(receipt_style=style, mix={"failed": 1}))
    esme.submitted()
    assert text in esme.receipt().text


def test_it_reports_states_of_no_specification(smsc, client):
    esme = client(smsc(receipt_style="both", mix={"odd": 1}))
    esme.submitted()
    found = esme.receipt()
    assert "stat:NOROUTE err:613" in found.text
    tlvs = dict(found.sm.tlvs)
    assert (tlvs[pdu.TLV_MESSAGE_STATE], tlvs[pdu.TLV_NETWORK_ERROR_CODE]) == (b"\x2a", b"\x03\x02\x65")


def test_it_reports_in_a_payload_or_by_data_sm(smsc, client):
    running = smsc(receipt_style="data-sm,both", mix={"failed": 1})
    esme = client(running)
    answer = esme.submitted()
    found = esme.read(pdu.DATA_SM)
    sm = pdu.decode_data_sm(found.body)
    assert (dlr.parse(sm).remote_id, sm.esm_class) == (answer.id, pdu.ESM_CLASS_RECEIPT)
    esme.send(pdu.DATA_SM_RESP, b"\0", sequence=found.sequence)
    assert esme.ask(pdu.ENQUIRE_LINK).status == 0
    assert running.stats()["receipts_acknowledged"] == 1
    esme = client(smsc(receipt_style="payload"))
    esme.submitted()
    assert esme.receipt().sm.message.startswith(b"id:")


@pytest.mark.parametrize(
    ("answered", "text", "tlv", "spell"),
    [
        ("decimal", "0x", "as-text", lambda number: (f"0x{number:x}", f"0x{number:x}")),
        ("decimal", "prefixed", "same", lambda number: (f"SMSC-{number}", str(number))),
        ("decimal", "same", "hex", lambda number: (str(number), f"{number:x}")),
        ("decimal", "upper", "padded", lambda number: (f"{number:X}", f"{number:020d}")),
    ],
)
def test_it_spells_ids_apart_in_text_and_tlv(smsc, client, answered, text, tlv, spell):
    styles = {"id_style": answered, "receipt_id_style": text, "receipt_tlv_id_style": tlv}
    esme = client(smsc(receipt_style="both", **styles))
    answer = esme.submitted()
    found = esme.receipt()
    in_text = found.text.split()[0].removeprefix("id:")
    in_tlv = dict(found.sm.tlvs)[pdu.TLV_RECEIPTED_MESSAGE_ID].rstrip(b"\0").decode()
    assert (in_text, in_tlv) == spell(int(answer.id))


@pytest.mark.parametrize(
    "wrong",
    [
        {"receipts": "none,final"},
        {"receipt_style": "text,tlv"},
        {"receipt_style": ""},
        {"mo_format": "sar,udh16"},
        {"receipt_tlv_id_style": "odd"},
    ],
)
def test_it_refuses_words_that_exclude_each_other(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        Settings(**wrong)


def test_it_takes_submits_by_data_sm_with_faults_too(smsc, client):
    esme = client(smsc("refuse:0x0B@to=78"))
    sm = pdu.ShortMessage(source="1", destination="33612345678", message=b"x")
    assert esme.ask(pdu.DATA_SM, pdu.encode_data_sm_body(sm)).status == pdu.ESME_RINVDSTADR
    assert esme.ask(pdu.SUBMIT_SM, submit_body(destination="33612345679")).status == 0
