"""``/v1/analytics/messages``: counts, rates and latencies."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.http import HttpResponse
from django.urls import URLPattern
from rest_framework.request import Request

from gateway import analytics
from gateway.analytics import Question, Row
from gateway.api import fields, pagination, schema
from gateway.api.fields import Faults
from gateway.api.paths import both
from gateway.api.rendering import stamp
from gateway.api.views import View, answer, credential
from gateway.models.tally import Tally
from gateway.statuses import Status

PARAMETERS = frozenset({"from", "to", "groupBy", *analytics.FILTERS})
SPAN = timedelta(hours=24)
PERCENTILES = ("p50", "p95", "p99")

_COUNTRY = re.compile(r"[A-Z]{2}")
_OPERATOR = re.compile(r"[A-Za-z0-9_-]{1,63}")


class Messages(View):
    permissions = {"GET": "analytics:read"}

    def get(self, request: Request) -> HttpResponse:
        now = datetime.now(tz=UTC)
        question = _question(request, now)
        report = analytics.ask(question=question, now=now)
        return answer(
            request,
            {
                "from": stamp(question.since),
                "to": stamp(question.until),
                "groupBy": list(question.group_by),
                "total": _whole(report.total),
                "data": [_line(question.group_by, row) for row in report.rows],
            },
        )


def _question(request: Request, now: datetime) -> Question:
    given = pagination.parameters(request, known=PARAMETERS)
    faults = Faults()
    until = moment(given, "to", faults) or now
    since = moment(given, "from", faults) or until - SPAN
    if not faults and not since < until:
        faults.add("from", "OUT_OF_RANGE", "Must be before to.")
    elif not faults and until - since > analytics.LONGEST:
        faults.add("from", "OUT_OF_RANGE", f"At most {analytics.LONGEST.days} days before to.")
    group_by = _dimensions(given, faults)
    filters = {name: given[name] for name in analytics.FILTERS if name in given}
    _check(filters, faults)
    if faults:
        raise faults.problem()
    return Question(credential(request).tenant_id, since, until, group_by, filters)


def moment(given: dict[str, str], name: str, faults: Faults) -> datetime | None:
    """A query's moment: ISO 8601 with a time zone, or a date, which begins at midnight UTC."""
    text = given.get(name)
    if text is None:
        return None
    at = fields.moment(text) or _midnight(text)
    if at is None:
        faults.add(
            name, "INVALID_VALUE", "ISO 8601 with a time zone, or a date: 2026-12-01T09:00:00Z, 2026-12-01."
        )
    return at


_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def _midnight(text: str) -> datetime | None:
    if not _DATE.fullmatch(text):
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return datetime(day.year, day.month, day.day, tzinfo=UTC) if day.year >= 1970 else None


def _dimensions(given: dict[str, str], faults: Faults) -> tuple[str, ...]:
    if "groupBy" not in given:
        return ()
    names = tuple(given["groupBy"].split(","))
    if len(names) > analytics.MOST_DIMENSIONS or len(set(names)) < len(names):
        faults.add(
            "groupBy", "INVALID_VALUE", "One dimension, or two different ones with a comma between them."
        )
    elif not set(names) <= set(analytics.DIMENSIONS):
        faults.add("groupBy", "INVALID_VALUE", f"Of {', '.join(analytics.DIMENSIONS)}.")
    return names


def _check(filters: dict[str, str], faults: Faults) -> None:
    if "channel" in filters and filters["channel"] not in schema.CHANNELS:
        faults.add("channel", "INVALID_VALUE", f"One of {', '.join(schema.CHANNELS)}.")
    if "country" in filters and not _COUNTRY.fullmatch(filters["country"]):
        faults.add("country", "INVALID_VALUE", "ISO 3166-1 alpha-2: US.")
    if "operator" in filters and not _OPERATOR.fullmatch(filters["operator"]):
        faults.add("operator", "INVALID_VALUE", "An operator's name, as messages have it.")


def _line(group_by: Sequence[str], row: Row) -> dict[str, Any]:
    kind = {
        name: stamp(value) if isinstance(value, datetime) else value
        for name, value in zip(group_by, row.group, strict=True)
    }
    return kind | ({"count": row.count} if analytics.PLAIN & set(group_by) else _whole(row))


def _whole(row: Row) -> dict[str, Any]:
    return {
        "count": row.count,
        **row.counts,
        "deliveryRate": row.rate(Status.DELIVERED, Status.READ),
        "failureRate": row.rate(Status.FAILED, Status.EXPIRED, Status.REJECTED),
        "latency": {
            "acceptedToSent": _percentiles(row, Tally.Measure.ACCEPTED_TO_SENT),
            "sentToDelivered": _percentiles(row, Tally.Measure.SENT_TO_DELIVERED),
        },
    }


def _percentiles(row: Row, measure: Tally.Measure) -> dict[str, float | None]:
    found = row.latencies.get(measure, (None, None, None))
    return dict(zip(PERCENTILES, found, strict=True))


ROUTES: list[URLPattern] = both("analytics/messages", Messages.as_view())
