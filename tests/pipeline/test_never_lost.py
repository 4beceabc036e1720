"""Nothing is lost, whichever part dies in the middle of 5,000 messages."""

import os
import signal

import pytest

from tests.pipeline.stack import CALLBACKS_IN_HAND, WINDOW

pytestmark = [
    pytest.mark.pipeline,
    pytest.mark.parametrize("running", ["embedded"], indirect=True, scope="session"),
]


def test_it_outlives_an_api_worker(stack):
    with stack.send() as traffic:
        traffic.await_submitted()
        os.kill(stack.api_workers()[0], signal.SIGKILL)
    stack.account(traffic).assert_whole()


def test_it_outlives_the_api(stack):
    with stack.send() as traffic:
        traffic.await_answered()
        stack.kill("api")
    assert traffic.troubles, "the API was killed when it had nothing left to do"
    stack.account(traffic).assert_whole()


def test_it_outlives_the_relay(stack):
    with stack.send() as traffic:
        traffic.await_submitted()
        stack.kill("relay")
    stack.account(traffic).assert_whole()


def test_it_outlives_an_operator_worker(stack):
    with stack.send() as traffic:
        traffic.await_submitted()
        stack.kill("worker")
    stack.account(traffic).assert_whole(resubmitted=WINDOW)


def test_it_repeats_nothing_when_an_operator_worker_is_asked_to_stop(stack):
    with stack.send() as traffic:
        traffic.await_submitted()
        stack.kill("worker", signal.SIGTERM)
    stack.account(traffic).assert_whole()


def test_it_outlives_a_webhooks_worker(stack):
    with stack.send() as traffic:
        traffic.await_submitted()
        stack.kill("webhooks")
    stack.account(traffic).assert_whole(called_again=CALLBACKS_IN_HAND)


@pytest.mark.parametrize("part", ["relay", "worker"])
def test_it_outlives_a_database_process(stack, part):
    with stack.send() as traffic:
        traffic.await_submitted()
        stack.kill_backend(part)
    stack.account(traffic).assert_whole()


def test_it_outlives_the_database(stack):
    with stack.send() as traffic:
        traffic.await_submitted()
        stack.kill("postgres")
    stack.account(traffic).assert_whole()
