"""The dispatcher: callbacks on their way, thousands at a time, on one loop in a thread of its own.

Each endpoint has a lane: what waits for it, its idle connections, and how many requests it is given at once, which
grows as it answers and halves when it does not. A lane whose endpoint hangs keeps nobody else's connections.
Callbacks that go several in one request wait in their lane for each other: see :mod:`webhooks.batching`.
Outcomes go to a :class:`~webhooks.recording.Recorder`; a callback is this process's until they are stored.
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from datetime import datetime
from email.utils import formatdate
from functools import partial

import structlog

from webhooks import batching, outcomes, signing
from webhooks.batching import Batch, Group
from webhooks.client import Connection, Connector
from webhooks.destinations import Destination
from webhooks.errors import CallbackError, TimedOut
from webhooks.http1 import Response
from webhooks.outcomes import Outcome
from webhooks.targets import Target

try:
    from uvloop import new_event_loop
except ImportError:  # not built for every platform
    from asyncio import new_event_loop

log = structlog.get_logger(__name__)

# Requests an endpoint is given at once: to begin with, and at most.
FIRST_PARALLEL = 8
MOST_PARALLEL = 64
# Callbacks a process holds, waiting ones included; a task that brings more waits.
MOST_HELD = 5000
# Seconds between looks at idle connections.
SWEEP_SECONDS = 5.0


class Item:
    """One callback in hand: what to send, where, under which lease."""

    __slots__ = (
        "attempt", "base", "batch", "began", "body", "callback_id", "destination", "endpoint", "event_id",
        "first_attempt_at", "home", "lease", "leased_at", "started", "target", "tenant_id", "unrendered",
    )  # fmt: skip

    def __init__(
        self,
        *,
        callback_id: str,
        tenant_id: int,
        endpoint: str,
        event_id: str,
        body: bytes,
        destination: Destination,
        lease: datetime,
        attempt: int,
        first_attempt_at: datetime | None,
        home: str | None = None,
        base: int = 0,
        target: Target | None = None,
        unrendered: str | None = None,
    ) -> None:
        self.callback_id = callback_id
        self.tenant_id = tenant_id
        self.endpoint = endpoint
        self.event_id = event_id
        self.body = body
        self.destination = destination
        # The fence; moves when the recorder renews it.
        self.lease = lease
        self.leased_at = time.monotonic()
        # The webhook's own endpoint when this goes to its failover URL.
        self.home = home
        # Where this one goes: the destination's, unless the URL has references in it.
        self.target = target or destination.target
        # The webhook-id of the request, once it carries several events.
        self.batch: str | None = None
        # Why there is no body, a sentence for the tenant: the callback ends without a request.
        self.unrendered = unrendered
        # Attempts of earlier rounds; attempts made before this one in this round, and the moment of the first.
        self.base = base
        self.attempt = attempt
        self.first_attempt_at = first_attempt_at
        # When this attempt began: Unix time to be told, monotonic time to be measured from.
        self.started = 0.0
        self.began = 0.0


class Lane:
    """One endpoint's place in the dispatcher."""

    __slots__ = ("active", "groups", "idle", "parallel", "waiting")

    def __init__(self) -> None:
        # What may go now, as soon as there is room; and what waits for others to go with.
        self.waiting: deque[Sendable] = deque()
        self.groups: dict[Hashable, Group] = {}
        self.idle: list[Connection] = []
        self.active = 0
        self.parallel = FIRST_PARALLEL

    def empty(self) -> list[Item]:
        """Take out all that is not under way."""
        items: list[Item] = []
        for each in self.waiting:
            if isinstance(each, Batch):
                items.extend(each.items)
            else:
                items.append(each)
        for group in self.groups.values():
            items.extend(group.leave())
        self.waiting.clear()
        self.groups.clear()
        return items


# What one request carries.
Sendable = Item | Batch
# Told of an attempt's end, and the seconds it took; and of callbacks given back untried.
Report = Callable[[Item, Outcome, float], None]
GiveBack = Callable[[Sequence[Item]], None]


class Dispatcher:
    """Start it once a process; :meth:`take` may be called from any thread.

    ``report`` and ``give_back`` are called on the dispatcher's thread and must not block.
    """

    def __init__(self, *, report: Report, give_back: GiveBack, connector: Connector | None = None) -> None:
        self._report = report
        self._give_back = give_back
        self._connector = connector
        self._lanes: dict[str, Lane] = {}
        self._loop: asyncio.AbstractEventLoop = new_event_loop()
        self._connecting: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="callbacks", daemon=True)
        self._active = 0
        self._stopping = False

    def start(self) -> None:
        self._thread.start()

    def take(self, items: Sequence[Item]) -> None:
        """Send these, each as soon as its endpoint has room."""
        self._loop.call_soon_threadsafe(self._take, items)

    def release(self, endpoint: str) -> None:
        """Give back what waits for an endpoint; what is under way goes on. May be called from any thread."""
        # Nothing waits any more once the loop has ended.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._release, endpoint)

    def stop(self, *, seconds: float) -> None:
        """Give back what waits, wait ``seconds`` at most for what is under way, give back the rest."""
        if not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._stop, time.monotonic() + seconds)
        self._thread.join(seconds + 5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        if self._connector is None:
            self._connector = Connector()
        self._loop.call_later(SWEEP_SECONDS, self._sweep)
        try:
            self._loop.run_forever()
        finally:
            self._connector.close()
            self._loop.close()

    def _take(self, items: Sequence[Item]) -> None:
        if self._stopping:
            self._give_back(items)
            return
        touched = {}
        for item in items:
            if item.unrendered is not None:
                item.started = time.time()
                self._report(item, Outcome(outcomes.TEMPLATE, error=item.unrendered), 0.0)
                continue
            lane = self._lanes.get(item.endpoint)
            if lane is None:
                lane = self._lanes[item.endpoint] = Lane()
            if item.destination.batch_events > 1:
                self._gather(lane, item)
            else:
                lane.waiting.append(item)
            touched[item.endpoint] = lane
        for lane in touched.values():
            self._pump(lane)

    def _gather(self, lane: Lane, item: Item) -> None:
        """Put an item to those that it may go with."""
        key = batching.key(item)
        group = lane.groups.get(key)
        if group is not None and not group.takes(item):
            self._close(lane, key)
            group = None
        if group is None:
            group = lane.groups[key] = Group()
            group.timer = self._loop.call_later(item.destination.batch_seconds, self._overdue, lane, group)
        if group.add(item):
            self._close(lane, key)

    def _overdue(self, lane: Lane, group: Group) -> None:
        group.overdue = True
        self._pump(lane)

    def _close(self, lane: Lane, key: Hashable) -> None:
        """The group waits for nobody any more."""
        lane.waiting.append(Batch(lane.groups.pop(key).leave()))

    def _close_overdue(self, lane: Lane) -> bool:
        """Close the first overdue group, which gathered on while there was no room; whether there was one."""
        for key, group in lane.groups.items():
            if group.overdue:
                self._close(lane, key)
                return True
        return False

    def _pump(self, lane: Lane) -> None:
        """Start what the lane has room for."""
        while lane.active < lane.parallel:
            if not lane.waiting and not (lane.groups and self._close_overdue(lane)):
                return
            item = lane.waiting.popleft()
            lane.active += 1
            self._active += 1
            item.started = time.time()
            item.began = time.monotonic()
            if isinstance(item, Batch):
                item.begin()
            self._start(lane, item, self._loop.time() + item.destination.deadline)

    def _start(self, lane: Lane, item: Sendable, deadline: float) -> None:
        now = time.monotonic()
        while lane.idle:
            connection = lane.idle.pop()
            if connection.fresh(now=now) and connection.leads_to(item.target):
                self._send(lane, item, connection, deadline)
                return
            connection.abort()
        task = self._loop.create_task(self._connect(lane, item, deadline))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, lane: Lane, item: Sendable, deadline: float) -> None:
        assert self._connector is not None
        try:
            connection = await self._connector.open(target=item.target, deadline=deadline)
        except CallbackError as error:
            self._end(lane, item, Outcome(error.outcome, error=str(error)))
        except Exception as error:
            # A lane must not lose a place to what nobody thought of.
            log.exception("callback.connect_failed", callback_id=item.callback_id)
            self._end(lane, item, Outcome("error", error=type(error).__name__))
        else:
            self._send(lane, item, connection, deadline)

    def _send(self, lane: Lane, item: Sendable, connection: Connection, deadline: float) -> None:
        try:
            data = request(item=item, timestamp=int(time.time()))
        except Exception as error:
            log.exception("callback.sign_failed", callback_id=item.callback_id)
            lane.idle.append(connection)
            # Not from within: the end of one starts the next.
            self._loop.call_soon(self._end, lane, item, Outcome("error", error=type(error).__name__))
            return
        timer = self._loop.call_at(deadline, self._expire, lane, item, connection)
        connection.send(request=data, on_done=partial(self._done, lane, item, connection, timer, deadline))

    def _done(
        self,
        lane: Lane,
        item: Sendable,
        connection: Connection,
        timer: asyncio.TimerHandle,
        deadline: float,
        result: Response | CallbackError,
    ) -> None:
        timer.cancel()
        if isinstance(result, Response):
            if connection.is_open:
                lane.idle.append(connection)
            self._end(lane, item, outcomes.of(result, format=item.destination.format))
        elif connection.used and not connection.answering and not self._stopping:
            # A kept connection that the peer had just closed: nothing was answered, so ask again on a new one.
            self._discard_idle(lane)
            self._start(lane, item, deadline)
        else:
            self._end(lane, item, Outcome(result.outcome, error=str(result)))

    def _expire(self, lane: Lane, item: Sendable, connection: Connection) -> None:
        status = connection.expire()
        late = TimedOut(f"no whole answer within {item.destination.deadline:g} s")
        self._end(lane, item, Outcome(late.outcome, status, error=str(late)))

    def _end(self, lane: Lane, item: Sendable, outcome: Outcome) -> None:
        lane.active -= 1
        self._active -= 1
        took = time.monotonic() - item.began
        if isinstance(item, Batch):
            for each in item.items:
                self._report(each, outcome, took)
        else:
            self._report(item, outcome, took)
        if outcome.delivered:
            if lane.parallel < MOST_PARALLEL:
                lane.parallel += 1
        else:
            self._slow_down(lane, outcome)
        if lane.waiting or lane.groups:
            self._pump(lane)

    def _slow_down(self, lane: Lane, outcome: Outcome) -> None:
        """After a failure that says something of the endpoint, what waits for it does not wait here."""
        slow = outcome.word in outcomes.SLOW
        if slow:
            lane.parallel = max(1, lane.parallel // 2)
        if slow or outcome.retry_after or outcome.word == outcomes.GONE:
            self._return(lane)

    def _return(self, lane: Lane) -> None:
        if items := lane.empty():
            self._give_back(items)

    def _release(self, endpoint: str) -> None:
        lane = self._lanes.get(endpoint)
        if lane is not None:
            self._return(lane)

    def _discard_idle(self, lane: Lane) -> None:
        while lane.idle:
            lane.idle.pop().abort()

    def _sweep(self) -> None:
        """Close idle connections that are past use and forget lanes with nothing in them."""
        now = time.monotonic()
        for endpoint, lane in list(self._lanes.items()):
            keep = []
            for connection in lane.idle:
                if connection.fresh(now=now):
                    keep.append(connection)
                else:
                    connection.abort()
            lane.idle = keep
            if not (keep or lane.active or lane.waiting or lane.groups):
                del self._lanes[endpoint]
        self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def _stop(self, by: float) -> None:
        if not self._stopping:
            self._stopping = True
            for lane in self._lanes.values():
                self._return(lane)
                self._discard_idle(lane)
        if self._active and time.monotonic() < by:
            self._loop.call_later(0.02, self._stop, by)
            return
        for lane in self._lanes.values():
            self._discard_idle(lane)
        for task in self._connecting:
            task.cancel()
        # One more turn of the loop, for the transports to close.
        self._loop.call_later(0.05, self._loop.stop)


def request(*, item: Sendable, timestamp: int) -> bytes:
    """The bytes of one attempt: the target's head, the signatures of this moment, the body.

    ``timestamp`` is Unix time in whole seconds.
    """
    destination, body = item.destination, item.body
    event_id = item.event_id.encode()
    signature = signing.sign(
        keys=destination.keys(timestamp), message_id=event_id, timestamp=timestamp, body=body
    )
    head = item.target.head
    if body:
        head = b"%bContent-Type: %b\r\n" % (head, destination.content_type)
    if destination.also_sign is not None:
        date = formatdate(timestamp, usegmt=True).encode()
        line = head[: head.index(b"\r\n")]
        head = b"%bDate: %b\r\n%b" % (head, date, destination.also_sign(line, date, body))
    return (
        b"%bContent-Length: %d\r\nwebhook-id: %b\r\nwebhook-timestamp: %d\r\nwebhook-signature: %b\r\n\r\n%b"
        % (head, len(body), event_id, timestamp, signature, body)
    )
