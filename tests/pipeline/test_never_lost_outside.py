"""Nothing is lost, whatever fails around the parts in the middle of 5,000 messages."""

import time

import pytest

from tests.pipeline.stack import CALLBACKS_IN_HAND, WINDOW

pytestmark = [
    pytest.mark.pipeline,
    pytest.mark.parametrize("running", ["embedded"], indirect=True, scope="session"),
]

DOWN_SECONDS = 10.0


def test_it_waits_for_an_smsc_that_is_down(stack):
    with stack.send() as traffic:
        traffic.await_submitted()
        stack.smsc.orders(f"refuse {DOWN_SECONDS}")
        stack.smsc.orders("close")
    stack.account(traffic).assert_whole(resubmitted=WINDOW)


def test_it_binds_again_after_connections_that_end_in_mid_pdu(stack):
    times = 3
    with stack.send() as traffic:
        for step in range(1, times + 1):
            traffic.await_submitted(step / (times + 1))
            stack.smsc.orders("close")
    stack.account(traffic).assert_whole(resubmitted=times * WINDOW)


def test_it_calls_a_listener_again_that_was_down(stack):
    with stack.send() as traffic:
        traffic.await_submitted()
        stack.listener.down()
        time.sleep(DOWN_SECONDS)
        stack.listener.up()
    # What the listener took before it went down and could not answer.
    stack.account(traffic).assert_whole(called_again=CALLBACKS_IN_HAND)


def test_it_needs_nothing_that_the_broker_held(stack):
    with stack.send() as traffic:
        traffic.await_submitted(1 / 5)
        emptied = stack.drain_broker()
    assert emptied, "the broker held nothing when it was emptied"
    stack.account(traffic).assert_whole()


def test_it_shares_the_work_of_two_relays_and_two_operator_workers(stack):
    with stack.another("relay"), stack.another("worker"):
        stack.await_workers(2)
        with stack.send() as traffic:
            pass
        stack.account(traffic).assert_whole()
