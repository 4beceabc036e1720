"""The binds of one operator, fed from one first-in-first-out queue of submits over their windows.

Everything runs on one `IoThread`; the methods named thread-safe may be called from anywhere.

A status that means "not so fast" pauses the whole operator, not one message (`pauses`), and what was refused
so goes back to the head of the queue in its old order. What has a moment of its own keeps it, or its distance
to those before it (`pace`).
"""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, NamedTuple

from smpp_bind import events, io_thread, notices, pace, pauses, pdu
from smpp_bind.bind import REFUSED, Bind, BindState, Incoming
from smpp_bind.settings import BindSettings

logger = logging.getLogger(__name__)

THROTTLING: Final = frozenset({pdu.ESME_RTHROTTLED, pdu.ESME_RMSGQFUL})
_ABORT_SECONDS: Final = 1.0


@dataclasses.dataclass(slots=True, eq=False)
class Submit:
    """One submit_sm to send: the caller's token, the encoded body without header, and when it may go at the
    earliest (time.monotonic; 0 is at once). `continues` marks the second and later parts of a message, which
    take the bind of the part before where that has room. `order` is the group's own.
    """

    token: Any
    body: bytes
    not_before: float = 0.0
    order: int = 0
    continues: bool = False


class Answer(NamedTuple):
    """`status` is the command_status, or None when the outcome is unknown, `reason` saying why.
    `sent_at` is time.monotonic of the submit.
    """

    token: Any
    status: int | None
    message_id: str
    sent_at: float
    reason: str = ""


class GroupState(NamedTuple):
    """`bound` counts all binds, `sending` those of them that can submit. `paused_for` is seconds of
    throttling still to wait. `late_answers` counts those of submits reported as unknown before, since the
    start. `since` is the last change of any bind.
    """

    bound: int
    sending: int
    in_flight: int
    pending: int
    paused_for: float
    late_answers: int
    last_error: str
    since: dt.datetime
    binds: tuple[BindState, ...]

    @property
    def summary(self) -> str:
        """One line for people: "3 of 3 bound", "2 of 3 bound: ESME_RALYBND", "transmitter bound, receiver
        down: connect: Connection refused".
        """
        by_kind: dict[str, list[bool]] = {}
        for each in self.binds:
            by_kind.setdefault(each.kind, []).append(each.phase == "bound")
        if len(by_kind) == 1:
            told = f"{self.bound} of {len(self.binds)} bound"
        else:
            told = ", ".join(_of_kind(kind, up) for kind, up in by_kind.items())
        down = (each.last_error.removeprefix(REFUSED) for each in self.binds if each.phase != "bound")
        errors = "; ".join(dict.fromkeys(error for error in down if error))
        return f"{told}: {errors}" if errors else told


def _of_kind(kind: str, up: list[bool]) -> str:
    if len(up) == 1:
        return f"{kind} {'bound' if up[0] else 'down'}"
    return f"{sum(up)} of {len(up)} {kind}s bound"


class BindGroup:
    """All binds of one operator.

    Callbacks run on the I/O thread and must be quick: `on_answers` with the final outcome of each submit,
    `on_late` with answers of submits that have been reported as unknown, `on_delivered` with what came in,
    `on_alert` with each handset that can be reached again, `on_throttled` with the seconds of a pause that
    begins, `on_state` after a bind has changed. `throttling` are the statuses that pause.
    """

    def __init__(
        self,
        io: io_thread.IoThread,
        settings: Sequence[BindSettings],
        *,
        name: str = "",
        throttling: frozenset[int] = THROTTLING,
        on_answers: Callable[[list[Answer]], None],
        on_delivered: Callable[[list[Incoming]], None],
        on_late: Callable[[list[Answer]], None] = lambda answers: None,
        on_alert: Callable[[notices.Alert], None] = lambda alert: None,
        on_throttled: Callable[[float], None] = lambda delay: None,
        on_state: Callable[[GroupState], None] = lambda state: None,
    ) -> None:
        self.name = name
        self._io = io
        self._throttling = throttling
        self._on_answers = on_answers
        self._on_delivered = on_delivered
        self._on_late = on_late
        self._on_alert = on_alert
        self._on_throttled = on_throttled
        self._on_state = on_state
        self._lock = threading.Lock()
        self._pending: collections.deque[Submit] = collections.deque()
        self._sent = 0
        self._late = 0
        self._turn = 0
        self._latest: Bind | None = None
        self._pump_asked = False
        self._pace = pace.Pace()
        self._alarm: tuple[float, io_thread.Timer] | None = None
        self._pauses = pauses.Pauses()
        self._stopped = threading.Event()
        self.binds = tuple(Bind(io, each, self) for each in settings)

    def start(self) -> None:
        """Thread-safe."""
        for bind in self.binds:
            self._io.call_soon(bind.start)

    def stop(self, timeout: float | None = None) -> bool:
        """Thread-safe, not on the I/O thread: sends no more, awaits the answers under way, unbinds, closes.
        False when `timeout` seconds (default: two more than the longest unbind_timeout) did not suffice and
        connections were cut near their end. What was never sent stays for `cancel`. May be called again.
        """
        if timeout is None:
            timeout = 2.0 + max((bind.settings.unbind_timeout for bind in self.binds), default=0.0)
        for_cutting = min(_ABORT_SECONDS, timeout / 4)
        self._io.call_soon(self._stop)
        if self._stopped.wait(timeout - for_cutting):
            return True
        self._io.call_soon(self._abort)
        self._stopped.wait(for_cutting)
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
            kept: list[Submit] = []
            for item in self._pending:
                (taken if chosen(item.token) else kept).append(item)
            self._pending = collections.deque(kept)
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
            pending=len(self._pending),
            paused_for=self._pauses.left(time.monotonic()),
            late_answers=self._late,
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

    def answered_late(self, late: list[events.AnsweredLate]) -> None:
        self._late += len(late)
        for each in late:
            told = {"status": each.status, "message_id": each.message_id}
            logger.warning("smpp_bind_late_answer", extra={"group": self.name, **told})
        self._tell(self._on_late, [Answer(each.token.token, *each[1:], reason="late") for each in late])

    def noticed(self, notice: notices.Notice) -> None:
        if isinstance(notice, notices.Outbind):
            logger.info("smpp_bind_outbind", extra={"group": self.name, "system_id": notice.system_id})
            return
        ends = {"handset_ending": notice.source[-4:], "esme_ending": notice.esme[-4:]}
        logger.info(
            "smpp_bind_alert", extra={"group": self.name, **ends, "availability": notice.availability}
        )
        self._tell(self._on_alert, notice)

    def answered(self, outcomes: list[events.Answered | events.OutcomeUnknown]) -> None:
        """Reports what is final, takes back what was throttled, and fills the room that this made."""
        answers: list[Answer] = []
        throttled: list[tuple[Submit, float]] = []
        went_through = 0.0
        throttling = self._throttling
        for outcome in outcomes:
            if isinstance(outcome, events.OutcomeUnknown):
                submit, sent_at, reason = outcome
                answers.append(Answer(submit.token, None, "", sent_at, reason))
                continue
            submit, status, message_id, sent_at = outcome
            if status in throttling:
                throttled.append((submit, sent_at))
                continue
            if status == 0:
                went_through = sent_at
            answers.append(Answer(submit.token, status, message_id, sent_at))
        probe = self._pauses.probe
        if probe is not None and any(outcome[0] is probe for outcome in outcomes):
            self._pauses.probe_ended()
        if went_through:
            self._pauses.went_through(went_through)
        if throttled:
            self._throttled(throttled)
        if answers:
            self._tell(self._on_answers, answers)
        self._pump()

    def _throttled(self, throttled: list[tuple[Submit, float]]) -> None:
        with self._lock:
            again = [item for item, _ in throttled]
            while self._pending and self._pending[0].order:
                again.append(self._pending.popleft())
            self._pending.extendleft(sorted(again, key=lambda item: item.order, reverse=True))
        latest = max(sent_at for _, sent_at in throttled)
        delay = self._pauses.throttled(sent_at=latest, now=time.monotonic())
        if not delay:
            return
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
        if not self._pending:
            return
        now = time.monotonic()
        allowed = self._pauses.may_send(now)
        if allowed == 0:
            return
        ready = [bind for bind in self.binds if bind.room]
        if not ready:
            return
        if allowed is not None:
            self._send_one(max(ready, key=_room), now)
        elif len(ready) == 1:
            self._fill(ready[0], now, ready[0].room)
        else:
            self._spread(ready, now)

    def _send_one(self, bind: Bind, now: float) -> None:
        session = bind.session
        assert session is not None
        with self._lock:
            item = self._next_due(now)
        if item is not None:
            session.submit(item, item.body, now)
            self._pauses.probing(item, now)
            self._io.call_later(pauses.PROBE_SECONDS, self._pump)
            bind.flush()

    def _spread(self, ready: list[Bind], now: float) -> None:
        """Shares out by free room, the freest bind first, in turns between equals."""
        if self._latest is not None and self._latest.room:
            self._fill(self._latest, now, 0)
        self._turn += 1
        turn = self._turn % len(ready)
        ready = sorted(ready[turn:] + ready[:turn], key=_room, reverse=True)
        waiting = len(self._pending)
        room = sum(bind.room for bind in ready)
        for bind in ready:
            own = bind.room
            if own and waiting > 0:
                waiting -= self._fill(bind, now, -(-waiting * own // room))
                room -= own

    def _fill(self, bind: Bind, now: float, share: int) -> int:
        """Sends `share` submits, and what is left of a message begun with them; how many it was."""
        session = bind.session
        assert session is not None
        sent = 0
        with self._lock:
            while session.room and (sent < share or self._continues()):
                item = self._next_due(now)
                if item is None:
                    break
                session.submit(item, item.body, now)
                sent += 1
        if sent:
            self._latest = bind
            bind.flush()
        return sent

    def _continues(self) -> bool:
        return bool(self._pending) and self._pending[0].continues

    def _next_due(self, now: float) -> Submit | None:
        if not self._pending:
            return None
        not_before = self._pending[0].not_before
        if not_before:
            due = self._pace.due(not_before, now)
            if due > now:
                self._wait_until(due, now)
                return None
        item = self._pending.popleft()
        if not item.order:
            self._sent += 1
            item.order = self._sent
        return item

    def _wait_until(self, moment: float, now: float) -> None:
        if self._alarm is not None:
            if now < self._alarm[0] <= moment:
                return
            self._alarm[1].cancel()
        self._alarm = (moment, self._io.call_later(moment - now, self._pump))

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


def _room(bind: Bind) -> int:
    return bind.room
