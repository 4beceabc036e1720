"""``GET /v1/analytics/messages``."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from django.db import connection

from gateway import analytics, lifecycle, submission, tallies
from gateway.analytics import Question
from gateway.api.rendering import stamp
from gateway.lifecycle import Move
from gateway.models import Message
from gateway.models.tally import Tally
from gateway.statuses import Status
from gateway.storing import Submission
from tests.factories import Caller, make_tenant

PATH = "/v1/analytics/messages"
NOW = datetime.now(tz=UTC)


def accept(caller, count=1, *, now=NOW, recipient="+14155550101", tenant_id=None, **members):
    tenant_id = tenant_id or caller.tenant.pk
    outcomes = submission.accept(
        submissions=[
            Submission(tenant_id, recipient, text="x", backlog_limit=10**6, **members) for _ in range(count)
        ],
        now=now,
    )
    return [Message.objects.get(pk=outcome.id).pk for outcome in outcomes]


def move(keys, target, *, at=NOW, operator=None, error_code=None):
    assert lifecycle.move(moves=[Move(key, target, at, operator, error_code=error_code) for key in keys])


def ask(caller, **query):
    return caller.get(f"{PATH}?{urlencode(query)}")


def some(caller):
    """Ten messages: 4 accepted, 1 canceled, 1 sent, 2 delivered, 1 read, 1 failed."""
    accept(caller, 3)
    (accepted,) = accept(caller, recipient="+4915112345678")
    move(accept(caller), Status.CANCELED)
    keys = accept(caller, 5)
    move([*keys, accepted], Status.SENDING, operator="one")
    move(keys, Status.SENT, at=NOW + timedelta(seconds=1), operator="one")
    move(keys[1:4], Status.DELIVERED, at=NOW + timedelta(seconds=3))
    move(keys[3:4], Status.READ, at=NOW + timedelta(seconds=9))
    move(keys[4:], Status.FAILED, error_code="ABSENT")


def test_it_answers_totals(acme, other):
    some(acme)
    some(other)
    answer = acme.get(PATH)
    assert answer.status == 200
    assert answer.json["groupBy"] == []
    assert answer.json["data"] == []
    total = answer.json["total"]
    latency = total.pop("latency")
    assert total == {
        "count": 10,
        "accepted": 4,
        "sent": 1,
        "delivered": 2,
        "read": 1,
        "failed": 1,
        "expired": 0,
        "rejected": 0,
        "canceled": 1,
        "deliveryRate": 0.6,
        "failureRate": 0.2,
    }
    for name, right in (("acceptedToSent", 1000), ("sentToDelivered", 2000)):
        assert set(latency[name]) == {"p50", "p95", "p99"}
        assert all(value == pytest.approx(right, rel=0.05) for value in latency[name].values())


def test_it_answers_zero_and_null_for_nothing(acme, other):
    some(other)
    answer = ask(acme, groupBy="channel").json
    assert answer["data"] == []
    assert answer["total"]["count"] == 0
    assert answer["total"]["deliveryRate"] is None
    assert answer["total"]["failureRate"] is None
    none = {"p50": None, "p95": None, "p99": None}
    assert answer["total"]["latency"] == {"acceptedToSent": none, "sentToDelivered": none}
    span = datetime.fromisoformat(answer["to"]) - datetime.fromisoformat(answer["from"])
    assert span == timedelta(hours=24)


@pytest.mark.parametrize("rolled_up", [False, True])
def test_it_groups(acme, rolled_up):
    some(acme)
    if rolled_up:
        tallies.roll_up(now=NOW)

    def rows(group_by, *names):
        return [tuple(row[name] for name in names) for row in ask(acme, groupBy=group_by).json["data"]]

    hour = stamp(NOW.replace(minute=0, second=0, microsecond=0))
    day = stamp(NOW.replace(hour=0, minute=0, second=0, microsecond=0))
    assert rows("hour", "hour", "count") == [(hour, 10)]
    assert rows("day,channel", "day", "channel", "count") == [(day, "sms", 10)]
    assert rows("operator", "operator", "count", "sent") == [("one", 5, 1), (None, 5, 0)]
    assert rows("country", "country", "count") == [("DE", 1), ("US", 9)]
    assert rows("errorCode", "errorCode", "count") == [("ABSENT", 1)]
    assert rows("status", "status", "count") == [
        ("accepted", 4),
        ("canceled", 1),
        ("delivered", 2),
        ("failed", 1),
        ("read", 1),
        ("sent", 1),
    ]
    assert ("US", "failed", 1) in rows("country,status", "country", "status", "count")
    assert ("ABSENT", "failed", 1) in rows("errorCode,status", "errorCode", "status", "count")


def test_a_row_has_what_its_grouping_allows(acme):
    some(acme)
    plain = ask(acme, groupBy="day,status").json
    assert all(set(row) == {"day", "status", "count"} for row in plain["data"])
    assert plain["total"]["count"] == 10
    assert plain["total"]["latency"]["acceptedToSent"]["p50"] is not None
    full = ask(acme, groupBy="operator").json
    by_operator = {row["operator"]: row for row in full["data"]}
    assert by_operator["one"]["latency"] == full["total"]["latency"]
    assert by_operator[None]["latency"]["acceptedToSent"]["p50"] is None
    assert set(by_operator["one"]) == {"operator", *full["total"]}


def test_a_total_counts_those_without_an_error_too(acme):
    some(acme)
    assert ask(acme, groupBy="errorCode").json["total"]["count"] == 10


def test_it_filters(acme):
    some(acme)
    accept(acme, 2, channel="rcs")
    assert ask(acme, channel="rcs").json["total"]["count"] == 2
    assert ask(acme, country="DE").json["total"]["count"] == 1
    assert ask(acme, operator="one", country="US").json["total"]["count"] == 5
    assert ask(acme, operator="two").json["total"]["count"] == 0


def test_it_gives_percentiles_of_the_whole_not_means_of_the_parts(acme):
    for count, seconds, country in ((90, 1, "+14155550101"), (10, 50, "+4915112345678")):
        keys = accept(acme, count, recipient=country)
        move(keys, Status.SENDING, operator="one")
        move(keys, Status.SENT, at=NOW + timedelta(seconds=seconds), operator="one")
    answer = ask(acme, groupBy="country").json
    total = answer["total"]["latency"]["acceptedToSent"]
    assert total["p50"] == pytest.approx(1000, rel=0.05)
    assert total["p95"] == pytest.approx(50_000, rel=0.05)
    german, american = (row["latency"]["acceptedToSent"]["p50"] for row in answer["data"])
    assert (german, american) == (pytest.approx(50_000, rel=0.05), pytest.approx(1000, rel=0.05))


def test_it_includes_the_minute_of_from_and_that_of_to(acme):
    base = NOW.replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
    for seconds in (-1, 0, 59, 60, 119, 120):
        accept(acme, now=base + timedelta(seconds=seconds))

    def count(since, until):
        return ask(
            acme,
            **{"from": stamp(base + timedelta(seconds=since)), "to": stamp(base + timedelta(seconds=until))},
        ).json["total"]["count"]

    assert count(0, 60) == 2
    assert count(30, 60) == 2
    assert count(30, 61) == 4
    assert count(-1, 120) == 5


def test_it_includes_whole_hours_of_the_past(acme):
    base = NOW.replace(minute=0, second=0, microsecond=0) - timedelta(hours=72)
    for minutes in (-1, 1, 59, 61):
        accept(acme, now=base + timedelta(minutes=minutes))
    query = {"from": stamp(base + timedelta(minutes=30)), "to": stamp(base + timedelta(minutes=31))}
    assert ask(acme, **query).json["total"]["count"] == 2
    tallies.roll_up(now=NOW)
    assert ask(acme, **query).json["total"]["count"] == 2


def test_it_takes_dates(acme):
    some(acme)
    today = NOW.date()
    answer = ask(acme, **{"from": str(today), "to": str(today + timedelta(days=1))}).json
    assert answer["total"]["count"] == 10
    assert answer["from"] == f"{today}T00:00:00.000Z"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"groupBy": ""}, "groupBy"),
        ({"groupBy": "week"}, "groupBy"),
        ({"groupBy": "day,"}, "groupBy"),
        ({"groupBy": "day,day"}, "groupBy"),
        ({"groupBy": "day,hour,channel"}, "groupBy"),
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-13-01"}, "from"),
        ({"from": "2026-11-20T09:00:00"}, "from"),
        ({"from": "0001-01-01"}, "from"),
        ({"to": "٢٠٢٦-11-20"}, "to"),
        ({"to": "1"}, "to"),
        ({"from": "2026-01-02", "to": "2026-01-02"}, "from"),
        ({"from": "2026-01-03", "to": "2026-01-02"}, "from"),
        ({"from": "2024-01-03", "to": "2026-01-02"}, "from"),
        ({"channel": "fax"}, "channel"),
        ({"country": "us"}, "country"),
        ({"country": "USA"}, "country"),
        ({"operator": ""}, "operator"),
        ({"operator": "a b"}, "operator"),
        ({"operator": "a\n"}, "operator"),
        ({"operator": "a\0"}, "operator"),
        ({"tenant": "1"}, "tenant"),
    ],
)
def test_it_names_what_is_wrong(acme, query, field):
    answer = ask(acme, **query)
    assert answer.status == 400
    assert [detail["field"] for detail in answer.json["details"]] == [field]


@pytest.mark.parametrize(
    "to", ["9999-12-31T23:59:59.999999Z", "9999-12-31", "1970-01-01", "1970-01-01T00:00:30Z"]
)
def test_it_survives_the_ends_of_time(acme, to):
    assert ask(acme, to=to).status == 200


def test_it_needs_the_permission(db):
    caller = Caller(make_tenant("acme"), permissions=["reports:read"])
    assert caller.get(PATH).code == "PERMISSION_DENIED"


def test_it_refuses_more_rows_than_anyone_reads(acme, monkeypatch):
    some(acme)
    monkeypatch.setattr(analytics, "MOST_ROWS", 1)
    answer = ask(acme, groupBy="country")
    assert (answer.status, answer.json["details"][0]["field"]) == (400, "groupBy")


def test_it_keeps_the_sandbox_apart(acme):
    some(acme)
    accept(acme, 2, tenant_id=-acme.tenant.pk)
    assert acme.get(PATH).json["total"]["count"] == 10
    assert acme.get(PATH, x_developer_mode="true").json["total"]["count"] == 2


def test_it_never_scans_messages_and_goes_by_index(acme):
    Tally.objects.bulk_create(
        Tally(
            tenant_id=tenant,
            at=NOW - timedelta(minutes=minute),
            channel="sms",
            country="US",
            operator="",
            measure=0,
            value="accepted",
            count=1,
        )
        for tenant in range(100, 110)
        for minute in range(1000)
    )
    question = Question(105, NOW - timedelta(minutes=30), NOW, ("hour",))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE gateway_tally")
        cursor.execute(f"EXPLAIN SELECT * FROM {question.source()}", question.parameters(NOW))
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "gateway_message" not in plan
    assert "tally_kind" in plan
    assert "Seq Scan on gateway_tally " not in plan


def test_it_answers_as_described(acme):
    from gateway.api import openapi

    some(acme)
    described = openapi.document()["components"]["schemas"]
    answer = ask(acme, groupBy="day,operator").json
    assert set(answer) == set(described["Analytics"]["properties"])
    assert set(answer["total"]) == set(described["AnalyticsTotal"]["properties"])
    assert set(answer["data"][0]) <= set(described["AnalyticsRow"]["properties"])
