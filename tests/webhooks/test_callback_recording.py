from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError, connection

from tests.fakes.http_listener import OK, Listener
from tests.webhooks.world import carry, eventually, make_facts, make_webhook
from webhooks import fanout, history, leases, loading, recording, relay
from webhooks.models import Attempt, Callback, DueCallback
from webhooks.outcomes import Outcome
from webhooks.recording import Result


def claimed(tenant):
    """One callback, leased and loaded."""
    make_webhook(tenant)
    fanout.fan_out(make_facts(tenant))
    callback_ids, until = relay.claim()
    (item,) = loading.load(callback_ids=callback_ids, leased_until=until)
    item.started = datetime.now(tz=UTC).timestamp()
    return item


def test_it_leaves_a_failure_under_a_lost_lease_to_the_new_holder(tenant):
    item = claimed(tenant)
    theirs = datetime.now(tz=UTC) + timedelta(seconds=15)
    DueCallback.objects.update(next_attempt_at=theirs)
    recording.record(results=[Result(item, Outcome("status", 500), 0.1)])
    assert DueCallback.objects.get().next_attempt_at == theirs
    assert Callback.objects.get().attempts == 0
    assert Attempt.objects.count() == 1


def test_it_ends_a_callback_that_was_delivered_under_a_lost_lease(tenant):
    item = claimed(tenant)
    DueCallback.objects.update(next_attempt_at=datetime.now(tz=UTC) + timedelta(seconds=15))
    recording.record(results=[Result(item, Outcome("delivered", 200), 0.1)])
    assert not DueCallback.objects.exists()
    assert Callback.objects.get().state == "delivered"


def test_it_does_not_take_back_a_success_for_a_later_failure(tenant):
    item = claimed(tenant)
    recording.record(results=[Result(item, Outcome("delivered", 200), 0.1)])
    recording.record(results=[Result(item, Outcome("status", 500), 0.1)])
    assert Callback.objects.get().state == "delivered"


def test_it_gives_up_a_day_after_the_first_attempt(tenant):
    item = claimed(tenant)
    item.attempt, item.first_attempt_at = 30, datetime.now(tz=UTC) - timedelta(hours=23, minutes=50)
    recording.record(results=[Result(item, Outcome("timeout"), 20.0)])
    assert Callback.objects.get().state == "dead"
    assert not DueCallback.objects.exists()


def test_it_renews_a_lease_and_keeps_the_fence(tenant):
    item = claimed(tenant)
    DueCallback.objects.update(next_attempt_at=item.lease - timedelta(seconds=9))
    item.lease -= timedelta(seconds=9)
    before = item.lease
    assert leases.renew(items=[item]) == set()
    assert item.lease > before
    assert DueCallback.objects.get().next_attempt_at == item.lease


def test_it_does_not_renew_what_is_anothers(tenant):
    item = claimed(tenant)
    theirs = datetime.now(tz=UTC) + timedelta(seconds=15)
    DueCallback.objects.update(next_attempt_at=theirs)
    assert leases.renew(items=[item]) == {item.endpoint}
    leases.give_back(items=[item])
    assert DueCallback.objects.get().next_attempt_at == theirs


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("failure", [OperationalError("the server is away"), RuntimeError("a bug")])
def test_it_writes_an_outcome_after_the_first_try_failed(sending, tenant, monkeypatch, failure):
    real, failures = recording.record, [failure]

    def record(*, results, **more):
        if failures:
            raise failures.pop()
        real(results=results, **more)

    monkeypatch.setattr(recording, "record", record)
    with Listener(lambda _request: [OK]) as listener:
        make_webhook(tenant, listener.url())
        fanout.fan_out(make_facts(tenant))
        carry()
        eventually(lambda: Callback.objects.get().state == "delivered")
        assert len(listener.requests) == 1
    eventually(lambda: sending.recorder.held == 0)


@pytest.mark.django_db(transaction=True)
def test_it_writes_outcomes_when_its_connection_was_cut(sending, tenant):
    with Listener(lambda _request: [0.2, OK]) as listener:
        make_webhook(tenant, listener.url())
        for _ in range(2):
            fanout.fan_out(make_facts(tenant))
            carry()
            listener.wait_for(1)
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            eventually(lambda: not DueCallback.objects.exists())
    assert {row.state for row in Callback.objects.all()} == {"delivered"}


def test_it_shows_the_last_attempt_in_the_messages_timeline_and_no_path(tenant, other):
    item = claimed(tenant)
    recording.record(results=[Result(item, Outcome("status", 500, error="the endpoint answered 500"), 0.1)])
    message_id = Callback.objects.get().message_id
    (line,) = history.timeline(tenant.pk, message_id)
    assert line["type"] == "callback.failed"
    assert line["data"]["host"] == "127.0.0.1"
    assert (line["data"]["attempts"], line["data"]["statusCode"]) == (1, 500)
    assert "/hook" not in str(line["data"])
    assert history.timeline(other.pk, message_id) == []
