"""What every answer has, and what the API says of itself."""

import json

import pytest
from django.db import OperationalError, connection
from django.test import Client

from gateway import errors, keys
from gateway.api import requestid
from tests.factories import message


def test_has_a_request_id_of_its_own_or_the_caller_s(acme):
    first, second = acme.post("/v1/messages", message()), acme.post("/v1/messages", message())
    assert first.json["requestId"] == first.headers["X-Request-Id"] != second.json["requestId"]
    named = acme.post("/v1/messages", message(), x_request_id="trace-42:a.b_c")
    assert named.json["requestId"] == named.headers["X-Request-Id"] == "trace-42:a.b_c"


def test_says_how_long_it_is_and_that_it_is_what_it_says(acme):
    answer = acme.post("/v1/messages", message())
    assert answer.headers["Content-Length"] == str(len(answer.content))
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\xe9", "-a", "a<b>", "a\x00"])
def test_does_not_repeat_a_request_id_that_is_no_plain_token(acme, given):
    answer = acme.get("/v1/messages", x_request_id=given)
    assert answer.json["requestId"] != given
    assert len(answer.json["requestId"]) == 36


def test_has_a_request_id_without_a_request():
    assert len(requestid.of(None)) == 36


def test_is_503_while_the_database_is_away(acme, monkeypatch):
    def away(*_arguments):
        raise OperationalError("gone")

    keys.forget()
    with monkeypatch.context() as patch:
        patch.setattr(connection, "cursor", away)
        answer = acme.post("/v1/messages", message())
    assert (answer.status, answer.code, answer.json["retryable"]) == (503, "SERVICE_UNAVAILABLE", True)
    assert int(answer.headers["Retry-After"]) >= 1


def test_is_500_in_json_when_something_breaks(acme, monkeypatch, caplog):
    def broken(*_arguments):
        raise ZeroDivisionError

    monkeypatch.setattr(keys, "find", broken)
    answer = acme.post("/v1/messages", message())
    assert (answer.status, answer.code, answer.json["retryable"]) == (500, "INTERNAL_ERROR", True)
    assert "api.failed" in caplog.text


def test_is_html_outside_the_api():
    answer = Client().get("/nope")
    assert answer.status_code == 404
    assert "html" in answer["Content-Type"]


def test_lists_every_error_code_with_what_to_do(db):
    answer = Client().get("/v1/error-codes").json()
    codes = {entry["errorCode"]: entry for entry in answer["data"]}
    assert {"NO_ROUTE", "QUEUE_FULL", "IDEMPOTENCY_CONFLICT", "PERMISSION_DENIED"} <= codes.keys()
    assert codes["QUEUE_FULL"]["status"] == 429
    assert all(entry["action"] and entry["message"] for entry in codes.values())
    assert answer["requestId"]


def test_gives_each_code_to_one_kind_of_problem():
    leaves = [leaf.code for leaf in errors._leaves(errors.Problem)]
    assert len(leaves) == len(set(leaves))


def test_describes_itself(db):
    document = Client().get("/v1/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    text = json.dumps(document)
    schemas = document["components"]["schemas"]
    for reference in set(_references(document)):
        kind, name = reference.removeprefix("#/components/").split("/")
        assert name in document["components"][kind], reference
    assert "additionalProperties" in text
    assert set(schemas["Problem"]["required"]) <= set(schemas["Problem"]["properties"])


def _references(value):
    if isinstance(value, dict):
        for name, item in value.items():
            if name == "$ref":
                yield item
            else:
                yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def test_describes_what_it_answers(acme):
    document = acme.get("/v1/openapi.json").json
    schemas = document["components"]["schemas"]
    sent = acme.post("/v1/messages", message())
    key = sent.json["id"]
    bulk = acme.post("/v1/messages/bulk", {"messages": [message(), message(to="x")]})
    for name, answer in {
        "Accepted": sent,
        "Batch": bulk,
        "Message": acme.get(f"/v1/messages/{key}"),
        "MessagePage": acme.get("/v1/messages"),
        "EventPage": acme.get(f"/v1/messages/{key}/events"),
        "Problem": acme.get("/v1/messages/x"),
        "ErrorCodePage": acme.get("/v1/error-codes"),
    }.items():
        assert set(answer.json) == set(schemas[name]["properties"]), name
    described = {"get", "post"}
    for path, methods in document["paths"].items():
        if "/webhooks/" in path:
            continue  # that app's own tests
        for method in described - methods.keys():
            answer = acme.send(method.upper(), path.replace("{messageId}", key))
            assert answer.status == 405, (method, path)


def test_is_documented_on_one_page(db):
    page = Client().get("/v1/docs")
    assert page.status_code == 200
    text = page.content.decode()
    assert "curl" in text
    assert "IDEMPOTENCY_CONFLICT" in text
    assert "<script" not in text
    assert Client().get("/v1/docs/").status_code == 200
