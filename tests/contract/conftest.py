"""Two tenants, one of which owns one of everything."""

import pytest
from django.core import signals
from django.db import close_old_connections

from config.wsgi import application
from gateway.hooks import hooks
from tests.contract.world import World
from tests.factories import Caller, make_tenant


@pytest.fixture(autouse=True)
def _routed(monkeypatch):
    monkeypatch.setattr(hooks, "route", lambda requests, fresh=True: [0] * len(requests))


@pytest.fixture
def acme(db) -> Caller:
    return Caller(make_tenant("acme"))


@pytest.fixture
def other(db) -> Caller:
    return Caller(make_tenant("other"))


@pytest.fixture
def world(acme) -> World:
    return World(acme)


@pytest.fixture
def wsgi():
    """The application, as a server calls it, but on the test's own connection and transaction."""
    for signal in (signals.request_started, signals.request_finished):
        signal.disconnect(close_old_connections)
    yield application
    for signal in (signals.request_started, signals.request_finished):
        signal.connect(close_old_connections)
