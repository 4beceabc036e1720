"""The list of messages: what its filters find, page by page, and that none of them reads whole tables."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from gateway import lifecycle, partitions
from gateway.lifecycle import Move
from gateway.statuses import Status
from tests.factories import Caller, make_tenant, message

LIST = "/v1/messages"
ROWS = 20_000
BATCH = UUID("01a1fc32-8652-7601-b91c-44e32841fd73")


def send(caller, **members) -> str:
    answer = caller.post(LIST, message(**members))
    assert answer.status == 200, answer.content
    return answer.json["id"]


def found(caller, query, **headers) -> list[str]:
    answer = caller.get(f"{LIST}?{query}", **headers)
    assert answer.status == 200, answer.content
    return [row["id"] for row in answer.json["data"]]


@pytest.mark.parametrize(
    "written",
    ["+14155550101", "%2B14155550101", "%2014155550101", "%2B1%20(415)%20555-0101", "+1-415-555-0101"],
)
def test_finds_a_recipient_however_it_is_written(acme, written):
    key = send(acme)
    send(acme, to="+14155550102")
    assert found(acme, f"to={written}") == [key]


@pytest.mark.parametrize(
    "written", ["", "x", "14155550101", "%2B1", "%2B999999999999999999", "%F0%9F%98%80", "%2B"]
)
def test_names_the_recipient_that_is_none(acme, written):
    refused = acme.get(f"{LIST}?to={written}")
    assert (refused.status, refused.code) == (400, "INVALID_RECIPIENT")
    assert [detail["field"] for detail in refused.json["details"]] == ["to"]


def test_puts_all_filters_together(acme):
    both = send(acme, metadata={"a": "1", "b": "2"}, channel="rcs")
    send(acme, metadata={"a": "1"}, channel="rcs")
    send(acme, metadata={"a": "1", "b": "2"})
    assert found(acme, "metadata.a=1&metadata.b=2&channel=rcs") == [both]
    assert found(acme, "metadata.a=1&metadata.b=2&channel=rcs&status=sent") == []
    lifecycle.move(moves=[Move(UUID(both), Status.SENDING, datetime.now(tz=UTC))])
    assert found(acme, "status=sending") == [both]
    assert found(acme, "status=sending&channel=sms") == []


@pytest.mark.parametrize("name", ["order", "", "a.b", "é", "a%20b", "$", "a'b", "%25s"])
def test_finds_metadata_of_any_name(acme, name):
    key = send(acme, metadata={unquote(name): "it's %s"})
    send(acme, metadata={"else": "it's %s"})
    assert found(acme, f"metadata.{name}=it's%20%25s") == [key]
    assert found(acme, f"metadata.{name}=other") == []


def test_finds_the_messages_of_a_batch_in_order(acme, other):
    bulk = acme.post(f"{LIST}/bulk", {"messages": [message() for _ in range(5)]}).json
    send(acme)
    keys = [result["id"] for result in bulk["results"]][::-1]
    query = f"batchId={bulk['batchId']}"
    assert found(acme, query) == keys
    first = acme.get(f"{LIST}?{query}&limit=2").json
    assert [row["id"] for row in first["data"]] == keys[:2]
    assert found(acme, f"{query}&limit=2&cursor={first['nextCursor']}") == keys[2:4]
    assert found(acme, f"{query}&status=sent") == found(other, query) == []


def test_shows_another_tenant_nothing(acme, other):
    key = send(acme, clientMessageId="a", metadata={"a": "b"})
    for query in (
        "",
        "to=%2B14155550101",
        "clientMessageId=a",
        "metadata.a=b",
        "status=accepted",
        "channel=sms",
    ):
        assert found(acme, query) == [key]
        assert found(other, query) == found(acme, query, x_developer_mode="true") == []
    for caller, headers in ((other, {}), (acme, {"x_developer_mode": "true"})):
        for path in (f"{LIST}/{key}", f"{LIST}/{key}/events"):
            answer = caller.get(path, **headers)
            assert (answer.status, answer.code) == (404, "NOT_FOUND")


def test_keeps_its_pages_while_messages_come(acme):
    sent = [send(acme) for _ in range(7)]
    seen, cursor = [], ""
    while True:
        page = acme.get(f"{LIST}?limit=3{cursor}").json
        seen += [row["id"] for row in page["data"]]
        if page["nextCursor"] is None:
            break
        send(acme)
        cursor = f"&cursor={page['nextCursor']}"
    assert seen == sent[::-1]


def test_has_no_page_after_one_that_is_just_full(acme):
    for _ in range(2):
        send(acme)
    assert acme.get(f"{LIST}?limit=2").json["nextCursor"] is None


def test_needs_the_permission_to_read(acme):
    sender = Caller(acme.tenant, name="sends", permissions=["messages:send"])
    assert sender.get(LIST).status == 403
    assert Caller(acme.tenant, name="reads", permissions=["reports:read"]).get(LIST).status == 200


_FILL = """
INSERT INTO gateway_message (id, tenant_id, batch_id, client_message_id, channel, recipient, text, encoding, parts,
                             priority, metadata, created_at, status, sequence)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3)
        || '8' || substr(md5(n::text), 4, 15))::uuid,
       CASE WHEN n %% 10 = 0 THEN %(other)s ELSE %(acme)s END,
       CASE WHEN n BETWEEN 5000 AND 5999 THEN %(batch)s::uuid END,
       'm' || n, CASE WHEN n %% 2000 = 1 THEN 'rcs' ELSE 'sms' END, '+3361' || lpad((n %% 7000)::text, 7, '0'),
       'Your order has left our house and arrives tomorrow.', 'GSM-7', 1, 1,
       jsonb_build_object('order', n::text, 'campaign', CASE WHEN n %% 3 = 0 THEN 'spring' ELSE 'autumn' END),
       at, CASE WHEN n = 7 THEN 'rejected' WHEN n %% 50 = 3 THEN 'failed' ELSE 'delivered' END, 3
FROM generate_series(1, %(rows)s) AS n, LATERAL (SELECT %(now)s - n * interval '30 hours' / %(rows)s AS at) AS moment
"""
QUERIES = [
    "",
    "limit=1000",
    "cursor={middle}",
    "status=delivered",
    "status=failed",
    "status=rejected",
    "status=canceled",
    "status=canceled&cursor={middle}",
    "channel=sms",
    "channel=rcs",
    "channel=whatsapp",
    "channel=rcs&status=failed",
    "to=%2B33610000001",
    "to=%2B33619999999",
    "to=%2B33610000001&status=canceled",
    f"batchId={BATCH}",
    f"batchId={BATCH}&limit=1&cursor={{middle}}",
    f"batchId={BATCH}&status=failed",
    "clientMessageId=m1",
    "clientMessageId=none",
    "metadata.order=77",
    "metadata.order=none",
    "metadata.none=none",
    "metadata.campaign=spring",
    "metadata.campaign=spring&metadata.order=3",
    "metadata.campaign=spring&status=canceled",
    "createdAfter={hour_ago}",
    "createdBefore={hour_ago}",
    "createdBefore={hour_ago}&status=rejected",
]


@pytest.fixture(scope="module")
def filled(django_db_setup, django_db_blocker):
    """Two tenants' messages of two days, as the planner knows them; gone with the module."""
    with django_db_blocker.unblock(), transaction.atomic():
        now = datetime.now(tz=UTC)
        partitions.make(table="gateway_message", days=[now.date() - timedelta(days=n) for n in (0, 1, 2)])
        acme, other = Caller(make_tenant("first")), Caller(make_tenant("second"))
        asked = {"acme": acme.tenant.pk, "other": other.tenant.pk, "batch": BATCH, "rows": ROWS, "now": now}
        with connection.cursor() as cursor:
            cursor.execute(_FILL, asked)
            cursor.execute("ANALYZE gateway_message")
        yield acme, other
        transaction.set_rollback(True)


def plan(caller, query) -> list[dict[str, Any]]:
    """The nodes of the plan of the statement that a list's query becomes."""
    with CaptureQueriesContext(connection) as captured:
        assert caller.get(f"{LIST}?{query}").status == 200
    (sql,) = [entry["sql"] for entry in captured if 'FROM "gateway_message"' in entry["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}")
        (explained,) = cursor.fetchone()
    nodes = [(json.loads(explained) if isinstance(explained, str) else explained)[0]["Plan"]]
    for node in nodes:
        nodes.extend(node.get("Plans", ()))
    return nodes


def inhabited() -> set[str]:
    """The partitions that have rows; an empty one is read in no time, however it is read."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT tableoid::regclass::text FROM gateway_message")
        return {name for (name,) in cursor.fetchall()}


@pytest.mark.parametrize("query", QUERIES)
def test_reads_no_partition_whole(filled, query):
    hour_ago = (datetime.now(tz=UTC) - timedelta(hours=1)).isoformat().replace("+", "%2B")
    for caller in filled:
        middle = caller.get(f"{LIST}?limit=1000").json["nextCursor"]
        nodes = plan(caller, query.format(middle=middle, hour_ago=hour_ago))
        whole = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"}
        assert not whole & inhabited()
