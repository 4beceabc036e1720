"""An operator's answer that comes after its message was reported as unknown."""

import time

import pytest

from gateway.models import DueMessage
from routing import delivery
from routing.contract import Outcome, Verdict
from routing.delivery import Carrier
from routing.desk import Desk
from routing.models import Delivery, Operator, Part
from routing.relay import Relay
from tests.routing.conftest import status_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desk(tmp_path, settings):
    settings.JOURNAL_FOLDER = tmp_path / "journal"
    opened = Desk(serves=frozenset({"one"}), on_queues=lambda _queues: None)
    opened.start()
    yield opened
    opened.stop()


def wait(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


@pytest.mark.parametrize("policy", ["retry", "unknown"])
def test_the_operator_has_the_message_and_it_does_not_wait_to_be_sent_again(
    desk, make_operator, waiting, now, monkeypatch, policy
):
    monkeypatch.setattr("routing.queues.publish", lambda **_: None)
    operator: Operator = make_operator("one", on_unknown_outcome=policy)
    (key,) = waiting(operator)
    Relay().tick()
    row = Delivery.objects.get()
    delivery.take(delivery_ids=[str(row.pk)], worker=desk.worker, now=now)
    carrier = Carrier(operator.pk, "one", desk.worker, policy == "retry")
    delivery.record(carrier=carrier, outcomes=[Outcome(row.pk, key, Verdict.UNKNOWN, now)])
    assert status_of(key) == ("queued" if policy == "retry" else "sent")
    wait(lambda: operator.pk in desk._open)
    late = Outcome(row.pk, key, Verdict.ACCEPTED, now, ("r1",))
    desk.late(desk._open[operator.pk].transport, [late])
    wait(lambda: Part.objects.filter(operator_id=operator.pk, remote_id="r1").exists())
    wait(lambda: status_of(key) == "sent")
    assert not DueMessage.objects.exists()
