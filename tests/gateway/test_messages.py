from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import connection

from gateway import lifecycle, submission
from gateway.hooks import hooks
from gateway.lifecycle import Move
from gateway.models import DueMessage, Event, Message
from gateway.statuses import Status
from tests.factories import make_tenant, message


def in_(**delta) -> str:
    return (
        (datetime.now(tz=UTC) + timedelta(**delta)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def test_is_stored_with_its_event_and_its_place_in_the_queue(acme):
    answer = acme.post(
        "/v1/messages",
        message(
            **{"from": "ACME"},
            clientMessageId="order-42",
            callbackUrl="https://example.com/hook?a=1",
            metadata={"order": "42", "odd": 'tab\t slash\\ quote" line\n é😀'},
            validitySeconds=3600,
            priority="high",
            content={"text": "tab\t slash\\ \\N line\r\n é"},
            fallback=[{"channel": "sms", "content": {"text": "x"}, "afterSeconds": 60}],
        ),
    )
    assert answer.status == 200
    created = answer.json["createdAt"]
    assert answer.json == {
        "id": answer.json["id"],
        "clientMessageId": "order-42",
        "status": "accepted",
        "channel": "sms",
        "to": "+14155550101",
        "from": "ACME",
        "encoding": "UCS-2",
        "parts": 1,
        "createdAt": created,
        "sendAt": None,
        "requestId": answer.headers["X-Request-Id"],
    }
    row = Message.objects.values().get()
    assert row["text"] == "tab\t slash\\ \\N line\r\n é"
    assert row["metadata"] == {"order": "42", "odd": 'tab\t slash\\ quote" line\n é😀'}
    assert (row["status"], row["priority"], row["sequence"]) == ("accepted", 0, 1)
    assert row["expires_at"] == row["created_at"] + timedelta(hours=1)
    event = Event.objects.values().get()
    assert (event["type"], event["status"], event["sequence"]) == ("message.accepted", "accepted", 1)
    assert str(event["message_id"]) == answer.json["id"]
    due = DueMessage.objects.values().get()
    assert due["due_at"] == row["created_at"]
    assert (due["priority"], due["parts"], due["attempts"], due["refused_by"]) == (0, 1, 0, [])


def test_waits_for_its_moment(acme):
    at = in_(days=2)
    answer = acme.post("/v1/messages", message(sendAt=at, validitySeconds=60))
    assert (answer.json["status"], answer.json["sendAt"]) == ("scheduled", at)
    due = DueMessage.objects.values().get()
    assert due["due_at"].isoformat()[:19] == at[:19]
    assert due["expires_at"] - due["due_at"] == timedelta(seconds=60)


def test_goes_at_once_when_its_moment_has_passed(acme):
    answer = acme.post("/v1/messages", message(sendAt="2020-01-01T00:00:00+02:00", validitySeconds=60))
    assert (answer.json["status"], answer.json["sendAt"]) == ("accepted", "2019-12-31T22:00:00.000Z")
    row = Message.objects.values().get()
    assert row["expires_at"] - row["created_at"] == timedelta(seconds=60)


@pytest.mark.parametrize(
    ("channel", "media", "status"),
    [
        ("whatsapp", {"id": "1013859600285441", "type": "image"}, 200),
        (
            "whatsapp",
            {"url": "https://example.com/a.pdf", "type": "document", "filename": "invoice.pdf"},
            200,
        ),
        ("rcs", {"url": "https://example.com/a.pdf", "type": "document", "filename": "invoice.pdf"}, 200),
        ("whatsapp", {"id": "1", "url": "https://example.com/a.jpg", "type": "image"}, 400),
        ("whatsapp", {"id": "x" * 256, "type": "image"}, 400),
        ("whatsapp", {"id": 5, "type": "image"}, 400),
        ("rcs", {"id": "1", "type": "image"}, 400),
        ("whatsapp", {"type": "image"}, 400),
        ("whatsapp", {"url": "https://example.com/a.jpg", "type": "image", "filename": "a.jpg"}, 400),
        ("whatsapp", {"url": "https://example.com/a.pdf", "type": "document", "filename": ""}, 400),
    ],
)
def test_takes_media_by_url_or_by_id_and_names_of_documents(acme, channel, media, status):
    assert acme.post("/v1/messages", message(channel=channel, content={"media": media})).status == status


def test_carries_media_over_whatsapp(acme):
    media = {"url": "https://example.com/a.jpg", "type": "image", "caption": "A"}
    answer = acme.post("/v1/messages", message(channel="whatsapp", content={"media": media}))
    assert (answer.status, answer.json["encoding"], answer.json["parts"]) == (200, None, 1)
    assert acme.get(f"/v1/messages/{answer.json['id']}").json["content"] == {"media": media}


def test_is_refused_when_no_operator_carries_it(acme, monkeypatch):
    monkeypatch.setattr(hooks, "route", lambda requests, fresh=True: [submission.NO_ROUTE] * len(requests))
    answer = acme.post("/v1/messages", message(clientMessageId="a"))
    assert (answer.status, answer.code, answer.json["retryable"]) == (422, "NO_ROUTE", False)
    assert not Message.objects.exists()
    monkeypatch.setattr(hooks, "route", lambda requests, fresh=True: [7] * len(requests))
    assert acme.post("/v1/messages", message(clientMessageId="a")).status == 200
    assert DueMessage.objects.get().lane == 7
    monkeypatch.setattr(hooks, "route", lambda requests, fresh=True: [submission.NO_ROUTE] * len(requests))
    assert acme.post("/v1/messages", message(clientMessageId="a")).headers["Idempotent-Replayed"] == "true"


def test_is_refused_when_too_many_wait(acme, other):
    acme.tenant.backlog_limit = 3
    acme.tenant.save()
    bulk = acme.post("/v1/messages/bulk", {"messages": [message()] * 2})
    assert bulk.json["accepted"] == 2
    bulk = acme.post("/v1/messages/bulk", {"messages": [message()] * 2})
    assert (bulk.json["accepted"], bulk.json["results"][1]["error"]["errorCode"]) == (1, "QUEUE_FULL")
    full = acme.post("/v1/messages", message())
    assert (full.status, full.code, full.json["retryable"]) == (429, "QUEUE_FULL", True)
    assert int(full.headers["Retry-After"]) > 0
    assert acme.post("/v1/messages/bulk", {"messages": [message()]}).status == 429
    assert other.post("/v1/messages", message()).status == 200
    assert Message.objects.count() == 4


def test_is_undone_when_its_callbacks_cannot_be_queued(acme, monkeypatch):
    def fail(facts):
        raise RuntimeError("no")

    monkeypatch.setattr(hooks, "fan_out", [fail])
    answer = acme.post("/v1/messages", message(clientMessageId="a"))
    assert (answer.status, answer.code) == (500, "INTERNAL_ERROR")
    assert not Message.objects.exists()
    assert not DueMessage.objects.exists()
    monkeypatch.setattr(hooks, "fan_out", [])
    assert acme.post("/v1/messages", message(clientMessageId="a")).status == 200


def test_tells_the_other_apps_of_what_was_accepted(acme, monkeypatch):
    told = []
    monkeypatch.setattr(hooks, "fan_out", [told.extend])
    answer = acme.post("/v1/messages", message(callbackUrl="https://example.com"))
    (fact,) = told
    assert (str(fact.message_id), fact.type) == (answer.json["id"], "message.accepted")
    assert (fact.tenant_id, fact.callback_url) == (acme.tenant.pk, "https://example.com")
    assert Event.objects.get().pk == fact.event_id


def test_is_read_with_the_moment_of_each_status(acme, other):
    key = acme.post("/v1/messages", message()).json["id"]
    now = datetime.now(tz=UTC)
    lifecycle.move(moves=[Move(UUID(key), Status.SENDING, now)])
    lifecycle.move(moves=[Move(UUID(key), Status.SENT, now, operator="demo", operator_code="0x0")])
    answer = acme.get(f"/v1/messages/{key}")
    assert (answer.json["status"], answer.json["statusCode"], answer.json["operator"]) == (
        "sent",
        210,
        "demo",
    )
    assert set(answer.json["timestamps"]) == {"accepted", "sent"}
    assert answer.json["sentAt"] == answer.json["timestamps"]["sent"]
    assert answer.json["content"] == {"text": "Your code is 123456"}
    events = acme.get(f"/v1/messages/{key}/events")
    assert [line["type"] for line in events.json["data"]] == ["message.accepted", "message.sent"]
    assert events.json["data"][1]["operatorCode"] == "0x0"
    for path in (f"/v1/messages/{key}", f"/v1/messages/{key}/events"):
        assert other.get(path).status == 404
    assert other.post(f"/v1/messages/{key}/cancel").status == 404


def test_has_the_other_apps_lines_in_its_timeline(acme, monkeypatch):
    key = acme.post("/v1/messages", message()).json["id"]
    later = datetime.now(tz=UTC) + timedelta(seconds=1)
    line = {"type": "callback.delivered", "occurredAt": later}
    early = {"type": "callback.early", "occurredAt": later - timedelta(hours=1)}
    monkeypatch.setattr(hooks, "timeline", [lambda tenant_id, message_id: [line, early]])
    types = [entry["type"] for entry in acme.get(f"/v1/messages/{key}/events").json["data"]]
    assert types == ["callback.early", "message.accepted", "callback.delivered"]


@pytest.mark.parametrize("key", ["nothing", "01a1fc32-8652-7601-b91c-44e32841fd73", "0", "%00", "x" * 500])
@pytest.mark.parametrize("tail", ["", "/events", "/cancel"])
def test_is_not_found_when_there_is_none(acme, key, tail):
    path = f"/v1/messages/{key}{tail}"
    answer = acme.post(path) if tail == "/cancel" else acme.get(path)
    assert (answer.status, answer.code) == (404, "NOT_FOUND")


def test_can_be_cancelled_until_an_operator_has_it(acme):
    key = acme.post("/v1/messages", message()).json["id"]
    answer = acme.post(f"/v1/messages/{key}/cancel")
    assert (answer.status, answer.json["status"], answer.json["statusCode"]) == (200, "canceled", 304)
    assert not DueMessage.objects.exists()
    assert Event.objects.filter(type="message.canceled").count() == 1
    assert acme.post(f"/v1/messages/{key}/cancel/").status == 200, "again changes nothing"
    assert Event.objects.filter(type="message.canceled").count() == 1


def test_cannot_be_cancelled_once_an_operator_has_it(acme):
    key = acme.post("/v1/messages", message()).json["id"]
    lifecycle.move(moves=[Move(UUID(key), Status.SENDING, datetime.now(tz=UTC))])
    DueMessage.objects.all().delete()
    answer = acme.post(f"/v1/messages/{key}/cancel")
    assert (answer.status, answer.code) == (409, "ALREADY_SENT")


def test_keeps_its_place_in_the_queue_when_it_cannot_be_cancelled(acme):
    key = acme.post("/v1/messages", message()).json["id"]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE gateway_message SET status = 'delivered'")
    assert acme.post(f"/v1/messages/{key}/cancel").status == 409
    assert DueMessage.objects.exists()


def test_lists_page_by_page_newest_first(acme, other):
    sent = [acme.post("/v1/messages", message(clientMessageId=f"m{n}")).json["id"] for n in range(5)]
    other.post("/v1/messages", message())
    seen, cursor = [], ""
    while True:
        page = acme.get(f"/v1/messages?limit=2{cursor}").json
        seen += [entry["id"] for entry in page["data"]]
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert seen == sent[::-1]


def test_lists_what_matches(acme):
    acme.post("/v1/messages", message(clientMessageId="one", metadata={"order": "42"}))
    batch = acme.post(
        "/v1/messages/bulk", {"messages": [message(to="+33612345678", channel="whatsapp")]}
    ).json
    first = acme.get("/v1/messages?clientMessageId=one").json["data"][0]
    for query, count in {
        "status=accepted": 2,
        "status=sent": 0,
        "channel=whatsapp": 1,
        "to=%2B33612345678": 1,
        f"batchId={batch['batchId']}": 1,
        "clientMessageId=one": 1,
        "metadata.order=42": 1,
        "metadata.order=43": 0,
        f"createdAfter={in_(minutes=-1)}": 2,
        f"createdBefore={in_(minutes=-1)}": 0,
        f"createdAfter={first['createdAt']}&channel=sms": 1,
    }.items():
        assert len(acme.get(f"/v1/messages/?{query}").json["data"]) == count, query


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=%C2%B2",
        "cursor=!",
        "cursor=%00",
        "cursor=AAAA",
        "status=x",
        "status=%00",
        "channel=fax",
        "batchId=x",
        "createdAfter=now",
        "createdAfter=0001-01-01T00:00:00%2B14:00",
        "nope=1",
        "metadata.a=%00",
        "metadata.%00=1",
        "to=1&to=2",
        "clientMessageId=%00",
    ],
)
def test_refuses_a_query_it_does_not_understand(acme, query):
    answer = acme.get(f"/v1/messages?{query}")
    assert (answer.status, answer.code) == (400, "VALIDATION_FAILED")
    assert answer.json["details"][0]["field"] == query.partition("=")[0].replace("%00", "")


def test_is_accepted_for_several_tenants_in_one_call(db):
    now = datetime.now(tz=UTC)
    first, second = make_tenant("a"), make_tenant("b")
    asked = [
        submission.Submission(
            tenant_id=tenant.pk, recipient="+14155550101", text="x", key="same", fingerprint=b"f"
        )
        for tenant in (first, second, first)
    ]
    outcomes = submission.accept(submissions=asked, now=now)
    assert [outcome.replayed for outcome in outcomes] == [False, False, True]
    assert outcomes[0].id == outcomes[2].id != outcomes[1].id
    assert Message.objects.for_tenant(first.pk).count() == Message.objects.for_tenant(second.pk).count() == 1
