"""Two tenants with a key each: what one of them does, the other must never see."""

import pytest

from gateway.hooks import hooks
from tests.factories import Caller, make_tenant


def pytest_collection_modifyitems(items):
    """Whoever names a tenant needs the database."""
    for item in items:
        if {"acme", "other"} & set(getattr(item, "fixturenames", ())) and not item.get_closest_marker(
            "django_db"
        ):
            item.add_marker(pytest.mark.django_db)


@pytest.fixture(autouse=True)
def _routed(monkeypatch):
    """Every message has a route; tests of routes bring their own."""
    monkeypatch.setattr(hooks, "route", lambda requests, fresh=True: [0] * len(requests))


@pytest.fixture
def acme() -> Caller:
    return Caller(make_tenant("acme"))


@pytest.fixture
def other() -> Caller:
    return Caller(make_tenant("other"))
