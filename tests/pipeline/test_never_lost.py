"""Nothing is lost, whatever dies in the middle of 5,000 messages."""

import os
import signal
import time

import pytest

from tests.pipeline.stack import WINDOW

pytestmark = pytest.mark.pipeline

EMBEDDED = pytest.mark.parametrize("running", ["embedded"], indirect=True, scope="session")
RABBITMQ = pytest.mark.parametrize("running", ["rabbitmq"], indirect=True, scope="session")
BOTH = pytest.mark.parametrize("running", ["embedded", "rabbitmq"], indirect=True, scope="session")
# What a webhooks worker may have had under way or not yet recorded.
CALLBACKS_IN_HAND = 512
DOWN_SECONDS = 10.0


@EMBEDDED
def test_it_outlives_an_api_worker(stack):
    with stack.send() as traffic:
        traffic.await_submitted()
        os.kill(stack.api_workers()[0], signal.SIGKILL)
    stack.account(traffic).assert_whole()


@EMBEDDED
def test_it_outlives_the_api(stack):
    with stack.send() as traffic:
        traffic.await_answered()
        stack.kill("api")
    assert traffic.troubles, "the API was killed when it had nothing left to do"
    stack.account(traffic).assert_whole()


@EMBEDDED
def test_it_outlives_the_relay(stack):
    with stack.send() as traffic:
        traffic.await_submitted()
        stack.kill("relay")
    stack.account(traffic).assert_whole()


@BOTH
def test_it_outlives_an_operator_worker(stack):
    with stack.send() as traffic:
        traffic.await_submitted()
        stack.kill("worker")
    stack.account(traffic).assert_whole(resubmitted=WINDOW)


@EMBEDDED
def test_it_repeats_nothing_when_an_operator_worker_is_asked_to_stop(stack):
    with stack.send() as traffic:
        traffic.await_submitted()
        stack.kill("worker", signal.SIGTERM)
    stack.account(traffic).assert_whole()


@BOTH
def test_it_outlives_a_webhooks_worker(stack):
    with stack.send() as traffic:
        traffic.await_submitted()
        stack.kill("webhooks")
    stack.account(traffic).assert_whole(called_again=CALLBACKS_IN_HAND)


@EMBEDDED
@pytest.mark.parametrize("part", ["relay", "worker"])
def test_it_outlives_a_database_process(stack, part):
    with stack.send() as traffic:
        traffic.await_submitted()
        stack.kill_backend(part)
    stack.account(traffic).assert_whole()


@EMBEDDED
def test_it_outlives_the_database(stack):
    with stack.send() as traffic:
        traffic.await_submitted()
        stack.kill("postgres")
    stack.account(traffic).assert_whole()


@EMBEDDED
def test_it_waits_for_an_smsc_that_is_down(stack):
    with stack.send() as traffic:
        traffic.await_submitted()
        stack.smsc.orders(f"refuse {DOWN_SECONDS}")
        stack.smsc.orders("close")
    stack.account(traffic).assert_whole(resubmitted=WINDOW)


@EMBEDDED
def test_it_binds_again_after_connections_that_end_in_mid_pdu(stack):
    times = 3
    with stack.send() as traffic:
        for step in range(1, times + 1):
            traffic.await_submitted(step / (times + 1))
            stack.smsc.orders("close")
    stack.account(traffic).assert_whole(resubmitted=times * WINDOW)


@EMBEDDED
def test_it_calls_a_listener_again_that_was_down(stack):
    with stack.send() as traffic:
        traffic.await_submitted()
        stack.listener.down()
        time.sleep(DOWN_SECONDS)
        stack.listener.up()
    # What the listener took before it went down and could not answer.
    stack.account(traffic).assert_whole(called_again=CALLBACKS_IN_HAND)


@EMBEDDED
def test_it_needs_nothing_that_the_broker_held(stack):
    with stack.send() as traffic:
        traffic.await_submitted(1 / 5)
        emptied = _empty(stack)
    assert emptied, "the broker held nothing when it was emptied"
    stack.account(traffic).assert_whole()


@EMBEDDED
def test_it_shares_the_work_of_two_relays_and_two_operator_workers(stack):
    with stack.another("relay"), stack.another("worker"):
        stack.await_workers(2)
        with stack.send() as traffic:
            pass
        stack.account(traffic).assert_whole()


@RABBITMQ
def test_it_outlives_a_broker_that_is_killed_and_later_emptied(stack):
    with stack.send() as traffic:
        traffic.await_submitted(1 / 5)
        stack.broker.kill()
        stack.broker.start()
        traffic.await_submitted(1 / 2)
        emptied = _empty(stack)
    assert emptied, "the broker held nothing when it was emptied"
    stack.account(traffic).assert_whole()


@RABBITMQ
def test_it_keeps_its_tasks_in_quorum_queues(stack):
    for name in ("operator.alpha", "webhooks"):
        stack.broker.declare_quorum(name)


def _empty(stack):
    """Empty the broker again and again for a second; how many tasks that took away."""
    taken = 0
    for _ in range(20):
        taken += stack.empty_broker()
        time.sleep(0.05)
    return taken
