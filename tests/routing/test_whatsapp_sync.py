"""Templates that a relay reads by itself: when they are due, and what a failure does."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from routing import provisioning
from routing.models import Operator, OperatorTemplate
from routing.provisioning import OperatorWish
from routing.transports import whatsapp_sync
from tests.fakes.http_listener import status
from tests.fakes.whatsapp import ACCOUNT_ID, Meta
from tests.routing.http_world import wait
from tests.routing.test_whatsapp_templates import template


@pytest.fixture(autouse=True)
def _no_memory():
    whatsapp_sync._Memory.not_before = {}
    whatsapp_sync._Memory.thread = None


@pytest.fixture
def fake():
    with Meta() as running:
        running.templates = [template(1)]
        yield running


@pytest.fixture
def add(fake, db):
    def make(slug="wa", *, active=True, **settings):
        given = fake.account(business_account_id=ACCOUNT_ID) | settings
        wish = OperatorWish(
            slug=slug,
            transport="whatsapp",
            channel="whatsapp",
            settings=given,
            secrets={"token": Meta.TOKEN},
            active=active,
        )
        return provisioning.add_operator(wish=wish)

    return make


def due(now):
    return [row.slug for row in whatsapp_sync.due(now=now)]


def test_they_are_read_once_an_hour(add, now):
    operator = add()
    assert due(now) == ["wa"]
    assert whatsapp_sync.synchronise(row=operator, now=now) == 1
    assert due(now + timedelta(minutes=59)) == []
    assert due(now + timedelta(minutes=60)) == ["wa"]


def test_an_operator_may_have_its_own_hours_or_none(add, now):
    add("never", sync_templates_minutes=0)
    add("no-account", business_account_id=None)
    add("off", active=False)
    often = add("often", sync_templates_minutes=5)
    whatsapp_sync.synchronise(row=often, now=now)
    assert due(now + timedelta(minutes=5)) == ["often"]


def test_what_changed_there_is_so_here(fake, add, now):
    operator = add()
    whatsapp_sync.synchronise(row=operator, now=now)
    fake.templates = [template(1, status="PAUSED"), template(2, status="REJECTED")]
    whatsapp_sync.synchronise(row=operator, now=now + timedelta(hours=1))
    assert set(OperatorTemplate.objects.values_list("name", "status")) == {
        ("t1", "PAUSED"),
        ("t2", "REJECTED"),
    }


def test_a_failure_is_left_for_an_hour_and_changes_nothing(fake, add, now):
    operator = add()
    whatsapp_sync.synchronise(row=operator, now=now)
    fake.play = lambda _request, _number: [status(500)]
    later = now + timedelta(hours=2)
    assert whatsapp_sync.synchronise(row=operator, now=later) is None
    assert due(later) == []
    assert OperatorTemplate.objects.count() == 1


def test_an_account_without_templates_is_asked_once_an_hour(fake, add, now):
    fake.templates = []
    whatsapp_sync.synchronise(row=add(), now=now)
    assert due(now) == []


@pytest.mark.django_db(transaction=True)
def test_meta_may_take_its_time(fake, add):
    add()
    bad = add("bad")
    Operator.objects.filter(pk=bad.pk).update(secrets=b"not sealed")
    take = fake.play
    fake.play = lambda request, number: [0.2, *take(request, number)]
    began, now = time.monotonic(), datetime.now(tz=UTC)
    for _ in range(3):
        assert whatsapp_sync.keep(now=now) == 0
    assert time.monotonic() - began < 0.2
    wait(OperatorTemplate.objects.exists)
    thread = whatsapp_sync._Memory.thread
    thread.join(5)
    assert len(fake.requests) == 1
    assert "whatsapp templates" not in {each.name for each in threading.enumerate()}
