"""From an event to the listener and back into the rows, with a real dispatcher."""

import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from standardwebhooks import Webhook as Oracle

from tests.fakes.http_listener import CLOSE, OK, Listener, closed_port, status
from tests.webhooks.world import carry, eventually, make_facts, make_webhook
from webhooks import fanout
from webhooks.models import Attempt, Callback, DueCallback, Endpoint, Webhook
from webhooks.models.due_callback import HELD

pytestmark = pytest.mark.django_db(transaction=True)


def send(tenant, listener, *, count=1, path="/hook", **fields):
    """A webhook at the listener, callbacks to it on their way; returns the webhook."""
    webhook = make_webhook(tenant, listener.url(path), **fields)
    fanout.fan_out(make_facts(tenant, count))
    carry()
    return webhook


def attempted(count=1):
    """The attempts, once so many are recorded."""
    return eventually(lambda: (found := list(Attempt.objects.all())) and len(found) >= count and found)


def test_it_delivers_a_signed_callback_and_records_the_attempt(sending, tenant):
    with Listener(lambda _request: [status(200, body=b"thanks\x00\xff")]) as listener:
        webhook = send(tenant, listener, headers={"X-Custom": "1"})
        (request,) = listener.wait_for(1)
        (attempt,) = attempted()
    body = Oracle(webhook.plain_secret).verify(request.body, request.headers)
    callback = Callback.objects.get()
    assert request.headers["webhook-id"] == str(callback.event_id)
    assert request.headers["content-type"].startswith("application/json")
    assert request.headers["x-custom"] == "1"
    assert body["type"] == "message.delivered"
    assert body["data"]["id"] == str(callback.message_id)
    assert (callback.state, callback.attempts, callback.status_code) == ("delivered", 1, 200)
    assert (attempt.number, attempt.status_code, attempt.outcome) == (1, 200, "delivered")
    assert attempt.body == "thanks\ufffd"
    assert not DueCallback.objects.exists()


def test_it_sends_to_the_messages_own_url_signed_with_the_tenants_secret(sending, tenant):
    with Listener() as listener:
        fanout.fan_out(make_facts(tenant, callback_url=listener.url("/own?x=1"), metadata={"order": "42"}))
        carry()
        (request,) = listener.wait_for(1)
        attempted()
    body = Oracle(tenant.secret).verify(request.body, request.headers)
    assert request.target == "/own?x=1"
    assert body["data"]["metadata"] == {"order": "42"}


def test_it_renders_what_the_contract_says(sending, tenant):
    with Listener() as listener:
        make_webhook(tenant, listener.url())
        (fact,) = make_facts(tenant, client_message_id="order-42")
        fanout.fan_out([fact])
        carry()
        (request,) = listener.wait_for(1)
        attempted()
    body = json.loads(request.body)
    at = body["timestamp"]
    assert datetime.fromisoformat(at).tzinfo is not None
    assert at.endswith("Z")
    assert len(at) == len("2026-11-21T12:00:00.000Z")
    assert body == {
        "type": "message.delivered",
        "timestamp": at,
        "data": {
            "id": str(fact.message_id),
            "batchId": None,
            "clientMessageId": "order-42",
            "channel": "sms",
            "to": "+14155550101",
            "from": "ACME",
            "parts": 1,
            "status": "delivered",
            "statusCode": 220,
            "errorCode": None,
            "operator": "demo",
            "operatorData": {"code": "DELIVRD"},
            "metadata": {},
            "sequence": 3,
            "occurredAt": at,
        },
    }


def test_it_sends_the_same_bytes_under_the_same_id_with_a_new_signature_when_it_tries_again(sending, tenant):
    answers = iter([[status(500)], [OK]])
    with Listener(lambda _request: next(answers)) as listener:
        webhook = send(tenant, listener)
        attempted()
        DueCallback.objects.update(next_attempt_at=datetime.now(tz=UTC))
        time.sleep(1.1)
        carry()
        first, second = listener.wait_for(2)
        eventually(lambda: not DueCallback.objects.exists())
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    Oracle(webhook.plain_secret).verify(second.body, second.headers)
    assert [attempt.number for attempt in Attempt.objects.order_by("number")] == [1, 2]
    assert Callback.objects.get().attempts == 2


def attempts_by_path(tenant, listener, paths, **fields):
    """The attempts at one event's callbacks to several paths."""
    webhooks = {make_webhook(tenant, listener.url(f"/{path}"), **fields).pk: path for path in paths}
    fanout.fan_out(make_facts(tenant))
    carry()
    attempted(len(paths))
    endpoints = dict(Callback.objects.values_list("pk", "endpoint"))
    return {webhooks[endpoints[attempt.callback_id]]: attempt for attempt in Attempt.objects.all()}


def by_code(request):
    return [status(int(request.target[1:]), headers="Location: /elsewhere")]


def test_it_tries_again_after_five_seconds_unless_the_answer_is_2xx(sending, tenant):
    outcomes = {
        301: "redirect",
        302: "redirect",
        307: "redirect",
        400: "status",
        404: "status",
        500: "status",
    }
    with Listener(by_code) as listener:
        made = attempts_by_path(tenant, listener, outcomes)
        assert len(listener.requests) == len(outcomes)
    assert {code: attempt.outcome for code, attempt in made.items()} == outcomes
    assert all(attempt.status_code == code for code, attempt in made.items())
    for due in DueCallback.objects.all():
        assert 2.5 < (due.next_attempt_at - datetime.now(tz=UTC)).total_seconds() < 6.1
        assert (due.leased, due.attempt) == (False, 1)
    assert {row.state for row in Callback.objects.all()} == {"open"}


def test_it_takes_any_2xx_for_success(sending, tenant):
    with Listener(by_code) as listener:
        attempts_by_path(tenant, listener, [200, 201, 202, 204, 299])
    assert {row.state for row in Callback.objects.all()} == {"delivered"}


@pytest.mark.parametrize(("code", "form"), [(429, "seconds"), (503, "date")])
def test_it_gives_the_whole_endpoint_the_rest_that_it_asks_for(sending, tenant, code, form):
    until = datetime.now(tz=UTC) + timedelta(seconds=90)
    value = "90" if form == "seconds" else format_datetime(until, usegmt=True)
    with Listener(lambda _request: [status(code, headers=f"Retry-After: {value}")]) as listener:
        send(tenant, listener)
        attempted()
        endpoint = eventually(Endpoint.objects.first)
        fanout.fan_out(make_facts(tenant))
        assert carry() == []
    due = DueCallback.objects.order_by("-attempt")[0]
    for moment in (due.next_attempt_at, endpoint.paused_until):
        assert abs((moment - until).total_seconds()) < 3


def test_it_does_not_rest_for_a_500_that_asks_for_it(sending, tenant):
    with Listener(lambda _request: [status(500, headers="Retry-After: 90")]) as listener:
        send(tenant, listener)
        attempted()
    assert DueCallback.objects.get().next_attempt_at < datetime.now(tz=UTC) + timedelta(seconds=10)


def test_it_disables_a_webhook_whose_endpoint_is_gone_and_holds_what_it_has(sending, tenant):
    with Listener(lambda _request: [status(410)]) as listener:
        webhook = send(tenant, listener)
        attempted()
        eventually(lambda: not Webhook.objects.get(pk=webhook.pk).active)
        fanout.fan_out(make_facts(tenant))
        assert carry() == []
    assert "410" in Webhook.objects.get().disabled_reason
    assert {row.next_attempt_at for row in DueCallback.objects.all()} == {HELD}
    assert {row.state for row in Callback.objects.all()} == {"held"}
    assert len(listener.requests) == 1


def test_it_gives_up_a_message_url_that_is_gone(sending, tenant):
    with Listener(lambda _request: [status(410)]) as listener:
        fanout.fan_out(make_facts(tenant, callback_url=listener.url()))
        carry()
        attempted()
    assert Callback.objects.get().state == "dead"
    assert not DueCallback.objects.exists()


def test_it_ends_a_fixed_schedule_after_its_retries(sending, tenant):
    with Listener(lambda _request: [status(500)]) as listener:
        send(tenant, listener, retries=1, retry_delay=5)
        attempted()
        wait = (DueCallback.objects.get().next_attempt_at - datetime.now(tz=UTC)).total_seconds()
        assert 4 < wait <= 5
        DueCallback.objects.update(next_attempt_at=datetime.now(tz=UTC))
        carry()
        attempted(2)
    assert Callback.objects.get().state == "dead"
    assert not DueCallback.objects.exists()


DRIPS = {
    "silence": [60.0],
    "header": [b"HTTP/1.1 200 OK\r\n", *[step for _ in range(100) for step in (b"X: y\r\n", 0.05)]],
    "body": [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        *[s for _ in range(100) for s in (b"x", 0.05)],
    ],
    "chunks": [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        *[s for _ in range(100) for s in (b"1\r\nx\r\n", 0.05)],
    ],
}


def test_it_ends_an_attempt_at_its_deadline_whatever_still_drips_in(sending, tenant):
    with Listener(lambda request: DRIPS[request.target[1:]]) as listener:
        made = attempts_by_path(tenant, listener, DRIPS, read_timeout=400)
    assert {attempt.outcome for attempt in made.values()} == {"timeout"}
    assert all(390 <= attempt.duration_ms < 1500 for attempt in made.values())
    codes = {drip: attempt.status_code for drip, attempt in made.items()}
    assert codes == {"silence": None, "header": None, "body": 200, "chunks": 200}


def test_it_uses_a_connection_again(sending, tenant):
    with Listener() as listener:
        make_webhook(tenant, listener.url())
        for count in (1, 2, 3):
            fanout.fan_out(make_facts(tenant))
            carry()
            attempted(count)
        assert listener.connections == 1


def test_it_asks_again_at_once_when_the_peer_had_closed_the_kept_connection(sending, tenant):
    def answer(request):
        return [OK] if len(listener.requests) != 2 else [CLOSE]

    with Listener(answer) as listener:
        make_webhook(tenant, listener.url())
        for count in (1, 2):
            fanout.fan_out(make_facts(tenant))
            carry()
            attempted(count)
        assert listener.connections == 2
    assert {row.state for row in Callback.objects.all()} == {"delivered"}
    assert Attempt.objects.count() == 2


@pytest.mark.parametrize(
    ("steps", "outcome"),
    [
        ([CLOSE], "protocol"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", CLOSE], "protocol"),
        ([b"SSH-2.0-x\r\n\r\n"], "protocol"),
    ],
)
def test_it_counts_what_is_no_whole_answer_as_a_failure(sending, tenant, steps, outcome):
    with Listener(lambda _request: steps) as listener:
        send(tenant, listener)
        (attempt,) = attempted()
    assert attempt.outcome == outcome
    assert attempt.error


def test_it_records_that_nobody_listens(sending, tenant):
    make_webhook(tenant, f"http://127.0.0.1:{closed_port()}/")
    fanout.fan_out(make_facts(tenant))
    carry()
    (attempt,) = attempted()
    assert (attempt.outcome, attempt.status_code) == ("connect", None)


def test_it_connects_to_no_private_address(sending, tenant, settings):
    with Listener() as listener:
        settings.CALLBACK_ALLOWED_NETWORKS = []
        send(tenant, listener)
        (attempt,) = attempted()
        assert attempt.outcome == "blocked"
        assert listener.connections == 0


def test_it_sends_each_of_many_callbacks_once(sending, tenant):
    with Listener() as listener:
        send(tenant, listener, count=150)
        while carry() or DueCallback.objects.exists():
            time.sleep(0.02)
        assert len(listener.requests) == 150
    assert len({request.headers["webhook-id"] for request in listener.requests}) == 150
    assert Attempt.objects.count() == 150


def test_it_stops_with_outcomes_written_and_the_rest_given_back(sending, tenant):
    with Listener(lambda _request: [0.3, OK]) as listener:
        send(tenant, listener, count=30)
        listener.wait_for(8)
        sending.stop(seconds=5)
        assert len(listener.requests) == 8
    assert Callback.objects.filter(state="delivered").count() == 8
    rest = DueCallback.objects.all()
    assert len(rest) == 22
    assert all(not row.leased and row.next_attempt_at <= datetime.now(tz=UTC) for row in rest)
    assert {row.attempt for row in rest} == {0}
