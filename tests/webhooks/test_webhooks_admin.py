"""What the platform's people see of webhooks in the admin, and what they may do about them."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from gateway import ids
from tests.webhooks.world import make_facts, make_webhook
from webhooks import admin_switching, destinations, fanout
from webhooks.models import Attempt, Callback, DueCallback, Endpoint, Replay, SignatureKey
from webhooks.models.due_callback import HELD

pytestmark = pytest.mark.django_db

NOW = datetime.now(tz=UTC)


@pytest.fixture
def chief() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("chief"))
    return client


@pytest.fixture
def looker() -> Client:
    """Who may view all of it and change none of it."""
    user = User.objects.create_user("looker", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(user)
    return client


def address(name, *arguments):
    return reverse(f"admin:webhooks_{name}", args=arguments)


def page(client, name, *arguments, **query):
    answer = client.get(address(name, *arguments), query)
    assert answer.status_code == 200
    return answer.content.decode()


def field(text, name):
    """What a form that cannot be changed shows of a field."""
    return text.partition(f"field-{name}")[2].partition('<div class="readonly">')[2].partition("</div>")[0]


def act(client, name, action, *rows):
    chosen = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    return client.post(address(f"{name}_changelist"), chosen, follow=True).content.decode()


def trail():
    kept = LogEntry.objects.order_by("id").values_list("change_message", flat=True)
    return [value for message in kept for value in json.loads(message)[-1]["values"]]


def learned(tenant, endpoint, **fields):
    return Endpoint.objects.create(id=endpoint, tenant_id=tenant.pk, **{"cap": 8} | fields)


# Webhooks


def test_it_shows_how_a_webhook_does(chief, tenant):
    webhook = make_webhook(tenant, failover_url="http://127.0.0.1:9/other", headers={"X-Key": "s3cret"})
    fanout.fan_out(make_facts(tenant, 3))
    first = DueCallback.objects.order_by("callback_id").first()
    DueCallback.objects.filter(pk=first.pk).update(next_attempt_at=HELD)
    learned(tenant, webhook.pk, opened_at=NOW, failing_since=NOW - timedelta(days=2), failures=41)
    learned(tenant, destinations.of_failover(webhook_id=webhook.pk), opened_at=NOW)
    text = page(chief, "webhook_change", webhook.pk)
    assert field(text, "circuit").startswith("open since")
    assert field(text, "failing") != "—"
    assert [field(text, name) for name in ("failures", "failover_circuit", "waiting", "held")] == [
        "41", "open", "2", "1",
    ]  # fmt: skip
    assert "X-Key" in text
    assert "s3cret" not in text


def test_it_shows_one_of_which_nothing_was_learned(chief, tenant):
    text = page(chief, "webhook_change", make_webhook(tenant).pk)
    shown = [field(text, name) for name in admin_switching.STATE]
    assert shown == ["closed", "—", "0", "—", "0", "0"]


def test_it_counts_no_further_than_it_must(chief, tenant, monkeypatch):
    monkeypatch.setattr(admin_switching, "_MOST_COUNTED", 2)
    webhook = make_webhook(tenant)
    fanout.fan_out(make_facts(tenant, 3))
    assert field(page(chief, "webhook_change", webhook.pk), "waiting") == "more than 2"


def test_the_list_asks_no_query_a_webhook(chief, tenant):
    counts = []
    for _ in range(2):
        for number in range(5):
            webhook = make_webhook(tenant, f"http://127.0.0.1:9/{len(counts)}/{number}")
            learned(tenant, webhook.pk, opened_at=NOW)
        with CaptureQueriesContext(connection) as queries:
            assert "open since" in page(chief, "webhook_changelist")
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_it_switches_a_webhook_off_and_on_again(chief, tenant):
    webhook = make_webhook(tenant)
    fanout.fan_out(make_facts(tenant, 2))
    assert "Switched off: 1." in chief.post(address("webhook_off", webhook.pk), follow=True).content.decode()
    webhook.refresh_from_db()
    assert (webhook.active, webhook.disabled_reason) == (False, admin_switching.REASON)
    assert webhook.disabled_at
    assert set(Callback.objects.values_list("state", flat=True)) == {"held"}
    learned(tenant, webhook.pk, opened_at=NOW, failing_since=NOW, failures=9)
    assert "Switched on: 1." in chief.post(address("webhook_on", webhook.pk), follow=True).content.decode()
    webhook.refresh_from_db()
    assert (webhook.active, webhook.disabled_reason, webhook.disabled_at) == (True, None, None)
    assert set(Callback.objects.values_list("state", flat=True)) == {"open"}
    assert Endpoint.objects.get().opened_at is None
    assert [(value["field"], value["from"], value["to"]) for value in trail()] == [
        ("active", "True", "False"),
        ("active", "False", "True"),
    ]


def test_it_tells_the_tenants_other_webhooks(chief, tenant):
    webhook = make_webhook(tenant)
    make_webhook(tenant, "http://127.0.0.1:9/watch", events=["webhook.disabled"])
    chief.post(address("webhook_off", webhook.pk))
    assert Callback.objects.get().type == "webhook.disabled"


def test_it_switches_those_selected_and_passes_over_the_others(chief, tenant):
    rows = [make_webhook(tenant, f"http://127.0.0.1:9/{n}", active=bool(n)) for n in range(3)]
    assert "Switched off: 2." in act(chief, "webhook", "switch_off", *rows)
    assert "Switched off: 0." in act(chief, "webhook", "switch_off", *rows)
    assert "Switched on: 1." in act(chief, "webhook", "switch_on", rows[0])
    assert len(trail()) == 3


def test_it_replays_what_failed_since(chief, tenant):
    webhook = make_webhook(tenant)
    since = (NOW - timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M")
    answer = chief.post(address("webhook_replay", webhook.pk), {"since": since}, follow=True)
    assert "The replay has begun" in answer.content.decode()
    replay = Replay.objects.get()
    assert (replay.webhook_id, replay.tenant_id, replay.only) == (webhook.pk, tenant.pk, "failed")
    assert replay.since.strftime("%Y-%m-%dT%H:%M") == since
    answer = chief.post(address("webhook_replay", webhook.pk), {"since": since}, follow=True)
    assert "A replay of this webhook is running." in answer.content.decode()
    assert [value["field"] for value in trail()] == ["replay"]


@pytest.mark.parametrize("since", ["", "soon", "2999-01-01T00:00", "1999-01-01T00:00"])
def test_it_says_what_is_wrong_with_the_moment(chief, tenant, since):
    webhook = make_webhook(tenant)
    answer = chief.post(address("webhook_replay", webhook.pk), {"since": since}, follow=True)
    assert 'class="error"' in answer.content.decode()
    assert not Replay.objects.exists()
    assert not trail()


@pytest.mark.parametrize("what", ["on", "off", "replay"])
def test_it_lets_nobody_act_who_may_only_look(looker, chief, tenant, what):
    webhook = make_webhook(tenant, active=what != "on")
    place = address(f"webhook_{what}", webhook.pk)
    assert place not in page(looker, "webhook_change", webhook.pk)
    assert place in page(chief, "webhook_change", webhook.pk)
    assert looker.post(place, {"since": "2026-01-01T00:00"}).status_code == 403
    assert chief.get(place).status_code == 405
    assert Client().post(place).status_code == 302
    act(looker, "webhook", f"switch_{what}", webhook)
    before = webhook.active
    webhook.refresh_from_db()
    assert webhook.active == before
    assert not Replay.objects.exists()


def test_it_knows_no_webhook_of_another_id(chief):
    assert chief.post(address("webhook_on", ids.one())).status_code == 404


# What else is to be seen


def test_it_shows_where_each_attempt_went_and_its_batch(chief, tenant):
    make_webhook(tenant)
    fanout.fan_out(make_facts(tenant))
    callback = Callback.objects.get()
    shared = {"callback_id": callback.pk, "tenant_id": tenant.pk, "started_at": NOW, "duration_ms": 3}
    Attempt.objects.create(number=1, outcome="timeout", **shared)
    Attempt.objects.create(number=2, outcome="delivered", failover=True, batch="batch_7", **shared)
    text = page(chief, "callback_change", callback.pk)
    assert "<td>main</td>" in text
    assert "<td>failover</td><td>batch_7</td>" in text


def test_it_shows_endpoints_and_what_they_lead_to(chief, tenant, other):
    webhook = make_webhook(tenant, failover_url="http://127.0.0.1:9/other")
    failover = destinations.of_failover(webhook_id=webhook.pk)
    url = "https://user:pass@hooks.test/path?private=1"
    fanout.fan_out(make_facts(other, callback_url=url))
    host = destinations.of_host(tenant_id=other.pk, url=url)
    for owner, key in ((tenant, webhook.pk), (tenant, failover), (other, host)):
        learned(owner, key, opened_at=NOW)
    assert field(page(chief, "endpoint_change", webhook.pk), "leads_to") == f"webhook {webhook.pk}"
    assert field(page(chief, "endpoint_change", failover), "leads_to") == f"failover of webhook {webhook.pk}"
    text = page(chief, "endpoint_change", host)
    assert field(text, "leads_to") == "callbackUrls at hooks.test"
    assert "private=1" not in text
    found = page(chief, "endpoint_changelist", q=str(webhook.pk))
    assert str(failover) in found
    assert str(host) not in found
    assert str(host) in page(chief, "endpoint_changelist", opened_at__isempty="0")
    assert str(host) not in page(chief, "endpoint_changelist", opened_at__isempty="1")


def test_it_cancels_a_replay(chief, looker, tenant):
    running, done = (
        Replay.objects.create(
            tenant_id=tenant.pk, webhook=make_webhook(tenant, f"http://127.0.0.1:9/{state}"), since=NOW, until=NOW,
            only="failed", state=state,
        )
        for state in ("running", "done")
    )  # fmt: skip
    act(looker, "replay", "cancel", running)
    running.refresh_from_db()
    assert running.state == "running"
    assert "Canceled: 1." in act(chief, "replay", "cancel", running, done)
    assert sorted(Replay.objects.values_list("state", flat=True)) == ["canceled", "done"]
    assert [value["to"] for value in trail()] == ["canceled"]
    assert str(running.pk) in page(chief, "replay_change", running.pk)


def test_it_shows_the_public_part_of_a_key_alone(chief, tenant):
    key = SignatureKey.objects.create(
        tenant=tenant, digest="SHA256", public_key="cHVibGlj", private_key=b"cHJpdmF0ZQ"
    )
    text = page(chief, "signaturekey_change", key.pk)
    assert "cHVibGlj" in text
    assert "cHJpdmF0ZQ" not in text
    assert "private" not in text.lower()
    assert str(key.pk) in page(chief, "signaturekey_changelist", q=str(key.pk))
