from datetime import UTC, datetime, timedelta

import pytest

from gateway.models import Event
from tests.webhooks.outcomes_of import BROKEN, GONE, OK, Process
from tests.webhooks.world import make_facts, make_webhook
from webhooks import fanout, holding
from webhooks.models import Callback, DueCallback, Endpoint, Webhook
from webhooks.models.due_callback import HELD

pytestmark = pytest.mark.django_db


@pytest.fixture
def process():
    return Process()


def fail(tenant, process, *, since=timedelta(days=5, minutes=1), failures=20):
    """A webhook's last failure after so long and so many; its callback waits."""
    hook = make_webhook(tenant, "http://user:pw@127.0.0.1:9/secret?token=1")
    Endpoint.objects.create(
        id=hook.pk,
        tenant_id=tenant.pk,
        cap=64,
        failing_since=datetime.now(tz=UTC) - since,
        failures=failures - 1,
    )
    fanout.fan_out(make_facts(tenant, 2))
    process.attempt(BROKEN, most=1)
    hook.refresh_from_db()
    return hook


def test_it_switches_a_webhook_off_that_failed_for_five_days(tenant, process):
    hook = fail(tenant, process)
    assert not hook.active
    assert hook.disabled_at is not None
    assert hook.disabled_reason.startswith("No success since 2")
    assert {row.next_attempt_at for row in DueCallback.objects.all()} == {HELD}
    assert {row.state for row in Callback.objects.all()} == {"held"}


@pytest.mark.parametrize(
    "short", [{"since": timedelta(days=4, hours=23)}, {"failures": 19}], ids=["too short", "too few"]
)
def test_it_leaves_it_on_before(tenant, process, short):
    assert fail(tenant, process, **short).active


def test_it_counts_from_the_last_success(tenant, process):
    hook = make_webhook(tenant)
    past = datetime.now(tz=UTC) - timedelta(days=6)
    Endpoint.objects.create(id=hook.pk, tenant_id=tenant.pk, cap=64, failing_since=past, failures=500)
    fanout.fan_out(make_facts(tenant, 2))
    process.attempt(OK, most=1)
    assert (Endpoint.objects.get().failing_since, Endpoint.objects.get().failures) == (None, 0)


def test_it_tells_the_tenants_other_webhooks_and_nobody_elses(tenant, other, process):
    told = make_webhook(tenant, "http://127.0.0.1:9/told", events=["webhook.disabled"])
    make_webhook(other, events=["webhook.disabled"])
    hook = make_webhook(tenant, "http://user:pw@127.0.0.1:9/secret?token=1", events=["webhook.disabled"])
    assert holding.disable(webhook_id=hook.pk, reason="The endpoint answered 410 Gone.")
    assert not holding.disable(webhook_id=hook.pk, reason="Again.")
    event = Event.objects.get(type="webhook.disabled")
    hook.refresh_from_db()
    assert (event.message_id, event.tenant_id, event.sequence) == (hook.pk, tenant.pk, 1)
    at = hook.disabled_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert event.data == {
        "webhookId": str(hook.pk),
        "url": "http://127.0.0.1:9",
        "reason": "The endpoint answered 410 Gone.",
        "disabledAt": at,
    }
    (callback,) = Callback.objects.all()
    assert (callback.endpoint, callback.state, callback.event_id) == (told.pk, "open", event.pk)


def test_it_tells_of_a_webhook_that_is_gone(tenant, process):
    make_webhook(tenant, "http://127.0.0.1:9/told", events=["webhook.disabled"])
    hook = make_webhook(tenant)
    fanout.fan_out(make_facts(tenant))
    process.attempt(GONE)
    assert not Webhook.objects.get(pk=hook.pk).active
    assert Callback.objects.filter(type="webhook.disabled").count() == 1


def test_it_notes_failures_of_one_endpoint_once_a_second(tenant, process, django_assert_num_queries):
    make_webhook(tenant)
    fanout.fan_out(make_facts(tenant, 4))
    items = process.attempt(BROKEN, most=1)
    assert Endpoint.objects.get().failures == 1
    with django_assert_num_queries(0):
        process.learning.note(results=[])
        process.learning.write()
    assert len(items) == 1


def test_it_gives_up_what_was_held_for_a_week(tenant):
    hook = make_webhook(tenant)
    fanout.fan_out(make_facts(tenant, 2))
    holding.disable(webhook_id=hook.pk, reason="Test.")
    fanout.fan_out(make_facts(tenant))
    now = datetime.now(tz=UTC)
    assert holding.sweep(now=now + timedelta(days=6, hours=23)) == 0
    fresh = DueCallback.objects.latest("callback_id")
    DueCallback.objects.filter(pk=fresh.pk).update(first_attempt_at=now + timedelta(days=3))
    assert holding.sweep(now=now + timedelta(days=7, seconds=5)) == 2
    assert sorted(row.state for row in Callback.objects.all()) == ["dead", "dead", "held"]
