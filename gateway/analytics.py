"""What became of a tenant's messages, counted by kind and by time of acceptance: from the tallies alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from gateway import errors, tallies
from gateway.errors import Detail
from gateway.models.tally import Tally
from gateway.statuses import Status

DIMENSIONS = ("hour", "day", "channel", "operator", "country", "status", "errorCode")
MOST_DIMENSIONS = 2
FILTERS = ("channel", "operator", "country")
LONGEST = timedelta(days=400)
MOST_ROWS = 10_000

_COLUMNS = {
    "hour": "date_trunc('hour', at)",
    "day": "date_trunc('day', at)",
    "channel": "channel",
    "operator": "operator",
    "country": "country",
    "status": "value",
    "errorCode": "error_code",
}
# A row of these is about one status, so that rates and latencies have no meaning in it.
PLAIN = frozenset({"status", "errorCode"})

Latency = tuple[float, float, float]


@dataclass(slots=True)
class Row:
    """Messages of one kind: ``group`` has a value a dimension, None for none.

    ``latencies`` are p50, p95 and p99 in milliseconds, by measure.
    """

    group: tuple[datetime | str | None, ...]
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(tallies.COUNTED, 0))
    latencies: dict[int, Latency] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return sum(self.counts.values())

    def rate(self, *statuses: Status) -> float | None:
        """The share of those statuses in what went to an operator or ended; None where nothing did."""
        base = self.count - self.counts[Status.ACCEPTED] - self.counts[Status.CANCELED]
        return round(sum(self.counts[status] for status in statuses) / base, 6) if base > 0 else None


@dataclass(slots=True)
class Report:
    total: Row
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class Question:
    """Which messages, and how to group them: those accepted from ``since`` on and before ``until``.

    Both are widened to whole minutes, and to whole hours where the tallies have hours.
    """

    tenant_id: int
    since: datetime
    until: datetime
    group_by: Sequence[str] = ()
    filters: dict[str, str] = field(default_factory=dict)

    def parameters(self, now: datetime) -> dict[str, Any]:
        return {
            "tenant": self.tenant_id,
            "since": _floor(self.since, now),
            "until": _ceiling(self.until, now),
            **self.filters,
        }

    def source(self) -> str:
        """SQL for the rows that it is about."""
        wanted = "".join(f" AND {name} = %({name})s" for name in FILTERS if name in self.filters)
        where = f"WHERE tenant_id = %(tenant)s AND at >= %(since)s AND at < %(until)s{wanted}"
        return (
            f"(SELECT * FROM gateway_tally {where} UNION ALL SELECT * FROM gateway_tallydelta {where}) AS t"
        )

    def columns(self) -> list[str]:
        return [_COLUMNS[name] for name in self.group_by]


def ask(*, question: Question, now: datetime) -> Report:
    """The counts as they are at this moment.

    Raises:
        errors.Invalid: the answer would have more than 10,000 rows.
    """
    total, groups = _counted(question, now)
    if not PLAIN & set(question.group_by):
        for group, measure, latency in _latencies(question, now):
            row = total if group is None else groups.get(group)
            if row is not None:
                row.latencies[measure] = latency
    elif len(question.group_by):
        total.latencies = _total_latencies(question, now)
    return Report(total, [groups[key] for key in sorted(groups, key=_order)])


def _order(group: tuple[Any, ...]) -> tuple[tuple[bool, Any], ...]:
    """By value, what has none at the end."""
    return tuple((value is None, "" if value is None else value) for value in group)


def _counted(question: Question, now: datetime) -> tuple[Row, dict[tuple[Any, ...], Row]]:
    columns = [*question.columns(), "value"]
    statement = f"""
        SELECT {", ".join(columns)}, sum(count)::bigint FROM {question.source()}
        WHERE measure = {Tally.Measure.STATUS} GROUP BY {_places(len(columns))} HAVING sum(count) > 0
        LIMIT {MOST_ROWS * len(tallies.COUNTED) + 1}
    """
    total = Row(())
    groups: dict[tuple[Any, ...], Row] = {}
    with connection.cursor() as cursor:
        cursor.execute(statement, question.parameters(now))
        for *values, status, count in cursor.fetchall():
            total.counts[status] += count
            if "errorCode" in question.group_by and not values[question.group_by.index("errorCode")]:
                continue
            group = tuple(value or None for value in values)
            groups.setdefault(group, Row(group)).counts[status] += count
    if len(groups) > MOST_ROWS:
        fault = Detail(
            "groupBy", "OUT_OF_RANGE", f"That makes more than {MOST_ROWS:,} rows: ask for less time."
        )
        raise errors.Invalid(details=[fault])
    return total, groups if question.group_by else {}


def _places(count: int) -> str:
    return ", ".join(str(place) for place in range(1, count + 1))


_SHARES = (0.5, 0.95, 0.99)


def _latencies(question: Question, now: datetime) -> list[tuple[tuple[Any, ...] | None, int, Latency]]:
    """Each group's percentiles, by measure; those of all together have no group."""
    columns = question.columns()
    names = [f"g{place}" for place in range(len(columns))]
    listed = "".join(f"{name}, " for name in names)
    grouped = "".join(f"{column} AS {name}, " for column, name in zip(columns, names, strict=True))
    each = f"({listed}measure, bucket), " if names else ""
    whole = f"grouping({', '.join(names)})" if names else "1"
    points = ", ".join(f"min(bucket) FILTER (WHERE upto >= {share} * n)" for share in _SHARES)
    statement = f"""
        WITH kinds AS (
            SELECT {grouped}measure, value::int AS bucket, sum(count) AS count FROM {question.source()}
            WHERE measure <> {Tally.Measure.STATUS} GROUP BY {_places(len(columns) + 2)}
        ), summed AS (
            SELECT {whole} <> 0 AS whole, {listed}measure, bucket, sum(count) AS count FROM kinds
            GROUP BY GROUPING SETS ({each}(measure, bucket)) HAVING sum(count) > 0
        ), ranked AS (
            SELECT *, sum(count) OVER (PARTITION BY whole, {listed}measure ORDER BY bucket) AS upto,
                   sum(count) OVER (PARTITION BY whole, {listed}measure) AS n
            FROM summed
        )
        SELECT whole, {listed}measure, {points} FROM ranked GROUP BY {_places(len(columns) + 2)}
    """
    with connection.cursor() as cursor:
        cursor.execute(statement, question.parameters(now))
        return [
            (
                None if whole else tuple(value or None for value in rest[: len(names)]),
                rest[len(names)],
                (tallies.middle(rest[-3]), tallies.middle(rest[-2]), tallies.middle(rest[-1])),
            )
            for whole, *rest in cursor.fetchall()
        ]


def _total_latencies(question: Question, now: datetime) -> dict[int, Latency]:
    whole = Question(question.tenant_id, question.since, question.until, (), question.filters)
    return {measure: latency for _group, measure, latency in _latencies(whole, now)}


def _floor(at: datetime, now: datetime) -> datetime:
    whole = at.replace(second=0, microsecond=0)
    return whole.replace(minute=0) if at < tallies.hours_before(now) else whole


def _ceiling(at: datetime, now: datetime) -> datetime:
    whole = _floor(at, now)
    if whole == at or at > now:
        return at
    return whole + (timedelta(hours=1) if at < tallies.hours_before(now) else timedelta(minutes=1))
