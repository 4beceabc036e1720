import base64
import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from gateway import keys
from gateway.models import ApiKey
from tests.factories import Caller, make_tenant, message

NOW = datetime.now(tz=UTC)


@pytest.fixture
def tenant(db):
    return make_tenant("acme")


def test_finds_a_key_it_issued(tenant):
    api_key, secret = keys.issue(tenant=tenant, name="one", permissions=["messages:send"])
    found = keys.find(api_key)
    assert api_key.startswith("tl_live_")
    assert len(api_key) >= 40
    assert found.tenant_id == tenant.pk
    assert found.permissions == {"messages:send"}
    assert found.has_secret(secret)
    assert not found.has_secret(secret + "x")


def test_gives_every_permission_when_none_is_named(tenant):
    api_key, _ = keys.issue(tenant=tenant, name="one")
    assert "webhooks:manage" in keys.find(api_key).permissions


def test_keeps_neither_key_nor_secret_in_the_clear(tenant):
    api_key, secret = keys.issue(tenant=tenant, name="one")
    row = ApiKey.objects.values().get()
    kept = b"".join(
        bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
        for value in row.values()
    )
    assert api_key.encode() not in kept
    assert secret.encode() not in kept


def test_asks_the_database_once_for_a_key_seen_a_moment_ago(tenant, django_assert_num_queries):
    api_key, _ = keys.issue(tenant=tenant, name="one")
    with django_assert_num_queries(1):
        assert keys.find(api_key)
        assert keys.find(api_key)
    with django_assert_num_queries(1):
        assert keys.find("tl_live_nothing") is None
        assert keys.find("tl_live_nothing") is None


def test_asks_again_when_its_answer_is_old(tenant, monkeypatch):
    api_key, _ = keys.issue(tenant=tenant, name="one")
    assert keys.find(api_key)
    ApiKey.objects.update(revoked_at=NOW)
    assert keys.find(api_key), "another process has revoked it a moment ago"
    later = keys.time.monotonic() + 2.1
    monkeypatch.setattr(keys.time, "monotonic", lambda: later)
    assert keys.find(api_key) is None


def test_does_not_take_a_revoked_key(tenant):
    api_key, _ = keys.issue(tenant=tenant, name="one")
    assert keys.find(api_key)
    keys.revoke(key=ApiKey.objects.get(), now=NOW)
    assert keys.find(api_key) is None


def test_does_not_take_a_key_that_expired_while_it_was_remembered(tenant):
    api_key, _ = keys.issue(tenant=tenant, name="one")
    ApiKey.objects.update(expires_at=NOW - timedelta(seconds=1))
    assert keys.find(api_key) is None


def test_does_not_take_a_key_of_an_inactive_tenant(tenant):
    api_key, _ = keys.issue(tenant=tenant, name="one")
    tenant.active = False
    tenant.save()
    assert keys.find(api_key) is None


def test_does_not_grow_without_bound(tenant, monkeypatch):
    monkeypatch.setattr(keys, "_ROOM", 5)
    for number in range(20):
        keys.find(f"tl_live_{number}")
    assert len(keys._cache) <= 5


@pytest.mark.parametrize(
    "arguments",
    [
        {"permissions": ["messages:all"]},
        {"allowed_networks": ["10.0.0.1/8"]},
        {"allowed_networks": ["nowhere"]},
        {"rate": 0},
        {"rate": -1.0},
        {"burst": 5},
        {"rate": 1.0, "burst": 0},
        {"expires_at": NOW - timedelta(days=1)},
    ],
)
def test_does_not_issue_a_key_that_makes_no_sense(tenant, arguments):
    with pytest.raises(keys.IssueError):
        keys.issue(tenant=tenant, name="one", **arguments)


def test_does_not_issue_two_keys_of_one_name(tenant):
    keys.issue(tenant=tenant, name="one")
    with pytest.raises(keys.IssueError):
        keys.issue(tenant=tenant, name="one")


def test_writes_its_last_use_once_a_minute_and_not_at_once(tenant, django_assert_num_queries):
    api_key, _ = keys.issue(tenant=tenant, name="one")
    keys.find(api_key)
    assert ApiKey.objects.get().last_used_at is None
    assert keys.write_uses(now=NOW) == 1
    keys.find(api_key)
    assert keys.write_uses(now=NOW + timedelta(seconds=5)) == 0
    assert ApiKey.objects.get().last_used_at == NOW


@pytest.mark.parametrize(
    ("networks", "address", "allowed"),
    [
        ([], "192.0.2.1", True),
        (["192.0.2.0/24"], "192.0.2.9", True),
        (["192.0.2.0/24"], "198.51.100.1", False),
        (["192.0.2.7"], "192.0.2.7", True),
        (["2001:db8::/32"], "2001:db8::1", True),
        (["2001:db8::/32"], "192.0.2.7", False),
        (["192.0.2.0/24"], "::ffff:192.0.2.9", True),
        (["192.0.2.0/24"], "", False),
    ],
)
def test_allows_addresses_on_its_list(tenant, networks, address, allowed):
    api_key, _ = keys.issue(tenant=tenant, name="one", allowed_networks=networks)
    assert keys.find(api_key).allows(address) is allowed


def forms(caller: Caller) -> dict[str, dict[str, str]]:
    def basic(secret: str) -> dict[str, str]:
        return {"authorization": "Basic " + base64.b64encode(f"{caller.api_key}:{secret}".encode()).decode()}

    return {
        "bearer": {"authorization": f"Bearer {caller.api_key}"},
        "bearer, small": {"authorization": f"bearer {caller.api_key}"},
        "header": {"authorization": "", "x_api_key": caller.api_key},
        "authorization header": {"authorization": f"x-api-key {caller.api_key}"},
        "authorization header, colon": {"authorization": f"x-api-key: {caller.api_key}"},
        "basic": basic(caller.api_secret),
        "!basic, wrong secret": basic("wrong"),
        "!basic, no secret": basic(""),
        "!basic, no base64": {"authorization": "Basic %%%"},
        "!basic, no text": {"authorization": "Basic /////w=="},
        "!bearer, wrong": {"authorization": "Bearer tl_live_wrong"},
        "!bearer, empty": {"authorization": "Bearer "},
        "!bearer, huge": {"authorization": "Bearer " + "x" * 5000},
        "!bearer, not ascii": {"authorization": "Bearer \xe4\xf6"},
        "!scheme": {"authorization": f"Digest {caller.api_key}"},
        "!nothing": {"authorization": ""},
        "!secret for key": {"authorization": f"Bearer {caller.api_secret}"},
    }


def test_is_taken_in_every_spelling_and_refused_alike(acme):
    refusals = set()
    for name, headers in forms(acme).items():
        answer = acme.post("/v1/messages", message(), **headers)
        assert answer.status == (401 if name.startswith("!") else 200), name
        if name.startswith("!"):
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            assert answer.code == "UNAUTHENTICATED"
            refusals.add((answer.json["message"], str(answer.json["details"])))
    assert len(refusals) == 1


def test_is_refused_without_the_permission(db):
    sender = Caller(make_tenant("acme"), permissions=["messages:send"])
    assert sender.post("/v1/messages", message()).status == 200
    refused = sender.get("/v1/messages")
    assert (refused.status, refused.code) == (403, "PERMISSION_DENIED")
    assert "reports:read" in refused.json["details"][0]["message"]
    reader = Caller(sender.tenant, name="reader", permissions=["reports:read"])
    assert reader.get("/v1/messages").status == 200
    assert reader.post("/v1/messages", message()).code == "PERMISSION_DENIED"


def test_is_refused_from_an_address_not_on_its_list(db):
    caller = Caller(make_tenant("acme"), allowed_networks=["192.0.2.0/24"])
    refused = caller.post("/v1/messages", message())
    assert (refused.status, refused.code) == (403, "IP_NOT_ALLOWED")
    assert caller.post("/v1/messages", message(), x_forwarded_for="192.0.2.1").status == 403


def test_sees_through_trusted_proxies_only(db, settings):
    from ipaddress import ip_network

    settings.TRUSTED_PROXIES = [ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8")]
    caller = Caller(make_tenant("acme"), allowed_networks=["192.0.2.0/24"])
    assert caller.post("/v1/messages", message(), x_forwarded_for="192.0.2.1, 10.1.1.1").status == 200
    assert caller.post("/v1/messages", message(), x_forwarded_for="192.0.2.1, 198.51.100.1").status == 403


def test_needs_no_query_to_sign_in_again(acme, django_assert_num_queries):
    acme.get("/v1/messages/x")
    with django_assert_num_queries(0):
        assert acme.get("/v1/messages/x").status == 404
    assert connection.queries_limit


def issue_key(*arguments: str) -> dict:
    out = io.StringIO()
    call_command("issue_key", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2999-01-31", datetime(2999, 1, 31, tzinfo=UTC)),
        ("2999-01-31T10:00", datetime(2999, 1, 31, 10, tzinfo=UTC)),
        ("2999-01-31T10:00:00.5Z", datetime(2999, 1, 31, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("2999-01-31T10:00:00+02:00", datetime(2999, 1, 31, 8, tzinfo=UTC)),
    ],
)
def test_expires_at_a_date_or_a_moment(tenant, given, expected):
    issue_key("--tenant", "acme", "--name", "one", "--expires", given)
    assert ApiKey.objects.get().expires_at == expected


@pytest.mark.parametrize(
    "arguments",
    [
        ["--name", ""],
        ["--name", " "],
        ["--name", "x" * 201],
        ["--name", "a\nb"],
        ["--name", "a\udcff"],
        ["--expires", ""],
        ["--expires", "2999-02-30"],
        ["--expires", "2001-01-01"],
        ["--expires", "9999-12-31T23:59:59-23:00"],
        ["--rate", "nan"],
        ["--rate", "inf"],
        ["--rate", "0"],
        ["--rate", "-1"],
        ["--rate", "1e9"],
        ["--rate", "1", "--burst", "0"],
        ["--rate", "1", "--burst", "1.5"],
        ["--rate", "1", "--burst", "99999999999"],
        ["--burst", "5"],
        ["--permission", ""],
        ["--allow-ip", ""],
        ["--allow-ip", "10.0.0.1/8"],
        ["--allow-ip", "fe80::/200"],
        ["--allow-ip", "fe80::1%eth0/64"],
        ["--nonsense"],
    ],
)
def test_is_not_issued_with_arguments_that_make_no_sense(tenant, arguments):
    with pytest.raises(CommandError):
        issue_key("--tenant", "acme", "--name", "one", *arguments)
    assert not ApiKey.objects.exists()


def test_is_revoked_by_the_names_it_was_issued_by(tenant):
    made = issue_key("--tenant", "acme", "--name", "one")
    keys.issue(tenant=make_tenant("other"), name="one")
    for arguments in (["--name", "one"], ["--tenant", "nobody", "--name", "one"], ["--tenant", "acme"]):
        with pytest.raises(CommandError):
            call_command("revoke_key", *arguments)
    assert keys.find(made["apiKey"])
    call_command("revoke_key", "--tenant", "acme", "--name", "one", stdout=io.StringIO())
    assert keys.find(made["apiKey"]) is None
    assert ApiKey.objects.filter(revoked_at=None).count() == 1
