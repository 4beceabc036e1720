import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from gateway import ids
from tests.webhooks.world import as_uuid, make_facts, make_webhook
from webhooks import loading, relay
from webhooks.models import Callback, DueCallback, Endpoint
from webhooks.models.due_callback import HELD


def queue(tenant, endpoint, count=1, *, at=None):
    """Due callbacks without anything around them; returns their ids."""
    keys = ids.new(count)
    DueCallback.objects.bulk_create(
        DueCallback(
            callback_id=key,
            tenant_id=tenant.pk,
            endpoint=endpoint,
            event_id=key,
            message_id=key,
            next_attempt_at=at or datetime.now(tz=UTC) - timedelta(minutes=1),
        )
        for key in keys
    )
    return [str(key) for key in keys]


def claimed_by_endpoint(callback_ids):
    found = DueCallback.objects.filter(pk__in=callback_ids).values_list("endpoint", flat=True)
    return Counter(found)


def test_it_leases_what_is_due_and_only_that(tenant):
    endpoint = ids.one()
    due = queue(tenant, endpoint, 3)
    queue(tenant, endpoint, 3, at=datetime.now(tz=UTC) + timedelta(minutes=1))
    queue(tenant, endpoint, 3, at=HELD)
    callback_ids, until = relay.claim()
    assert sorted(callback_ids) == sorted(due)
    assert until is not None
    assert relay.claim() == ([], None)


def test_it_gives_nothing_when_nothing_is_due(tenant):
    assert relay.claim() == ([], None)
    assert relay.Relay().tick() == 0


def test_it_serves_every_endpoint_however_much_one_has_waiting(tenant):
    many = ids.one()
    queue(tenant, many, 2000, at=datetime.now(tz=UTC) - timedelta(hours=1))
    few = ids.new(20)
    for endpoint in few:
        queue(tenant, endpoint, 5)
    served = claimed_by_endpoint(relay.claim()[0])
    assert served[many] == 64
    assert all(served[endpoint] == 5 for endpoint in few)


def test_it_takes_the_oldest_first(tenant):
    endpoint = ids.one()
    old = queue(tenant, endpoint, 64, at=datetime.now(tz=UTC) - timedelta(hours=1))
    queue(tenant, endpoint, 64)
    assert sorted(relay.claim()[0]) == sorted(old)


def test_it_leases_no_more_to_an_endpoint_than_it_may_have(tenant):
    endpoint = ids.one()
    queue(tenant, endpoint, 500)
    Endpoint.objects.create(id=endpoint, tenant_id=tenant.pk, cap=100)
    assert len(relay.claim()[0]) == 100
    assert relay.claim() == ([], None)


def test_it_assures_a_quiet_endpoint_its_part_when_all_is_leased(tenant, monkeypatch):
    monkeypatch.setattr(relay, "MOST_LEASED", 100)
    busy, quiet = ids.new(2)
    Endpoint.objects.create(id=busy, tenant_id=tenant.pk, cap=1000)
    queue(tenant, busy, 500)
    assert len(relay.claim()[0]) == 100
    queue(tenant, quiet, 50)
    assert claimed_by_endpoint(relay.claim()[0]) == {quiet: relay.ASSURED}


def test_it_claims_nothing_for_an_endpoint_that_rests(tenant):
    endpoint = ids.one()
    queue(tenant, endpoint)
    rest = Endpoint.objects.create(
        id=endpoint, tenant_id=tenant.pk, cap=64, paused_until=datetime.now(tz=UTC) + timedelta(minutes=1)
    )
    assert relay.claim() == ([], None)
    rest.paused_until = datetime.now(tz=UTC) - timedelta(minutes=1)
    rest.save()
    assert len(relay.claim()[0]) == 1


def test_it_claims_again_what_a_lease_ran_out_on_and_the_old_task_finds_nothing(tenant):
    webhook = make_webhook(tenant)
    (fact,) = make_facts(tenant)
    (key,) = queue(tenant, webhook.pk)
    DueCallback.objects.update(event_id=fact.event_id, message_id=fact.message_id)
    _ids, first = relay.claim()
    DueCallback.objects.update(next_attempt_at=datetime.now(tz=UTC) - timedelta(seconds=5))
    callback_ids, second = relay.claim()
    assert callback_ids == [key]
    DueCallback.objects.update(next_attempt_at=second)
    assert loading.load(callback_ids=[key], leased_until=first - timedelta(seconds=1)) == []
    assert [item.callback_id for item in loading.load(callback_ids=[key], leased_until=second)] == [key]


def test_it_gives_up_what_has_no_message_or_no_webhook_any_more(tenant):
    (key,) = queue(tenant, ids.one())
    Callback.objects.create(
        id=as_uuid(key),
        tenant_id=tenant.pk,
        event_id=ids.one(),
        message_id=ids.one(),
        endpoint=ids.one(),
        type="message.sent",
    )
    callback_ids, until = relay.claim()
    assert loading.load(callback_ids=callback_ids, leased_until=until) == []
    assert Callback.objects.get().state == "dead"
    assert not DueCallback.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_it_claims_nothing_twice_beside_a_second_relay(tenant):
    for endpoint in ids.new(30):
        queue(tenant, endpoint, 40)
    taken: list[str] = []

    def run():
        try:
            for _ in range(10):
                taken.extend(relay.claim()[0])
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 1200


def test_it_releases_what_the_broker_does_not_take(tenant, monkeypatch):
    queue(tenant, ids.one(), 3)

    def refuse(*_args, **_kwargs):
        raise OSError("no broker")

    monkeypatch.setattr(relay.current_app, "send_task", refuse, raising=False)
    assert relay.Relay().tick() == 3
    assert not any(row.leased for row in DueCallback.objects.all())


def test_it_publishes_ids_in_chunks(tenant, monkeypatch):
    Endpoint.objects.create(id=(endpoint := ids.one()), tenant_id=tenant.pk, cap=1000)
    keys = queue(tenant, endpoint, 450)
    published = []
    monkeypatch.setattr(
        relay.current_app,
        "send_task",
        lambda name, *, kwargs, queue, **_more: published.append((name, queue, kwargs)),
        raising=False,
    )
    assert relay.Relay().tick() == 450
    assert [len(kwargs["callback_ids"]) for _name, _queue, kwargs in published] == [200, 200, 50]
    assert {(name, where) for name, where, _kwargs in published} == {("webhooks.tasks.dispatch", "webhooks")}
    assert sorted(key for _n, _q, kwargs in published for key in kwargs["callback_ids"]) == sorted(keys)
