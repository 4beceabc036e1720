"""Two processes serve one operator: its rate holds to the second, whatever becomes of one of them."""

import os
import signal
import time

import pytest

from deploy.bench.lanes import record_lines
from deploy.bench.scale import most_within
from tests.pipeline.stack import WINDOW

pytestmark = [
    pytest.mark.pipeline,
    pytest.mark.parametrize("running", ["embedded"], indirect=True, scope="session"),
]

RATE, COUNT = 200, 800
# What a process that gets no processor for a while sends late; the SMSC, too, notes a submit when it reads it.
LATE = RATE // 5
_RATE = "UPDATE routing_operator SET rate = %s, updated_at = now() WHERE slug = 'alpha' RETURNING id"
_AT_WORK = "SELECT split_part(worker, ':', 2)::int FROM routing_delivery WHERE worker IS NOT NULL LIMIT 1"


@pytest.fixture
def rated(stack):
    stack.sql(_RATE, [RATE])
    yield
    stack.sql(_RATE, [None])


def test_it_keeps_the_rate_with_two_workers_one_of_which_is_killed(stack, rated):
    with stack.another("worker"):
        stack.await_workers(2)
        since = time.time()
        with stack.send(COUNT, seconds=0.1) as traffic:
            traffic.await_submitted(1 / 2)
            ((pid,),) = stack.sql(_AT_WORK)
            os.kill(pid, signal.SIGKILL)
        stack.account(traffic).assert_whole(resubmitted=WINDOW)
    moments = sorted(record_lines(stack.smsc.record, since).values())
    assert most_within(moments, 1.0) <= RATE + LATE
    assert most_within(moments, 2.0) <= 2 * RATE + LATE
    # As long as both were there, it was reached.
    assert most_within(moments, 1.0) >= RATE - LATE
