"""What would become of a message, without sending it."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from gateway import opt_outs, templates
from gateway.hooks import hooks
from gateway.models import DueMessage, Event, IdempotencyKey, Message
from gateway.models.tenant import sandbox_of
from tests.factories import Caller, message

PREVIEW = "/v1/messages/preview"


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """What the router is asked; it has an operator for everything."""
    templates.forget()
    requests = []

    def explain(request):
        requests.append(request)
        return {"operator": "carrier-one"}

    monkeypatch.setattr(hooks, "explain", explain)
    return requests


def test_says_all_that_would_be_sent(acme, asked):
    members = {
        "from": "ACME",
        "clientMessageId": "a",
        "sendAt": "2020-01-01T00:00:00+02:00",
        "callbackUrl": "https://example.com",
        "metadata": {"a": "b"},
        "validitySeconds": 60,
        "priority": "bulk",
        "fallback": [{"channel": "rcs", "content": {"text": "x"}}],
    }
    answer = acme.post(PREVIEW, message(to="+1 (415) 555-0101", content={"text": "€" * 81}, **members))
    assert answer.status == 200
    assert answer.json == {
        "to": "+14155550101",
        "from": "ACME",
        "channel": "sms",
        "encoding": "GSM-7",
        "parts": 2,
        "characters": 81,
        "text": "€" * 81,
        "country": "US",
        "route": {"operator": "carrier-one"},
        "alternatives": [],
        "problem": None,
        "sendAt": "2019-12-31T22:00:00.000Z",
        "fallbackStep": 0,
        "requestId": answer.headers["X-Request-Id"],
    }
    (request,) = asked
    assert request.tenant_id == acme.tenant.pk
    assert (request.channel, request.recipient, request.sender, request.parts) == (
        "sms",
        "+14155550101",
        "ACME",
        2,
    )


def test_fills_a_template_in(acme):
    values = {"name": "a", "language": "en", "channels": ["sms"], "body": "Да {{b}}", "category": "other"}
    templates.create(tenant_id=acme.tenant.pk, values=values)
    asked = {"template": {"name": "a", "variables": {"b": 5}}}
    answer = acme.post(f"{PREVIEW}/", message(content=asked)).json
    assert (answer["text"], answer["characters"], answer["encoding"]) == ("Да 5", 4, "UCS-2")
    missing = acme.post(PREVIEW, message(content={"template": {"name": "a"}}))
    assert (missing.status, missing.code) == (422, "TEMPLATE_VARIABLE_MISSING")


def test_has_no_text_for_media(acme):
    media = {"url": "https://example.com/a.jpg", "type": "image"}
    answer = acme.post(PREVIEW, message(channel="rcs", content={"media": media})).json
    assert (answer["text"], answer["characters"], answer["encoding"], answer["parts"]) == (
        None,
        None,
        None,
        1,
    )
    assert (answer["channel"], answer["from"], answer["sendAt"]) == ("rcs", None, None)


def test_is_of_no_country_for_a_number_of_none(acme):
    assert acme.post(PREVIEW, message(to="+80012345678")).json["country"] == ""


def test_says_that_nobody_would_carry_it(acme, monkeypatch):
    monkeypatch.setattr(hooks, "explain", lambda request: None)
    answer = acme.post(PREVIEW, message())
    assert (answer.status, answer.json["route"], answer.json["parts"]) == (200, None, 1)
    assert answer.json["problem"]["errorCode"] == "NO_ROUTE"
    opt_outs.add(tenant_id=acme.tenant.pk, phone="+14155550101", sender="", source="api")
    assert acme.post(PREVIEW, message()).json["problem"]["errorCode"] == "NO_ROUTE", "as sending has it"
    assert answer.json["problem"]["message"]


@pytest.mark.parametrize(
    ("sender", "given", "blocked"),
    [("", "ACME", True), ("", None, True), ("acme", "ACME", True), ("other", "ACME", False)],
)
def test_says_that_the_recipient_opted_out(acme, other, sender, given, blocked):
    opt_outs.add(tenant_id=acme.tenant.pk, phone="+14155550101", sender=sender, source="api")
    answer = acme.post(PREVIEW, message(**{"from": given}))
    assert (answer.status, answer.json["route"]) == (200, {"operator": "carrier-one"})
    code = answer.json["problem"] and answer.json["problem"]["errorCode"]
    assert code == ("RECIPIENT_OPTED_OUT" if blocked else None)
    assert other.post(PREVIEW, message(**{"from": given})).json["problem"] is None


@pytest.mark.parametrize(
    ("number", "code"),
    [("0002", "NO_ROUTE"), ("0004", "RECIPIENT_OPTED_OUT"), ("0006", None), ("0007", None), ("0009", None)],
)
def test_knows_the_sandboxs_numbers(acme, asked, number, code):
    recipient = f"+1500555{number}"
    answer = acme.post(PREVIEW, message(to=recipient), x_developer_mode="true")
    assert (answer.status, answer.json["to"]) == (200, recipient)
    assert (answer.json["problem"] and answer.json["problem"]["errorCode"]) == code
    assert asked[0].tenant_id == sandbox_of(acme.tenant.pk)
    assert acme.post(PREVIEW, message(to=recipient)).json["problem"] is None


def test_refuses_the_sandboxs_number_that_is_none(acme):
    answer = acme.post(PREVIEW, message(to="+15005550001"), x_developer_mode="true")
    assert (answer.status, answer.code) == (400, "INVALID_RECIPIENT")
    assert answer.json["details"][0]["field"] == "to"


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"to": "1"}, "to"),
        ({"to": None}, "to"),
        ({"content": {"text": ""}}, "content.text"),
        ({"channel": "fax"}, "channel"),
        ({"nope": 1}, "nope"),
        ({"fallback": [{"channel": "sms"}]}, "fallback[0].content"),
        ({"sendAt": "9999-01-01T00:00:00Z"}, "sendAt"),
    ],
)
def test_refuses_what_sending_refuses(acme, members, field):
    answer = acme.post(PREVIEW, message(**members))
    assert answer.status == 400
    assert field in {detail["field"] for detail in answer.json["details"]}
    sent = acme.post("/v1/messages", message(**members))
    assert answer.json | {"requestId": ""} == sent.json | {"requestId": ""}


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null"])
def test_refuses_a_body_that_is_no_object(acme, body):
    assert acme.send("POST", PREVIEW, body).code == "MALFORMED_BODY"


def test_keeps_nothing(acme):
    acme.post(PREVIEW, message())
    with CaptureQueriesContext(connection) as captured:
        asked = message(clientMessageId="a", fallback=[{"channel": "rcs", "content": {"text": "x"}}])
        assert acme.post(PREVIEW, asked, idempotency_key="b").status == 200
    assert all(query["sql"].strip().startswith("SELECT") for query in captured), captured.captured_queries
    assert not any(model.objects.exists() for model in (Message, Event, DueMessage, IdempotencyKey))
    sent = acme.post("/v1/messages", asked)
    assert (sent.status, "Idempotent-Replayed" in sent.headers) == (200, False)


def test_needs_the_permission_to_send(acme):
    reader = Caller(acme.tenant, name="reads", permissions=["reports:read", "templates:manage"])
    refused = reader.post(PREVIEW, message())
    assert (refused.status, refused.code) == (403, "PERMISSION_DENIED")
    assert (
        Caller(acme.tenant, name="sends", permissions=["messages:send"]).post(PREVIEW, message()).status
        == 200
    )
    assert acme.post(PREVIEW, message(), authorization="").status == 401


def test_is_not_taken_for_a_messages_id(acme):
    refused = acme.send("PUT", PREVIEW, b"{}")
    assert (refused.status, refused.code) == (405, "METHOD_NOT_ALLOWED")
