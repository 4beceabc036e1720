"""The test call over HTTP: what a verdict is, is test_trial's."""

import json
import time

import pytest
from standardwebhooks import Webhook as Oracle

from tests.fakes.http_listener import Listener, closed_port, status
from tests.webhooks.calling import BODY
from webhooks import terms
from webhooks.models import Callback

pytestmark = pytest.mark.django_db
EMPTY = status(204)


def make(call, url, **members):
    code, made = call("post", body=BODY | {"url": url} | members)
    assert code == 201, made
    return made


def try_(call, made, body=None):
    code, verdict = call("post", f"/{made['id']}/test", body)
    assert code == 200, verdict
    return verdict


def test_it_sends_a_signed_sample_now_and_tells_what_came_of_it(call):
    with Listener(lambda _request: [status(200, body=b"thanks")]) as listener:
        made = make(call, listener.url("/hook"), headers={"x-shop": "42"})
        verdict = try_(call, made, {"event": "message.delivered"})
        (request,) = listener.requests
    sample = Oracle(made["secret"]).verify(request.body, request.headers)
    assert sample["type"] == "message.delivered"
    assert request.headers["x-shop"] == "42"
    assert verdict.pop("durationMs") < 5000
    verdict.pop("requestId")
    assert verdict == {
        "event": "message.delivered",
        "status": 200,
        "bodyLength": 6,
        "conforms": True,
        "problems": [],
        "outcome": "delivered",
        "error": None,
        "body": "thanks",
    }
    assert not Callback.objects.exists()


@pytest.mark.parametrize("body", [None, {}, {"event": None}])
def test_it_is_of_the_webhook_s_first_event_when_none_is_named(call, body):
    with Listener(lambda _request: [EMPTY]) as listener:
        made = make(call, listener.url(), events=["message.read", "message.sent"])
        assert try_(call, made, body)["event"] == "message.read"
        assert json.loads(listener.requests[0].body)["type"] == "message.read"


@pytest.mark.parametrize("format_", terms.FORMATS)
def test_it_has_a_sample_of_every_event_in_every_format(call, format_):
    with Listener(lambda _request: [EMPTY]) as listener:
        made = make(call, listener.url(), format=format_)
        for event in terms.EVENTS:
            verdict = try_(call, made, {"event": event})
            assert (verdict["event"], verdict["conforms"]) == (event, True), verdict
        assert len(listener.requests) == len(terms.EVENTS)
        assert all(json.loads(request.body) for request in listener.requests)


def test_it_names_the_rules_of_the_format_that_were_not_kept(call):
    with Listener(lambda _request: [status(200, body=b"<html>")]) as listener:
        verdict = try_(call, make(call, listener.url(), format="octopush"))
    assert (verdict["status"], verdict["outcome"], verdict["bodyLength"]) == (200, "unexpected_body", 6)
    assert (verdict["conforms"], len(verdict["problems"])) == (False, 1)


def test_it_renders_template_and_url(call):
    with Listener(lambda _request: [EMPTY]) as listener:
        made = make(
            call, listener.url("/hook?id=$mtId"), template="$!nothing$statusCode", encoding="FORM_ENCODED"
        )
        assert try_(call, made, {"event": "DELIVERED_DR"})["conforms"]
        (request,) = listener.requests
    assert request.body == b"220"
    assert request.headers["content-type"].startswith("application/x-www-form-urlencoded")
    assert request.target.startswith("/hook?id=")
    assert "$" not in request.target


def test_it_sends_an_array_where_the_webhook_wants_batches(call):
    with Listener(lambda _request: [EMPTY]) as listener:
        made = make(call, listener.url(), batch={"maxEvents": 50, "maxDelayMs": 10_000})
        began = time.monotonic()
        assert try_(call, made, {"event": "message.sent"})["conforms"]
        assert time.monotonic() - began < 5
        (event,) = json.loads(listener.requests[0].body)
    assert event["type"] == "message.sent"


def test_it_says_that_nobody_listens_and_what_may_not_be_reached(call, settings):
    made = make(call, f"http://127.0.0.1:{closed_port()}/")
    verdict = try_(call, made)
    assert (verdict["status"], verdict["outcome"], verdict["conforms"]) == (None, "connect", False)
    assert verdict["error"] == "no connection: Connection refused"
    settings.CALLBACK_ALLOWED_NETWORKS = []
    with Listener() as listener:
        verdict = try_(call, make(call, listener.url()))
        assert (verdict["outcome"], verdict["body"], listener.requests) == ("blocked", None, [])


@pytest.mark.parametrize("body", [{"event": "message.lost"}, {"event": 5}, {"event": []}, {"type": "x"}])
def test_it_refuses_an_event_that_is_none(call, body):
    with Listener() as listener:
        made = make(call, listener.url())
        code, answer = call("post", f"/{made['id']}/test", body)
        assert (code, answer["details"][0]["field"]) == (400, *body)
        assert listener.requests == []


def test_it_is_nobody_else_s_to_try(call, stranger):
    with Listener() as listener:
        made = make(call, listener.url())
        assert stranger("post", f"/{made['id']}/test")[0] == 404
        assert listener.requests == []
