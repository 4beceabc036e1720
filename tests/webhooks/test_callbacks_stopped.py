"""What is in hand for a slow endpoint does not go on for long once its webhook is removed or switched off."""

import time

import pytest

from tests.fakes.http_listener import OK, Listener
from tests.webhooks.world import carry, eventually, make_facts, make_webhook
from webhooks import fanout, recording, subscriptions
from webhooks.models import DueCallback

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    """Renew leases after a moment."""
    monkeypatch.setattr(recording, "RENEW_SECONDS", 0.2)


def remove(webhook):
    subscriptions.remove(webhook=webhook)


def switch_off(webhook):
    subscriptions.change(webhook=webhook, members={"active": False})


def begin(tenant, listener, sending):
    """A webhook with 64 callbacks in hand, eight of them under way for half a second."""
    webhook = make_webhook(tenant, listener.url())
    fanout.fan_out(make_facts(tenant, 64))
    carry()
    eventually(lambda: len(listener.requests) == 8)
    assert sending.recorder.held == 64
    return webhook


@pytest.mark.parametrize("stop", [remove, switch_off])
def test_it_drops_what_waits_for_a_webhook_that_is_gone_or_inactive(sending, tenant, stop):
    with Listener(lambda _request: [0.5, OK]) as listener:
        stop(begin(tenant, listener, sending))
        eventually(lambda: sending.recorder.held == 0)
        came = len(listener.requests)
        time.sleep(0.7)
    assert len(listener.requests) == came < 40


def test_it_sends_what_was_dropped_once_the_webhook_is_active_again(sending, tenant):
    with Listener(lambda _request: [0.3, OK]) as listener:
        webhook = begin(tenant, listener, sending)
        switch_off(webhook)
        eventually(lambda: sending.recorder.held == 0)
        subscriptions.change(webhook=webhook, members={"active": True})
        while carry() or DueCallback.objects.exists():
            time.sleep(0.02)
        sent = {request.headers["webhook-id"] for request in listener.requests}
    assert len(sent) == 64
