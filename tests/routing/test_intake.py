"""What HTTP operators post: who may, what is kept of it, and that it may come again."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from gateway import lifecycle
from gateway.lifecycle import Move
from gateway.models import Event, InboundMessage
from gateway.statuses import Status
from routing import intake, provisioning, receipts
from routing.contract import Outcome, ReceiptState, Verdict
from routing.models import ParkedReceipt
from routing.provisioning import OperatorWish
from routing.transports import http_intake
from tests.routing.conftest import status_of, timeline_of

pytestmark = pytest.mark.django_db

TOKEN = "a-token-of-24-characters"


@pytest.fixture(autouse=True)
def _fresh_directory():
    intake._directory.__init__()


@pytest.fixture
def made(db):
    def make(slug="one", *, update=False, token=TOKEN, **settings):
        wish = OperatorWish(
            slug=slug,
            transport="http",
            settings={"url": "http://127.0.0.1:1/"} | settings,
            secrets={"intake_token": token} if token else {},
        )
        return provisioning.add_operator(wish=wish, update=update)

    return make


@pytest.fixture
def sent(made, waiting):
    """Messages that the operator ``one`` has, by the ids that it gave them."""
    operator = made(receipt_code="code", receipt_time="at")

    def send(*remote_ids):
        keys, now = waiting(operator, len(remote_ids)), datetime.now(tz=UTC)
        for status in (Status.QUEUED, Status.SENDING, Status.SENT):
            lifecycle.move(moves=[Move(key, status, now) for key in keys])
        outcomes = [
            Outcome(key, key, Verdict.ACCEPTED, now, (remote_id,))
            for key, remote_id in zip(keys, remote_ids, strict=True)
        ]
        receipts.expect(operator_id=operator.pk, outcomes=outcomes)
        return keys

    return send


def post(path, body, *, kind="application/json", client=None, **headers):
    given = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = (client or Client()).post(path, given, content_type=kind, headers=headers)
    return answer.status_code, json.loads(answer.content)


RECEIPTS, INBOUND = f"/intake/one/receipts/{TOKEN}", f"/intake/one/inbound/{TOKEN}"


def test_a_receipt_moves_its_message(sent):
    (key,) = sent("M1")
    body = {"id": "M1", "status": "DELIVRD", "code": 0, "at": "2026-01-02T03:04:05+02:00", "more": [1]}
    status, answer = post(RECEIPTS, body)
    assert (status, answer["accepted"], answer["ignored"]) == (200, 1, [])
    assert answer["requestId"]
    assert status_of(key) == "delivered"
    event = Event.objects.get(message_id=key, type="message.delivered")
    assert (event.operator, event.operator_code) == ("one", "DELIVRD:0")
    assert event.data == body | {"doneAt": "2026-01-02T01:04:05+00:00"}


def test_a_receipt_may_come_again(sent):
    (key,) = sent("M1")
    for _ in range(3):
        assert post(RECEIPTS, {"id": "M1", "status": "delivered"})[0] == 200
    assert status_of(key) == "delivered"
    assert timeline_of(key)[-2:] == ["receipt.repeated"] * 2


def test_a_receipt_that_comes_before_its_answer_is_kept(made):
    made()
    assert post(RECEIPTS, {"id": "M9", "status": "delivered"})[0] == 200
    assert ParkedReceipt.objects.get().remote_id == "M9"


def test_a_post_may_have_many(sent):
    keys = sent("M1", "M2", "M3")
    status, answer = post(
        RECEIPTS,
        [
            {"id": "M1", "status": "delivered"},
            {"id": "M2", "status": "failed"},
            {"id": "M3"},
            "nonsense",
            {"id": "M3", "status": "teleported"},
        ],
    )
    assert (status, answer["accepted"]) == (200, 3)
    assert [(each["field"], each["code"]) for each in answer["ignored"]] == [
        ("[2].status", "REQUIRED"),
        ("[3].id", "REQUIRED"),
    ]
    assert [status_of(key) for key in keys] == ["delivered", "failed", "sent"]
    # What nobody knows is kept, and moves nothing.
    assert timeline_of(keys[2])[-1] == "receipt.interim"


def test_a_post_may_be_a_form_or_a_query(sent):
    one, two = sent("M1", "M2")
    form = "application/x-www-form-urlencoded"
    assert post(RECEIPTS, b"id=M1&status=DELIVRD&x=%00", kind=form)[0] == 200
    assert Client().get(f"{RECEIPTS}?id=M2&status=EXPIRED").status_code == 200
    assert (status_of(one), status_of(two)) == ("delivered", "expired")


def test_fields_are_where_the_settings_say(made, sent):
    (key,) = sent("M1")
    made(
        update=True,
        receipt_list="entry.*.statuses",
        receipt_id="message.id",
        receipt_status="state",
        receipt_states={"9": "delivered"},
    )
    body = {"entry": [{"statuses": [{"message": {"id": "M1"}, "state": 9}]}, {"statuses": []}]}
    assert post(RECEIPTS, body)[1]["accepted"] == 1
    assert status_of(key) == "delivered"


def test_another_operators_id_is_not_this_ones(made, sent):
    (key,) = sent("M1")
    made("two")
    assert post(f"/intake/two/receipts/{TOKEN}", {"id": "M1", "status": "delivered"})[0] == 200
    assert status_of(key) == "sent"


def test_a_handsets_message_is_kept_once(made):
    made(inbound_id="id", inbound_time="at")
    body = {"id": "I1", "from": "33612345678", "to": "36000", "text": "Oui é\0", "at": 1767323045}
    for _ in range(2):
        assert post(INBOUND, body)[1]["accepted"] == 1
    assert post(INBOUND, [body, body, body | {"id": "I2"}])[1]["accepted"] == 3
    kept = InboundMessage.objects.order_by("id")
    assert [row.raw["id"] for row in kept] == ["I1", "I2"]
    row = kept[0]
    assert (row.operator, row.channel, row.recipient, row.text) == ("one", "sms", "36000", "Oui é\ufffd")
    assert row.sender.removeprefix("+") == "33612345678"
    assert row.raw["sentAt"] == "2026-01-02T03:04:05+00:00"


def test_an_id_is_its_operators_own(made):
    made(inbound_id="id")
    made("two", inbound_id="id")
    body = {"id": "I1", "from": "+33612345678", "to": "36000", "text": "hi"}
    post(INBOUND, body)
    post(f"/intake/two/inbound/{TOKEN}", body)
    assert InboundMessage.objects.count() == 2


def test_messages_without_an_id_are_all_kept(made):
    made(inbound_id="id")
    for _ in range(2):
        post(INBOUND, {"from": "+33612345678", "to": "36000", "text": "hi"})
    assert InboundMessage.objects.count() == 2


def test_an_empty_message_is_one_and_one_from_nobody_is_none(made):
    made()
    assert post(INBOUND, {"from": "+33612345678", "to": "36000"})[0] == 200
    status, answer = post(INBOUND, {"to": "36000", "text": "hi"})
    assert (status, answer["errorCode"]) == (400, "VALIDATION_FAILED")
    assert answer["details"][0]["field"] == "from"
    assert [row.text for row in InboundMessage.objects.all()] == [""]


def test_repeats_at_the_same_moment_are_kept_once(transactional_db, made, together):
    made(inbound_id="id")
    body = {"id": "I1", "from": "+33612345678", "to": "36000", "text": "hi"}
    found = together(lambda _number: post(INBOUND, body)[0], 4)
    assert found == [200] * 4
    assert InboundMessage.objects.count() == 1


@pytest.mark.parametrize(
    "path",
    [
        "/intake/one/receipts",
        "/intake/one/receipts/wrong",
        "/intake/one/inbound/",
        "/intake/nobody/receipts/" + TOKEN,
        "/intake/closed/receipts/",
        "/intake/closed/receipts/None",
        "/intake/phone/receipts/" + TOKEN,
    ],
)
def test_nobody_else_may_post(made, make_operator, path):
    made()
    made("closed", token=None)
    make_operator("phone")
    status, answer = post(path, {"id": "M1", "status": "delivered"})
    assert status in ({404} if path.endswith("/") else {401})
    assert not ParkedReceipt.objects.exists()
    assert set(answer) >= {"message", "errorCode", "retryable", "requestId"}


def test_it_may_be_shown_in_a_header(made):
    made(intake_auth="header", intake_header="X-Key")
    body = {"id": "M1", "status": "delivered"}
    assert post("/intake/one/receipts", body, **{"X-Key": TOKEN})[0] == 200
    assert post("/intake/one/receipts", body, **{"X-Key": f"Bearer {TOKEN}"})[0] == 200
    assert post("/intake/one/receipts", body, **{"X-Key": TOKEN[:-1]})[0] == 401
    assert post(RECEIPTS, body)[0] == 401


def test_it_may_be_shown_as_name_and_password(made):
    made(intake_auth="basic", intake_username="op")

    def basic(pair):
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}

    body = {"id": "M1", "status": "delivered"}
    assert post("/intake/one/receipts", body, **basic(f"op:{TOKEN}"))[0] == 200
    assert post("/intake/one/receipts", body, **basic(f"one:{TOKEN}"))[0] == 401


@pytest.mark.parametrize("digest", ["sha256", "sha1", "sha512"])
def test_it_may_be_a_signature_of_the_body(made, digest):
    made(intake_auth="hmac", intake_digest=digest)
    body = json.dumps({"id": "M1", "status": "delivered"}).encode()
    right = hmac.digest(TOKEN.encode(), body, digest)
    for shown in (
        right.hex(),
        right.hex().upper(),
        f"{digest}={right.hex()}",
        base64.b64encode(right).decode(),
    ):
        assert post("/intake/one/receipts", body, **{"X-Signature": shown})[0] == 200
    assert post("/intake/one/receipts", body + b" ", **{"X-Signature": right.hex()})[0] == 401
    assert post("/intake/one/receipts", body)[0] == 401


def test_a_signature_of_a_get_is_of_its_query(made):
    made(intake_auth="hmac")
    query = "id=M1&status=delivered"
    shown = hmac.new(TOKEN.encode(), query.encode(), hashlib.sha256).hexdigest()
    path = f"/intake/one/receipts?{query}"
    assert Client().get(path, headers={"X-Signature": shown}).status_code == 200
    assert Client().get(f"{path}&x=1", headers={"X-Signature": shown}).status_code == 401


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"", "application/json", 400, "MALFORMED_BODY"),
        (b"{", "application/json", 400, "MALFORMED_BODY"),
        (b"\xff\xfe", "application/json", 400, "MALFORMED_BODY"),
        (b'{"id": "\\ud800", "status": NaN}', "application/json", 400, "MALFORMED_BODY"),
        (b"[" * 100_000, "application/json", 400, "MALFORMED_BODY"),
        (b"[]", "application/json", 400, "VALIDATION_FAILED"),
        (b"null", "application/json", 400, "VALIDATION_FAILED"),
        (b"<x/>", "text/xml", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"a=1&" * 300, "application/x-www-form-urlencoded", 400, "MALFORMED_BODY"),
        (b" " * (2 * 1024 * 1024 + 1), "application/json", 413, "PAYLOAD_TOO_LARGE"),
    ],
    ids=["empty", "half", "no UTF-8", "half a pair", "deep", "none", "null", "XML", "fields", "large"],
)
def test_it_answers_nonsense_in_json(made, body, kind, status, code):
    made()
    found, answer = post(RECEIPTS, body, kind=kind)
    assert (found, answer["errorCode"]) == (status, code)
    assert not ParkedReceipt.objects.exists()


def test_json_is_json_whatever_it_is_called(made):
    made()
    assert post(RECEIPTS, {"id": "M1", "status": "x"}, kind="text/plain")[0] == 200
    assert post(RECEIPTS, {"id": "M1", "status": "x"}, kind="application/vnd.x+json; charset=utf-8")[0] == 200


def test_other_methods_and_paths_are_refused_in_json(made):
    made()
    answer = Client().put(RECEIPTS, b"{}")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST")
    for path in ("/intake", "/intake/one", "/intake/one/else"):
        answer = Client().post(path)
        assert (answer.status_code, answer.json()["errorCode"]) == (404, "UNKNOWN_PATH")


def test_it_asks_to_come_again_while_the_database_is_away(made, monkeypatch):
    made()
    assert post(RECEIPTS, {"id": "M0", "status": "x"})[0] == 200

    def away(**_given):
        raise OperationalError

    monkeypatch.setattr(receipts, "record", away)
    status, answer = post(RECEIPTS, {"id": "M1", "status": "delivered"})
    assert (status, answer["retryable"]) == (503, True)


def test_it_answers_what_the_operator_wants_to_read(made):
    made(intake_reply="ACK")
    answer = Client().post(RECEIPTS, b'{"id": "M1", "status": "x"}', content_type="application/json")
    assert (answer.status_code, answer.content) == (200, b"ACK")


def test_who_a_post_is_from_is_not_asked_each_time(made):
    made()
    post(RECEIPTS, {"id": "M1", "status": "x"})
    with CaptureQueriesContext(connection) as asked:
        post(RECEIPTS, {"id": "M1", "status": "x"})
    assert asked.captured_queries
    assert not [query for query in asked.captured_queries if '"routing_operator"' in query["sql"]]


def test_a_change_of_its_settings_is_noticed(made):
    made()
    assert post(RECEIPTS, {"id": "M1", "status": "x"})[0] == 200
    made(update=True, token="another-token-of-its-own")
    intake._directory.stale_at = 0.0
    assert post(RECEIPTS, {"id": "M1", "status": "x"})[0] == 401


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("2026-01-02T03:04:05Z", (2026, 1, 2, 3, 4, 5)),
        ("2026-01-02 03:04:05", (2026, 1, 2, 3, 4, 5)),
        ("2026-01-02T05:04:05+02:00", (2026, 1, 2, 3, 4, 5)),
        ("1767323045", (2026, 1, 2, 3, 4, 5)),
        ("1767323045000", (2026, 1, 2, 3, 4, 5)),
        ("260102030405", (2026, 1, 2, 3, 4, 5)),
        ("20260102030405", (2026, 1, 2, 3, 4, 5)),
    ],
)
def test_it_reads_moments(given_text, expected):
    assert http_intake.moment(given_text) == datetime(*expected, tzinfo=UTC)


@given(st.text(max_size=30) | st.text("0123456789-: TZ+.", max_size=30))
def test_no_text_is_more_than_no_moment(given_text):
    found = http_intake.moment(given_text)
    assert found is None or found.tzinfo is UTC


def test_every_word_for_a_state_is_one_of_ours():
    assert set(http_intake.STATES.values()) < set(ReceiptState)
    assert all(word == word.lower() for word in http_intake.STATES)
