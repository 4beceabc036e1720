"""A sandbox's messages all the way: accepted, relayed, carried by a real desk, reported."""

import time

import pytest
from django.utils import timezone

from gateway import submission
from gateway.models import Event, Message
from gateway.models.tenant import sandbox_of
from gateway.storing import Submission
from routing import handover, queues, sweeps
from routing.desk import Desk
from routing.models import Operator, OperatorState, Part, Route
from routing.relay import Relay
from routing.selection import SANDBOX_OPERATOR_ID

pytestmark = pytest.mark.django_db(transaction=True)

OUTCOMES = {
    "+15005550006": ("delivered", None),
    "+15005550007": ("failed", "UNDELIVERABLE"),
    "+15005550008": ("expired", "EXPIRED_AT_OPERATOR"),
    "+15005550009": ("rejected", "REJECTED_BY_OPERATOR"),
    "+15005550010": ("sent", None),
    "+14155550101": ("delivered", None),
}


@pytest.fixture
def desk(tmp_path, settings, db):
    settings.JOURNAL_FOLDER = tmp_path / "journal"
    opened = Desk(serves=None, on_queues=lambda _queues: None)
    handover.process.desk = opened
    opened.start()
    yield opened
    opened.stop()
    handover.process.desk = None


def wait(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def submit(tenant_id: int, **fields) -> list[str]:
    wanted = [
        Submission(tenant_id=tenant_id, recipient=recipient, text="hello", **fields) for recipient in OUTCOMES
    ]
    return [outcome.id for outcome in submission.accept(submissions=wanted, now=timezone.now())]


def carry(monkeypatch) -> None:
    """Relay and deliver what waits, without a broker between."""
    monkeypatch.setattr(
        queues,
        "publish",
        lambda *, queue, delivery_ids: handover.hand_over(delivery_ids=[str(key) for key in delivery_ids]),
    )
    wait(lambda: OperatorState.objects.filter(operator_id=SANDBOX_OPERATOR_ID, up=True).exists())
    wait(lambda: Relay().tick() > 0)
    assert handover.process.desk.hands.settle(seconds=15)


def outcomes(ids: list[str]) -> dict[str, tuple[str, str | None]]:
    sweeps.rematch(now=timezone.now())
    rows = Message.objects.filter(pk__in=ids).values_list("recipient", "status", "error_code")
    return {recipient: (status, code) for recipient, status, code in rows}


@pytest.mark.parametrize("channel", ["sms", "whatsapp", "rcs"])
def test_it_comes_to_what_the_recipient_stands_for(desk, tenants, monkeypatch, channel):
    # A real operator with a route for everything must see none of it.
    real = Operator.objects.create(slug="one", transport="simulator", channel=channel)
    Route.objects.create(operator=real, channel=channel)
    keys = submit(sandbox_of(tenants[0].pk), channel=channel)
    carry(monkeypatch)
    wait(lambda: outcomes(keys) == OUTCOMES)
    assert set(Message.objects.values_list("operator", flat=True)) == {"sandbox"}
    assert set(Part.objects.values_list("operator_id", flat=True)) <= {SANDBOX_OPERATOR_ID}
    assert not Event.objects.exclude(tenant_id=sandbox_of(tenants[0].pk)).exists()


def test_it_goes_on_to_its_fallback_there_as_well(desk, tenants, monkeypatch):
    steps = [{"channel": "sms", "content": {"text": "again"}}]
    keys = submit(sandbox_of(tenants[0].pk), channel="whatsapp", fallback=steps)
    carry(monkeypatch)
    wait(lambda: Relay().tick() == 0 and outcomes(keys) == OUTCOMES)
    assert set(Message.objects.exclude(operator=None).values_list("operator", flat=True)) == {"sandbox"}
