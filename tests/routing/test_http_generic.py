"""Requests from templates and meanings from answers, for whatever an operator wants, without a network."""

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest

from routing.errors import OperatorSettingsError
from routing.transports import http_answers
from routing.transports.http_answers import Meaning, Reading
from routing.transports.http_client import Answer
from routing.transports.http_engine import UnsendableError
from routing.transports.http_generic import HttpGenericTransport
from tests.routing.http_world import operator, outbound

URL = "http://127.0.0.1:1/send"
NASTY = 'a"b\\c&d=e <f> %41 {{to}} \n é €'


def made(url=URL, secrets=None, **settings):
    return HttpGenericTransport(operator({"url": url} | settings, **(secrets or {})))


def refused(url=URL, secrets=None, **settings) -> str:
    with pytest.raises(OperatorSettingsError) as found:
        made(url, secrets, **settings)
    return str(found.value)


def read(status=200, body=b"", *, retry_after=None, **settings):
    document = body if isinstance(body, bytes) else json.dumps(body).encode()
    return made(**settings).read(Answer(status, document, retry_after))


def test_it_fills_a_json_body_in_whatever_a_text_has():
    asked = made(body={"m": {"text": "{{text}}!", "n": [1, "{{to.digits}}", None, True]}}).request(
        outbound(NASTY)
    )
    assert asked.headers["Content-Type"] == "application/json"
    assert json.loads(asked.body) == {"m": {"text": f"{NASTY}!", "n": [1, "14155550101", None, True]}}


def test_a_place_alone_keeps_its_type_and_is_left_out_where_there_is_nothing():
    body = {"parts": "{{parts}}", "from": "{{from}}", "m": "{{metadata.order}}", "ttl": "{{validitySeconds}}"}
    asked = made(body=body).request(outbound(parts=3, sender=None))
    assert json.loads(asked.body) == {"parts": 3}
    ends = datetime.now(tz=UTC) + timedelta(seconds=90)
    asked = made(body=body).request(outbound(metadata={"order": "7"}, expires_at=ends))
    assert json.loads(asked.body) == {"parts": 1, "from": "ACME", "m": "7", "ttl": 89}


def test_it_fills_a_form():
    body = {"to": "{{to}}", "text": "x {{text}}", "sender": "{{from}}", "dlr": 1}
    asked = made(body=body, body_type="form").request(outbound(NASTY, sender=None))
    assert asked.headers["Content-Type"] == "application/x-www-form-urlencoded"
    fields = parse_qs(asked.body.decode(), keep_blank_values=True, strict_parsing=True)
    assert fields == {"to": ["+14155550101"], "text": [f"x {NASTY}"], "dlr": ["1"]}


def test_it_fills_texts_as_their_kind_wants_them():
    assert json.loads(made(body='{"t": "{{text}}"}').request(outbound(NASTY)).body) == {"t": NASTY}
    form = made(body="to={{to}}&t={{text}}", body_type="form").request(outbound(NASTY)).body.decode()
    assert parse_qs(form) == {"to": ["+14155550101"], "t": [NASTY]}
    xml = made(body="<m>{{text}}</m>", body_type="xml").request(outbound('<&">\x01')).body
    assert xml == b"<m>&lt;&amp;&quot;&gt; </m>"
    assert made(body="{{text}}", body_type="text").request(outbound(NASTY)).body == NASTY.encode()


def test_it_fills_the_url_and_the_headers():
    transport = made(
        "http://127.0.0.1:1/{{to.digits}}?t={{text}}",
        method="GET",
        headers={"X-Ref": "{{metadata.a}}-{{channel}}"},
        auth="query",
        auth_name="api key",
        secrets={"token": "s/1"},
    )
    asked = transport.request(outbound(NASTY, metadata={"a": "1\r\nX-Evil: 1"}))
    parts = urlsplit(asked.url)
    assert (asked.method, asked.body, parts.path) == ("GET", None, "/14155550101")
    assert parse_qs(parts.query) == {"t": [NASTY], "api key": ["s/1"]}
    assert asked.headers == {"X-Ref": "1  X-Evil: 1-sms"}


@pytest.mark.parametrize(
    ("settings", "headers"),
    [
        ({"auth": "basic", "username": "u"}, {"Authorization": "Basic dTpw"}),
        ({"auth": "bearer"}, {"Authorization": "Bearer t"}),
        ({"auth": "header", "auth_name": "X-Key"}, {"X-Key": "t"}),
        ({"headers": {"X-Key": "k {{secret.token}}"}}, {"X-Key": "k t"}),
    ],
)
def test_it_says_who_it_is(settings, headers):
    transport = made(secrets={"token": "t", "password": "p"}, **settings)
    assert transport.request(outbound()).headers == headers


def test_it_shows_ids_times_media_and_encoding():
    body = {
        "id": "{{messageId}}",
        "try": "{{deliveryId}}",
        "until": "{{expiresAt}}",
        "media": "{{content.media.url}}",
    }
    message = outbound(
        None,
        content={"media": {"url": "https://x.example/a.png"}},
        expires_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )
    assert json.loads(made(body=body).request(message).body) == {
        "id": str(message.message_id),
        "try": str(message.delivery_id),
        "until": "2026-01-02T03:04:05Z",
        "media": "https://x.example/a.png",
    }
    coding = made(body={"coding": "{{encoding}}"})
    assert json.loads(coding.request(outbound("Ω")).body) == {"coding": "GSM-7"}
    assert json.loads(coding.request(outbound("ж")).body) == {"coding": "UCS-2"}


def test_a_message_without_what_the_template_shows_is_not_sent():
    with pytest.raises(UnsendableError):
        made(body={"text": "{{text}}"}).request(outbound(None, content={"media": {"url": "x"}}))


def test_a_status_alone_is_a_success():
    assert read(204).meaning is Meaning.ACCEPTED
    assert read(204, success_status=200).meaning is Meaning.PERMANENT
    assert read(302, success_status="200-302").meaning is Meaning.ACCEPTED


def test_what_the_answer_says_goes_before_its_status():
    rule = {"success_path": "messages.*.status", "success_equals": 0, "code_path": "messages.*.status"}
    assert read(200, {"messages": [{"status": "0"}, {"status": 0}]}, **rule).meaning is Meaning.ACCEPTED
    some = read(200, {"messages": [{"status": "0"}, {"status": "9"}]}, **rule)
    assert some.meaning is Meaning.PERMANENT
    assert read(200, {"messages": []}, **rule).meaning is Meaning.PERMANENT
    assert read(500, {"messages": [{"status": "0"}]}, **rule).meaning is Meaning.UNKNOWN


def test_an_answer_that_cannot_be_read_is_unknown_where_it_must_be():
    assert read(200, b"<html>", success_path="ok").meaning is Meaning.UNKNOWN
    assert read(200, b"", success_path="ok").meaning is Meaning.UNKNOWN
    assert read(200, b"\xff[" * 9999, success_path="ok").meaning is Meaning.UNKNOWN
    assert read(200, b"[" * 60_000, success_path="ok").meaning is Meaning.UNKNOWN
    assert read(200, b"<html>", id_path="id").meaning is Meaning.ACCEPTED
    cut = made(success_path="ok").read(Answer(200, b'{"ok": 1}', None, whole=False))
    assert cut.meaning is Meaning.UNKNOWN


def test_it_reads_ids():
    assert read(200, {"id": 12345678901234567890}, id_path="id").remote_ids == ("12345678901234567890",)
    assert read(200, {"ids": ["a", "b", None]}, id_path="ids").remote_ids == ("a", "b")
    assert read(200, [{"a.b": "c"}], id_path="[0].a.b").remote_ids == ()
    assert read(200, {"a.b": "c"}, id_path="a.b").remote_ids == ("c",)
    assert read(200, b"0: Accepted\nID: x-1\nID: x-2", id_pattern=r"ID: (\S+)").remote_ids == ("x-1", "x-2")
    assert len(read(200, {"id": "x" * 9000}, id_path="id").remote_ids[0]) == 255
    assert read(200, {"id": "a\0b"}, id_path="id").remote_ids == ("ab",)


def test_its_error_map_classes_codes_and_statuses():
    rule = {
        "code_path": "error.code",
        "errors": {
            "21211": "permanent:INVALID_RECIPIENT",
            "30001": "throttled",
            "20429": "temporary",
            "20003": "barred",
            "404": "temporary",
        },
    }

    def code(number, status=400):
        found = read(status, {"error": {"code": number}}, **rule)
        return found.meaning, found.code, found.error_code

    assert code(21211) == (Meaning.PERMANENT, "21211", "INVALID_RECIPIENT")
    assert code("30001") == (Meaning.THROTTLED, "30001", None)
    assert code(20429, 200) == (Meaning.TEMPORARY, "20429", None)
    assert code(20003, 403)[0] is Meaning.BARRED
    assert code(1) == (Meaning.PERMANENT, "1", None)
    assert code(1, 404)[0] is Meaning.TEMPORARY
    assert (
        read(400, b"ERR: 7 no", code_pattern=r"ERR: (\d+)", errors={"7": "unknown"}).meaning
        is Meaning.UNKNOWN
    )


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"url": None}, "url is missing"),
        ({"url": "ftp://x.example/"}, "url"),
        ({"url": "//x"}, "url"),
        ({"url": "http://{{to}}.example/"}, "url"),
        ({"url": "http://u:p@x.example/"}, "credentials"),
        ({"url": "http://x.example/a b"}, "url"),
        ({"url": "http://x.example:99999/"}, "url"),
        ({"url": "http://x.example/{{nobody}}"}, "{{nobody}}"),
        ({"url": "http://x.example/{{to"}, "url"),
        ({"url": "http://x.example/{{secret.key}}"}, "secret key"),
        ({"method": "DELETE"}, "method"),
        ({"method": "GET", "body": "x"}, "GET has no body"),
        ({"window": 0}, "window"),
        ({"window": "many"}, "window"),
        ({"window": True}, "window"),
        ({"timeout": "nan"}, "timeout"),
        ({"timeout": 5, "connect_timeout": 6}, "connect_timeout"),
        ({"headers": ["X"]}, "headers"),
        ({"headers": {"X Y": "1"}}, "headers"),
        ({"headers": {"X": "1\r\nY: 2"}}, "headers"),
        ({"headers": {"Content-Length": "1"}}, "Content-Length"),
        ({"headers": {"X": "{{metadata}}"}}, "headers[X]"),
        ({"body": 5}, "body"),
        ({"body": {"a": 1}, "body_type": "xml"}, "body"),
        ({"body": {"a": {"b": "{{c}}"}}}, "body.a.b"),
        ({"body": "x", "body_type": "yaml"}, "body_type"),
        ({"auth": "digest"}, "auth"),
        ({"auth": "basic", "username": "u"}, "secret password"),
        ({"auth": "basic"}, "username"),
        ({"auth": "bearer"}, "secret token"),
        ({"auth": "header"}, "auth_name"),
        ({"auth": "query"}, "auth_name"),
        ({"success_status": "2xx"}, "success_status"),
        ({"success_status": [200, "300-200"]}, "success_status"),
        ({"success_status": []}, "success_status"),
        ({"success_path": "a..b"}, "success_path"),
        ({"success_path": "a[b]"}, "success_path"),
        ({"success_equals": "ok"}, "success_path"),
        ({"success_path": "a", "success_equals": {"b": 1}}, "success_equals"),
        ({"id_path": "a", "id_pattern": "(b)"}, "not both"),
        ({"id_pattern": "("}, "id_pattern"),
        ({"id_pattern": "abc"}, "one group"),
        ({"errors": {"1": "fatal"}}, "errors['1']"),
        ({"errors": {"1": "permanent:oops"}}, "errors['1']"),
        ({"errors": {"1": "permanent:OOPS"}}, "INVALID_RECIPIENT"),
        ({"errors": "1=permanent"}, "errors"),
        ({"tls_ca_file": "/nowhere"}, "tls_ca_file"),
        ({"tls_verify": "no"}, "tls_verify"),
        ({"sucess_path": "a"}, "'sucess_path'"),
        ({"intake_auth": "none"}, "intake_auth"),
        ({"intake_digest": "md5"}, "intake_digest"),
        ({"receipt_states": {"OK": "fine"}}, "receipt_states['OK']"),
        ({"receipt_id": "["}, "receipt_id"),
    ],
    ids=str,
)
def test_it_refuses_nonsense_and_names_it(settings, named):
    found = refused(**{"url": URL} | settings)
    assert found.startswith("one: ")
    assert named in found


def test_it_tells_no_secret():
    assert "hush" not in refused(secrets={"token": "hush\n"}, auth="bearer")
    assert "one line" in refused(secrets={"token": "hush\n"}, auth="bearer")
    assert "hush" not in refused(secrets={"intake_token": "hush"})


def test_a_code_with_nul_can_be_kept():
    reading = Reading(Meaning.PERMANENT, code="a\0b")
    assert http_answers.outcome(outbound(), reading).code == "a\ufffdb"
