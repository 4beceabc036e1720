"""No callback is lost, whatever dies in the middle of 10,000 of them, some of which have to be tried again."""

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict

import psycopg
import pytest

from deploy import home, listener
from tests.pipeline import peers, rabbit

pytestmark = [
    pytest.mark.pipeline,
    pytest.mark.parametrize(
        "running", ["rabbitmq" if rabbit.installed() else "embedded"], indirect=True, scope="session"
    ),
]

COUNT = 10_000
TYPE = "message.sent"
# So many are answered with 500 when they first come.
UNWILLING = COUNT // 20
# What a webhooks worker may have had under way or not yet recorded; a database may forget as many leases.
IN_HAND = 512
PATIENCE_SECONDS = 60.0

# Events as the ledger would write them, and their callbacks by the verb that it calls, 500 at a time.
_FAN_OUT = """
import sys
from datetime import UTC, datetime
import django
django.setup()
from django.db import transaction
from gateway import ids
from gateway.hooks import Fact
from gateway.models import Event, Message, Tenant
from webhooks import fanout
count, type_ = int(sys.argv[1]), sys.argv[2]
tenant, now = Tenant.objects.get(slug="acme").pk, datetime.now(tz=UTC)
pairs = list(zip(ids.new(count), ids.new(count)))
Message.objects.bulk_create((
    Message(id=message, tenant_id=tenant, created_at=now, status="sent", channel="sms", recipient="+33610000000",
            sender="ACME", text="Hello.", parts=1)
    for message, _event in pairs
), batch_size=2000)
Event.objects.bulk_create((
    Event(id=event, tenant_id=tenant, message_id=message, type=type_, status="sent", sequence=2, occurred_at=now)
    for message, event in pairs
), batch_size=2000)
facts = [Fact(event, tenant, message, type_, None) for message, event in pairs]
for start in range(0, count, 500):
    with transaction.atomic():
        fanout.fan_out(facts[start:start + 500])
print(*(event for _message, event in pairs))
"""
_LEFT = "SELECT count(*) FROM webhooks_duecallback WHERE endpoint = %s"
_STATES = """
SELECT c.state, count(*), sum(c.attempts - a.recorded)
FROM webhooks_callback c CROSS JOIN LATERAL (SELECT count(*) AS recorded FROM webhooks_attempt a WHERE a.id = c.id) a
WHERE c.endpoint = %s GROUP BY c.state
"""


class Unwilling(peers.Listener):
    """Answers 500 to the first :data:`UNWILLING` of every third callback that it has not seen yet."""

    def __init__(self):
        super().__init__()
        self.failed = set()
        self.seen = set()

    def refuses(self, name):
        """Whether the callback with this webhook-id is turned away, this time."""
        if name in self.seen:
            return False
        self.seen.add(name)
        if len(self.seen) % 3 or len(self.failed) >= UNWILLING:
            return False
        self.failed.add(name)
        return True

    def _connection(self):
        return _Moody(self)


class _Moody(peers._Known):
    def __init__(self, owner):
        super().__init__(owner.received, owner._connections)
        self._owner = owner

    def _answer(self, head, folded, body):
        answer = super()._answer(head, folded, body)
        name = listener._value(head, folded, b"webhook-id").decode()
        if answer == listener.NO_CONTENT and self._owner.refuses(name):
            return b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
        return answer


@pytest.fixture
def hook(stack):
    """A webhook of the stack's tenant, its listener running; gives (listener, the webhook's id)."""
    receiver = Unwilling()
    body = {"url": receiver.url, "method": "POST", "encoding": "JSON", "events": [TYPE]}
    answer = stack.call("/v1/webhooks/messages", body)
    receiver.start(secret=answer["secret"])
    yield receiver, answer["id"]
    # Other tests of the stack send messages that it would be told about.
    stack.call(f"/v1/webhooks/messages/{answer['id']}", method="DELETE")
    receiver.close()


def fan_out(stack):
    """The ids of the events whose callbacks were queued."""
    done = subprocess.run(
        [sys.executable, "-c", _FAN_OUT, str(COUNT), TYPE],
        cwd=home.CHECKOUT,
        env={**stack._own, "DJANGO_SETTINGS_MODULE": "config.settings"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def await_came(stack, receiver, share):
    await_(stack, lambda: len(receiver.received.arrivals) >= share * COUNT, f"{share:.0%} of the callbacks")


def await_(stack, reached, words):
    until = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert time.monotonic() < until, f"{words}: they do not come\n{stack.log_ends()}"
        time.sleep(0.01)


def nothing_left(stack, webhook_id):
    with contextlib.suppress(psycopg.Error):
        return stack.sql(_LEFT, [webhook_id]) == [(0,)]
    return False


def test_it_loses_no_callback_whatever_dies(stack, hook):
    receiver, webhook_id = hook
    queued = []
    queueing = threading.Thread(target=lambda: queued.extend(fan_out(stack)))
    queueing.start()
    await_came(stack, receiver, 1 / 10)
    stack.kill("webhooks")
    await_came(stack, receiver, 3 / 10)
    stack.kill("relay")
    await_came(stack, receiver, 4 / 10)
    if stack.broker is not None:
        stack.broker.kill()
        stack.broker.start()
    stack.empty_broker()
    await_came(stack, receiver, 6 / 10)
    queueing.join()
    stack.kill("postgres")
    await_came(stack, receiver, 8 / 10)
    # Most that were turned away wait for their second attempt.
    stack.kill("webhooks")
    await_(stack, lambda: nothing_left(stack, webhook_id), "the last callbacks")

    came = Counter(name for name, _body in receiver.came)
    assert came.keys() == set(queued)
    assert receiver.received.refused == 0
    assert len(receiver.failed) == UNWILLING
    repeated = sum(came.values()) - COUNT - UNWILLING
    print(f"{COUNT} callbacks, {UNWILLING} of them turned away once, {repeated} repeated")
    assert repeated <= 3 * IN_HAND, f"{repeated} were repeated"
    names = defaultdict(set)
    for name, body in receiver.came:
        names[json.loads(body)["data"]["id"]].add(name)
    assert len(names) == COUNT
    assert {len(several) for several in names.values()} == {1}
    ((state, count, unrecorded),) = stack.sql(_STATES, [webhook_id])
    assert (state, count) == ("delivered", COUNT)
    assert unrecorded == 0
