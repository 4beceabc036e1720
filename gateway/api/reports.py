"""``/v1/reports/messages.csv``: the log of messages, streamed."""

import itertools
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from django.http import StreamingHttpResponse
from django.urls import URLPattern
from rest_framework.request import Request

from gateway import errors, numbers, reports
from gateway.api import pagination, schema
from gateway.api.analytics import moment
from gateway.api.fields import Faults
from gateway.api.paths import both
from gateway.api.views import View, credential
from gateway.reports import Wanted
from gateway.statuses import Status

CONTENT_TYPE = "text/csv; charset=utf-8"
# A moment's names: the analytics' own, and that of the list of messages.
_MOMENTS = {"from": "createdAfter", "to": "createdBefore"}
_COLUMNS = {
    "status": "status",
    "channel": "channel",
    "recipient": "recipient",
    "batchId": "batch_id",
    "clientMessageId": "client_message_id",
}
PARAMETERS = frozenset({*_MOMENTS, *_MOMENTS.values(), *_COLUMNS})
METADATA = "metadata."
_ALLOWED = {"status": [status.value for status in Status], "channel": list(schema.CHANNELS)}


class MessagesCsv(View):
    permissions = {"GET": "reports:read"}

    def get(self, request: Request) -> StreamingHttpResponse:
        wanted = _wanted(request)
        headers = {"Content-Disposition": 'attachment; filename="messages.csv"', "Cache-Control": "no-store"}
        rows: Iterator[bytes] = iter(())
        if request.method != "HEAD":
            rows = Started(reports.stream(wanted=wanted))
        return StreamingHttpResponse(rows, content_type=CONTENT_TYPE, headers=headers)


class Started(Iterator[bytes]):
    """A stream whose first piece is there already: what can go wrong at the start has not, when the answer begins."""

    def __init__(self, rows: Iterator[bytes]) -> None:
        self._rows = rows
        self._all = itertools.chain([next(rows)], rows)

    def __next__(self) -> bytes:
        return next(self._all)

    def close(self) -> None:
        """End the query; the server calls it also when the client has gone."""
        self._rows.close()  # type: ignore[attr-defined]


def _wanted(request: Request) -> Wanted:
    given = pagination.parameters(request, known=PARAMETERS, prefixes=(METADATA,))
    faults = Faults()
    since, until = _moment(given, "from", faults), _moment(given, "to", faults)
    if since is not None and until is not None and not since < until:
        faults.add("from", "OUT_OF_RANGE", "Must be before to.")
    columns = {
        column: _value(name, given[name], faults) for name, column in _COLUMNS.items() if name in given
    }
    if faults:
        raise faults.problem()
    metadata = {
        name.removeprefix(METADATA): text for name, text in given.items() if name.startswith(METADATA)
    }
    return Wanted(credential(request).tenant_id, since, until, columns, metadata)


def _moment(given: dict[str, str], name: str, faults: Faults) -> datetime | None:
    other = _MOMENTS[name]
    if name in given and other in given:
        faults.add(other, "INVALID_VALUE", f"The same as {name}: give one of them.")
    return moment(given, name if name in given else other, faults)


def _value(name: str, text: str, faults: Faults) -> str | UUID:
    """A filter's value; what it cannot be goes into the faults."""
    allowed = _ALLOWED.get(name)
    if allowed is not None and text not in allowed:
        faults.add(name, "INVALID_VALUE", f"One of {', '.join(allowed)}.")
    try:
        if name == "batchId":
            return UUID(text)
        if name == "recipient":
            return numbers.normalise(text)
    except ValueError:
        faults.add(name, "INVALID_VALUE", "Not a batch's id.")
    except errors.InvalidRecipient as error:
        faults.add(name, error.code, error.message)
    return text


ROUTES: list[URLPattern] = both("reports/messages.csv", MessagesCsv.as_view())
