"""The document says of a callback what is in it."""

import json
from datetime import UTC, datetime

import jsonschema_rs
import pytest

from gateway import inbound
from gateway.inbound import Arrival
from tests.fakes.http_listener import Listener
from tests.webhooks.world import carry, make_facts, make_webhook
from webhooks import fanout
from webhooks.api import bodies, vendor_bodies
from webhooks.formats import messagemedia, octopush, samples, standard

pytestmark = pytest.mark.django_db(transaction=True)


def check(callback: str, body: dict) -> None:
    """Every member that is sent is described, and the other way round."""
    callbacks, schemas = bodies.CALLBACKS | vendor_bodies.CALLBACKS, bodies.SCHEMAS | vendor_bodies.SCHEMAS
    (name,) = [
        content["schema"]["$ref"].rpartition("/")[2]
        for content in callbacks[callback]["post"]["requestBody"]["content"].values()
    ]
    schema = schemas[name]
    assert [error.message for error in jsonschema_rs.Draft202012Validator(schema).iter_errors(body)] == []
    assert set(body) == set(schema["properties"])
    if "data" in body:
        assert set(body["data"]) == set(schema["properties"]["data"]["properties"])


@pytest.mark.parametrize("type_", bodies.MESSAGE_TYPES)
def test_it_is_what_the_document_says(sending, tenant, type_):
    with Listener() as listener:
        make_webhook(tenant, listener.url(), events=[type_])
        fanout.fan_out(make_facts(tenant, type=type_, metadata={"order": "42"}))
        carry()
        (request,) = listener.wait_for(1)
    check("message", json.loads(request.body))


def test_it_is_what_the_document_says_of_what_handsets_bring_about(sending, tenant):
    types = ["message.received", *bodies.CONSENT_TYPES]
    arrivals = [
        Arrival(
            operator="demo",
            sender="+14155550101",
            recipient="4242",
            text=text,
            received_at=datetime.now(tz=UTC),
            raw={},
        )
        for text in ("STOP", "START", "Hello")
    ]
    with Listener() as listener:
        make_webhook(tenant, listener.url(), events=types)
        for arrival in arrivals:
            inbound.receive(tenant_id=tenant.pk, arrivals=[arrival])
        carry()
        found = [json.loads(request.body) for request in listener.wait_for(5)]
    assert {one["type"] for one in found} == set(types)
    for one in found:
        check("received" if one["type"] == "message.received" else "consent", one)


def test_it_is_what_the_document_says_of_webhooks_switched_off():
    check("disabled", json.loads(standard.render(samples.source("webhook.disabled"))))


@pytest.mark.parametrize("type_", bodies.MESSAGE_TYPES)
def test_it_is_what_the_document_says_of_the_vendors_receipts(type_):
    source, details = samples.source(type_), samples.details("acme")
    check("octopushReceipt", octopush.body(source, details))
    report = messagemedia.body(source, details)
    if report is not None:
        check("messagemediaReport", report)


@pytest.mark.parametrize(("type_", "name"), [("message.received", "Reply"), ("contact.opted_out", "OptOut")])
def test_it_is_what_the_document_says_of_the_vendors_other_callbacks(type_, name):
    source, details = samples.source(type_), samples.details("acme")
    check(f"messagemedia{name}", messagemedia.body(source, details))
    check(f"octopush{name}", octopush.body(source, details))


def test_it_is_what_the_document_says_of_batches(sending, tenant):
    with Listener() as listener:
        make_webhook(tenant, listener.url(), batch_max_events=2, batch_max_delay_ms=10)
        fanout.fan_out(make_facts(tenant, 2))
        carry()
        (request,) = listener.wait_for(1)
    schema = bodies.SCHEMAS["CallbackBatch"]
    found = json.loads(request.body)
    assert [error.message for error in jsonschema_rs.Draft202012Validator(schema).iter_errors(found)] == []
    assert {frozenset(one) for one in found} == {frozenset(schema["items"]["properties"])}
