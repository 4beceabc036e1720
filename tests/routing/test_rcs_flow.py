"""RCS from a worker's desk to the handset; who has no RCS gets the next step of the chain at once."""

import queue
import time

import pytest
from django.test import Client
from django.utils import timezone

from gateway.models import Message
from routing import handover, intake, operators, provisioning, queues, sweeps
from routing.desk import Desk
from routing.models import Operator, Part, Route
from routing.provisioning import OperatorWish
from routing.relay import Relay
from tests.fakes.rcs import CLIENT_TOKEN, Google, event, post, signature
from tests.routing.conftest import status_of, timeline_of

SMS = {"channel": "sms", "content": {"text": "by text"}}


@pytest.fixture
def fake():
    with Google() as running:
        yield running


@pytest.fixture
def desk(transactional_db, tmp_path, settings):
    settings.JOURNAL_FOLDER = tmp_path / "journal"
    opened = Desk(serves=frozenset({"rcs", "sms"}), on_queues=lambda _queues: None)
    handover.process.desk = opened
    intake._directory.__init__()
    opened.start()
    yield opened
    opened.stop()
    handover.process.desk = None


@pytest.fixture
def run(monkeypatch):
    published: queue.SimpleQueue = queue.SimpleQueue()
    monkeypatch.setattr(
        queues, "publish", lambda *, queue, delivery_ids: published.put([str(key) for key in delivery_ids])
    )

    def until(condition, seconds=10.0):
        """Turn the relay and the worker until it is so."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it never happened"
            Relay().tick()
            sweeps.rematch(now=timezone.now())
            while not published.empty():
                handover.hand_over(delivery_ids=published.get())
            time.sleep(0.02)

    return until


@pytest.fixture
def rcs(fake, desk, run):
    wish = OperatorWish(
        slug="rcs",
        transport="rcs",
        channel="rcs",
        settings=fake.account(capability_check=True),
        secrets={"service_account": fake.key_file(), "client_token": CLIENT_TOKEN},
    )
    operator = provisioning.add_operator(wish=wish)
    Route.objects.create(operator=operator, channel="rcs")
    sms = Operator.objects.create(slug="sms", transport="simulator", settings={"receipt_delay_ms": 10})
    Route.objects.create(operator=sms, channel="sms")
    desk._wake.set()
    run(lambda: {each.slug for each in operators.standings(fresh=True).values() if each.up} == {"rcs", "sms"})
    return operator


def test_a_message_goes_out_and_its_events_come_home(fake, rcs, waiting, run):
    (key,) = waiting(rcs, channel="rcs")
    run(lambda: status_of(key) == "sent")
    remote_id = Part.objects.get(message_id=key).remote_id
    assert {remote_id} == fake.seen
    for kind in ("DELIVERED", "READ"):
        body = post(event(kind, remote_id))
        headers = {"X-Goog-Signature": signature(body)}
        answer = Client().post("/intake/rcs/events", body, content_type="application/json", headers=headers)
        assert answer.status_code == 200
    assert status_of(key) == "read"


def test_who_has_no_rcs_gets_the_next_step_at_once(fake, rcs, waiting, run):
    fake.unreachable = {"+14155550101"}
    (key,) = waiting(rcs, channel="rcs")
    Message.objects.filter(pk=key).update(fallback=[SMS])
    run(lambda: status_of(key) == "delivered")
    row = Message.objects.get(pk=key)
    assert (row.channel, row.operator, row.text) == ("sms", "sms", "by text")
    assert timeline_of(key)[:1] == ["message.fallback"]
    assert not fake.targets("agentMessages")


def test_who_has_no_rcs_and_no_other_step_is_told_so(fake, rcs, waiting, run):
    fake.unreachable = {"+14155550101"}
    (key,) = waiting(rcs, channel="rcs")
    run(lambda: status_of(key) == "rejected")
    assert Message.objects.get(pk=key).error_code == "RECIPIENT_NOT_REACHABLE"
