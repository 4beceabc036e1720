"""Two tenants with a key each: what one of them does, the other must never see."""

import pytest

from gateway.hooks import hooks
from tests.factories import Caller, make_tenant


@pytest.fixture(autouse=True)
def _routed(monkeypatch):
    """Every message has a route; tests of routes bring their own."""
    monkeypatch.setattr(hooks, "route", lambda requests: [0] * len(requests))


@pytest.fixture
def acme(request) -> Caller:
    return _caller(request, "acme")


@pytest.fixture
def other(request) -> Caller:
    return _caller(request, "other")


def _caller(request, slug: str) -> Caller:
    if not {"db", "transactional_db"} & set(request.fixturenames):
        request.getfixturevalue("db")
    return Caller(make_tenant(slug))
