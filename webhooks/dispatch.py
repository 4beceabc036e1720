"""The dispatcher: callbacks on their way, thousands at a time, on one loop in a thread of its own.

Each endpoint has a lane: what waits for it, its idle connections, and how many requests it is given at once, which
grows as it answers and halves when it does not. A lane whose endpoint hangs keeps nobody else's connections.
Outcomes go to a :class:`~webhooks.recording.Recorder`; a callback is this process's until they are stored.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

import structlog

from webhooks import outcomes, signing
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
        "first_attempt_at", "home", "lease", "leased_at", "started", "target", "tenant_id",
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
        # Attempts of earlier rounds; attempts made before this one in this round, and the moment of the first.
        self.base = base
        self.attempt = attempt
        self.first_attempt_at = first_attempt_at
        # When this attempt began: Unix time to be told, monotonic time to be measured from.
        self.started = 0.0
        self.began = 0.0


class Lane:
    """One endpoint's place in the dispatcher."""

    __slots__ = ("active", "idle", "parallel", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Item] = deque()
        self.idle: list[Connection] = []
        self.active = 0
        self.parallel = FIRST_PARALLEL


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
            lane = self._lanes.get(item.endpoint)
            if lane is None:
                lane = self._lanes[item.endpoint] = Lane()
            lane.waiting.append(item)
            touched[item.endpoint] = lane
        for lane in touched.values():
            self._pump(lane)

    def _pump(self, lane: Lane) -> None:
        """Start what the lane has room for."""
        while lane.waiting and lane.active < lane.parallel:
            item = lane.waiting.popleft()
            lane.active += 1
            self._active += 1
            item.started = time.time()
            item.began = time.monotonic()
            self._start(lane, item, self._loop.time() + item.destination.deadline)

    def _start(self, lane: Lane, item: Item, deadline: float) -> None:
        now = time.monotonic()
        while lane.idle:
            connection = lane.idle.pop()
            if connection.fresh(now=now):
                self._send(lane, item, connection, deadline)
                return
            connection.abort()
        task = self._loop.create_task(self._connect(lane, item, deadline))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, lane: Lane, item: Item, deadline: float) -> None:
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

    def _send(self, lane: Lane, item: Item, connection: Connection, deadline: float) -> None:
        timer = self._loop.call_at(deadline, self._expire, lane, item, connection)
        connection.send(
            request=request(item=item, timestamp=int(time.time())),
            on_done=partial(self._done, lane, item, connection, timer, deadline),
        )

    def _done(
        self,
        lane: Lane,
        item: Item,
        connection: Connection,
        timer: asyncio.TimerHandle,
        deadline: float,
        result: Response | CallbackError,
    ) -> None:
        timer.cancel()
        if isinstance(result, Response):
            if connection.is_open:
                lane.idle.append(connection)
            self._end(lane, item, outcomes.of(result))
        elif connection.used and not connection.answering and not self._stopping:
            # A kept connection that the peer had just closed: nothing was answered, so ask again on a new one.
            self._discard_idle(lane)
            self._start(lane, item, deadline)
        else:
            self._end(lane, item, Outcome(result.outcome, error=str(result)))

    def _expire(self, lane: Lane, item: Item, connection: Connection) -> None:
        status = connection.expire()
        late = TimedOut(f"no whole answer within {item.destination.deadline:g} s")
        self._end(lane, item, Outcome(late.outcome, status, error=str(late)))

    def _end(self, lane: Lane, item: Item, outcome: Outcome) -> None:
        lane.active -= 1
        self._active -= 1
        self._report(item, outcome, time.monotonic() - item.began)
        if outcome.delivered:
            if lane.parallel < MOST_PARALLEL:
                lane.parallel += 1
        else:
            self._slow_down(lane, outcome)
        if lane.waiting:
            self._pump(lane)

    def _slow_down(self, lane: Lane, outcome: Outcome) -> None:
        """After a failure that says something of the endpoint, what waits for it does not wait here."""
        slow = outcome.word in outcomes.SLOW
        if slow:
            lane.parallel = max(1, lane.parallel // 2)
        if lane.waiting and (slow or outcome.retry_after or outcome.word == outcomes.GONE):
            waiting = list(lane.waiting)
            lane.waiting.clear()
            self._give_back(waiting)

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
            if not (keep or lane.active or lane.waiting):
                del self._lanes[endpoint]
        self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def _stop(self, by: float) -> None:
        if not self._stopping:
            self._stopping = True
            for lane in self._lanes.values():
                self._give_back(list(lane.waiting))
                lane.waiting.clear()
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


def request(*, item: Item, timestamp: int) -> bytes:
    """The bytes of one attempt: the target's head, the signature of this moment, the body."""
    destination = item.destination
    event_id = item.event_id.encode()
    signature = signing.sign(
        keys=destination.keys(timestamp), message_id=event_id, timestamp=timestamp, body=item.body
    )
    return (
        b"%bContent-Type: %b\r\nContent-Length: %d\r\n"
        b"webhook-id: %b\r\nwebhook-timestamp: %d\r\nwebhook-signature: %b\r\n\r\n%b"
        % (
            item.target.head,
            destination.content_type,
            len(item.body),
            event_id,
            timestamp,
            signature,
            item.body,
        )
    )
