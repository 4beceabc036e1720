from datetime import UTC, datetime, timedelta

import pytest

from tests.fakes.http_listener import Listener, status
from tests.webhooks.outcomes_of import BROKEN, GONE, OK, REFUSED, Process, claimed
from tests.webhooks.world import carry, eventually, make_facts, make_webhook
from webhooks import destinations, failover, fanout, holding
from webhooks.models import Attempt, Callback, DueCallback, Endpoint, Webhook
from webhooks.models.due_callback import HELD

pytestmark = pytest.mark.django_db

SECOND_URL = "http://127.0.0.1:9/second"


@pytest.fixture
def process():
    return Process()


@pytest.fixture
def hook(tenant):
    return make_webhook(tenant, failover_url=SECOND_URL)


def second(hook):
    return destinations.of_failover(webhook_id=hook.pk)


def make_due(**where):
    DueCallback.objects.filter(leased=False, **where).update(
        next_attempt_at=datetime.now(tz=UTC) - timedelta(seconds=1)
    )


def open_circuit(tenant, endpoint, *, paused=3600):
    Endpoint.objects.create(
        id=endpoint,
        tenant_id=tenant.pk,
        cap=64,
        opened_at=datetime.now(tz=UTC) - timedelta(hours=1),
        paused_until=datetime.now(tz=UTC) + timedelta(seconds=paused),
    )


def places():
    return [(row.endpoint, row.home) for row in DueCallback.objects.order_by("callback_id")]


def wait_of(due):
    return (due.next_attempt_at - datetime.now(tz=UTC)).total_seconds()


def test_it_tries_the_second_url_at_once_after_the_first_failed(tenant, process, hook):
    fanout.fan_out(make_facts(tenant))
    process.attempt(BROKEN)
    due = DueCallback.objects.get()
    assert (due.endpoint, due.home, due.leased) == (second(hook), hook.pk, False)
    assert wait_of(due) <= 0.1
    make_due()
    process.attempt(OK)
    assert not DueCallback.objects.exists()
    callback = Callback.objects.get()
    assert (callback.state, callback.attempts, callback.endpoint) == ("delivered", 2, hook.pk)
    attempts = [(row.number, row.failover, row.outcome) for row in Attempt.objects.order_by("number")]
    assert attempts == [(1, False, "status"), (2, True, "delivered")]


def test_it_goes_home_after_both_failed_and_waits_one_step_of_the_schedule(tenant, process, hook):
    fanout.fan_out(make_facts(tenant))
    for middle in (5, 10, 20):
        for _url in ("first", "second"):
            make_due()
            assert len(process.attempt(BROKEN)) == 1
        due = DueCallback.objects.get()
        assert (due.endpoint, due.home) == (hook.pk, None)
        assert 0.79 * middle < wait_of(due) <= 1.21 * middle
    assert Callback.objects.get().attempts == 6
    assert [row.failover for row in Attempt.objects.order_by("number")] == [False, True] * 3


def test_it_makes_one_pair_more_than_the_fixed_retries(tenant, process):
    make_webhook(tenant, failover_url=SECOND_URL, retries=1, retry_delay=5)
    fanout.fan_out(make_facts(tenant))
    while process.attempt(BROKEN):
        make_due()
    assert Callback.objects.get().state == "dead"
    assert [row.number for row in Attempt.objects.order_by("number")] == [1, 2, 3, 4]


def test_it_takes_a_410_of_the_second_url_for_a_failure_like_any_other(tenant, process, hook):
    fanout.fan_out(make_facts(tenant))
    process.attempt(BROKEN)
    make_due()
    process.attempt(GONE)
    assert Webhook.objects.get().active
    assert places() == [(hook.pk, None)]


def test_it_does_not_try_the_second_url_after_a_410(tenant, process, hook):
    fanout.fan_out(make_facts(tenant))
    process.attempt(GONE)
    assert not Webhook.objects.get().active
    assert places() == [(hook.pk, None)]
    assert DueCallback.objects.get().next_attempt_at == HELD


def test_it_diverts_what_waits_while_the_first_circuit_is_open(tenant, process, hook):
    open_circuit(tenant, hook.pk)
    fanout.fan_out(make_facts(tenant, 3))
    make_due()
    assert failover.divert() == 3
    assert places() == [(second(hook), hook.pk)] * 3
    assert len(process.attempt(OK)) == 3
    assert {(row.number, row.failover) for row in Attempt.objects.all()} == {(1, True)}


def test_it_leaves_one_for_the_probe_that_is_due(tenant, process, hook):
    open_circuit(tenant, hook.pk, paused=-1)
    fanout.fan_out(make_facts(tenant, 3))
    make_due()
    assert failover.divert() == 2
    process.attempt(OK)
    assert not DueCallback.objects.exists()
    assert Endpoint.objects.get(pk=hook.pk).opened_at is None


def test_it_diverts_nothing_to_a_second_circuit_that_is_open_too(tenant, hook):
    open_circuit(tenant, hook.pk)
    open_circuit(tenant, second(hook))
    fanout.fan_out(make_facts(tenant, 3))
    make_due()
    assert failover.divert() == 0


def test_it_brings_home_what_waits_at_a_second_circuit_that_opened(tenant, process, hook):
    fanout.fan_out(make_facts(tenant, 3))
    process.attempt(BROKEN)
    open_circuit(tenant, second(hook))
    make_due()
    assert failover.divert() == 3
    assert places() == [(hook.pk, None)] * 3


def test_it_waits_for_its_schedule_when_the_second_circuit_is_open(tenant, process, hook):
    open_circuit(tenant, second(hook))
    fanout.fan_out(make_facts(tenant))
    process.attempt(BROKEN)
    due = DueCallback.objects.get()
    assert (due.endpoint, due.attempt) == (hook.pk, 1)
    assert wait_of(due) > 3.5


def test_it_probes_the_second_url_with_one(tenant, process, hook):
    open_circuit(tenant, second(hook), paused=-1)
    fanout.fan_out(make_facts(tenant, 5))
    process.attempt(BROKEN)
    assert sorted(endpoint == second(hook) for endpoint, _home in places()) == [False] * 4 + [True]


def test_it_counts_failures_and_circuits_of_both_urls_apart(tenant, process, hook):
    fanout.fan_out(make_facts(tenant, 10))
    process.attempt(REFUSED)
    make_due()
    process.attempt(OK)
    first = Endpoint.objects.get(pk=hook.pk)
    assert first.opened_at is not None
    # The webhook works, by its second URL: it is not on its way to being switched off.
    assert first.failing_since is None
    assert not Endpoint.objects.filter(pk=second(hook)).exists()


def test_it_holds_resumes_and_gives_up_what_waits_at_the_second_url(tenant, process, hook):
    fanout.fan_out(make_facts(tenant, 2))
    process.attempt(BROKEN)
    make_due()
    assert len(claimed()) == 2
    assert holding.hold(endpoint=hook.pk) == 2
    assert places() == [(hook.pk, None)] * 2
    assert holding.resume(endpoint=hook.pk) == 2
    process.attempt(BROKEN)
    assert {endpoint for endpoint, _home in places()} == {second(hook)}
    assert holding.give_up_endpoint(endpoint=hook.pk) == 2
    assert not DueCallback.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_it_sends_the_same_event_to_the_second_url_within_a_moment(sending, tenant):
    with Listener(lambda _request: [status(500)]) as first, Listener() as other:
        make_webhook(tenant, first.url(), failover_url=other.url("/second"))
        fanout.fan_out(make_facts(tenant))

        def is_done():
            carry()
            return not DueCallback.objects.exists()

        eventually(is_done)
        (failed,), (delivered,) = first.requests, other.requests
    assert delivered.target == "/second"
    assert delivered.headers["webhook-id"] == failed.headers["webhook-id"]
    assert delivered.body == failed.body
    assert delivered.at - failed.at < 2
