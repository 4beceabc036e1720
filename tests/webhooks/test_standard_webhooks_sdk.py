"""The library of Standard Webhooks verifies whatever goes out, in whatever time zone its machine is."""

import json
import time
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook as Oracle
from standardwebhooks import WebhookVerificationError

from gateway.models import Event
from tests.fakes.http_listener import OK, Listener, status
from tests.webhooks.world import carry, eventually, make_facts, make_webhook
from webhooks import fanout
from webhooks.models import Attempt

pytestmark = pytest.mark.django_db(transaction=True)

FORMATS = {
    "standard": {},
    "form": {"encoding": "FORM_ENCODED"},
    "xml": {"encoding": "XML"},
    "put": {"method": "PUT"},
    "get": {"method": "GET"},
    "template": {"template": '{"id":"$mtId","text":"$esc.json($!mtContent)"}'},
    "plain": {"template": "$status of $mtId", "encoding": "XML"},
    "messagemedia": {"format": "messagemedia"},
    "octopush": {"format": "octopush"},
    "batch": {"batch_max_events": 10, "batch_max_delay_ms": 50},
}


@pytest.fixture(params=["UTC", "Australia/Sydney", "America/New_York"])
def _zone(request, monkeypatch):
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def verified(request, secret):
    """The signature holds; what is no JSON is refused only when it is parsed, after that."""
    try:
        Oracle(secret).verify(request.body, request.headers)
    except json.JSONDecodeError:
        return True
    except WebhookVerificationError:
        return False
    return True


@pytest.mark.usefixtures("_zone")
def test_it_verifies_every_format(sending, tenant):
    def answer(request):
        return [status(200)] if request.target == "/octopush" else [OK]

    with Listener(answer) as listener:
        hooks = {
            f"/{name}": make_webhook(tenant, listener.url(f"/{name}"), **fields)
            for name, fields in FORMATS.items()
        }
        facts = make_facts(tenant, 2)
        Event.objects.update(occurred_at=datetime.now(tz=UTC))
        fanout.fan_out(facts)
        carry()
        expected = 2 * len(FORMATS)
        eventually(lambda: Attempt.objects.filter(outcome="delivered").count() == expected)
    assert {request.target for request in listener.requests} == set(hooks)
    assert len(listener.requests) == expected - 1
    for request in listener.requests:
        assert verified(request, hooks[request.target].plain_secret), request.target
        assert not verified(request, hooks["/xml" if request.target == "/put" else "/put"].plain_secret)
