"""What the server answers to generated requests is what the document says, to good ones and to bad ones."""

import re
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis.core import NOT_SET
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from config.wsgi import application
from tests.contract import routes
from tests.contract.world import owner

CONFIG = schemathesis.Config.from_dict(
    {
        "seed": 20261201,
        "generation": {"max-examples": 6, "deterministic": True, "allow-x00": False},
        # What is shown of a failure must run as it stands; the key is the test's own.
        "output": {"sanitization": {"enabled": False}},
        "checks": {
            # 422 is for what no schema can say: a template that there is not, a recipient who opted out.
            "positive_data_acceptance": {"expected-statuses": ["2xx", "404", "409", "422"]}
        },
    }
)
SCHEMA = schemathesis.openapi.from_dict(routes.strict(), config=CONFIG)
SCHEMA.app = application
# Which numbers there can be is a country's numbering plan; how two moments stand to each other, or that two
# parameters exclude each other, is said of both.
BEYOND = re.compile(
    "^INVALID_RECIPIENT: |: (Must be|At most 400 days) before to[.]|: The same as (from|to): give one of them[.]"
    "| cannot go with | must be (another than|before|within) | is required with "
    "|: until must not be in the future[.]"
)
# An item that is refused has a result of its own: the call may succeed with bad items and fail with good ones.
OWN_RESULTS = {"sendMessages", "importContacts", "importOptOuts"}


def strategies() -> dict[str, st.SearchStrategy[str]]:
    """What the formats stand for that JSON Schema cannot tell."""
    visible = st.characters(min_codepoint=33, max_codepoint=126)
    return {
        "phone": st.sampled_from(["+14155550101", "+447400123456", "+33612345678"]),
        "sender": st.sampled_from(["ACME", "4242", "+14155550100", "A & B's"]),
        "uri": st.sampled_from(
            ["https://example.com", "http://example.com:8080/a?b=%20#c", "https://[::1]/x"]
        ),
        "date-time": st.datetimes(
            datetime(1970, 1, 2, tzinfo=UTC).replace(tzinfo=None),
            datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None),
            timezones=st.just(UTC),
        ).map(datetime.isoformat),
        "date": st.dates(date(2025, 1, 1), date(2026, 1, 1)).map(date.isoformat),
        "cursor": st.just("AZrD8noQe2KdDjxbjxouRA"),
        "header": st.text(visible, max_size=50),
        "velocity": st.sampled_from(["", "$mtId", '{"id":"$esc.json($!mtId)"}', "#if($status)x#else y#end"]),
    }


for name, strategy in strategies().items():
    schemathesis.openapi.format(name, strategy)


@pytest.fixture
def send(world, wsgi):
    """Send a case with the tenant's key, about what the tenant owns, and check the answer."""
    headers = {"Authorization": f"Bearer {world.caller.api_key}"}

    def run(case: schemathesis.Case) -> None:
        for parameter, value in case.path_parameters.items():
            if is_uuid(value):
                case.path_parameters[parameter] = world.ids[owner(case.operation.path)]
        case.body = whole(case.body)
        own_results = case.operation.definition.raw["operationId"] in OWN_RESULTS
        response = case.call(headers=headers)
        excluded = [negative_data_rejection, positive_data_acceptance] if own_results else []
        if is_beyond_schemas(response):
            excluded.append(positive_data_acceptance)
        if (
            case.body is NOT_SET
            and case.operation.body
            and not any(each.is_required for each in case.operation.body)
        ):
            # Bodies that are wrong may come out as none at all, which is right.
            excluded.append(negative_data_rejection)
        case.validate_response(response, headers=headers, excluded_checks=excluded)

    return run


def is_beyond_schemas(response: schemathesis.Response) -> bool:
    """Whether all that is wrong is what a schema cannot tell."""
    if response.status_code != 400:
        return False
    details = response.json()["details"]
    return bool(details) and all(
        BEYOND.search(f"{detail['code']}: {detail['message']}") for detail in details
    )


def whole(value: Any) -> Any:
    """4.0 is an integer to JSON Schema; the API takes whole numbers as such, and says so."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [whole(item) for item in value]
    return {name: whole(item) for name, item in value.items()} if isinstance(value, dict) else value


def is_uuid(value: str) -> bool:
    try:
        UUID(value)
    except (ValueError, AttributeError, TypeError):
        return False
    return True


@SCHEMA.parametrize()
# One tenant's rows for all the requests of a call: what one of them changes, the next may find.
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_is_as_described(case, send):
    send(case)
