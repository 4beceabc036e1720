"""Binds kept up, and the binds of one operator fed from one queue.

A `Bind` supervises one session: connect, bind, serve, and again after a loss, with exponential backoff and
full jitter. A `BindGroup` is all binds of an operator with one first-in-first-out queue of submits over
their windows. Everything runs on one `IoThread`; the methods named thread-safe may be called from
anywhere.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import logging
import random
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple

from smpp_bind import connection, errors, pdu, protocol

logger = logging.getLogger(__name__)

BindSettings = protocol.BindSettings

THROTTLING: Final = frozenset({pdu.ESME_RTHROTTLED, pdu.ESME_RMSGQFUL})
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
ALREADY_BOUND_SECONDS: Final = 5.0
"""The SMSC has not yet noticed the end of our last session; sooner is refused again (ESME_RALYBND)."""

Phase = Literal["waiting", "connecting", "binding", "bound", "stopped"]


@dataclasses.dataclass(slots=True, eq=False)
class Submit:
    """One submit_sm to send: the caller's token, the encoded body without header, and when it may go at the
    earliest (time.monotonic). `order` is the group's own.
    """

    token: Any
    body: bytes
    not_before: float = 0.0
    order: int = 0


class Answer(NamedTuple):
    """`status` is the command_status, or None when the outcome is unknown, `reason` saying why.
    `sent_at` is time.monotonic of the submit.
    """

    token: Any
    status: int | None
    message_id: str
    sent_at: float
    reason: str = ""


class Incoming(NamedTuple):
    """One deliver_sm or data_sm, to be given to `BindGroup.answer` once it is stored."""

    bind: Bind
    session: protocol.Session
    sequence: int
    sm: pdu.ShortMessage
    command_id: int


class BindState(NamedTuple):
    kind: protocol.BindKind
    phase: Phase
    since: dt.datetime
    in_flight: int
    last_error: str


class GroupState(NamedTuple):
    """`bound` counts all binds, `sending` those of them that can submit. `paused_for` is seconds of
    throttling still to wait. `since` is the last change of any bind.
    """

    bound: int
    sending: int
    in_flight: int
    pending: int
    paused_for: float
    last_error: str
    since: dt.datetime
    binds: tuple[BindState, ...]


def backoff(attempt: int, settings: BindSettings) -> float:
    """Seconds before try `attempt` (from 0): full jitter below a bound that doubles up to its maximum."""
    bound = min(settings.reconnect_max_seconds, settings.reconnect_min_seconds * 2.0 ** min(attempt, 30))
    return random.uniform(0.05, max(bound, 0.05))


class Bind:
    """One session at a time to one SMSC, for as long as it is not stopped. Used on the I/O thread only."""

    def __init__(self, io: connection.IoThread, settings: BindSettings, group: BindGroup) -> None:
        self.settings = settings
        self.phase: Phase = "waiting"
        self.since = dt.datetime.now(dt.UTC)
        self.last_error = ""
        self.session: protocol.Session | None = None
        self._io = io
        self._group = group
        self._connection: connection.Connection | None = None
        self._attempt = 0
        self._bound_at: float | None = None
        self._retry: connection.Timer | None = None
        self._tick: connection.Timer | None = None
        self._tick_at = 0.0
        self._stopping = False

    @property
    def room(self) -> int:
        return self.session.room if self.session is not None else 0

    @property
    def in_flight(self) -> int:
        return self.session.in_flight if self.session is not None else 0

    def state(self) -> BindState:
        return BindState(self.settings.bind, self.phase, self.since, self.in_flight, self.last_error)

    def start(self) -> None:
        if not self._stopping:
            self._connection = connection.Connection(self._io, self.settings, self)
            self._enter("connecting")
            self._connection.connect()

    def stop(self) -> None:
        """Unbinds after the answers under way, or gives up at once what is not bound."""
        self._stopping = True
        if self._retry is not None:
            self._retry.cancel()
        if self.session is not None:
            self._take(self.session.unbind(time.monotonic()))
        elif self.phase != "stopped":
            self._close("")

    def abort(self) -> None:
        """Closes the connection now; submits in flight end with an unknown outcome."""
        self._stopping = True
        if self.session is not None:
            self._take(self.session.connection_lost("stopped before all answers had come"))

    def connected(self) -> None:
        self._enter("binding")
        self.session = protocol.Session(self.settings)
        try:
            self.session.bind(time.monotonic())
        except errors.PduError as error:
            self._take(self.session.connection_lost(str(error)))
        else:
            self.flush()

    def received(self, data: bytes) -> None:
        if self.session is not None:
            self._take(self.session.receive_data(data, time.monotonic()))

    def lost(self, reason: str) -> None:
        if self.session is None:
            self._close(reason)
        else:
            self._take(self.session.connection_lost(reason))

    def flush(self) -> None:
        """Writes what the session has to say, and sees to its next deadline."""
        session = self.session
        if session is None or self._connection is None:
            return
        self._connection.write(session.bytes_to_send())
        due = session.next_tick()
        # Deadlines mostly move away; a timer that fires early only looks again.
        if due is not None and (self._tick is None or due < self._tick_at):
            self._set_tick(due)

    def _set_tick(self, due: float) -> None:
        if self._tick is not None:
            self._tick.cancel()
        self._tick_at = due
        self._tick = self._io.call_later(due - time.monotonic(), self._on_tick)

    def _on_tick(self) -> None:
        self._tick = None
        if self.session is not None:
            self._take(self.session.tick(time.monotonic()))

    def _take(self, events: list[protocol.Event]) -> None:
        """Hands on what came, in as few calls as can be."""
        if events:
            last = events[-1]
            self._hand_over(events)
            if isinstance(last, protocol.BindRefused | protocol.Unbound | protocol.Dead):
                self._ended(last)
        self.flush()

    def _hand_over(self, events: list[protocol.Event]) -> None:
        session = self.session
        assert session is not None
        outcomes: list[protocol.Answered | protocol.OutcomeUnknown] = []
        incoming = []
        for event in events:
            kind = type(event)
            if kind is protocol.Answered or kind is protocol.OutcomeUnknown:
                outcomes.append(event)  # type: ignore[arg-type]
            elif isinstance(event, protocol.Delivered):
                incoming.append(Incoming(self, session, event.sequence, event.sm, event.command_id))
            elif isinstance(event, protocol.Bound):
                self._bound_at = time.monotonic()
                self.last_error = ""
                self._enter("bound")
        if incoming:
            self._group.delivered(incoming)
        self._group.answered(outcomes)

    def _ended(self, last: protocol.BindRefused | protocol.Unbound | protocol.Dead) -> None:
        reason, at_least = "unbound by the SMSC", 0.0
        if isinstance(last, protocol.BindRefused):
            reason = f"bind refused: {pdu.STATUS_NAMES.get(last.status, hex(last.status))}"
            at_least = ALREADY_BOUND_SECONDS if last.status == pdu.ESME_RALYBND else 0.0
        elif isinstance(last, protocol.Dead):
            reason = last.reason
        self.flush()
        self._close("" if self._stopping else reason, at_least)

    def _close(self, reason: str, at_least: float = 0.0) -> None:
        for timer in (self._retry, self._tick):
            if timer is not None:
                timer.cancel()
        self._retry = self._tick = self.session = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self.last_error = reason
        if self._stopping:
            self._enter("stopped")
        else:
            self._try_again(at_least)

    def _try_again(self, at_least: float) -> None:
        if self._bound_at is not None:
            if time.monotonic() - self._bound_at >= self.settings.stable_seconds:
                self._attempt = 0
            self._bound_at = None
        delay = backoff(self._attempt, self.settings) + at_least
        self._attempt += 1
        self._retry = self._io.call_later(delay, self.start)
        self._enter("waiting")

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self.since = dt.datetime.now(dt.UTC)
        fields = {"group": self._group.name, "host": self.settings.host, "port": self.settings.port}
        logger.info("smpp_bind_%s", phase, extra={**fields, "error": self.last_error})
        self._group.changed()


class BindGroup:
    """All binds of one operator.

    Callbacks run on the I/O thread and must be quick: `on_answers` with the final outcome of each submit,
    `on_delivered` with what came in, `on_throttled` with the seconds of a pause that begins, `on_state`
    after a bind has changed.
    """

    def __init__(
        self,
        io: connection.IoThread,
        settings: Sequence[BindSettings],
        *,
        name: str = "",
        on_answers: Callable[[list[Answer]], None],
        on_delivered: Callable[[list[Incoming]], None],
        on_throttled: Callable[[float], None] = lambda delay: None,
        on_state: Callable[[GroupState], None] = lambda state: None,
    ) -> None:
        self.name = name
        self._io = io
        self._on_answers = on_answers
        self._on_delivered = on_delivered
        self._on_throttled = on_throttled
        self._on_state = on_state
        self._lock = threading.Lock()
        self._pending: collections.deque[Submit] = collections.deque()
        self._returned: collections.deque[Submit] = collections.deque()
        self._sent = 0
        self._turn = 0
        self._pump_asked = False
        self._pace: tuple[float, connection.Timer] | None = None
        self._pause = FIRST_PAUSE
        self._paused_until = 0.0
        self._stopped = threading.Event()
        self.binds = tuple(Bind(io, each, self) for each in settings)

    def start(self) -> None:
        """Thread-safe."""
        for bind in self.binds:
            self._io.call_soon(bind.start)

    def stop(self, timeout: float | None = None) -> bool:
        """Thread-safe, not on the I/O thread: sends no more, awaits the answers under way, unbinds, closes.
        False when `timeout` seconds (default: two more than the longest unbind_timeout) did not suffice and
        connections were cut. What was never sent stays for `cancel`.
        """
        if timeout is None:
            timeout = 2.0 + max((bind.settings.unbind_timeout for bind in self.binds), default=0.0)
        self._io.call_soon(self._stop)
        if self._stopped.wait(timeout):
            return True
        self._io.call_soon(self._abort)
        self._stopped.wait(1.0)
        return False

    def submit(self, items: Sequence[Submit]) -> None:
        """Thread-safe: queues `items`, each to be sent at its `not_before` or later, in order."""
        if not items:
            return
        with self._lock:
            if self._pending and items[0].not_before < self._pending[-1].not_before:
                # Two callers reserved their times in one order and came here in the other.
                merged = sorted((*self._pending, *items), key=lambda item: item.not_before)
                self._pending = collections.deque(merged)
            else:
                self._pending.extend(items)
        self._ask_pump()

    def cancel(self, tokens: Collection[Any] | None = None) -> list[Any]:
        """Thread-safe: takes back what is not under way, all of it when `tokens` is None; the tokens taken,
        for which no answer will come.
        """
        wanted = None if tokens is None else frozenset(tokens)
        return [item.token for item in self.cancel_where(lambda token: wanted is None or token in wanted)]

    def cancel_where(self, chosen: Callable[[Any], bool]) -> list[Submit]:
        """Thread-safe: takes back those not under way whose token is `chosen`, in order. `chosen` must be
        quick and call nothing of the group: the queue is locked meanwhile.
        """
        taken: list[Submit] = []
        with self._lock:
            for queue in (self._returned, self._pending):
                kept: list[Submit] = []
                for item in queue:
                    (taken if chosen(item.token) else kept).append(item)
                queue.clear()
                queue.extend(kept)
        return taken

    def answer(self, incoming: Collection[Incoming], status: int = 0) -> None:
        """Thread-safe: answers what was delivered; nothing is sent for sessions that are over."""
        self._io.call_soon(lambda: self._answer(incoming, status))

    def state(self) -> GroupState:
        """Thread-safe; numbers may be a moment apart from each other."""
        binds = tuple(bind.state() for bind in self.binds)
        bound = [each for each in binds if each.phase == "bound"]
        return GroupState(
            bound=len(bound),
            sending=sum(each.kind != "receiver" for each in bound),
            in_flight=sum(each.in_flight for each in binds),
            pending=len(self._pending) + len(self._returned),
            paused_for=max(0.0, self._paused_until - time.monotonic()),
            last_error=next((each.last_error for each in binds if each.last_error), ""),
            since=max((each.since for each in binds), default=dt.datetime.now(dt.UTC)),
            binds=binds,
        )

    def changed(self) -> None:
        """A bind has come to another phase."""
        if all(bind.phase == "stopped" for bind in self.binds):
            self._stopped.set()
        self._tell(self._on_state, self.state())

    def delivered(self, incoming: list[Incoming]) -> None:
        self._tell(self._on_delivered, incoming)

    def answered(self, outcomes: Iterable[protocol.Answered | protocol.OutcomeUnknown]) -> None:
        """Reports what is final, takes back what was throttled, and fills the room that this made."""
        answers: list[Answer] = []
        throttled: list[tuple[Submit, float]] = []
        went_through = 0.0
        for outcome in outcomes:
            if isinstance(outcome, protocol.OutcomeUnknown):
                submit, sent_at, reason = outcome
                answers.append(Answer(submit.token, None, "", sent_at, reason))
                continue
            submit, status, message_id, sent_at = outcome
            if status in THROTTLING:
                throttled.append((submit, sent_at))
                continue
            if status == 0:
                went_through = sent_at
            answers.append(Answer(submit.token, status, message_id, sent_at))
        if went_through > self._paused_until:
            self._pause = FIRST_PAUSE
        if throttled:
            self._throttled(throttled)
        if answers:
            self._tell(self._on_answers, answers)
        self._pump()

    def _throttled(self, throttled: list[tuple[Submit, float]]) -> None:
        with self._lock:
            items = sorted([*self._returned, *(item for item, _ in throttled)], key=lambda item: item.order)
            self._returned = collections.deque(items)
        if max(sent_at for _, sent_at in throttled) <= self._paused_until:
            return  # sent before the pause that an earlier one of them began
        delay = self._pause
        self._pause = min(LONGEST_PAUSE, delay * 2)
        self._paused_until = time.monotonic() + delay
        self._io.call_later(delay, self._pump)
        logger.warning("smpp_bind_throttled", extra={"group": self.name, "delay": delay})
        self._tell(self._on_throttled, delay)

    def _ask_pump(self) -> None:
        if not self._pump_asked:
            self._pump_asked = True
            self._io.call_soon(self._pump)

    def _pump(self) -> None:
        """Sends what is due as far as the windows go, each bind's share in one write."""
        self._pump_asked = False
        if not (self._pending or self._returned):
            return
        now = time.monotonic()
        if now < self._paused_until:
            return
        self._turn += 1
        count = len(self.binds)
        for index in range(count):
            bind = self.binds[(self._turn + index) % count]
            if bind.room and self._fill(bind, now):
                bind.flush()

    def _fill(self, bind: Bind, now: float) -> bool:
        session = bind.session
        assert session is not None
        room = session.room
        with self._lock:
            while session.room:
                item = self._next_due(now)
                if item is None:
                    break
                session.submit(item, item.body, now)
        return session.room != room

    def _next_due(self, now: float) -> Submit | None:
        if self._returned:
            return self._returned.popleft()
        if not self._pending:
            return None
        not_before = self._pending[0].not_before
        if not_before > now:
            self._wait_until(not_before, now)
            return None
        self._sent += 1
        item = self._pending.popleft()
        item.order = self._sent
        return item

    def _wait_until(self, moment: float, now: float) -> None:
        if self._pace is not None:
            if now < self._pace[0] <= moment:
                return
            self._pace[1].cancel()
        self._pace = (moment, self._io.call_later(moment - now, self._pump))

    def _answer(self, incoming: Collection[Incoming], status: int) -> None:
        for each in incoming:
            each.session.answer(each.sequence, status, command_id=each.command_id)
        for bind in {each.bind for each in incoming}:
            bind.flush()

    def _stop(self) -> None:
        for bind in self.binds:
            bind.stop()
        if not self.binds:
            self._stopped.set()

    def _abort(self) -> None:
        for bind in self.binds:
            bind.abort()

    def _tell(self, callback: Callable[[Any], None], news: Any) -> None:
        try:
            callback(news)
        except Exception:
            # The owner's failure must not stop the link that carries the others.
            logger.exception("smpp_bind_callback_failed", extra={"group": self.name})
