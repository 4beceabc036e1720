"""One endpoint that hangs costs the others nothing."""

import time

import pytest

from tests.fakes.http_listener import OK, Listener
from tests.webhooks.world import carry, eventually, make_facts, make_webhook
from webhooks import fanout
from webhooks.models import Callback, DueCallback, Endpoint

pytestmark = pytest.mark.django_db(transaction=True)


def test_it_delivers_to_healthy_endpoints_while_another_hangs_with_many_waiting(sending, tenant, other):
    with Listener(lambda _request: [60.0]) as hung, Listener() as healthy:
        make_webhook(tenant, hung.url(), read_timeout=3000)
        fanout.fan_out(make_facts(tenant, 400))
        for number in range(5):
            make_webhook(other, healthy.url(f"/{number}"))
        fanout.fan_out(make_facts(other, 20))
        began = time.monotonic()
        while len(healthy.requests) < 100:
            carry()
            time.sleep(0.01)
            assert time.monotonic() - began < 8
        took = time.monotonic() - began
        assert took < 2.8  # before the first of the hung ones times out
        assert hung.most_busy <= 8
        eventually(lambda: Endpoint.objects.filter(cap__lt=64).exists())
    assert Callback.objects.filter(tenant_id=other.pk).count() == 100


def test_it_gives_an_endpoint_that_does_not_answer_less_and_less(sending, tenant):
    with Listener(lambda _request: [60.0]) as hung:
        make_webhook(tenant, hung.url(), read_timeout=200)
        fanout.fan_out(make_facts(tenant, 40))
        for _ in range(3):
            carry()
            time.sleep(0.35)
        eventually(lambda: Endpoint.objects.filter(cap__lte=32).exists())
        assert len(hung.requests) < 20


def test_it_gives_an_endpoint_that_keeps_up_more_and_more(sending, tenant):
    with Listener(lambda _request: [OK]) as listener:
        make_webhook(tenant, listener.url())
        fanout.fan_out(make_facts(tenant, 300))
        while carry() or DueCallback.objects.exists():
            time.sleep(0.01)
    assert Endpoint.objects.get().cap > 64
