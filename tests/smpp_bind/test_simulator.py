"""The simulator's manners: binding, answering, limits, ids."""

import contextlib
import datetime as dt
import re
import ssl
import time
import uuid

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from smpp_bind import dlr, pdu, simulator
from smpp_bind.simulator import Settings, SettingsError, Span
from tests.fakes.esme import Client, submit_body


@pytest.fixture
def smsc():
    """Starts simulators, and stops them in the end."""
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(
            simulator.start_in_thread(Settings(**{"receipt_delay": Span(), **settings}))
        )


@pytest.fixture
def client():
    """Connects, and binds unless told not to."""
    with contextlib.ExitStack() as stack:

        def connect(running, *, bind=pdu.BIND_TRANSCEIVER, **who):
            found = stack.enter_context(Client(running.port))
            if bind:
                assert found.bind(bind, **who).status == 0
            return found

        yield connect


@pytest.mark.parametrize("kind", [pdu.BIND_TRANSCEIVER, pdu.BIND_TRANSMITTER, pdu.BIND_RECEIVER])
def test_it_binds_and_unbinds(smsc, client, kind):
    esme = client(smsc(), bind=None)
    answer = esme.bind(kind)
    assert answer.status == 0
    assert pdu.decode_bind_resp(answer.body).tlvs == ((pdu.TLV_SC_INTERFACE_VERSION, b"\x34"),)
    assert esme.ask(pdu.UNBIND).status == 0
    with pytest.raises(EOFError):
        esme.read()


@pytest.mark.parametrize(
    ("system_id", "password", "status"),
    [("us", "right", 0), ("them", "right", pdu.ESME_RINVSYSID), ("us", "wrong", pdu.ESME_RINVPASWD)],
)
def test_it_checks_credentials_where_it_has_some(smsc, client, system_id, password, status):
    esme = client(smsc(system_id="us", password="right"), bind=None)
    assert esme.bind(system_id=system_id, password=password).status == status
    if status:
        with pytest.raises(EOFError):
            esme.read()


def test_it_refuses_a_bind_too_many(smsc, client):
    running = smsc(max_binds=1)
    first = client(running)
    second = client(running, bind=None)
    assert second.bind().status == pdu.ESME_RALYBND
    assert client(running, system_id="another")
    first.ask(pdu.UNBIND)
    with pytest.raises(EOFError):
        first.read()
    assert client(running)


def test_it_refuses_a_second_bind_on_one_connection(smsc, client):
    esme = client(smsc())
    assert esme.bind().status == pdu.ESME_RALYBND
    assert esme.ask(pdu.ENQUIRE_LINK).status == 0


def test_it_takes_submits_only_from_binds_that_may_send(smsc, client):
    running = smsc()
    unbound = client(running, bind=None)
    assert unbound.submitted().status == pdu.ESME_RINVBNDSTS
    assert client(running, bind=pdu.BIND_RECEIVER).submitted().status == pdu.ESME_RINVBNDSTS
    assert client(running, bind=pdu.BIND_TRANSMITTER).submitted().status == 0
    assert unbound.ask(pdu.UNBIND).status == pdu.ESME_RINVBNDSTS


def test_it_nacks_what_it_does_not_know(smsc, client):
    esme = client(smsc())
    sequence = esme.send(0x00010999, b"abc")
    answer = esme.read()
    assert (answer.command, answer.status, answer.sequence) == (
        pdu.GENERIC_NACK,
        pdu.ESME_RINVCMDID,
        sequence,
    )
    assert esme.ask(pdu.ENQUIRE_LINK).status == 0


def test_it_closes_on_a_stream_out_of_step(smsc, client):
    esme = client(smsc())
    esme.sock.sendall(pdu.HEADER.pack(7, pdu.SUBMIT_SM, 0, 1))
    assert esme.read().status == pdu.ESME_RINVCMDLEN
    with pytest.raises(EOFError):
        esme.read()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"\0\x05", pdu.ESME_RINVCMDLEN),
        (submit_body()[:-8], pdu.ESME_RINVMSGLEN),
        (submit_body(destination=""), pdu.ESME_RINVDSTADR),
    ],
)
def test_it_refuses_a_malformed_submit(smsc, client, body, status):
    esme = client(smsc())
    assert esme.ask(pdu.SUBMIT_SM, body).status == status
    assert esme.submitted().status == 0


def test_it_takes_data_sm(smsc, client):
    esme = client(smsc())
    sm = pdu.ShortMessage(source="1", destination="33612345678", registered_delivery=1, message=b"x" * 300)
    answer = esme.ask(pdu.DATA_SM, pdu.encode_data_sm_body(sm))
    assert answer.status == 0
    assert dlr.parse(esme.receipt().sm).remote_id == answer.id


def test_it_reads_requests_however_they_are_cut(smsc, client):
    esme = client(smsc(receipts="none"))
    octets = b"".join(
        pdu.HEADER.pack(16 + len(submit_body()), pdu.SUBMIT_SM, 0, number) + submit_body()
        for number in range(1, 4)
    )
    for octet in octets:
        esme.sock.sendall(bytes((octet,)))
    assert [esme.read().sequence for _ in range(3)] == [1, 2, 3]


def test_it_answers_after_the_latency(smsc, client):
    esme = client(smsc(latency=Span(0.05, 0.08), receipts="none"))
    began = time.monotonic()
    for _ in range(20):
        esme.submit()
    answers = [esme.read() for _ in range(20)]
    assert 0.045 < time.monotonic() - began < 0.5
    assert {answer.sequence for answer in answers} == set(range(2, 22))


def test_it_throttles_above_the_rate(smsc, client):
    running = smsc(throttle_above=20, throttle_status=pdu.ESME_RMSGQFUL, receipts="none")
    esme = client(running)
    for _ in range(30):
        esme.submit()
    statuses = [esme.read().status for _ in range(30)]
    assert statuses == [0] * 20 + [pdu.ESME_RMSGQFUL] * 10
    assert client(running, system_id="another").submitted().status == 0
    time.sleep(1.05)
    assert esme.submitted().status == 0
    assert running.stats()["throttled"] == 10


def test_it_throttles_over_the_window(smsc, client):
    esme = client(smsc(window=3, latency=Span(0.05, 0.05), receipts="none"))
    for _ in range(4):
        esme.submit()
    assert sorted(esme.read().status for _ in range(4)) == [0, 0, 0, pdu.ESME_RTHROTTLED]
    assert esme.submitted().status == 0


def test_it_may_leave_submits_over_the_window_unanswered(smsc, client):
    running = smsc(window=3, window_over="ignore", latency=Span(0.05, 0.05), receipts="none")
    esme = client(running)
    for _ in range(5):
        esme.submit()
    assert [esme.read().status for _ in range(3)] == [0, 0, 0]
    assert esme.hears_nothing()
    assert running.stats()["unanswered"] == 2


def test_it_fails_the_share_asked_for_the_same_with_the_same_seed(smsc, client):
    def statuses():
        esme = client(smsc(fail=20, fail_status=pdu.ESME_RSUBMITFAIL, seed=7, receipts="none"))
        for _ in range(300):
            esme.submit()
        return [esme.read().status for _ in range(300)]

    found = statuses()
    assert found == statuses()
    assert set(found) == {0, pdu.ESME_RSUBMITFAIL}
    assert 30 < found.count(pdu.ESME_RSUBMITFAIL) < 90


def test_it_leaves_the_share_asked_for_unanswered(smsc, client):
    running = smsc(no_answer=100)
    esme = client(running)
    esme.submit()
    assert esme.read().command == pdu.DELIVER_SM  # accepted all the same
    assert running.stats()["unanswered"] == 1


@pytest.mark.parametrize(
    ("style", "form"),
    [
        ("decimal", r"\d{16}"),
        ("hex", r"[0-9a-f]{13}"),
        ("padded", r"0000\d{16}"),
        ("uuid", r"[0-9a-f-]{36}"),
    ],
)
def test_it_numbers_messages_in_the_style_asked_for(smsc, client, style, form):
    esme = client(smsc(id_style=style, receipts="none"))
    ids = [esme.submitted().id for _ in range(50)]
    assert len(set(ids)) == 50
    assert all(re.fullmatch(form, each) for each in ids)
    if style == "uuid":
        assert uuid.UUID(ids[0]).version == 4


def test_it_never_repeats_an_id_after_a_restart(smsc, client):
    def ids():
        running = smsc(receipts="none")
        esme = client(running)
        found = {esme.submitted().id for _ in range(100)}
        esme.sock.close()
        running.stop()
        return found

    assert len(ids() | ids() | ids()) == 300


def test_it_asks_whether_clients_are_there_and_drops_the_silent(smsc, client):
    running = smsc(enquire_link=0.1)
    esme = client(running)
    asked = esme.read(pdu.ENQUIRE_LINK)
    esme.send(pdu.ENQUIRE_LINK_RESP, sequence=asked.sequence)
    assert esme.read(pdu.ENQUIRE_LINK).sequence != asked.sequence
    with pytest.raises((EOFError, ConnectionResetError)):
        esme.read()


def test_it_speaks_tls(smsc, tmp_path):
    cert, key = _certificate(tmp_path)
    context = ssl.create_default_context(cafile=str(cert))
    running = smsc(tls_cert=str(cert), tls_key=str(key))
    with Client(running.port, tls=context) as esme:
        esme.bind()
        answer = esme.submitted()
        assert dlr.parse(esme.receipt().sm).remote_id == answer.id


def _certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder / "cert.pem", folder / "key.pem"


def test_it_records_what_it_accepted_and_counts_what_came_twice(smsc, client, tmp_path):
    record = tmp_path / "record.tsv"
    running = smsc(record=str(record), receipts="none", throttle_above=4)
    esme = client(running)
    ids = [esme.submitted(message=text).id for text in (b"one", b"two", b"two", b"three")]
    assert esme.submitted(message=b"four").status == pdu.ESME_RTHROTTLED
    time.sleep(0.2)
    rows = [line.split("\t") for line in record.read_text().splitlines()]
    assert [(row[1], row[2], row[3]) for row in rows] == [("esme", "33612345678", each) for each in ids]
    assert rows[1][4] == rows[2][4] != rows[0][4]
    assert abs(float(rows[0][0]) - time.time()) < 5
    stats = running.stats()
    assert (stats["distinct"], stats["duplicates"], stats["throttled"]) == (3, 1, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mix": {}},
        {"mix": {"delivered": -1}},
        {"mix": {"lost": 1}},
        {"mix": {"none": 0}},
        {"port": 70000},
        {"fail": 101},
        {"fail": float("nan")},
        {"receipts": "sometimes"},
        {"id_style": "uuid", "receipt_id_style": "hex"},
        {"tls_cert": "cert.pem"},
        {"window": 0},
    ],
)
def test_it_refuses_settings_that_make_no_sense(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong)) if len(wrong) == 1 else "uuid"):
        Settings(**wrong)


def test_it_says_that_a_port_is_taken(smsc):
    running = smsc()
    with pytest.raises(OSError, match="address already in use"):
        smsc(port=running.port)


def test_it_hides_its_password():
    assert "hush" not in repr(Settings(password="hush"))
