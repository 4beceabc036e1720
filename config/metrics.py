"""``/metrics``: what the API's processes counted, and how much waits where, for Prometheus.

What waits is asked of the database, along indexes, and kept a moment: asking takes no more than a hundredth of the
time, however long a queue has become.
"""

import logging
import time
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db import Error, connection, transaction
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from gateway import metrics
from gateway.api import authentication
from gateway.models.tally import Tally
from routing.operators import SILENCE_SECONDS
from webhooks.models import due_callback

log = logging.getLogger(__name__)

# Milliseconds that the database may work for one of the questions.
_PATIENCE = 2000
# An answer is kept for this many seconds, and as many times as long as it took.
_KEPT, _SHARE = 2.0, 100
# Minutes of acceptance that count as recent.
_RECENT = 15


@require_safe
def show(request: HttpRequest) -> HttpResponse:
    """The metrics, as text; 403 unless the caller is on this machine or in METRICS_ALLOWED_NETWORKS."""
    if not _allowed(request):
        return HttpResponse("Allow this address with METRICS_ALLOWED_NETWORKS.\n", "text/plain", status=403)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Everything())
    return HttpResponse(
        generate_latest(registry), content_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"}
    )


def _allowed(request: HttpRequest) -> bool:
    caller = authentication.client_address(request)
    if request.META.get("HTTP_X_FORWARDED_FOR") and caller == request.META.get("REMOTE_ADDR"):
        # A proxy that nobody told us of: the caller is not who is connected.
        return False
    try:
        address = ip_address(caller)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in settings.METRICS_ALLOWED_NETWORKS)


class _Everything:
    def collect(self) -> Iterator[Metric]:
        yield from metrics.collect()
        yield from _waiting.families()


class Gauge(NamedTuple):
    """A column of an answer: the columns before it are its labels."""

    name: str
    about: str


class Question(NamedTuple):
    """A query, whose first columns are the labels and whose others are the gauges."""

    sql: str
    parameters: tuple[Any, ...]
    labels: tuple[str, ...]
    gauges: tuple[Gauge, ...]


_WAITING: Final = Question(
    """
    SELECT coalesce(o.slug, ''), w.due, w.later, w.oldest
    FROM (SELECT lane, count(*) FILTER (WHERE due_at <= statement_timestamp()) AS due,
                 count(*) FILTER (WHERE due_at > statement_timestamp()) AS later,
                 greatest(0, extract(epoch FROM statement_timestamp() - min(due_at)))::float8 AS oldest
          FROM gateway_duemessage GROUP BY lane) w
    LEFT JOIN routing_operator o ON o.id = w.lane
    """,
    (),
    ("operator",),
    (
        Gauge("trunkline_messages_waiting", "Messages that are due and not handed to an operator yet."),
        Gauge("trunkline_messages_scheduled", "Messages that wait for their time, or to be tried again."),
        Gauge("trunkline_oldest_waiting_seconds", "Since when the oldest waiting message has been due."),
    ),
)
_IN_HAND: Final = Question(
    """
    SELECT coalesce(o.slug, ''), d.messages
    FROM (SELECT operator_id, count(*) AS messages FROM routing_delivery GROUP BY operator_id) d
    LEFT JOIN routing_operator o ON o.id = d.operator_id
    """,
    (),
    ("operator",),
    (Gauge("trunkline_deliveries_in_hand", "Messages with an operator's workers, not answered yet."),),
)
_OPERATORS: Final = Question(
    """
    SELECT o.slug, count(s.worker) FILTER (WHERE s.up), coalesce(sum((s.detail->>'bound')::float8), 0),
           coalesce(bool_or(s.paused_until > statement_timestamp()), false)::int
    FROM routing_operator o
    LEFT JOIN routing_operatorstate s
           ON s.operator_id = o.id AND s.seen_at > statement_timestamp() - %s * interval '1 second'
    WHERE o.active GROUP BY o.slug
    """,
    (SILENCE_SECONDS,),
    ("operator",),
    (
        Gauge("trunkline_operator_workers_up", "Workers that can send to the operator now."),
        Gauge("trunkline_operator_binds", "SMPP binds that are up, over all workers."),
        Gauge("trunkline_operator_paused", "1 while the operator has said to slow down."),
    ),
)
_CALLBACKS: Final = Question(
    """
    SELECT count(*) FILTER (WHERE next_attempt_at <= statement_timestamp() AND NOT leased),
           count(*) FILTER (WHERE leased),
           count(*) FILTER (WHERE next_attempt_at > statement_timestamp() AND next_attempt_at < %s AND NOT leased),
           count(*) FILTER (WHERE next_attempt_at >= %s),
           coalesce(greatest(0, extract(epoch FROM statement_timestamp() - min(next_attempt_at)))::float8, 0)
    FROM webhooks_duecallback
    """,
    (due_callback.HELD, due_callback.HELD),
    (),
    (
        Gauge("trunkline_callbacks_due", "Callbacks to be made now."),
        Gauge("trunkline_callbacks_in_hand", "Callbacks that are being made."),
        Gauge("trunkline_callbacks_retrying", "Callbacks to be tried again later."),
        Gauge("trunkline_callbacks_held", "Callbacks whose webhook is inactive."),
        Gauge("trunkline_oldest_callback_seconds", "Since when the oldest callback has been due."),
    ),
)
_RECENTLY: Final = Question(
    """
    SELECT c.channel, c.value, sum(c.count)::float8
    FROM gateway_tenant t CROSS JOIN LATERAL (
        SELECT channel, value, count FROM gateway_tally
        WHERE tenant_id = t.id AND at >= statement_timestamp() - %s * interval '1 minute' AND measure = %s
        UNION ALL
        SELECT channel, value, count FROM gateway_tallydelta
        WHERE tenant_id = t.id AND at >= statement_timestamp() - %s * interval '1 minute' AND measure = %s
    ) c
    WHERE t.id > 0
    GROUP BY c.channel, c.value
    """,
    (_RECENT, Tally.Measure.STATUS.value) * 2,
    ("channel", "status"),
    (
        Gauge(
            "trunkline_messages_recent",
            f"Messages accepted within the last {_RECENT} minutes, by what became of them, without sandboxes.",
        ),
    ),
)
_PARTITIONS: Final = Question(
    r"""
    SELECT p.relname, max(to_date(right(c.relname, 8), 'YYYYMMDD')) - (statement_timestamp() AT TIME ZONE 'UTC')::date
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
    WHERE p.relkind = 'p' AND c.relname ~ '_[0-9]{8}$' GROUP BY p.relname
    """,
    (),
    ("table",),
    (Gauge("trunkline_partition_days_ahead", "Days from today that have a partition; below 1 is a fault."),),
)
_PARKED: Final = Question(
    "SELECT count(*) FROM routing_parkedreceipt",
    (),
    (),
    (Gauge("trunkline_receipts_parked", "Receipts that belong to nothing that is known."),),
)
QUESTIONS: Final = (_WAITING, _IN_HAND, _OPERATORS, _CALLBACKS, _RECENTLY, _PARTITIONS, _PARKED)


class _Waiting:
    """The last answers of the database. Two threads that ask at once both get them, maybe by asking twice."""

    def __init__(self) -> None:
        self._kept: list[Metric] = []
        self._good_until = 0.0

    def families(self) -> list[Metric]:
        began = time.monotonic()
        if began >= self._good_until:
            self._kept = list(_asked())
            took = time.monotonic() - began
            self._good_until = began + max(_KEPT, took * _SHARE)
        return self._kept

    def forget(self) -> None:
        self._good_until = 0.0


_waiting = _Waiting()


def forget() -> None:
    """Ask the database anew at the next look."""
    _waiting.forget()


def _asked() -> Iterator[Metric]:
    up = _is_up()
    yield GaugeMetricFamily("trunkline_database_up", "1 while the database answers.", value=int(up))
    missing = 0
    for question in QUESTIONS if up else ():
        try:
            rows = _rows(question)
        except Error as error:
            log.warning("metrics.unanswered", extra={"reason": type(error).__name__})
            missing += 1
        else:
            yield from _families(question, rows)
    about = "Questions to the database of which there is no answer here."
    yield GaugeMetricFamily("trunkline_metrics_unanswered", about, value=missing if up else len(QUESTIONS))


def _is_up() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return False
    return True


def _rows(question: Question) -> list[tuple[Any, ...]]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = {_PATIENCE}")
        cursor.execute(question.sql, question.parameters)
        return list(cursor.fetchall())


def _families(question: Question, rows: Iterable[tuple[Any, ...]]) -> list[Metric]:
    width = len(question.labels)
    families = [
        GaugeMetricFamily(gauge.name, gauge.about, labels=question.labels) for gauge in question.gauges
    ]
    for row in rows:
        for family, value in zip(families, row[width:], strict=True):
            family.add_metric(list(row[:width]), float(value))
    return list(families)
