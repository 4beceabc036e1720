import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.fakes.http_listener import Listener
from tests.webhooks.world import carry, eventually, make_facts, make_webhook
from webhooks import fanout, worker
from webhooks.client import Connector
from webhooks.models import Attempt

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def certificate(tmp_path):
    """A self-signed certificate for 127.0.0.1, and its file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "listener")])
    now = datetime.now(tz=UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "listener.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + built.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def server(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def outcome(tenant, url, *, trusting=None):
    """What an attempt comes to, by a dispatcher that trusts one certificate more."""
    tls = ssl.create_default_context()
    if trusting is not None:
        tls.load_verify_locations(trusting)
    sending = worker._running = worker.Sending(connector=Connector(tls=tls))
    sending.start()
    try:
        make_webhook(tenant, url, read_timeout=3000)
        fanout.fan_out(make_facts(tenant))
        carry()
        return eventually(Attempt.objects.first).outcome
    finally:
        worker._running = None
        sending.stop(seconds=1)


def test_it_delivers_over_tls_to_a_certificate_that_it_trusts(tenant, server, certificate):
    with Listener(tls=server) as listener:
        assert outcome(tenant, listener.url(), trusting=certificate) == "delivered"
        assert len(listener.requests) == 1


def test_it_sends_nothing_to_a_certificate_that_it_does_not_trust(tenant, server):
    with Listener(tls=server) as listener:
        assert outcome(tenant, listener.url()) == "tls"
        assert not listener.requests


def test_it_sends_nothing_to_a_certificate_of_another_host(tenant, server, certificate):
    with Listener(tls=server) as listener:
        url = listener.url().replace("127.0.0.1", "localhost")
        assert outcome(tenant, url, trusting=certificate) == "tls"
        assert not listener.requests
