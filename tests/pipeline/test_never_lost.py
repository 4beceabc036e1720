"""Nothing is lost, whatever dies in the middle of 5,000 messages."""

import signal
import time

import pytest

from tests.pipeline.stack import WINDOW

pytestmark = pytest.mark.pipeline

EMBEDDED = pytest.mark.parametrize("running", ["embedded"], indirect=True, scope="session")
BOTH = pytest.mark.parametrize("running", ["embedded", "rabbitmq"], indirect=True, scope="session")
# What a webhooks worker may have had under way or not yet recorded.
CALLBACKS_IN_HAND = 512


@EMBEDDED
def test_it_delivers_everything_once(stack):
    with stack.send() as traffic:
        pass
    stack.account(traffic).assert_whole()
