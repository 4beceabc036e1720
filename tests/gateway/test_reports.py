"""``GET /v1/reports/messages.csv``."""

import csv
import io
import time
import uuid
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client

from gateway import ids, lifecycle, reports
from gateway.api import openapi
from gateway.lifecycle import Move
from gateway.models import Message
from gateway.statuses import Status
from tests.factories import Caller, make_tenant, message

PATH = "/v1/reports/messages.csv"

# The report is read by a connection of its own, which sees what is committed.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def acme(transactional_db):
    return Caller(make_tenant("acme"))


@pytest.fixture
def other(transactional_db):
    return Caller(make_tenant("other"))


def send(caller, **members):
    answer = caller.post("/v1/messages", message(**members))
    assert answer.status == 200, answer.json
    return answer.json


def fetch(caller, *, headers=None, **query):
    path = f"{PATH}?{urlencode(query)}"
    return Client().get(path, headers={"authorization": f"Bearer {caller.api_key}"} | (headers or {}))


def rows(caller, **query):
    response = fetch(caller, **query)
    assert response.status_code == 200
    return list(csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode(), newline="")))


def others():
    """Connections of this process's beside the test's own."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND query LIKE 'COPY%%'"
        )
        return cursor.fetchone()[0]


def test_it_is_the_log_oldest_first(acme, other):
    sent = [send(acme, clientMessageId=f"order-{number}", metadata={"a": "1"}) for number in range(3)]
    send(other)
    key = uuid.UUID(sent[0]["id"])
    for target in (Status.SENDING, Status.SENT, Status.FAILED):
        lifecycle.move(moves=[Move(key, target, datetime.now(tz=UTC), "one", error_code="NO_ROUTE")])
    found = rows(acme)
    assert [row["id"] for row in found] == [one["id"] for one in sent]
    first = found[0]
    assert list(first) == list(reports.COLUMNS)
    assert first["createdAt"] == sent[0]["createdAt"]
    assert (first["status"], first["statusCode"], first["operator"]) == ("failed", "332", "one")
    assert (first["to"], first["country"], first["text"]) == ("+14155550101", "US", "Your code is 123456")
    assert (first["clientMessageId"], first["metadata"], first["priority"]) == (
        "order-0",
        '{"a": "1"}',
        "normal",
    )
    assert first["sentAt"].endswith("Z")
    assert found[1]["statusCode"] == "101"
    assert found[1]["sentAt"] == ""


def test_its_rows_agree_with_the_messages_own(acme):
    sent = send(acme, sendAt=(datetime.now(tz=UTC) + timedelta(hours=1)).isoformat(), priority="high")
    resource = acme.get(f"/v1/messages/{sent['id']}").json
    (row,) = rows(acme)
    for name in reports.COLUMNS.keys() & resource.keys() - {"metadata"}:
        value = resource[name]
        assert row[name] == ("" if value is None else str(value)), name


def test_it_is_an_attachment_with_the_usual_headers(acme):
    response = fetch(acme, headers={"x-request-id": "mine"})
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"] == 'attachment; filename="messages.csv"'
    assert response.headers["X-Request-Id"] == "mine"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.streaming
    assert b"".join(response.streaming_content).decode().strip() == ",".join(reports.COLUMNS)
    response.close()


def test_it_filters_as_the_list_does(acme):
    one = send(acme, clientMessageId="a,b", metadata={"k": "v"})
    send(acme, to="+4915112345678", channel="rcs")
    batch = acme.post("/v1/messages/bulk", {"messages": [message()]}).json["batchId"]
    for query, count in (
        ({}, 3),
        ({"clientMessageId": "a,b"}, 1),
        ({"metadata.k": "v"}, 1),
        ({"metadata.k": "w"}, 0),
        ({"channel": "rcs"}, 1),
        ({"recipient": "+4915112345678"}, 1),
        ({"status": "accepted"}, 3),
        ({"status": "sent"}, 0),
        ({"batchId": batch}, 1),
        ({"from": one["createdAt"]}, 3),
        ({"to": one["createdAt"]}, 0),
        ({"createdAfter": "2199-01-01"}, 0),
        ({"createdBefore": "2199-01-01T00:00:00Z"}, 3),
    ):
        assert len(rows(acme, **query)) == count, query


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"status": "gone"}, "status"),
        ({"channel": "fax"}, "channel"),
        ({"recipient": "12"}, "recipient"),
        ({"batchId": "x"}, "batchId"),
        ({"from": "x"}, "from"),
        ({"from": "2026-01-02", "to": "2026-01-01"}, "from"),
        ({"from": "2026-01-02", "createdAfter": "2026-01-01"}, "createdAfter"),
        ({"clientMessageId": "a\0"}, "clientMessageId"),
        ({"limit": "1"}, "limit"),
    ],
)
def test_it_names_what_is_wrong(acme, query, field):
    response = fetch(acme, **query)
    assert response.status_code == 400
    assert [detail["field"] for detail in response.json()["details"]] == [field]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3", "'-2+3"),
        ("+1-2", "'+1-2"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("1=1", "1=1"),
        ('say "é", 100%\nnext', 'say "é", 100%\nnext'),
    ],
)
def test_no_cell_is_a_formula(acme, text, cell):
    send(acme, content={"text": text})
    (row,) = rows(acme)
    assert row["text"] == cell
    assert row["to"] == "+14155550101"


def test_a_sender_that_is_a_number_stays_one(acme):
    send(acme, **{"from": "+14155550199"})
    assert rows(acme)[0]["from"] == "+14155550199"


def test_it_needs_the_permission(acme):
    caller = Caller(acme.tenant, name="narrow", permissions=["messages:send"])
    assert fetch(caller).status_code == 403


def test_it_keeps_the_sandbox_apart(acme):
    send(acme)
    response = fetch(acme, headers={"x-developer-mode": "true"})
    assert b"".join(response.streaming_content).count(b"\n") == 1


def many(caller, count):
    now = datetime.now(tz=UTC)
    Message.objects.bulk_create(
        Message(
            id=key,
            tenant_id=caller.tenant.pk,
            channel="sms",
            recipient="+14155550101",
            text="x" * 1000,
            parts=1,
            created_at=now,
            status="accepted",
        )
        for key in ids.new(count)
    )


def test_a_client_that_goes_away_ends_the_query(acme):
    many(acme, 8_000)
    response = fetch(acme)
    assert len(next(iter(response.streaming_content))) >= 64 * 1024
    assert others() == 1
    response.close()
    deadline = time.monotonic() + 5
    while others() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert others() == 0
    assert reports._free._value == reports.MOST_AT_ONCE


def test_a_long_one_comes_whole(acme):
    many(acme, 3000)
    assert len(rows(acme)) == 3000


def test_too_many_at_once_are_told_to_wait(acme):
    many(acme, 5000)
    held = [fetch(acme) for _ in range(reports.MOST_AT_ONCE)]
    refused = fetch(acme)
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    for response in held:
        response.close()
    assert len(rows(acme)) == 5000


def test_a_head_asks_the_database_for_nothing(acme):
    response = Client().head(PATH, headers={"authorization": f"Bearer {acme.api_key}"})
    assert response.status_code == 200
    assert b"".join(response.streaming_content) == b""


def test_it_goes_along_an_index(acme):
    statement, parameters = reports._statement(reports.Wanted(acme.tenant.pk))
    select = statement.removeprefix("COPY (").partition(") TO STDOUT")[0]
    with connection.cursor() as cursor:
        cursor.execute("SET enable_sort = off")
        cursor.execute(f"EXPLAIN {select}", parameters)
        plan = "\n".join(line for (line,) in cursor.fetchall())
        cursor.execute("RESET enable_sort")
    assert "Sort  " not in plan


def test_it_is_described():
    call = openapi.document()["paths"][PATH]["get"]
    assert {given["name"] for given in call["parameters"] if "name" in given} >= {"recipient", "from", "to"}
