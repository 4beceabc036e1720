import itertools
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from tests.fakes.http_listener import Listener
from tests.webhooks.outcomes_of import BROKEN, OK, REFUSED, Process, claimed
from tests.webhooks.world import carry, eventually, make_facts, make_webhook
from webhooks import breaker, fanout, holding, relay
from webhooks.models import Callback, DueCallback, Endpoint

pytestmark = pytest.mark.django_db


@pytest.fixture
def process():
    return Process()


def back(**fields):
    """Set moments of all endpoints back by so much: as if that time had passed."""
    for endpoint in Endpoint.objects.all():
        for name, delta in fields.items():
            setattr(endpoint, name, getattr(endpoint, name) - delta)
        endpoint.save()


def due_now():
    DueCallback.objects.filter(leased=False).update(
        next_attempt_at=datetime.now(tz=UTC) - timedelta(seconds=1)
    )


def seconds_from_now(at):
    return (at - datetime.now(tz=UTC)).total_seconds()


def opened(tenant, process, *, waiting=20, **webhook):
    """A webhook's endpoint whose circuit has just opened, with callbacks waiting."""
    hook = make_webhook(tenant, **webhook)
    fanout.fan_out(make_facts(tenant, waiting))
    process.attempt(REFUSED)
    due_now()
    return hook


class TestWindow:
    def test_it_opens_after_five_unanswered_in_a_row(self):
        window = breaker.Window()
        assert [window.failed(now=1.0, unanswered=True) for _ in range(5)] == [False] * 4 + [True]

    @pytest.mark.parametrize("answered", ["success", "failure"])
    def test_it_counts_anew_after_any_answer(self, answered):
        window = breaker.Window()
        for _ in range(4):
            window.failed(now=1.0, unanswered=True)
        if answered == "success":
            window.succeeded(now=1.0)
        else:
            window.failed(now=1.0, unanswered=False)
        assert not window.failed(now=1.0, unanswered=True)

    def test_it_opens_when_half_of_twenty_failed_and_not_before(self):
        window = breaker.Window()
        for _ in range(10):
            window.succeeded(now=1.0)
        assert [window.failed(now=2.0, unanswered=False) for _ in range(10)] == [False] * 9 + [True]

    def test_it_stays_closed_while_less_than_half_fails(self):
        window = breaker.Window()
        for now in range(2000):
            window.succeeded(now=now / 10)
            window.succeeded(now=now / 10)
            assert not window.failed(now=now / 10, unanswered=False)

    def test_it_forgets_what_is_older_than_a_minute(self):
        window = breaker.Window()
        for second in range(19):
            assert not window.failed(now=float(second), unanswered=False)
        assert not window.failed(now=80.0, unanswered=False)
        assert not window.failed(now=1e6, unanswered=False)


def test_it_claims_nothing_while_the_circuit_is_open(tenant, process):
    hook = opened(tenant, process)
    endpoint = Endpoint.objects.get()
    assert breaker.circuit(endpoint) == "open"
    assert breaker.circuit(None) == "closed"
    assert 3.9 < seconds_from_now(endpoint.paused_until) <= 6.0
    assert claimed() == []
    assert str(hook.pk) in process.released
    assert {row.attempt for row in DueCallback.objects.all()} == {1}


def test_it_makes_one_probe_when_the_pause_is_over_and_no_second_beside_it(tenant, process):
    opened(tenant, process)
    back(paused_until=timedelta(seconds=7))
    assert len(claimed()) == 1
    back(paused_until=timedelta(seconds=60))
    assert claimed() == []


def test_it_doubles_the_pause_with_each_probe_up_to_five_minutes(tenant, process):
    opened(tenant, process, waiting=40)
    pauses = []
    for _ in range(8):
        back(paused_until=timedelta(seconds=400))
        (item,) = claimed()
        process.record([item], REFUSED)
        due_now()
        pauses.append(seconds_from_now(Endpoint.objects.get().paused_until))
        assert claimed() == []
    for pause, middle in zip(pauses, [10, 20, 40, 80, 160, 300, 300, 300], strict=True):
        assert 0.79 * middle < pause <= 1.2 * middle


def test_it_closes_after_a_success_and_begins_small(tenant, process):
    opened(tenant, process, waiting=40)
    back(paused_until=timedelta(seconds=7), opened_at=timedelta(seconds=7))
    process.attempt(OK)
    endpoint = Endpoint.objects.get()
    assert breaker.circuit(endpoint) == "closed"
    assert (endpoint.cap, endpoint.probes, endpoint.failures) == (breaker.FIRST_CAP, 0, 0)
    assert (endpoint.paused_until, endpoint.failing_since) == (None, None)
    sizes = []
    while items := process.attempt(OK):
        sizes.append(len(items))
    assert sizes[:4] == [2, 4, 8, 16]
    assert not DueCallback.objects.exists()


def test_it_is_closed_by_another_process_too(tenant, process):
    opened(tenant, process)
    back(paused_until=timedelta(seconds=7), opened_at=timedelta(seconds=7))
    Process().attempt(OK)
    assert breaker.circuit(Endpoint.objects.get()) == "closed"


def test_it_is_not_closed_by_what_began_before_it_opened(tenant, process):
    make_webhook(tenant)
    fanout.fan_out(make_facts(tenant, 20))
    items = claimed()
    for item in items:
        item.started = time.time() - 60
    process.record(items[:10], REFUSED)
    process.record(items[10:], OK)
    assert breaker.circuit(Endpoint.objects.get()) == "open"


def test_it_opens_when_half_of_the_attempts_fail_with_an_answer(tenant, process):
    make_webhook(tenant)
    fanout.fan_out(make_facts(tenant, 30))
    items = claimed()
    process.record(items[:12], OK)
    process.record(items[12:23], BROKEN)
    assert breaker.circuit(Endpoint.objects.get()) == "closed"
    process.record(items[23:], BROKEN)
    assert breaker.circuit(Endpoint.objects.get()) == "open"


def test_it_counts_the_events_of_one_request_once(tenant, process):
    make_webhook(tenant)
    fanout.fan_out(make_facts(tenant, 30))
    items = claimed()
    for item in items:
        item.batch = "one"
    process.record(items, REFUSED)
    assert breaker.circuit(Endpoint.objects.get()) == "closed"
    assert Endpoint.objects.get().failures == 1
    assert len({row.next_attempt_at for row in DueCallback.objects.all()}) == 1


def test_it_leaves_a_lone_callback_its_own_schedule(tenant, process):
    make_webhook(tenant, retries=5, retry_delay=5)
    fanout.fan_out(make_facts(tenant))
    for attempt in itertools.count(1):
        items = process.attempt(REFUSED)
        assert [item.attempt + 1 for item in items] == [attempt]
        due = DueCallback.objects.first()
        if due is None:
            break
        assert 4.5 < seconds_from_now(due.next_attempt_at) <= 5.1
        rest = Endpoint.objects.get().paused_until
        assert rest is None or rest <= due.next_attempt_at
        due_now()
        back(**({} if rest is None else {"paused_until": timedelta(seconds=6)}))
    assert attempt == 6
    assert breaker.circuit(Endpoint.objects.get()) == "open"


def test_it_makes_no_callback_due_before_its_schedule(tenant, process):
    opened(tenant, process)
    DueCallback.objects.update(next_attempt_at=datetime.now(tz=UTC) + timedelta(seconds=30))
    back(paused_until=timedelta(seconds=7))
    assert claimed() == []


def test_it_does_not_count_open_time_as_part_of_the_callbacks_day(tenant, process):
    opened(tenant, process)
    DueCallback.objects.update(first_attempt_at=datetime.now(tz=UTC) - timedelta(hours=30))
    back(opened_at=timedelta(hours=29), paused_until=timedelta(hours=1))
    process.attempt(REFUSED)
    assert Callback.objects.filter(state="dead").count() == 0
    due_now()
    back(paused_until=timedelta(hours=1))
    process.attempt(OK)
    for row in DueCallback.objects.all():
        assert abs(seconds_from_now(row.first_attempt_at) + 3600) < 60


def test_it_ends_what_an_open_circuit_kept_out_for_a_week(tenant, process):
    opened(tenant, process)
    now = datetime.now(tz=UTC)
    assert holding.sweep(now=now + timedelta(days=6, hours=23)) == 0
    assert holding.sweep(now=now + timedelta(days=7, hours=1)) == 20
    assert not DueCallback.objects.exists()
    assert {row.state for row in Callback.objects.all()} == {"dead"}


def test_it_writes_nothing_for_a_healthy_endpoint(tenant, process):
    make_webhook(tenant)
    fanout.fan_out(make_facts(tenant, 3))
    process.attempt(OK)
    assert not Endpoint.objects.exists()


def test_it_does_not_blame_the_endpoint_for_a_template(tenant, process):
    hook = make_webhook(tenant)
    fanout.fan_out(make_facts(tenant, 30))
    broken = type(OK)("template", error="$foo is unknown")
    process.attempt(broken)
    assert {row.state for row in Callback.objects.all()} == {"dead"}
    assert not Endpoint.objects.filter(pk=hook.pk).exists()
    assert not process.released


def test_it_claims_enough_to_fill_an_endpoints_batches(tenant):
    hook = make_webhook(tenant, batch_max_events=30, batch_max_delay_ms=100)
    fanout.fan_out(make_facts(tenant, 130))
    Endpoint.objects.create(id=hook.pk, tenant_id=tenant.pk, cap=2)
    assert len(claimed()) == 120


def test_it_forgets_all_of_it_when_the_webhook_is_made_active_again(tenant, process):
    hook = opened(tenant, process)
    holding.disable(webhook_id=hook.pk, reason="Test.")
    holding.resume(endpoint=hook.pk)
    endpoint = Endpoint.objects.get(pk=hook.pk)
    assert (endpoint.opened_at, endpoint.paused_until, endpoint.failing_since) == (None, None, None)
    assert (endpoint.probes, endpoint.failures) == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_it_makes_one_probe_beside_a_second_relay(tenant):
    hook = make_webhook(tenant)
    fanout.fan_out(make_facts(tenant, 20))
    now = datetime.now(tz=UTC)
    Endpoint.objects.create(
        id=hook.pk,
        tenant_id=tenant.pk,
        cap=64,
        opened_at=now - timedelta(minutes=1),
        paused_until=now - timedelta(seconds=1),
    )
    taken = []

    def run():
        try:
            for _ in range(5):
                taken.extend(relay.claim()[0])
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1
    assert Endpoint.objects.get().probes == 1


@pytest.mark.django_db(transaction=True)
def test_it_stops_calling_an_endpoint_that_hangs_and_goes_on_when_it_is_back(sending, tenant):
    with Listener(lambda _request: [60.0]) as listener:
        make_webhook(tenant, listener.url(), read_timeout=200)
        fanout.fan_out(make_facts(tenant, 40))
        carry()
        eventually(lambda: breaker.circuit(Endpoint.objects.first()) == "open")
        eventually(lambda: sending.recorder.held == 0)
        tried = DueCallback.objects.filter(attempt=1).count()
        assert 5 <= tried == len(listener.requests) < 20
        assert not DueCallback.objects.filter(leased=True).exists()
        assert carry() == []
        listener.answer = lambda _request: [b"HTTP/1.1 204 No Content\r\n\r\n"]
        back(paused_until=timedelta(seconds=7), opened_at=timedelta(seconds=7))
        DueCallback.objects.update(next_attempt_at=datetime.now(tz=UTC))

        def is_done():
            carry()
            return not DueCallback.objects.exists()

        eventually(is_done)
        assert len(listener.requests) == tried + 40
    assert breaker.circuit(Endpoint.objects.get()) == "closed"
