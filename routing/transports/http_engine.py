"""What HTTP operators share: messages out over many connections at once, at the operator's pace.

A kind of operator is a subclass that turns a message into a request and an answer into what it means. The rest is
here: the operator's rate and window, its deadline, pauses when it says that it is too much, and what is down.

An operator is *up* while its address takes connections. When one fails, or it refuses our credentials, it is down:
nothing is sent until it takes a connection again, and then one message at a time until one is answered. What has
waited :data:`PATIENCE_SECONDS` for an operator that is down or pauses is given back, so that another may have it.

Settings of every HTTP operator, with their defaults::

    url              required, http or https
    window           200      requests under way at once, of each worker
    timeout          30       seconds until the whole answer must be there
    connect_timeout  10       seconds of these for the connection
    tls_verify true, tls_ca_file ""
"""

import asyncio
import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from uuid import UUID

import structlog

from routing.contract import Inbound, OperatorSettings, Outbound, Outcome, Receipt, Sink, TransportState
from routing.errors import OperatorSettingsError
from routing.transports import http_answers
from routing.transports.http_answers import Meaning, Reading
from routing.transports.http_client import Answer, Client, NoAnswerError, NotSentError, Request, reach
from routing.transports.http_loop import LoopThread
from routing.transports.http_pacing import Pacing
from routing.transports.http_settings import Reader

log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 5.0
# A message that is told to wait so often waits in the ledger: it may be what the operator does not want.
MOST_PAUSES = 5


class UnsendableError(Exception):
    """The message has no form for this operator; ``code`` is the error code of its rejection."""

    def __init__(self, reason: str, *, code: str = "UNENCODABLE") -> None:
        super().__init__(reason)
        self.code = code


class _Item:
    """A message in hand. ``order`` is its place among those of the same moment."""

    __slots__ = ("message", "order", "pauses", "report")

    def __init__(self, message: Outbound, order: int, report: Callable[[list[Outcome]], None]) -> None:
        self.message = message
        self.order = order
        self.report = report
        self.pauses = 0

    def __lt__(self, other: "_Item") -> bool:
        return (self.message.not_before, self.order) < (other.message.not_before, other.order)


class HttpTransport:
    """One operator's requests from this process. Subclasses say :meth:`request` and :meth:`read`."""

    def __init__(self, operator: OperatorSettings, reader: Reader, *, url: str) -> None:
        self._operator = operator
        # Of its host only: whether that takes connections.
        self._url = url
        self._window = int(reader.number("window", 200, least=1, most=1000))
        self._timeout = reader.number("timeout", 30, least=0.1, most=600)
        self._connect_timeout = reader.number(
            "connect_timeout", min(10.0, self._timeout), least=0.1, most=600
        )
        if self._connect_timeout > self._timeout:
            raise OperatorSettingsError(
                f"{operator.slug}: connect_timeout must be no longer than timeout, {self._timeout:g}."
            )
        self._tls = reader.tls()
        self._sink: Sink | None = None
        self._client: Client | None = None
        self._lock = threading.Lock()
        self._waiting: list[_Item] = []
        self._orders = itertools.count()
        self._asked = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pacing = Pacing(operator.rate)
        self._tasks: set[asyncio.Task[None]] = set()
        self._rising: asyncio.Task[None] | None = None
        self._look: asyncio.TimerHandle | None = None
        self._under_way = 0
        self._up = self._stopped = False
        # One request at a time: the operator was down and has answered none since.
        self._doubtful = False
        self._last_error = ""
        self._stuck_since: float | None = None
        self._ended: dict[Callable[[list[Outcome]], None], list[Outcome]] = {}
        self._gone = threading.Event()

    def request(self, message: Outbound) -> Request:
        """What to send for a message; raises :class:`UnsendableError` where the operator cannot be sent it."""
        raise NotImplementedError

    def read(self, answer: Answer) -> Reading:
        """What an answer means."""
        raise NotImplementedError

    def ids(self, request: Request) -> tuple[str, ...]:
        """The ids that the operator will report a message under, where they are ours."""
        return ()

    async def converse(self, message: Outbound, request: Request, client: Client) -> tuple[Answer, Reading]:
        """Send a message's request: the answer that settles it, and what that means; raises as
        :meth:`Client.send` does, of the message. What is to be asked first is asked here, on the loop."""
        answer = await client.send(request)
        return answer, self.read(answer)

    def start(self, *, sink: Sink) -> None:
        self._sink = sink
        self._loop = LoopThread.get()
        self._loop.call_soon_threadsafe(self._open)

    def submit(self, messages: Sequence[Outbound], on_outcomes: Callable[[list[Outcome]], None]) -> None:
        with self._lock:
            stopped = self._stopped
            if not stopped:
                for message in messages:
                    heapq.heappush(self._waiting, _Item(message, next(self._orders), on_outcomes))
        if stopped:
            on_outcomes([http_answers.outcome(message, Reading(Meaning.TEMPORARY)) for message in messages])
        else:
            self._ask_pump()

    def withdraw(self, delivery_ids: Sequence[UUID]) -> list[UUID]:
        wanted = set(delivery_ids)
        with self._lock:
            taken = [item for item in self._waiting if item.message.delivery_id in wanted]
            if taken:
                self._waiting = [i for i in self._waiting if i.message.delivery_id not in wanted]
                heapq.heapify(self._waiting)
        return [item.message.delivery_id for item in taken]

    def acknowledge(self, arrived: Sequence[Receipt | Inbound]) -> None:
        """What an HTTP operator reports comes to the intake."""

    def state(self) -> TransportState:
        paused_until = self._pacing.paused_until
        return TransportState(
            up=self._up and not self._stopped,
            window=self._window,
            paused_until=paused_until if paused_until > time.monotonic() else None,
            detail={
                "inFlight": self._under_way,
                "pending": len(self._waiting),
                "lastError": self._last_error,
            },
        )

    def stop(self, *, deadline: float) -> None:
        with self._lock:
            again, self._stopped = self._stopped, True
        if self._loop is None:
            return
        if not again:
            asyncio.run_coroutine_threadsafe(self._shut(deadline), self._loop)
        # Cutting off what is not answered in time takes a moment, too.
        self._gone.wait(deadline + 1.0)

    def _ask_pump(self) -> None:
        if not self._asked and self._loop is not None:
            self._asked = True
            self._loop.call_soon_threadsafe(self._pump)

    # From here on, on the loop.

    def _open(self) -> None:
        self._client = Client(timeout=self._timeout, connect_timeout=self._connect_timeout, tls=self._tls)
        self._rise(0.0)

    def _rise(self, delay: float) -> None:
        if not self._stopped:
            assert self._loop is not None
            self._rising = self._loop.create_task(self._come_up(delay))

    async def _come_up(self, delay: float) -> None:
        """Try the operator's address until it takes a connection."""
        while True:
            await asyncio.sleep(delay)
            try:
                await reach(url=self._url, tls=self._tls, seconds=self._connect_timeout)
            except OSError as error:
                self._last_error = f"no connection: {error.strerror or error or type(error).__name__}"
                delay = self._pacing.backoff()
            else:
                break
        self._up = True
        log.info("operator.up", operator=self._operator.slug)
        self._tell()
        self._pump()

    def _go_down(self, reason: str) -> None:
        self._last_error = reason
        if self._up:
            self._up, self._doubtful = False, True
            log.warning("operator.down", operator=self._operator.slug, reason=reason)
            self._tell()
            self._rise(self._pacing.backoff())
            self._pump()

    def _throttle(self, retry_after: float | None, began: float) -> None:
        """Pause; once for all requests that were under way together."""
        delay = self._pacing.throttled(retry_after=retry_after, began=began, now=time.monotonic())
        if delay is not None:
            log.warning("operator.throttled", operator=self._operator.slug, seconds=delay)
            self._tell()
            self._pump()

    def _tell(self) -> None:
        if self._sink is not None:
            self._sink.changed()

    def _pump(self) -> None:
        """Start what is due, as far as the window goes."""
        self._asked = False
        now = time.monotonic()
        if self._stopped:
            return
        if not self._up or now < self._pacing.paused_until:
            self._be_stuck(now)
            return
        self._stuck_since = None
        room = 1 if self._doubtful else self._window
        while self._under_way < room and (item := self._next_due(now)) is not None:
            self._under_way += 1
            self._spawn(item)

    def _be_stuck(self, now: float) -> None:
        """Nothing can go: give back those who wait when it has been so for too long, else look again."""
        if self._stuck_since is None:
            self._stuck_since = now
        enough = self._stuck_since + PATIENCE_SECONDS
        if now >= enough:
            self._give_back(self._take_all())
        if self._up:
            enough = self._pacing.paused_until if now >= enough else min(enough, self._pacing.paused_until)
        if enough > now:
            self._look_at(enough, now)

    def _look_at(self, moment: float, now: float) -> None:
        """Pump then; one timer is enough, each pump sets it anew."""
        assert self._loop is not None
        if self._look is not None:
            self._look.cancel()
        self._look = self._loop.call_later(moment - now + 0.001, self._pump)

    def _spawn(self, item: _Item) -> None:
        assert self._loop is not None
        task = self._loop.create_task(self._carry(item))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _next_due(self, now: float) -> _Item | None:
        with self._lock:
            if not self._waiting:
                return None
            message = self._waiting[0].message
            due = self._pacing.due(message.not_before)
            if due > now:
                self._look_at(due, now)
                return None
            self._pacing.took(parts=message.parts, now=now)
            return heapq.heappop(self._waiting)

    def _take_all(self) -> list[_Item]:
        with self._lock:
            items, self._waiting = sorted(self._waiting), []
        return items

    def _put_back(self, item: _Item) -> None:
        """Let it wait at its old place; once stopping, in the ledger."""
        with self._lock:
            stopped = self._stopped
            if not stopped:
                heapq.heappush(self._waiting, item)
        if stopped:
            self._give_back([item])

    def _give_back(self, items: Iterable[_Item]) -> None:
        for item in items:
            self._end(item, Reading(Meaning.TEMPORARY, code=self._last_error[:64] or None))

    async def _carry(self, item: _Item) -> None:
        try:
            await self._exchange(item)
        finally:
            self._under_way -= 1
            self._pump()

    async def _exchange(self, item: _Item) -> None:
        """One message out, and what came of it."""
        message, began = item.message, time.monotonic()
        if message.expires_at is not None and message.expires_at <= datetime.now(tz=UTC):
            # Whoever looks after what waits ends it as expired.
            self._end(item, Reading(Meaning.TEMPORARY))
            return
        request = self._made(item)
        if request is None:
            return
        assert self._client is not None
        try:
            answer, reading = await self.converse(message, request, self._client)
        except NotSentError as error:
            self._put_back(item)
            self._go_down(str(error))
        except NoAnswerError as error:
            self._last_error = str(error)
            self._end(item, Reading(Meaning.UNKNOWN, self.ids(request), code="NO_ANSWER"))
        except asyncio.CancelledError:
            self._end(item, Reading(Meaning.UNKNOWN, self.ids(request), code="STOPPED"))
            raise
        except Exception:
            # A window must not lose a place, nor a message its outcome, to what nobody thought of.
            log.exception("submit.failed", message_id=str(message.message_id))
            self._end(item, Reading(Meaning.UNKNOWN, self.ids(request), code="FAILED"))
        else:
            self._heed(item, answer, reading, began)

    def _made(self, item: _Item) -> Request | None:
        """The request for a message; None for one that has none, which is refused."""
        message = item.message
        try:
            return self.request(message)
        except UnsendableError as error:
            log.warning("submit.unsendable", message_id=str(message.message_id), reason=str(error))
            self._end(item, Reading(Meaning.PERMANENT, error_code=error.code))
        except Exception:
            # Of no use to try again, and no harm to others.
            log.exception("submit.failed", message_id=str(message.message_id))
            self._end(item, Reading(Meaning.PERMANENT, code="FAILED", error_code="UNENCODABLE"))
        return None

    def _heed(self, item: _Item, answer: Answer, reading: Reading, began: float) -> None:
        """Act on an answer."""
        if reading.meaning is Meaning.BARRED:
            self._put_back(item)
            self._go_down(f"refused by the operator with HTTP status {answer.status}")
            return
        self._doubtful = self._doubtful and not self._up
        if reading.meaning is Meaning.THROTTLED:
            self._throttle(answer.retry_after, began)
            item.pauses += 1
            if item.pauses < MOST_PAUSES:
                self._put_back(item)
                return
        else:
            self._pacing.answered(began=began)
        self._end(item, reading)

    def _end(self, item: _Item, reading: Reading) -> None:
        """Its outcome, told with all others of this turn of the loop."""
        if not self._ended:
            assert self._loop is not None
            self._loop.call_soon(self._flush)
        self._ended.setdefault(item.report, []).append(http_answers.outcome(item.message, reading))

    def _flush(self) -> None:
        ended, self._ended = self._ended, {}
        for report, outcomes in ended.items():
            try:
                report(outcomes)
            except Exception:
                # The owner's failure must not stop what is under way for others.
                log.exception("submit.report_failed", operator=self._operator.slug)

    async def _shut(self, seconds: float) -> None:
        try:
            if self._rising is not None:
                self._rising.cancel()
            if self._look is not None:
                self._look.cancel()
            self._give_back(self._take_all())
            if self._tasks:
                _done, late = await asyncio.wait(self._tasks, timeout=max(0.0, seconds))
                for task in late:
                    task.cancel()
                await asyncio.gather(*late, return_exceptions=True)
            if self._client is not None:
                await self._client.close()
            self._flush()
        finally:
            self._gone.set()
