import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from tests.webhooks.world import make_facts, make_webhook
from webhooks import fanout, holding
from webhooks.models import Callback, DueCallback
from webhooks.models.due_callback import HELD


def endpoints():
    return sorted(str(row.endpoint) for row in Callback.objects.all())


def test_it_queues_one_callback_for_each_webhook_that_subscribes(tenant, other):
    wanted = [make_webhook(tenant, f"http://a.test/{n}") for n in range(2)]
    make_webhook(tenant, "http://a.test/failed", events=["message.failed"])
    make_webhook(other, "http://a.test/0")
    fanout.fan_out(make_facts(tenant, 3))
    assert endpoints() == sorted(str(webhook.pk) for webhook in wanted for _ in range(3))
    assert {row.tenant_id for row in Callback.objects.all()} == {tenant.pk}
    assert set(DueCallback.objects.values_list("callback_id", flat=True)) == set(
        Callback.objects.values_list("pk", flat=True)
    )


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("ENROUTE_DR", "message.accepted"),
        ("SUBMITTED_DR", "message.sent"),
        ("DELIVERED_DR", "message.delivered"),
        ("FAILED_DR", "message.failed"),
        ("EXPIRED_DR", "message.expired"),
        ("REJECTED_DR", "message.rejected"),
    ],
)
def test_it_takes_messagemedias_names_for_ours_of_text_messages(tenant, name, type_):
    make_webhook(tenant, events=[name])
    texts = make_facts(tenant, type=type_)
    fanout.fan_out(texts + make_facts(tenant, type=type_, channel="whatsapp"))
    assert [row.event_id for row in Callback.objects.all()] == [texts[0].event_id]


def test_it_queues_one_callback_for_a_webhook_that_names_an_event_both_ways(tenant):
    make_webhook(tenant, events=["message.delivered", "DELIVERED_DR"])
    fanout.fan_out(make_facts(tenant, channel="rcs"))
    assert Callback.objects.count() == 1


def test_it_queues_one_for_the_messages_own_url_beside_the_webhooks(tenant):
    webhook = make_webhook(tenant)
    fanout.fan_out(make_facts(tenant, 2, callback_url="https://Own.test/a?b"))
    own = {text for text in endpoints() if text != str(webhook.pk)}
    assert len(endpoints()) == 4
    assert len(own) == 1


def test_it_tells_the_hosts_of_two_tenants_apart(tenant, other):
    fanout.fan_out(make_facts(tenant, callback_url="https://own.test/a"))
    fanout.fan_out(make_facts(other, callback_url="https://own.test/a"))
    assert len(set(endpoints())) == 2


def test_it_is_part_of_the_transaction(tenant):
    make_webhook(tenant)
    facts = make_facts(tenant)
    with transaction.atomic():
        fanout.fan_out(facts)
        transaction.set_rollback(True)
    assert not Callback.objects.exists()
    assert not DueCallback.objects.exists()


def test_it_knows_a_webhook_the_moment_it_is_made_and_forgets_it_the_moment_it_is_gone(tenant):
    webhook = make_webhook(tenant)
    fanout.fan_out(make_facts(tenant))
    webhook.delete()
    fanout.fan_out(make_facts(tenant))
    assert Callback.objects.count() == 1


def test_it_holds_the_callbacks_of_an_inactive_webhook(tenant):
    webhook = make_webhook(tenant, active=False)
    fanout.fan_out(make_facts(tenant))
    assert DueCallback.objects.get().next_attempt_at == HELD
    assert Callback.objects.get().state == "held"
    assert holding.resume(endpoint=webhook.pk) == 1
    assert DueCallback.objects.get().next_attempt_at < HELD
    assert Callback.objects.get().state == "open"


def test_it_asks_one_question_when_nobody_listens(tenant):
    facts = make_facts(tenant, 20)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        fanout.fan_out(facts)
    assert len(queries) == 1
