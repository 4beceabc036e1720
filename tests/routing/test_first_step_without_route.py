"""A message that only a step of its fallback has a route for is taken, and begins with that step."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.models import DueMessage, Event, FallbackTimer, Message
from routing.models import Delivery, Route
from routing.relay import Relay
from tests.factories import Caller, make_tenant, message

pytestmark = pytest.mark.django_db

SMS = {"channel": "sms", "content": {"text": "by sms"}, "from": "OTHER"}
RCS = {"channel": "rcs", "content": {"text": "by rcs"}}


@pytest.fixture
def acme() -> Caller:
    return Caller(make_tenant("acme"))


@pytest.fixture
def sms(make_operator, monkeypatch):
    monkeypatch.setattr("routing.queues.publish", lambda **_: None)
    operator = make_operator("carrier")
    Route.objects.create(operator=operator)
    return operator


def ask(acme, **members):
    return acme.post("/v1/messages", message(channel="whatsapp", **{"from": "ACME"}, **members))


def test_it_begins_with_the_first_step_that_has_a_route(acme, sms):
    answer = ask(acme, fallback=[RCS, SMS])
    assert (answer.status, answer.json["status"], answer.json["channel"]) == (200, "accepted", "whatsapp")
    row = Message.objects.get()
    assert (row.channel, row.text, row.sender, row.fallback_step) == ("sms", "by sms", "OTHER", 2)
    assert DueMessage.objects.get().lane == sms.pk
    told = Event.objects.order_by("sequence")
    assert [event.type for event in told] == ["message.accepted", "message.fallback"]
    assert (told[1].error_code, told[1].data["reason"], told[1].data["step"]) == ("NO_ROUTE", "NO_ROUTE", 2)
    assert Relay().tick() == 1
    assert Delivery.objects.get().operator_id == sms.pk


def test_it_is_refused_when_no_step_has_a_route(acme, make_operator):
    answer = ask(acme, fallback=[RCS, SMS])
    assert (answer.status, answer.code) == (422, "NO_ROUTE")
    assert not Message.objects.exists()


def test_it_is_asked_for_as_before_when_the_first_step_has_a_route(acme, sms):
    answer = acme.post("/v1/messages", message(fallback=[RCS]))
    assert answer.status == 200
    assert (Message.objects.get().fallback_step, Event.objects.count()) == (0, 1)


def test_one_for_later_waits_for_its_moment_and_its_clock_starts_then(acme, sms):
    at = (datetime.now(tz=UTC) + timedelta(hours=2)).replace(microsecond=0)
    late = [SMS | {"afterSeconds": 60}, SMS | {"afterSeconds": 90}]
    answer = ask(acme, fallback=late, sendAt=at.isoformat())
    assert (answer.status, answer.json["status"]) == (200, "scheduled")
    assert DueMessage.objects.get().due_at == at
    assert FallbackTimer.objects.get().due_at == at + timedelta(seconds=90)
    assert Message.objects.get().status == "scheduled"
    assert Relay().tick() == 0


def test_a_repeat_is_answered_as_the_first_was(acme, sms):
    first = ask(acme, fallback=[SMS], clientMessageId="one").json
    second = ask(acme, fallback=[SMS], clientMessageId="one")
    assert second.headers["Idempotent-Replayed"] == "true"
    assert {**second.json, "requestId": None} == {**first, "requestId": None}
    assert Message.objects.count() == 1


def test_a_bulk_call_tells_them_apart(acme, sms):
    asked = [
        message(),
        message(channel="whatsapp", fallback=[SMS]),
        message(channel="whatsapp", fallback=[RCS]),
    ]
    results = acme.post("/v1/messages/bulk", {"messages": asked}).json["results"]
    assert [result.get("status") or result["error"]["errorCode"] for result in results] == [
        "accepted",
        "accepted",
        "NO_ROUTE",
    ]
    assert sorted(Message.objects.values_list("fallback_step", flat=True)) == [0, 1]


def test_the_preview_says_which_step_it_begins_with(acme, sms):
    asked = message(channel="whatsapp", fallback=[RCS, SMS])
    shown = acme.post("/v1/messages/preview", asked).json
    assert (shown["fallbackStep"], shown["route"]["operator"], shown["problem"]) == (2, "carrier", None)
    shown = acme.post("/v1/messages/preview", asked | {"fallback": [RCS]}).json
    assert (shown["fallbackStep"], shown["route"]) == (0, None)
    assert shown["problem"]["errorCode"] == "NO_ROUTE"
