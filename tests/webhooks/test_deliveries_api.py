"""What became of callbacks, and sending one again, over HTTP."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from gateway import ids
from tests.webhooks.calling import DELIVERIES
from tests.webhooks.world import carry, eventually, make_facts, make_webhook
from webhooks import deliveries, destinations, fanout
from webhooks.models import Attempt, Callback, DueCallback

URL = "http://127.0.0.1:9/hook"
pytestmark = pytest.mark.django_db


@pytest.fixture
def hook(tenant):
    return make_webhook(tenant, URL)


@pytest.fixture
def listed(call, hook):
    def read(query=""):
        code, page = call("get", f"/{hook.pk}/deliveries{query}")
        assert code == 200, page
        return page

    return read


def make_callback(hook, state="delivered", *, tries=(200,), age=timedelta(), **fields):
    """A callback that was made so long ago, and tried with these answers."""
    at = datetime.now(tz=UTC) - age
    key = ids.floor(at) if age else ids.one()
    callback = Callback.objects.create(
        id=key,
        tenant_id=hook.tenant_id,
        endpoint=hook.pk,
        state=state,
        **{"event_id": ids.one(), "message_id": ids.one(), "type": "message.delivered"} | fields,
    )
    for number, status in enumerate(tries, 1):
        Attempt.objects.create(
            callback_id=key,
            number=number,
            tenant_id=hook.tenant_id,
            started_at=at,
            duration_ms=41,
            status_code=status,
            outcome="delivered" if status == 200 else "status",
            error=None if status == 200 else f"the endpoint answered {status}",
            failover=number == 2,
            body="x" * 1000,
        )
    return callback


def test_it_shows_no_success_beside_the_state_from_before_it(listed, hook, monkeypatch):
    callback = make_callback(hook, "open", tries=(500,), attempts=1)
    real = deliveries._tries

    def tries(*arguments):
        """Read them just after the second attempt was recorded."""
        Callback.objects.filter(id=callback.pk).update(state="delivered", attempts=2)
        Attempt.objects.create(
            callback_id=callback.pk,
            number=2,
            tenant_id=hook.tenant_id,
            started_at=datetime.now(tz=UTC),
            duration_ms=1,
            status_code=200,
            outcome="delivered",
        )
        return real(*arguments)

    monkeypatch.setattr(deliveries, "_tries", tries)
    (line,) = listed()["data"]
    assert (line["state"], [each["status"] for each in line["attempts"]]) == ("open", [500])
    monkeypatch.undo()
    (line,) = listed()["data"]
    assert (line["state"], [each["status"] for each in line["attempts"]]) == ("delivered", [500, 200])


def test_it_shows_an_earlier_success_of_what_is_sent_again(listed, hook):
    make_callback(hook, "open", tries=(200,), attempts=1)
    (line,) = listed()["data"]
    assert (line["state"], [each["status"] for each in line["attempts"]]) == ("open", [200])


def test_it_tells_each_attempt(hook, listed):
    callback = make_callback(hook, tries=(500, 200))
    (line,) = listed()["data"]
    assert {name: line[name] for name in ("id", "webhookId", "event", "eventId", "messageId", "state")} == {
        "id": str(callback.pk),
        "webhookId": str(hook.pk),
        "event": "message.delivered",
        "eventId": str(callback.event_id),
        "messageId": str(callback.message_id),
        "state": "delivered",
    }
    assert line["createdAt"].endswith("Z")
    assert line["nextAttemptAt"] is None
    first, second = line["attempts"]
    assert first["startedAt"].endswith("Z")
    assert first | {"startedAt": ""} == {
        "number": 1,
        "startedAt": "",
        "durationMs": 41,
        "status": 500,
        "outcome": "status",
        "error": "the endpoint answered 500",
        "body": "x" * 256,
        "failover": False,
        "batch": None,
    }
    assert (second["number"], second["status"], second["error"], second["failover"]) == (2, 200, None, True)


def test_it_has_more_of_the_answers_where_it_tells_of_one(call, hook):
    callback = make_callback(hook, tries=(500,))
    code, whole = call("get", f"/{callback.pk}", base=DELIVERIES)
    assert (code, whole["attempts"][0]["body"], whole["webhookId"]) == (200, "x" * 1000, str(hook.pk))


def test_it_says_when_it_is_tried_next(listed, tenant, hook):
    fanout.fan_out(make_facts(tenant))
    due = DueCallback.objects.get()
    (line,) = listed()["data"]
    assert (line["state"], line["attempts"]) == ("open", [])
    assert datetime.fromisoformat(line["nextAttemptAt"]) == due.next_attempt_at.replace(
        microsecond=due.next_attempt_at.microsecond // 1000 * 1000
    )
    DueCallback.objects.update(leased=True)
    assert listed()["data"][0]["nextAttemptAt"] is None


def test_it_pages_from_the_newest_on(listed, hook):
    made = [str(make_callback(hook).pk) for _ in range(5)]
    seen, cursor = [], ""
    while True:
        page = listed(f"?limit=2{cursor}")
        seen += [line["id"] for line in page["data"]]
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert seen == made[::-1]


def test_it_asks_the_database_no_more_for_many_than_for_one(listed, hook, django_assert_num_queries):
    for _ in range(20):
        make_callback(hook, tries=(500, 500, 200))
    listed()  # the key is known from now on
    with CaptureQueriesContext(connection) as few:
        listed("?limit=1")
    with django_assert_num_queries(len(few)):
        assert len(listed()["data"]) == 20


def test_it_finds_by_state_event_time_and_message(listed, hook):
    old = make_callback(hook, "dead", age=timedelta(hours=2))
    read = make_callback(hook, type="message.read")
    new = make_callback(hook)
    hour = (datetime.now(tz=UTC) - timedelta(hours=1)).isoformat().replace("+", "%2B")

    def found(query):
        return [line["id"] for line in listed(query)["data"]]

    assert found("?state=dead") == [str(old.pk)]
    assert found("?state=held") == []
    assert found("?event=message.read") == [str(read.pk)]
    assert found("?event=DELIVERED_DR") == [str(new.pk), str(old.pk)]
    assert found("?event=RECEIVED_MMS") == []
    assert found(f"?since={hour}") == [str(new.pk), str(read.pk)]
    assert found(f"?until={hour}") == [str(old.pk)]
    assert found(f"?messageId={old.message_id}&state=dead") == [str(old.pk)]


@pytest.mark.parametrize(
    "query",
    [
        "state=gone",
        "event=nothing",
        "since=yesterday",
        "until=x",
        "messageId=x",
        "limit=0",
        "cursor=x",
        "y=1",
    ],
)
def test_it_refuses_a_filter_that_is_none(call, hook, query):
    code, answer = call("get", f"/{hook.pk}/deliveries?{query}")
    assert (code, answer["details"][0]["field"]) == (400, query.partition("=")[0])


def test_it_shows_a_tenant_only_its_own(stranger, hook):
    callback = make_callback(hook, "dead")
    assert stranger("get", f"/{hook.pk}/deliveries")[0] == 404
    assert stranger("get", f"/{callback.pk}", base=DELIVERIES)[0] == 404
    assert stranger("post", f"/{callback.pk}/retry", base=DELIVERIES)[0] == 404
    assert Callback.objects.get().state == "dead"
    assert not DueCallback.objects.exists()


@pytest.mark.parametrize("key", ["nope", "7ca628a8-08b0-4e42-aeb8-960b37049c31", "%00"])
def test_it_does_not_find_an_id_that_is_none(call, key):
    assert call("get", f"/{key}", base=DELIVERIES)[0] == 404
    assert call("post", f"/{key}/retry", base=DELIVERIES)[0] == 404


def test_it_names_no_webhook_for_a_message_s_own_url(call, tenant):
    fanout.fan_out(make_facts(tenant, callback_url="http://127.0.0.1:9/own"))
    callback = Callback.objects.get()
    code, one = call("get", f"/{callback.pk}", base=DELIVERIES)
    assert (code, one["webhookId"], one["state"]) == (200, None, "open")
    assert callback.endpoint == destinations.of_host(tenant_id=tenant.pk, url="http://127.0.0.1:9/own")


def test_it_names_no_message_for_what_happened_to_a_webhook(listed, hook):
    make_callback(hook, type="webhook.disabled")
    assert listed()["data"][0]["messageId"] is None


def test_it_sends_one_again(call, hook):
    callback = make_callback(hook, "dead", tries=(500,))
    code, again = call("post", f"/{callback.pk}/retry", base=DELIVERIES)
    assert (code, again["state"], len(again["attempts"])) == (202, "open", 1)
    assert again["nextAttemptAt"] is not None
    due = DueCallback.objects.get()
    assert (due.callback_id, due.event_id) == (callback.pk, callback.event_id)


def test_it_sends_nothing_to_a_webhook_that_is_gone(call, hook):
    callback = make_callback(hook, "dead")
    hook.delete()
    code, problem = call("post", f"/{callback.pk}/retry/", base=DELIVERIES)
    assert (code, problem["errorCode"]) == (409, "WEBHOOK_GONE")


@pytest.mark.django_db(transaction=True)
def test_it_tells_of_a_real_attempt(sending, tenant, call):
    hook = make_webhook(tenant, URL, retries=0)
    fanout.fan_out(make_facts(tenant))
    carry()

    def ended():
        (line,) = call("get", f"/{hook.pk}/deliveries")[1]["data"]
        return line if line["state"] == "dead" else None

    line = eventually(ended)
    assert line["attempts"][0]["outcome"] == "connect"
    assert line["attempts"][0]["status"] is None
