"""What can still be taken back of a message on its way along its fallback chain."""

import uuid

import pytest

from gateway.models import DueMessage, Event, Message
from gateway.statuses import Status
from tests.factories import message

pytestmark = pytest.mark.django_db

CHAIN = [{"channel": "sms", "content": {"text": "by text"}}]


@pytest.fixture
def waiting(acme):
    """A message whose next step waits for an operator."""

    def make(status: Status) -> uuid.UUID:
        key = uuid.UUID(acme.post("/v1/messages", message(channel="rcs", fallback=CHAIN)).json["id"])
        Message.objects.filter(pk=key).update(status=status, fallback_step=1)
        return key

    return make


def test_it_cannot_be_cancelled_once_an_operator_had_a_step_and_the_next_still_waits(acme, waiting):
    key = waiting(Status.SENT)
    answer = acme.post(f"/v1/messages/{key}/cancel")
    assert (answer.status, answer.code) == (409, "ALREADY_SENT")
    assert DueMessage.objects.filter(pk=key).exists()
    assert Message.objects.get(pk=key).status == "sent"


def test_it_can_be_cancelled_while_no_operator_has_taken_any_step(acme, waiting):
    key = waiting(Status.QUEUED)
    answer = acme.post(f"/v1/messages/{key}/cancel")
    assert (answer.status, answer.json["status"]) == (200, "canceled")
    assert not DueMessage.objects.filter(pk=key).exists()


def test_it_is_cancelled_once_however_many_ask_at_once(acme, waiting, together, transactional_db):
    key = waiting(Status.QUEUED)
    answers = together(lambda _number: acme.post(f"/v1/messages/{key}/cancel").status, 4)
    assert set(answers) <= {200, 409}
    assert 200 in answers
    assert Event.objects.filter(message_id=key, type="message.canceled").count() == 1
