"""The analytics' and reports' part of the OpenAPI document."""

from gateway import analytics, tallies
from gateway.api import schema
from gateway.api.analytics import PERCENTILES
from gateway.api.shapes import (
    PHONE,
    READS,
    TIME,
    UUID,
    Json,
    answer,
    array,
    header,
    null,
    object_,
    one_of,
    query,
    ref,
    resource,
    scope,
    text,
    whole,
)
from gateway.reports import COLUMNS
from gateway.statuses import Status

_NUMBER: Json = {"type": "number", "minimum": 0}
_RATE: Json = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
_COUNTS: Json = {
    "count": whole("All of them.", example=1000),
    **{
        status.value: whole(
            "Not yet with an operator: also those that are scheduled, queued or sending."
            if status == Status.ACCEPTED
            else f"Those that are {status} now.",
            example=_example,
        )
        for status, _example in zip(tallies.COUNTED, (10, 90, 800, 50, 30, 12, 8, 0), strict=True)
    },
}
_MEASURES: Json = {
    **_COUNTS,
    "deliveryRate": _RATE
    | {
        "description": "(delivered + read) / (count - accepted - canceled); null when that is a division by zero.",
        "examples": [0.858586],
    },
    "failureRate": _RATE
    | {
        "description": "(failed + expired + rejected) / (count - accepted - canceled); null as deliveryRate.",
        "examples": [0.050505],
    },
    "latency": ref("AnalyticsLatency"),
}
_GROUPS: Json = {
    "hour": TIME
    | {"description": "The beginning of the hour, UTC.", "examples": ["2026-12-01T09:00:00.000Z"]},
    "day": TIME | {"description": "The beginning of the day, UTC.", "examples": ["2026-12-01T00:00:00.000Z"]},
    "channel": one_of(*schema.CHANNELS),
    "operator": null(text("null: no operator had it.", example="carrier-one")),
    "country": null(text("The recipient's, ISO 3166-1 alpha-2; null: it has none.", example="US")),
    "status": one_of(*(status.value for status in tallies.COUNTED)),
    "errorCode": text("Of those that have one.", example="NO_ROUTE"),
}
_PERCENTILES = object_(
    {
        name: null(_NUMBER) | {"examples": [value]}
        for name, value in zip(PERCENTILES, (41.8, 94.6, 153.1), strict=True)
    },
    required=PERCENTILES,
    closed=True,
    about="Milliseconds, right to 5 %; null when there is none to measure.",
)
_MOMENT: Json = {
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "date", "description": "Its midnight, UTC."},
    ],
}
_FROM = _MOMENT | {"examples": ["2026-12-01"]}
_TO = _MOMENT | {"examples": ["2026-12-02T09:00:00Z"]}
_EXAMPLE: Json = {
    "count": 1000,
    **{status.value: _COUNTS[status.value]["examples"][0] for status in tallies.COUNTED},
    "deliveryRate": 0.858586,
    "failureRate": 0.050505,
    "latency": {
        "acceptedToSent": {"p50": 41.8, "p95": 94.6, "p99": 153.1},
        "sentToDelivered": {"p50": 2153.4, "p95": 5002.6, "p99": 9260.3},
    },
}
_SCHEMAS: Json = {
    "AnalyticsLatency": object_(
        {
            "acceptedToSent": _PERCENTILES,
            "sentToDelivered": _PERCENTILES,
        },
        required=("acceptedToSent", "sentToDelivered"),
        closed=True,
        about="From acceptance (or sendAt) to the operator's, and from there to the handset.",
    ),
    "AnalyticsTotal": object_(_MEASURES, required=tuple(_MEASURES), closed=True, example=_EXAMPLE),
    "AnalyticsRow": object_(
        _GROUPS | _MEASURES,
        required=("count",),
        closed=True,
        about=(
            "The members that groupBy names and the counts; grouped by status or errorCode, count is the only one."
        ),
        example={"day": "2026-12-01T00:00:00.000Z"} | _EXAMPLE,
    ),
    "Analytics": resource(
        {
            "from": TIME,
            "to": TIME,
            "groupBy": array(one_of(*analytics.DIMENSIONS), maxItems=analytics.MOST_DIMENSIONS),
            "total": ref("AnalyticsTotal"),
            "data": array(
                ref("AnalyticsRow"),
                maxItems=analytics.MOST_ROWS,
                description="By value, null last. Groups without messages are left out; empty without groupBy.",
            ),
        }
    ),
}
_GROUP_BY = query(
    "groupBy",
    "One dimension, or two with a comma between them; without it there are totals only.",
    {
        "type": "array",
        "items": {"type": "string", "enum": list(analytics.DIMENSIONS)},
        "minItems": 1,
        "maxItems": analytics.MOST_DIMENSIONS,
        "uniqueItems": True,
        "examples": [["day", "channel"]],
    },
) | {"style": "form", "explode": False}
_OPERATOR: Json = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,63}$", "examples": ["carrier-one"]}
_COUNTRY: Json = {"type": "string", "pattern": "^[A-Z]{2}$", "examples": ["US"]}
_CSV: Json = {
    "type": "string",
    "description": f"RFC 4180 with a header row: {', '.join(COLUMNS)}.",
    "examples": [",".join(COLUMNS) + "\n"],
}

PART: Json = {
    "tags": [
        {"name": "analytics", "description": "What became of messages, counted."},
        {"name": "reports", "description": "The log of messages."},
    ],
    "schemas": _SCHEMAS,
    "paths": {
        "/v1/analytics/messages": {
            "get": {
                "tags": ["analytics"],
                "operationId": "countMessages",
                "summary": "Messages by time of acceptance, counted by the status that they have now.",
                "description": (
                    "The counts are exact at every moment. The minutes that from and to lie in are counted whole "
                    "(to itself is not, when it is the beginning of one); of what is older than 48 hours, the hours. "
                    "At most 400 days, and 10,000 rows. Latencies are counted once, under the channel and operator "
                    "that they were measured with."
                ),
                "parameters": [
                    query("from", "When not given, 24 hours before to.", _FROM),
                    query("to", "When not given, now.", _TO),
                    _GROUP_BY,
                    query("channel", "Only this channel's.", one_of(*schema.CHANNELS)),
                    query("operator", "Only this operator's.", _OPERATOR),
                    query("country", "Only those to this country, ISO 3166-1 alpha-2.", _COUNTRY),
                ],
                "responses": {"200": answer("The counts.", "Analytics"), **READS},
                **scope("analytics:read"),
            }
        },
        "/v1/reports/messages.csv": {
            "get": {
                "tags": ["reports"],
                "operationId": "exportMessages",
                "summary": "The log of messages as CSV, oldest first, however long.",
                "description": (
                    "Streamed. metadata.<key>=<value> filters too, as often as wanted. Cells that a spreadsheet "
                    "would take for a formula begin with an apostrophe. Too many reports at once are 503: try again."
                ),
                "parameters": [
                    query("from", "Accepted at this moment or after.", _FROM),
                    query("to", "Accepted before this moment.", _TO),
                    query("createdAfter", "The same as from; give one of them.", _MOMENT),
                    query("createdBefore", "The same as to; give one of them.", _MOMENT),
                    query("status", "", one_of(*(status.value for status in Status))),
                    query("channel", "", one_of(*schema.CHANNELS)),
                    query("recipient", "E.164; its plus is %2B in a URL.", PHONE),
                    query("batchId", "", UUID),
                    query("clientMessageId", "", text()),
                ],
                "responses": {
                    "200": {
                        "description": "The log.",
                        "content": {"text/csv": {"schema": _CSV}},
                        "headers": header("X-Request-Id"),
                    },
                    **READS,
                },
                **scope("reports:read"),
            }
        },
    },
}
