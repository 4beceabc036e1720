"""Tenants and a dispatcher that is this test's own."""

from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from gateway.models import Tenant
from tests.webhooks import world
from tests.webhooks.calling import Caller
from webhooks import worker


@pytest.fixture(autouse=True)
def _loopback(settings):
    settings.CALLBACK_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8"), ip_network("::1/128")]


@pytest.fixture
def tenant(db) -> Tenant:
    return world.make_tenant("acme")


@pytest.fixture
def other(db) -> Tenant:
    return world.make_tenant("other")


@pytest.fixture
def call(client, tenant) -> Caller:
    return Caller(client, tenant)


@pytest.fixture
def stranger(client, other) -> Caller:
    return Caller(client, other)


@pytest.fixture
def sending(transactional_db) -> Iterator[worker.Sending]:
    """This process's dispatcher, for the test alone."""
    ours = worker.Sending()
    ours.start()
    worker._running = ours
    yield ours
    worker._running = None
    ours.stop(seconds=0.3)
