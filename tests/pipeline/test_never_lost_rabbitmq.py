"""Nothing is lost on RabbitMQ, whatever dies in the middle of 5,000 messages."""

import pytest

from tests.pipeline.stack import CALLBACKS_IN_HAND, WINDOW

pytestmark = [
    pytest.mark.pipeline,
    pytest.mark.parametrize("running", ["rabbitmq"], indirect=True, scope="session"),
]


def test_it_outlives_an_operator_worker(stack):
    with stack.send() as traffic:
        traffic.await_submitted()
        stack.kill("worker")
    stack.account(traffic).assert_whole(resubmitted=WINDOW)


def test_it_outlives_a_webhooks_worker(stack):
    with stack.send() as traffic:
        traffic.await_submitted()
        stack.kill("webhooks")
    stack.account(traffic).assert_whole(called_again=CALLBACKS_IN_HAND)


def test_it_outlives_a_broker_that_is_killed_and_later_emptied(stack):
    with stack.send() as traffic:
        traffic.await_submitted(1 / 5)
        stack.broker.kill()
        stack.broker.start()
        traffic.await_submitted(1 / 2)
        emptied = stack.drain_broker()
    assert emptied, "the broker held nothing when it was emptied"
    stack.account(traffic).assert_whole()


def test_it_keeps_its_tasks_in_quorum_queues(stack):
    for name in ("operator.alpha", "webhooks"):
        stack.broker.declare_quorum(name)
