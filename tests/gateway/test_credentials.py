"""Where a key may be used from, and how soon it ends."""

import io
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import pytest
from django.core.handlers.wsgi import WSGIRequest

from gateway import keys
from gateway.api import authentication
from gateway.models import ApiKey, Tenant
from tests.factories import Caller, make_tenant, message

PROXIES = ["10.0.0.0/8", "fd00::/8"]


def address(peer: str, forwarded: str | None) -> str:
    environ = {"REQUEST_METHOD": "GET", "REMOTE_ADDR": peer, "wsgi.input": io.BytesIO()}
    if forwarded is not None:
        environ["HTTP_X_FORWARDED_FOR"] = forwarded
    return authentication.client_address(WSGIRequest(environ))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("198.51.100.1", None, "198.51.100.1"),
        ("198.51.100.1", "192.0.2.1", "198.51.100.1"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "6.6.6.6, 192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "6.6.6.6,192.0.2.1,10.9.9.9", "192.0.2.1"),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.2"),
        ("10.0.0.1", "192.0.2.1:5678", "192.0.2.1"),
        ("10.0.0.1", "[2001:db8::1]:5678", "2001:db8::1"),
        ("10.0.0.1", "[2001:db8::1]", "2001:db8::1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:10.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("fd00::1", "2001:DB8:0::1", "2001:db8::1"),
        ("10.0.0.1", "192.0.2.1, [fd00::2]:443", "192.0.2.1"),
        ("10.0.0.1", "192.0.2.1, unknown", ""),
        ("10.0.0.1", "192.0.2.1, _hidden:1", ""),
        ("10.0.0.1", "192.0.2.1, ", ""),
        ("10.0.0.1", "192.0.2.1,,10.0.0.2", ""),
        ("10.0.0.1", "unknown, 192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "[192.0.2.1", ""),
        ("10.0.0.1", "192.0.2.1:", ""),
        ("10.0.0.1", "192.0.2.999", ""),
        ("", "192.0.2.1", ""),
    ],
)
def test_is_the_address_that_a_trusted_proxy_saw(settings, peer, forwarded, expected):
    settings.TRUSTED_PROXIES = [ip_network(text) for text in PROXIES]
    assert address(peer, forwarded) == expected


def test_trusts_no_proxy_by_default():
    assert address("10.0.0.1", "192.0.2.1") == "10.0.0.1"


@pytest.mark.parametrize(
    ("forwarded", "status"),
    [
        ("192.0.2.77", 200),
        ("[2001:db8::7]:443", 200),
        ("::ffff:192.0.2.1", 200),
        ("192.0.3.1", 403),
        ("2001:db9::7", 403),
        ("unknown", 403),
        ("192.0.2.77, 198.51.100.1", 403),
    ],
)
def test_is_held_against_the_key_s_list(db, settings, forwarded, status):
    settings.TRUSTED_PROXIES = [ip_network("127.0.0.1")]
    caller = Caller(make_tenant("acme"), allowed_networks=["192.0.2.0/24", "2001:db8::/32"])
    answer = caller.post("/v1/messages", message(), x_forwarded_for=forwarded)
    assert answer.status == status
    if status == 403:
        assert (answer.code, "RateLimit-Limit" in answer.headers) == ("IP_NOT_ALLOWED", False)


def test_asks_for_the_secret_before_the_address(db):
    caller = Caller(make_tenant("acme"), allowed_networks=["192.0.2.0/24"])
    assert caller.get("/v1/messages", authorization="Basic dGxfbGl2ZV94Ong=").status == 401


def test_ends_at_its_moment(db):
    ends = time.time() + 0.3
    caller = Caller(make_tenant("acme"), expires_at=datetime.fromtimestamp(ends, tz=UTC))
    assert caller.get("/v1/messages").status == 200
    assert time.time() < ends
    time.sleep(max(0.0, ends - time.time()))
    assert caller.get("/v1/messages").status == 401


ENDINGS = {
    "revoked": lambda: ApiKey.objects.update(revoked_at=datetime.now(tz=UTC)),
    "expired": lambda: ApiKey.objects.update(expires_at=datetime.now(tz=UTC) - timedelta(seconds=1)),
    "deleted": lambda: ApiKey.objects.all().delete(),
    "inactive": lambda: Tenant.objects.update(active=False),
}


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
def test_ends_in_processes_that_do_not_hear_of_it_within_five_seconds(acme, end, monkeypatch):
    """What this process keeps stands for another's: nothing tells it."""
    now = time.monotonic()
    clock = [now]
    monkeypatch.setattr(keys.time, "monotonic", lambda: clock[0])
    assert acme.get("/v1/messages/x").status == 404
    end()
    for seconds in range(1, 5):
        clock[0] = now + seconds
        status = acme.get("/v1/messages/x").status
    assert status == 401


def test_is_good_again_soon_after_its_tenant_is(acme, monkeypatch):
    clock = [time.monotonic()]
    monkeypatch.setattr(keys.time, "monotonic", lambda: clock[0])
    Tenant.objects.update(active=False)
    assert acme.get("/v1/messages/x").status == 401
    Tenant.objects.update(active=True)
    clock[0] += 1.1
    assert acme.get("/v1/messages/x").status == 404


@pytest.mark.parametrize(
    "scheme", ["hmac", "Hmac", "HMAC", "basic", "bearer", "x-api-key:", "digest", "\xe9"]
)
@pytest.mark.parametrize("rest", ["", " ", " \x00", " \xff\xfe", " " + "x" * 9000, " ::", ' username=""'])
def test_is_401_whatever_is_sent(db, scheme, rest):
    environ = {"REQUEST_METHOD": "GET", "HTTP_AUTHORIZATION": scheme + rest, "wsgi.input": io.BytesIO()}
    assert authentication._sign_in(WSGIRequest(environ)) is None
