"""The I/O thread and its connections, on real loopback sockets."""

import datetime as dt
import ipaddress
import socket
import ssl
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from smpp_bind import connection, io_thread
from smpp_bind.settings import BindSettings
from tests.fakes.smsc import Smsc


class Recorder:
    """An owner that remembers."""

    def __init__(self):
        self.open = threading.Event()
        self.over = threading.Event()
        self.data = b""
        self.reason = ""

    def connected(self):
        self.open.set()

    def received(self, data):
        self.data += data

    def lost(self, reason):
        self.reason = reason
        self.over.set()


@pytest.fixture
def io():
    thread = io_thread.IoThread()
    thread.start()
    yield thread
    thread.stop()
    assert not thread.is_alive


@pytest.fixture
def connect(io):
    made = []

    def connect(host, port, **changes):
        owner = Recorder()
        values = {
            "host": host,
            "port": port,
            "system_id": "a",
            "password": "b",
            "connect_timeout": 3.0,
            **changes,
        }
        settings = BindSettings(**values)
        made.append(connection.Connection(io, settings, owner))
        io.call_soon(made[-1].connect)
        return made[-1], owner

    yield connect
    closed = threading.Event()
    for each in made:
        io.call_soon(each.close)
    io.call_soon(closed.set)
    assert closed.wait(5)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """(server's context, path of the certificate) for localhost, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "smsc.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context, str(path)


def echo_server(handler):
    """A listener whose one connection `handler` serves."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        sock, _ = listener.accept()
        with sock:
            handler(sock)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return listener, thread


def test_it_runs_calls_in_order_from_any_thread(io):
    seen, done = [], threading.Event()
    for number in range(1000):
        io.call_soon(lambda number=number: seen.append(number))
    io.call_soon(done.set)
    assert done.wait(2)
    assert seen == list(range(1000))


def test_it_loses_no_call_when_many_threads_call_at_once(io):
    seen = []

    def call():
        for _ in range(500):
            io.call_soon(lambda: seen.append(1))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deadline = time.monotonic() + 2
    while len(seen) < 2000 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert len(seen) == 2000


def test_it_keeps_time_to_milliseconds_and_forgets_what_is_cancelled(io):
    seen, done = [], threading.Event()
    started = time.monotonic()

    def arrange():
        io.call_later(0.03, lambda: seen.append(("b", time.monotonic() - started)))
        io.call_later(0.01, lambda: seen.append(("a", time.monotonic() - started)))
        io.call_later(0.02, lambda: seen.append(("never", 0))).cancel()
        io.call_later(0.05, done.set)

    io.call_soon(arrange)
    assert done.wait(2)
    assert [name for name, _ in seen] == ["a", "b"]
    assert 0.01 <= seen[0][1] < 0.025


def test_it_goes_on_after_a_callback_that_raises(io, caplog):
    done = threading.Event()
    io.call_soon(lambda: 1 / 0)
    io.call_soon(done.set)
    assert done.wait(2)
    assert "smpp_io_callback_failed" in caplog.text


def test_it_connects_by_name_and_reads_and_writes(connect, io):
    listener, thread = echo_server(lambda sock: sock.sendall(sock.recv(100)[::-1]))
    with listener:
        made, owner = connect("localhost", listener.getsockname()[1])
        assert owner.open.wait(3)
        io.call_soon(lambda: made.write(b"abc"))
        assert owner.over.wait(3)
        thread.join(3)
    assert owner.data == b"cba"
    assert owner.reason == "closed by the SMSC"


def test_it_connects_over_ipv6(connect):
    with Smsc(host="::1") as smsc:
        _, owner = connect("::1", smsc.port)
        assert owner.open.wait(3)


def test_it_falls_back_to_the_next_address(connect, monkeypatch):
    with Smsc() as smsc:
        dead = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", smsc.port, 0, 0))
        good = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", smsc.port))
        monkeypatch.setattr(connection.socket, "getaddrinfo", lambda *_, **__: [dead, good, good])
        _, owner = connect("two.example", smsc.port)
        assert owner.open.wait(3)


def test_it_says_why_it_cannot_connect(connect):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        _, owner = connect("127.0.0.1", unused.getsockname()[1])
        assert owner.over.wait(3)
    assert "refused" in owner.reason.lower()


def test_it_is_not_held_up_by_a_resolver_that_hangs(connect, io, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(connection, "_resolve", lambda target: release.wait(5) and [])
    _, owner = connect("slow.example", 1, connect_timeout=0.2)
    done = threading.Event()
    io.call_soon(done.set)
    assert done.wait(0.15)
    assert owner.over.wait(2)
    assert owner.reason == "connect timed out"
    release.set()


def test_it_reports_a_name_that_does_not_exist(connect, monkeypatch):
    def fail(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(connection.socket, "getaddrinfo", fail)
    _, owner = connect("none.example", 1)
    assert owner.over.wait(3)
    assert "none.example" in owner.reason


@pytest.mark.parametrize("tls", [False, True])
def test_it_carries_megabytes_both_ways_to_a_slow_reader(connect, io, certificate, tls):
    payload = bytes(range(256)) * 8192
    context, path = certificate

    def handler(sock):
        stream = context.wrap_socket(sock, server_side=True) if tls else sock
        with stream:
            got = b""
            while len(got) < len(payload):
                got += stream.recv(30000)
            for start in range(0, len(got), 100_000):
                stream.sendall(got[start : start + 100_000])

    listener, thread = echo_server(handler)
    with listener:
        made, owner = connect("127.0.0.1", listener.getsockname()[1], tls=tls, tls_ca_file=path)
        assert owner.open.wait(3)
        for start in range(0, len(payload), 500_000):
            io.call_soon(lambda start=start: made.write(payload[start : start + 500_000]))
        assert owner.over.wait(10)
        thread.join(3)
    assert owner.data == payload


def test_it_verifies_certificates_and_names(connect, certificate):
    context, path = certificate
    with Smsc(tls=context) as smsc:
        _, trusted = connect("localhost", smsc.port, tls=True, tls_ca_file=path)
        assert trusted.open.wait(3), trusted.reason
        _, unknown = connect("localhost", smsc.port, tls=True)
        assert unknown.over.wait(3)
        assert unknown.reason == "tls: certificate verify failed: self-signed certificate"
        _, misnamed = connect(
            "localhost", smsc.port, tls=True, tls_ca_file=path, tls_server_name="other.example"
        )
        assert misnamed.over.wait(3)
        assert "Hostname mismatch" in misnamed.reason
        assert "other.example" in misnamed.reason
        _, careless = connect("localhost", smsc.port, tls=True, tls_verify=False)
        assert careless.open.wait(3), careless.reason


def test_it_says_when_the_ca_file_is_not_there(connect):
    _, owner = connect("127.0.0.1", 1, tls=True, tls_ca_file="/nonexistent/ca.pem")
    assert owner.over.wait(3)
    assert owner.reason


def test_it_gives_up_a_tls_handshake_that_hangs(connect):
    release = threading.Event()
    listener, thread = echo_server(lambda sock: release.wait(5))
    with listener:
        _, owner = connect("127.0.0.1", listener.getsockname()[1], tls=True, connect_timeout=0.3)
        assert owner.over.wait(2)
        release.set()
        thread.join(3)
    assert owner.reason == "connect timed out"
