"""MessageMedia's signature keys: the API of them, and calls verified as the vendor's receivers do."""

import base64
import re

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from django.db import IntegrityError
from django.urls import include, path
from standardwebhooks import Webhook as Oracle

from gateway import errors, keys, sealing
from tests.fakes.http_listener import Listener
from tests.webhooks.calling import Caller
from tests.webhooks.world import carry, eventually, make_facts, make_webhook
from webhooks import fanout, signature_keys
from webhooks.models import Attempt, DueCallback, SignatureKey

urlpatterns = [path("v1/", include("webhooks.api.urls"))]
pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]

BASE = "/v1/iam/signature_keys"
NEW = {"digest": "SHA256", "cipher": "RSA"}
NOBODYS = "7ca628a8-08b0-4e42-aeb8-960b37049c31"
HASHES = {"SHA224": hashes.SHA224(), "SHA256": hashes.SHA256(), "SHA512": hashes.SHA512()}


@pytest.fixture
def api(call):
    return lambda method, where="", body=None: call(method, where, body, base=BASE)


@pytest.fixture
def foreign(stranger):
    return lambda method, where="", body=None: stranger(method, where, body, base=BASE)


def row(tenant, **fields):
    """A key without the wait for a real one."""
    return SignatureKey.objects.create(
        tenant=tenant, **{"digest": "SHA256", "public_key": "MA==", "private_key": b"\x01"} | fields
    )


def verify(request, *, public_key, digest):
    """As the vendor's receivers do: request line, Date and body, nothing between."""
    pem = f"-----BEGIN PUBLIC KEY-----\n{public_key}\n-----END PUBLIC KEY-----\n"
    signed = f"{request.method} {request.target} HTTP/1.1{request.headers['date']}".encode() + request.body
    signature = base64.b64decode(request.headers["x-messagemedia-signature"], validate=True)
    load_pem_public_key(pem.encode()).verify(signature, signed, padding.PKCS1v15(), HASHES[digest])


# The API


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("digest", sorted(HASHES))
def test_it_makes_a_key_that_does_not_sign_yet(api, slash, digest):
    code, made = api("post", slash, {"digest": digest, "cipher": "RSA"})
    assert (code, made["cipher"], made["digest"], made["enabled"]) == (201, "RSA", digest, False)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", made["created"])
    assert "\n" not in made["public_key"]
    pem = f"-----BEGIN PUBLIC KEY-----\n{made['public_key']}\n-----END PUBLIC KEY-----\n"
    assert load_pem_public_key(pem.encode()).key_size == 2048
    kept = SignatureKey.objects.get()
    plain = sealing.open_(kept.private_key, context=sealing.CONTEXT_SIGNATURE_KEY)
    assert plain not in bytes(kept.private_key)


@pytest.mark.parametrize(
    ("body", "name", "message"),
    [
        ({"digest": "SHA224", "cipher": "RA"}, "cipher", "/cipher: [RA] is invalid"),
        ({"digest": "MD5", "cipher": "RSA"}, "digest", "/digest: [MD5] is invalid"),
        ({"digest": "SHA-256", "cipher": "RSA"}, "digest", "/digest: [SHA-256] is invalid"),
        ({"digest": ["SHA256"], "cipher": "RSA"}, "digest", "/digest: [['SHA256']] is invalid"),
        ({"digest": None, "cipher": "RSA"}, "digest", "/digest: digest cannot be null"),
        ({"digest": "SHA256"}, "cipher", "/cipher: cipher cannot be null"),
    ],
)
def test_it_refuses_a_key_of_another_kind(api, body, name, message):
    code, answer = api("post", "", body)
    assert (code, answer["message"]) == (400, "Bad Request")
    assert [(each["field"], each["message"]) for each in answer["details"]] == [(name, message)]
    assert not SignatureKey.objects.exists()


def test_it_refuses_a_key_too_many_before_making_it(api, tenant, other):
    for _ in range(signature_keys.MOST_KEYS):
        row(tenant)
    code, answer = api("post", "", NEW)
    assert (code, answer["errorCode"]) == (409, "SIGNATURE_KEYS_FULL")
    assert signature_keys.create(tenant_id=other.pk, members=NEW)


def test_it_lists_a_bare_array_without_public_parts(api, tenant, other):
    rows = [row(tenant) for _ in range(3)]
    row(other)
    code, listed = api("get")
    assert (code, [each["key_id"] for each in listed]) == (200, [str(key.pk) for key in rows])
    assert set(listed[0]) == {"key_id", "cipher", "digest", "created", "enabled"}
    assert [each["key_id"] for each in api("get", "/?page=2&page_size=2")[1]] == [str(rows[2].pk)]
    assert api("get", "?page=9")[1] == []


@pytest.mark.parametrize("name", ["page", "page_size"])
@pytest.mark.parametrize("given", ["0", "-1", "x", "9999999999"])
def test_it_refuses_a_page_that_is_none(api, name, given):
    code, answer = api("get", f"?{name}={given}")
    assert (code, answer["message"]) == (400, f"{name} property value is invalid")


def test_it_shows_one_without_its_public_part(api, tenant):
    key = row(tenant)
    code, shown = api("get", f"/{key.pk}")
    assert (code, shown["key_id"]) == (200, str(key.pk))
    assert "public_key" not in shown


def test_it_removes_one_with_200_and_nothing(api, tenant):
    key = row(tenant, enabled=True)
    assert api("delete", f"/{key.pk}") == (200, None)
    assert api("delete", f"/{key.pk}")[0] == 404
    assert api("get", "/enabled")[0] == 404


@pytest.mark.parametrize("method", ["get", "delete"])
def test_it_knows_no_other_keys(api, foreign, tenant, method):
    key = row(tenant)
    for code, answer in (foreign(method, f"/{key.pk}"), api(method, f"/{NOBODYS}")):
        assert (code, answer["message"]) == (404, "Entity not found")
    code, answer = api(method, "/not-an-id")
    assert (code, answer["message"]) == (400, "key_id property value is invalid")
    assert SignatureKey.objects.exists()


def test_it_enables_one_and_no_other(api, tenant, other):
    first, second, theirs = row(tenant), row(tenant), row(other, enabled=True)
    for key in (first, second, second):
        code, shown = api("patch", "/enabled", {"key_id": str(key.pk)})
        assert (code, shown["key_id"], shown["enabled"]) == (200, str(key.pk), True)
        assert api("get", "/enabled")[1]["key_id"] == str(key.pk)
    assert [each["enabled"] for each in api("get")[1]] == [False, True]
    theirs.refresh_from_db()
    assert theirs.enabled


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"key_id": None}, (400, "/key_id: Key id cannot be null")),
        ({}, (400, "/key_id: Key id cannot be null")),
        ({"key_id": 7}, (400, "key_id property value is invalid")),
        ({"key_id": NOBODYS}, (404, "Entity not found")),
    ],
)
def test_it_enables_no_key_that_is_none(api, tenant, body, expected):
    key = row(tenant, enabled=True)
    code, answer = api("patch", "/enabled", body)
    assert (code, answer["message"]) == expected
    key.refresh_from_db()
    assert key.enabled


def test_it_enables_no_foreign_key(foreign, tenant):
    key = row(tenant)
    assert foreign("patch", "/enabled", {"key_id": str(key.pk)})[0] == 404
    key.refresh_from_db()
    assert not key.enabled


def test_it_disables_what_is_enabled_and_what_is_not(api, tenant):
    row(tenant, enabled=True)
    assert api("delete", "/enabled") == (204, None)
    assert api("delete", "/enabled") == (204, None)
    code, answer = api("get", "/enabled")
    assert (code, answer["message"]) == (404, "Currently no key is enabled")


@pytest.mark.parametrize(
    ("method", "where"),
    [
        ("post", ""), ("get", ""), ("get", "/enabled"), ("patch", "/enabled"), ("delete", "/enabled"),
        ("get", f"/{NOBODYS}"), ("delete", f"/{NOBODYS}"),
    ],
)  # fmt: skip
def test_it_needs_the_permission(client, tenant, method, where):
    call = Caller(client, tenant, permissions=("messages:send",))
    assert call(method, where, base=BASE)[0] == 403


def test_the_database_keeps_a_second_key_from_being_enabled(tenant):
    row(tenant, enabled=True)
    with pytest.raises(IntegrityError):
        row(tenant, enabled=True)


# What it signs


@pytest.mark.parametrize("digest", sorted(HASHES))
@pytest.mark.django_db(transaction=True)
def test_it_signs_a_call_as_receivers_verify_it(sending, tenant, api, digest):
    made = api("post", "", {"digest": digest, "cipher": "RSA"})[1]
    api("patch", "/enabled", {"key_id": made["key_id"]})
    with Listener() as listener:
        webhook = make_webhook(tenant, listener.url("/data?a=%C3%A9&b=1"), failover_url=None)
        fanout.fan_out(make_facts(tenant, 2))
        carry()
        requests = listener.wait_for(2)
        eventually(lambda: Attempt.objects.count() == 2)
    for request in requests:
        verify(request, public_key=made["public_key"], digest=digest)
        assert request.headers["x-messagemedia-key-id"] == made["key_id"]
        assert request.headers["x-messagemedia-cipher-type"] == "RSA"
        assert request.headers["x-messagemedia-digest-type"] == digest
        Oracle(webhook.plain_secret).verify(request.body, request.headers)
        request.body += b" "
        with pytest.raises(InvalidSignature):
            verify(request, public_key=made["public_key"], digest=digest)


@pytest.mark.django_db(transaction=True)
def test_it_signs_a_get_which_has_no_body(sending, tenant):
    key = signature_keys.create(tenant_id=tenant.pk, members=NEW)
    signature_keys.enable(tenant_id=tenant.pk, key_id=str(key.pk))
    with Listener() as listener:
        make_webhook(tenant, listener.url("/data?id=$mtId"), method="GET")
        fanout.fan_out(make_facts(tenant))
        carry()
        (request,) = listener.wait_for(1)
        eventually(Attempt.objects.exists)
    assert (request.method, request.body) == ("GET", b"")
    verify(request, public_key=key.public_key, digest="SHA256")


@pytest.mark.django_db(transaction=True)
def test_it_signs_nobody_elses_calls_and_none_once_disabled(sending, tenant, other):
    key = signature_keys.create(tenant_id=tenant.pk, members=NEW)
    signature_keys.enable(tenant_id=tenant.pk, key_id=str(key.pk))
    with Listener() as listener:
        make_webhook(other, listener.url("/other"))
        make_webhook(tenant, listener.url("/ours"))
        fanout.fan_out(make_facts(other) + make_facts(tenant))
        carry()
        listener.wait_for(2)
        signature_keys.disable(tenant_id=tenant.pk)
        fanout.fan_out(make_facts(tenant))
        carry()
        requests = listener.wait_for(3)
        eventually(lambda: Attempt.objects.count() == 3)
    signed = sorted((each.target, "x-messagemedia-signature" in each.headers) for each in requests)
    assert signed == [("/other", False), ("/ours", False), ("/ours", True)]


@pytest.mark.django_db(transaction=True)
def test_a_key_that_does_not_open_keeps_its_own_tenants_calls_back_and_nobody_elses(sending, tenant, other):
    """A call without the signature that its receiver asks for would be refused, and be gone."""
    row(tenant, enabled=True)
    with Listener() as listener:
        make_webhook(tenant, listener.url("/ours"))
        make_webhook(other, listener.url("/other"))
        fanout.fan_out(make_facts(tenant) + make_facts(other))
        carry()
        eventually(Attempt.objects.exists)
    assert [request.target for request in listener.requests] == ["/other"]
    assert DueCallback.objects.get().tenant_id == tenant.pk


def test_a_key_is_made_for_a_tenant_alone(tenant, other):
    key = signature_keys.create(tenant_id=tenant.pk, members=NEW)
    with pytest.raises(errors.NotFound):
        signature_keys.remove(tenant_id=other.pk, key_id=str(key.pk))


@pytest.mark.django_db(transaction=True)
def test_one_is_enabled_however_many_ask_at_once(tenant, together):
    rows = [row(tenant) for _ in range(4)]

    def enable(_number):
        for key in rows:
            signature_keys.enable(tenant_id=tenant.pk, key_id=str(key.pk))

    together(enable, 4)
    assert SignatureKey.objects.filter(enabled=True).count() == 1


def test_the_list_has_its_requests_id_in_the_header(client, tenant):
    key, _secret = keys.issue(tenant=tenant, name="k", permissions=("webhooks:manage",))
    answer = client.get(BASE, headers={"Authorization": f"Bearer {key}"})
    assert answer.json() == []
    assert answer["Content-Type"] == "application/json"
    assert answer["X-Request-Id"]
