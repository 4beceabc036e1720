"""Whatever comes in, the answer is JSON with the right 4xx, and nothing is stored."""

import json

import pytest

from gateway.models import DueMessage, Event, IdempotencyKey, Message
from tests.factories import Answer, message

LONG = "x" * 256
DEEP = b'{"to":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
HUGE = json.dumps(message(content={"text": "x" * (3 * 1024 * 1024)})).encode()

MEMBERS = [
    # name, value, field, code of the detail
    ("to", None, "to", "REQUIRED"),
    ("to", 14155550101, "to", "INVALID_TYPE"),
    ("to", ["+14155550101"], "to", "INVALID_TYPE"),
    ("to", "", "to", "INVALID_RECIPIENT"),
    ("to", "4155550101", "to", "INVALID_RECIPIENT"),
    ("to", "+1" * 300, "to", "INVALID_RECIPIENT"),
    ("content", None, "content", "REQUIRED"),
    ("content", "text", "content", "INVALID_TYPE"),
    ("content", {}, "content", "INVALID_VALUE"),
    ("content", {"text": None}, "content", "INVALID_VALUE"),
    ("content", {"text": ""}, "content.text", "REQUIRED"),
    ("content", {"text": 5}, "content.text", "INVALID_TYPE"),
    ("content", {"text": "x" * 1601}, "content.text", "TEXT_TOO_LONG"),
    ("content", {"text": "a", "subject": "b"}, "content.subject", "UNKNOWN_MEMBER"),
    ("content", {"text": "a", "template": {"name": "b"}}, "content", "INVALID_VALUE"),
    ("content", {"media": {"url": "https://a.example", "type": "image"}}, "content.media", "INVALID_VALUE"),
    ("content", {"template": {}}, "content.template.name", "REQUIRED"),
    ("content", {"template": 5}, "content.template", "INVALID_TYPE"),
    ("content", {"template": {"name": "a", "variables": []}}, "content.template.variables", "INVALID_TYPE"),
    ("channel", "fax", "channel", "INVALID_VALUE"),
    ("channel", 5, "channel", "INVALID_VALUE"),
    ("channel", ["sms"], "channel", "INVALID_VALUE"),
    ("from", "TwelveLetters", "from", "INVALID_SENDER"),
    ("from", "1" * 16, "from", "INVALID_SENDER"),
    ("from", "", "from", "INVALID_SENDER"),
    ("from", "A\nB", "from", "INVALID_SENDER"),
    ("from", 5, "from", "INVALID_TYPE"),
    ("clientMessageId", "", "clientMessageId", "INVALID_LENGTH"),
    ("clientMessageId", LONG, "clientMessageId", "INVALID_LENGTH"),
    ("clientMessageId", 42, "clientMessageId", "INVALID_TYPE"),
    ("callbackUrl", "ftp://example.com", "callbackUrl", "INVALID_VALUE"),
    ("callbackUrl", "https://", "callbackUrl", "INVALID_VALUE"),
    ("callbackUrl", "https://exa mple.com", "callbackUrl", "INVALID_VALUE"),
    ("callbackUrl", "https://example.com/\r\nX: y", "callbackUrl", "INVALID_VALUE"),
    ("callbackUrl", "https://example.com:99999/", "callbackUrl", "INVALID_VALUE"),
    ("callbackUrl", "https://[::1/", "callbackUrl", "INVALID_VALUE"),
    ("callbackUrl", "https://example.com/" + "x" * 2048, "callbackUrl", "INVALID_VALUE"),
    ("callbackUrl", 5, "callbackUrl", "INVALID_TYPE"),
    ("metadata", [], "metadata", "INVALID_TYPE"),
    ("metadata", {"a": 1}, "metadata.a", "INVALID_TYPE"),
    ("metadata", {"a": {"b": "c"}}, "metadata.a", "INVALID_TYPE"),
    ("metadata", {f"k{n}": "v" for n in range(21)}, "metadata", "TOO_MANY"),
    ("metadata", {"a": "x" * 4096}, "metadata", "TOO_LARGE"),
    ("sendAt", "tomorrow", "sendAt", "INVALID_VALUE"),
    ("sendAt", "2026-12-01T09:00:00", "sendAt", "INVALID_VALUE"),
    ("sendAt", "2999-01-01T00:00:00Z", "sendAt", "OUT_OF_RANGE"),
    ("sendAt", "0001-01-01T00:00:00+14:00", "sendAt", "INVALID_VALUE"),
    ("sendAt", 1795000000, "sendAt", "INVALID_TYPE"),
    ("validitySeconds", 59, "validitySeconds", "OUT_OF_RANGE"),
    ("validitySeconds", 172801, "validitySeconds", "OUT_OF_RANGE"),
    ("validitySeconds", 10**30, "validitySeconds", "OUT_OF_RANGE"),
    ("validitySeconds", 3600.0, "validitySeconds", "INVALID_TYPE"),
    ("validitySeconds", True, "validitySeconds", "INVALID_TYPE"),
    ("validitySeconds", "3600", "validitySeconds", "INVALID_TYPE"),
    ("priority", "urgent", "priority", "INVALID_VALUE"),
    ("priority", 1, "priority", "INVALID_VALUE"),
    ("priority", {}, "priority", "INVALID_VALUE"),
    ("fallback", {}, "fallback", "INVALID_TYPE"),
    ("fallback", [5], "fallback[0]", "INVALID_TYPE"),
    ("fallback", [{"channel": "sms"}], "fallback[0].content", "REQUIRED"),
    ("fallback", [{"channel": "x", "content": {"text": "a"}}], "fallback[0].channel", "INVALID_VALUE"),
    ("fallback", [{"channel": "sms", "content": {"text": ""}}], "fallback[0].content.text", "REQUIRED"),
    (
        "fallback",
        [{"channel": "sms", "content": {"text": "a"}, "afterSeconds": -1}],
        "fallback[0].afterSeconds",
        "OUT_OF_RANGE",
    ),
    (
        "fallback",
        [{"channel": "sms", "content": {"text": "a"}, "nope": 1}],
        "fallback[0].nope",
        "UNKNOWN_MEMBER",
    ),
    ("fallback", [{"channel": "sms", "content": {"text": "a"}}] * 6, "fallback", "TOO_MANY"),
    ("recipient", "+14155550101", "recipient", "UNKNOWN_MEMBER"),
    ("", 1, "", "UNKNOWN_MEMBER"),
]

BODIES = {
    "nothing": (b"", 400, "MALFORMED_BODY"),
    "no JSON": (b"{", 400, "MALFORMED_BODY"),
    "a string": (b'"x"', 400, "MALFORMED_BODY"),
    "an array": (b"[]", 400, "MALFORMED_BODY"),
    "null": (b"null", 400, "MALFORMED_BODY"),
    "two values": (b"{} {}", 400, "MALFORMED_BODY"),
    "a trailing comma": (b'{"to":"+14155550101",}', 400, "MALFORMED_BODY"),
    "NaN": (b'{"to":NaN}', 400, "MALFORMED_BODY"),
    "Infinity": (b'{"to":-Infinity}', 400, "MALFORMED_BODY"),
    "a name twice": (
        b'{"to":"+14155550101","to":"+14155550102","content":{"text":"a"}}',
        400,
        "MALFORMED_BODY",
    ),
    "a name twice, deeper": (
        b'{"to":"+14155550101","content":{"text":"a","text":"b"}}',
        400,
        "MALFORMED_BODY",
    ),
    "NUL": (b'{"to":"+14155550101","content":{"text":"a\\u0000b"}}', 400, "MALFORMED_BODY"),
    "NUL in a name": (b'{"a\\u0000":1}', 400, "MALFORMED_BODY"),
    "a raw NUL": (b'{"to":"a\0"}', 400, "MALFORMED_BODY"),
    "half a surrogate": (b'{"to":"+14155550101","content":{"text":"\\ud83d"}}', 400, "MALFORMED_BODY"),
    "half a surrogate in a name": (b'{"metadata":{"\\udc00":"x"}}', 400, "MALFORMED_BODY"),
    "surrogates encoded": (b'{"to":"\xed\xa0\x80"}', 400, "MALFORMED_BODY"),
    "no UTF-8": (b'{"to":"\xff"}', 400, "MALFORMED_BODY"),
    "UTF-16": ('{"to":"+14155550101"}'.encode("utf-16"), 400, "MALFORMED_BODY"),
    "deep nesting": (DEEP, 400, "MALFORMED_BODY"),
    "deep nesting with an escape": (DEEP.replace(b"]}", b'"\\u0041"]}', 1), 400, "MALFORMED_BODY"),
    "a number too long": (b'{"to":' + b"9" * 5000 + b"}", 400, "MALFORMED_BODY"),
    "a number too large": (b'{"validitySeconds":1e999}', 400, "VALIDATION_FAILED"),
    "no members": (b"{}", 400, "VALIDATION_FAILED"),
    "3 MiB": (HUGE, 413, "PAYLOAD_TOO_LARGE"),
}

TYPES = [
    "",
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/xml",
    "application/jsonx",
    "application/json; charset=latin-1",
    "multipart/form-data; boundary=x",
    "application/json; charset=utf-8; x=y; z",
]


@pytest.fixture(autouse=True)
def _stores_nothing(db):
    yield
    for model in (Message, Event, DueMessage, IdempotencyKey):
        assert not model.objects.exists()


def check(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer.content[:300]
    assert answer.json["error"] == answer.json["message"]
    assert answer.json["requestId"] == answer.headers["X-Request-Id"]
    assert answer.json["retryable"] is False
    assert isinstance(answer.json["details"], list)


@pytest.mark.parametrize(("name", "value", "field", "code"), MEMBERS)
def test_names_the_member_that_is_wrong(acme, name, value, field, code):
    answer = acme.post("/v1/messages", message(**{name: value}))
    assert answer.status == 400
    assert (field, code) in {(detail["field"], detail["code"]) for detail in answer.json["details"]}
    kinds = {"INVALID_RECIPIENT", "INVALID_SENDER", "TEXT_TOO_LONG"}
    check(answer, 400, code if code in kinds else "VALIDATION_FAILED")
    bulk = acme.post("/v1/messages/bulk", {"messages": [message(**{name: value})]})
    check(bulk, 400, "ALL_MESSAGES_INVALID")
    assert bulk.json["results"][0]["error"]["details"] == answer.json["details"]


def test_names_all_that_is_wrong(acme):
    answer = acme.post("/v1/messages", {"to": 1, "priority": 2, "nope": 3})
    assert {detail["field"] for detail in answer.json["details"]} == {"to", "priority", "nope", "content"}


def test_does_not_know_templates_yet(acme):
    answer = acme.post("/v1/messages", message(content={"template": {"name": "otp", "language": "en"}}))
    check(answer, 422, "TEMPLATE_NOT_FOUND")


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/", "/v1/messages/bulk"])
@pytest.mark.parametrize("name", BODIES)
def test_refuses_a_body(acme, path, name):
    body, status, code = BODIES[name]
    check(acme.send("POST", path, body), status, code)


@pytest.mark.parametrize("content_type", TYPES)
def test_refuses_what_is_not_json(acme, content_type):
    body = json.dumps(message()).encode()
    check(acme.send("POST", "/v1/messages", body, content_type=content_type), 415, "UNSUPPORTED_MEDIA_TYPE")


def test_refuses_what_is_compressed(acme):
    check(acme.send("POST", "/v1/messages", b"x", content_encoding="gzip"), 415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/messages", "GET, POST, HEAD"),
        ("DELETE", "/v1/messages/", "GET, POST, HEAD"),
        ("PATCH", "/v1/messages/x", "GET, HEAD"),
        ("POST", "/v1/messages/x", "GET, HEAD"),
        ("GET", "/v1/messages/bulk", "POST"),
        ("GET", "/v1/messages/x/cancel", "POST"),
        ("OPTIONS", "/v1/messages", "GET, POST, HEAD"),
        ("TRACE", "/v1/messages", "GET, POST, HEAD"),
        ("SPLICE", "/v1/messages", "GET, POST, HEAD"),
        ("POST", "/v1/error-codes", "GET, HEAD"),
    ],
)
def test_refuses_a_method(acme, method, path, allowed):
    answer = acme.send(method, path)
    check(answer, 405, "METHOD_NOT_ALLOWED")
    assert set(answer.headers["Allow"].split(", ")) == set(allowed.split(", "))


@pytest.mark.parametrize(
    "path",
    ["/v1", "/v1/", "/v1/nope", "/v1/messages//", "/v1/messages/x/y/z", "/v1/%00", "/v1/%ff", "/v1/a\nb"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_knows_no_such_path(acme, method, path):
    check(acme.send(method, path), 404, "UNKNOWN_PATH")


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "VALIDATION_FAILED", "messages"),
        ({"messages": []}, "VALIDATION_FAILED", "messages"),
        ({"messages": {}}, "VALIDATION_FAILED", "messages"),
        ({"messages": "x"}, "VALIDATION_FAILED", "messages"),
        ({"messages": [message()], "nope": 1}, "VALIDATION_FAILED", "nope"),
        ({"messages": [message()], "defaults": []}, "VALIDATION_FAILED", "defaults"),
        ({"messages": [message()], "defaults": 5}, "VALIDATION_FAILED", "defaults"),
        (
            {"messages": [message()], "defaults": {"clientMessageId": "a"}},
            "VALIDATION_FAILED",
            "defaults.clientMessageId",
        ),
        ({"messages": [message()], "defaults": {"nope": "a"}}, "VALIDATION_FAILED", "defaults.nope"),
        ({"messages": [message()] * 1001}, "BATCH_TOO_LARGE", "messages"),
        ({"messages": [5, None, "x"]}, "ALL_MESSAGES_INVALID", "messages[0]"),
    ],
)
def test_refuses_a_bulk_call_as_a_whole(acme, body, code, field):
    answer = acme.post("/v1/messages/bulk", body)
    check(answer, 400, code)
    assert answer.json["details"][0]["field"] == field
