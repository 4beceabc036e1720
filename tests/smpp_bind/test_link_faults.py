"""Peers that are dead, half dead or odd, over real sockets: the link ends or goes on, and no outcome is lost."""

import datetime as dt
import functools
import logging
import random
import socket
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from smpp_bind import notices, pdu, protocol, simulator
from smpp_bind import settings as bind_settings
from smpp_bind.window import LAST_SEQUENCE
from tests.fakes import bind_owner
from tests.fakes.bind_owner import settings, submits
from tests.fakes.smsc import Smsc

RESP = pdu.RESP
LOWEST, HIGHEST = 0, 0xFFFFFFFF


@pytest.fixture
def smsc():
    with Smsc() as fake:
        yield fake


@pytest.fixture
def start():
    with bind_owner.groups() as made:
        yield made


def raw(command, body=b"", *, sequence=1, status=0):
    return pdu.HEADER.pack(16 + len(body), command, status, sequence) + body


def accept(sequence, message_id="x"):
    return pdu.encode_id_resp(command_id=pdu.SUBMIT_SM_RESP, sequence=sequence, message_id=message_id)


def deliver(sequence, text=b"hi"):
    sm = pdu.ShortMessage(message=text)
    return pdu.encode_short_message(command_id=pdu.DELIVER_SM, sequence=sequence, sm=sm)


def of(smsc, command):
    """(status, sequence) of what came so."""
    return [(header.status, header.sequence) for header, _ in smsc.received if header.command_id == command]


def keep(smsc):
    """Submits are kept unanswered, as (client, sequence)."""
    kept = []
    smsc.on_submit = lambda client, header, sm: kept.append((client, header.sequence))
    return kept


def goes_on(smsc, group, owner):
    """The link that the test began with still takes a submit."""
    before = len(owner.answers)
    smsc.on_submit = None
    group.submit(submits([999]))
    owner.wait(lambda: len(owner.answers) > before)
    return owner.answers[-1].token == 999 and len(smsc.binds_seen) == 1


def test_it_leaves_a_connection_on_which_the_peer_has_fallen_silent(start):
    with simulator.start_in_thread() as smsc:
        group, owner = start(settings(smsc, enquire_link_seconds=0.1, enquire_link_timeout=0.1))
        smsc.pause(5)
        group.submit(submits(range(3)))
        owner.wait(lambda: len(owner.answers) == 3)
        assert {(each.status, each.reason) for each in owner.answers} == {
            (None, "enquire_link was not answered")
        }
        owner.wait(lambda: owner.states[-1].summary == "0 of 1 bound: enquire_link was not answered")
        smsc.pause(0.001)
        group.submit(submits([3]))
        owner.wait(lambda: owner.outcomes().get(3) == 0)


def test_it_leaves_a_link_that_answers_enquiries_and_no_submits(smsc, start):
    smsc.answer_submits = False
    links = settings(smsc, response_timeout=0.1, enquire_link_seconds=0.05, enquire_link_timeout=0.5)
    group, owner = start(links)
    group.submit(submits(range(10)))
    owner.wait(lambda: owner.states[-1].last_error == "the last 10 submits were not answered")
    assert set(owner.outcomes().values()) == {None}
    smsc.answer_submits = True
    group.submit(submits([10]))
    owner.wait(lambda: owner.outcomes().get(10) == 0)
    assert len(smsc.binds_seen) == 2


def test_it_stays_on_a_link_that_loses_some_answers(smsc, start):
    smsc.on_submit = lambda client, header, sm: header.sequence % 3 or client.send(accept(header.sequence))
    group, owner = start(settings(smsc, response_timeout=0.05, window=4))
    group.submit(submits(range(30)))
    owner.wait(lambda: len(owner.answers) == 30)
    assert sorted(status is None for status in owner.outcomes().values()) == [False] * 10 + [True] * 20
    assert len(smsc.binds_seen) == 1


def test_it_tells_of_answers_that_come_too_late(smsc, start, caplog):
    kept = keep(smsc)
    group, owner = start(settings(smsc, response_timeout=0.05))
    group.submit(submits([7]))
    owner.wait(lambda: owner.answers)
    client, sequence = kept[0]
    client.send(accept(sequence, "late-id") * 2)
    owner.wait(lambda: owner.late)
    assert [each._replace(sent_at=0) for each in owner.late] == [(7, 0, "late-id", 0, "late")]
    assert len(owner.answers) == 1
    assert group.state().late_answers == 1
    assert "smpp_bind_late_answer" in caplog.text


def test_it_gives_up_a_connection_on_which_nothing_ever_comes(start):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        group, owner = start(settings(None, host="127.0.0.1", port=port, bind_timeout=0.1), wait=False)
        owner.wait(lambda: owner.states and owner.states[-1].last_error == "the bind was not answered")
        assert group.state().bound == 0


def test_it_answers_enquire_link_while_its_bind_is_under_way(smsc, start):
    smsc.answer_binds = False
    _, owner = start(settings(smsc), wait=False)
    smsc.wait(lambda: smsc.binds_seen)
    smsc.clients[0].send(raw(pdu.ENQUIRE_LINK, sequence=5))
    smsc.wait(lambda: of(smsc, pdu.ENQUIRE_LINK_RESP) == [(0, 5)])
    smsc.clients[0].send(raw(pdu.BIND_TRANSCEIVER | RESP, b"s\0"))
    owner.wait(lambda: owner.states[-1].bound == 1)


def test_it_takes_answers_that_come_behind_the_unbind_of_the_smsc_and_sends_the_rest_after_binding_again(
    smsc, start
):
    kept = keep(smsc)
    group, owner = start(settings(smsc, window=4))
    group.submit(submits(range(8)))
    smsc.wait(lambda: len(kept) == 4)
    client = kept[0][0]
    client.send(raw(pdu.UNBIND, sequence=70) + raw(pdu.UNBIND, sequence=71))
    smsc.wait(lambda: of(smsc, pdu.UNBIND_RESP) == [(0, 70), (0, 71)])
    assert len(smsc.submits) == 4
    smsc.on_submit = None
    client.send(b"".join(accept(sequence) for _, sequence in kept))
    owner.wait(lambda: len(owner.answers) == 8)
    assert owner.outcomes() == dict.fromkeys(range(8), 0)
    assert len(smsc.binds_seen) == 2


def test_it_waits_no_longer_for_answers_when_the_smsc_unbinds_again_and_again(smsc, start, monkeypatch):
    monkeypatch.setattr("smpp_bind.protocol.LINGER_SECONDS", 0.2)
    kept = keep(smsc)
    group, owner = start(settings(smsc))
    group.submit(submits([1]))
    smsc.wait(lambda: kept)
    for number in range(8):
        kept[0][0].send(raw(pdu.UNBIND, sequence=number))
        time.sleep(0.04)
    owner.wait(lambda: owner.answers)
    assert owner.answers[0].reason == "unbound"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0",
        b"smsc",
        b"smsc\0\x02\x10\0\x09\x34",
        b"\0\x02\x10\0\0",
        b"\xff\xfe\0\xff\xff\xff\xff\xff",
    ],
)
def test_it_is_bound_whatever_the_answer_to_its_bind_carries(smsc, start, body):
    smsc.answer_binds = False
    group, owner = start(settings(smsc), wait=False)
    smsc.wait(lambda: smsc.binds_seen)
    smsc.clients[0].send(raw(pdu.BIND_TRANSCEIVER | RESP, body))
    owner.wait(lambda: owner.states[-1].bound == 1)
    assert goes_on(smsc, group, owner)


def test_it_takes_deliveries_that_come_ahead_of_the_answer_to_its_bind(smsc, start):
    smsc.answer_binds = False
    group, owner = start(settings(smsc), wait=False)
    smsc.wait(lambda: smsc.binds_seen)
    smsc.clients[0].send(deliver(3))
    owner.wait(lambda: owner.delivered)
    group.answer(owner.delivered)
    smsc.wait(lambda: of(smsc, pdu.DELIVER_SM_RESP) == [(0, 3)])
    smsc.clients[0].send(raw(pdu.BIND_TRANSCEIVER | RESP, b"s\0"))
    owner.wait(lambda: owner.states[-1].bound == 1)


def test_it_answers_the_sequence_numbers_that_a_peer_may_not_use(smsc, start):
    group, owner = start(settings(smsc))
    numbers = [LOWEST, 0x80000000, HIGHEST]
    smsc.clients[0].send(b"".join(deliver(number) for number in numbers))
    owner.wait(lambda: len(owner.delivered) == 3)
    group.answer(owner.delivered)
    smsc.wait(lambda: of(smsc, pdu.DELIVER_SM_RESP) == [(0, number) for number in numbers])
    smsc.clients[0].send(raw(pdu.ENQUIRE_LINK, sequence=HIGHEST) + accept(HIGHEST))
    smsc.wait(lambda: of(smsc, pdu.ENQUIRE_LINK_RESP) == [(0, HIGHEST)])
    assert goes_on(smsc, group, owner)


def test_it_matches_answers_out_of_order_and_twice(smsc, start):
    kept = keep(smsc)
    group, owner = start(settings(smsc))
    group.submit(submits(range(5)))
    smsc.wait(lambda: len(kept) == 5)
    for client, sequence in reversed(kept):
        client.send(accept(sequence, f"id-{sequence}") * 2)
    owner.wait(lambda: len(owner.answers) == 5)
    assert [answer.token for answer in owner.answers] == [4, 3, 2, 1, 0]
    assert [answer.message_id for answer in owner.answers] == [f"id-{n}" for _, n in reversed(kept)]
    assert goes_on(smsc, group, owner)
    assert len(owner.answers) == 6


def test_it_takes_data_sm_and_sends_it(smsc, start):
    group, owner = start(settings(smsc))
    sm = pdu.ShortMessage(source="14155550101", message=b"by data_sm")
    smsc.clients[0].send(pdu.encode_data_sm(sequence=8, sm=sm))
    owner.wait(lambda: owner.delivered)
    assert owner.delivered[0].sm == sm
    group.answer(owner.delivered)
    smsc.wait(lambda: of(smsc, pdu.DATA_SM_RESP) == [(0, 8)])
    with simulator.start_in_thread() as other:
        group, owner = start(settings(other, data_sm=True))
        group.submit([submits([1])[0]])
        owner.wait(lambda: owner.answers)
        assert owner.answers[0].status is not None


def test_it_takes_a_nack_for_its_submit_and_ignores_one_for_nothing(smsc, start):
    kept = keep(smsc)
    group, owner = start(settings(smsc))
    group.submit(submits([1]))
    smsc.wait(lambda: kept)
    client, sequence = kept[0]
    client.send(raw(pdu.GENERIC_NACK, sequence=0, status=2) + raw(pdu.GENERIC_NACK, sequence=4711, status=3))
    client.send(raw(pdu.GENERIC_NACK, sequence=sequence, status=pdu.ESME_RINVCMDID))
    owner.wait(lambda: owner.answers)
    assert owner.outcomes() == {1: pdu.ESME_RINVCMDID}
    assert goes_on(smsc, group, owner)


def test_it_nacks_requests_that_it_does_not_know_and_goes_on(smsc, start):
    group, owner = start(settings(smsc))
    smsc.clients[0].send(raw(0x0000FFFF, b"what?", sequence=9) + raw(0x8000FFFF, b"what?", sequence=10))
    smsc.wait(lambda: of(smsc, pdu.GENERIC_NACK) == [(pdu.ESME_RINVCMDID, 9)])
    assert goes_on(smsc, group, owner)


@pytest.mark.parametrize("length", [0, 15, 0x20000, 0xFFFFFFFF])
def test_it_binds_anew_after_a_length_that_makes_no_sense(smsc, start, length):
    kept = keep(smsc)
    group, owner = start(settings(smsc))
    group.submit(submits([1, 2]))
    smsc.wait(lambda: len(kept) == 2)
    client, sequence = kept[0]
    client.send(accept(sequence) + pdu.HEADER.pack(length, pdu.DELIVER_SM, 0, 1))
    owner.wait(lambda: len(owner.answers) == 2)
    assert owner.outcomes() == {1: 0, 2: None}
    assert owner.answers[1].reason == f"command_length is {length}."
    smsc.wait(lambda: of(smsc, pdu.GENERIC_NACK) == [(pdu.ESME_RINVCMDLEN, 0)])
    smsc.wait(lambda: len(smsc.binds_seen) == 2)
    owner.wait(lambda: owner.states[-1].bound == 1)


def test_it_reads_pdus_that_come_octet_by_octet(smsc, start):
    _, owner = start(settings(smsc))
    smsc.dribble = True
    smsc.clients[0].send(deliver(1, b"first") + deliver(2, b"second" * 40))
    owner.wait(lambda: len(owner.delivered) == 2)
    assert [each.sm.message for each in owner.delivered] == [b"first", b"second" * 40]


def test_it_reports_alerts_and_notes_outbinds_and_answers_neither(smsc, start, caplog):
    group, owner = start(settings(smsc))
    caplog.set_level(logging.INFO)
    alert = notices.encode_alert(sequence=1, source="14155550101", esme="38080", availability=0)
    smsc.clients[0].send(raw(pdu.ALERT_NOTIFICATION, b"\1\1no end") + alert + raw(pdu.OUTBIND, b"smsc\0pw\0"))
    owner.wait(lambda: owner.alerts)
    assert owner.alerts == [notices.Alert(1, 1, "14155550101", 1, 1, "38080", 0)]
    assert goes_on(smsc, group, owner)
    assert "smpp_bind_outbind" in caplog.text
    assert "14155550101" not in caplog.text
    assert len(smsc.received) == 2  # the bind and the submit


def test_it_binds_all_the_same_when_the_smsc_begins_with_an_outbind(smsc, start):
    smsc.answer_binds = False
    _, owner = start(settings(smsc, bind="receiver"), wait=False)
    smsc.wait(lambda: smsc.binds_seen)
    smsc.clients[0].send(raw(pdu.OUTBIND, b"smsc\0pw\0") + raw(pdu.BIND_RECEIVER | RESP, b"s\0"))
    owner.wait(lambda: owner.states[-1].bound == 1)
    assert len(smsc.binds_seen) == 1


def test_it_begins_its_sequence_numbers_again_after_the_last(smsc, start, monkeypatch):
    late = functools.partial(protocol.Session, first_sequence=LAST_SEQUENCE - 1)
    monkeypatch.setattr(protocol, "Session", late)
    group, owner = start(settings(smsc))
    group.submit(submits(range(4)))
    owner.wait(lambda: len(owner.answers) == 4)
    sent = [header.sequence for header, _ in smsc.received]
    assert sent == [LAST_SEQUENCE - 1, LAST_SEQUENCE, 1, 2, 3]
    assert owner.outcomes() == dict.fromkeys(range(4), 0)


def test_it_comes_back_to_work_after_any_garbage(smsc, start):
    rnd = random.Random(7)
    group, owner = start(settings(smsc, bind_timeout=0.3, response_timeout=0.3, enquire_link_timeout=0.2))
    for number in range(40):
        valid = b"".join(raw(rnd.choice((4, 5, 21, 0x80000004, 0x103)), rnd.randbytes(9)) for _ in range(3))
        octets = rnd.randbytes(rnd.randrange(1, 60))
        smsc.clients[-1].send(rnd.choice((octets, valid, valid + octets)))
        group.submit(submits([number]))
    # What stands in the framer as the beginning of a long PDU is found out by the silence behind it.
    owner.wait(lambda: len(owner.answers) == 40, 15)
    assert sorted(owner.outcomes()) == list(range(40))
    owner.wait(lambda: owner.states[-1].bound == 1)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Paths of a certificate for localhost, signed by itself, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    return str(folder / "cert.pem"), str(folder / "key.pem")


def test_it_binds_over_tls_only_to_the_smsc_that_it_means(start, certificate):
    cert, key = certificate
    with simulator.start_in_thread(simulator.Settings(tls_cert=cert, tls_key=key)) as smsc:
        named = {"host": "localhost", "tls": True, "tls_ca_file": cert}
        group, owner = start(settings(smsc, **named))
        group.submit(submits(range(200)))
        owner.wait(lambda: len(owner.answers) == 200)
        wrong = {
            "certificate is not valid for 'other.example'": {**named, "tls_server_name": "other.example"},
            "tls: certificate verify failed: self-signed certificate": {**named, "tls_ca_file": ""},
        }
        for error, changes in wrong.items():
            group, owner = start(settings(smsc, **changes), wait=False)
            owner.wait(lambda owner=owner, error=error: owner.states and error in owner.states[-1].last_error)
            assert group.state().summary.startswith("0 of 1 bound: tls: certificate verify failed")


def test_it_says_when_no_tls_is_spoken_at_the_port(start):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        _, owner = start(settings(None, host="127.0.0.1", port=port, tls=True), wait=False)
        sock, _ = listener.accept()
        with sock:
            sock.recv(100)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            owner.wait(lambda: owner.states[-1].last_error)
    assert owner.states[-1].last_error == "tls: WRONG_VERSION_NUMBER (no TLS is spoken at this port)"


def test_it_never_shows_the_password():
    shown = bind_settings.BindSettings(host="h", port=1, system_id="a", password="secret")
    assert "secret" not in repr(shown)
