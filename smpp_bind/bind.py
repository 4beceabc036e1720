"""One bind kept up: connect, bind, serve, and again after a loss, with exponential backoff and full jitter.

A bind that the SMSC refuses is asked for again, more patiently: five seconds later at the earliest where all
binds that are allowed are taken (several workers, or a session whose end the SMSC has not noticed), and up to
a minute later where system_id or password are wrong, so that no account is locked for trying.

An SMSC that itself connects to the ESME (outbind, section 2.2.1) is not served: nothing listens here, binds
are always ours to open. An outbind on an open connection is logged, since its answer, our bind, is under way.
"""

from __future__ import annotations

import datetime as dt
import logging
import random
import time
from typing import Final, Literal, NamedTuple, Protocol

from smpp_bind import connection, errors, events, io_thread, notices, pdu, protocol
from smpp_bind.settings import BindKind, BindSettings

logger = logging.getLogger(__name__)

TAKEN: Final = frozenset({pdu.ESME_RALYBND, pdu.ESME_RBINDFAIL})
TAKEN_SECONDS: Final = 5.0
"""The SMSC has not yet noticed the end of our last session, or others have it; sooner is refused again."""
WRONG: Final = frozenset({pdu.ESME_RINVPASWD, pdu.ESME_RINVSYSID})
WRONG_SECONDS: Final = 5.0
WRONG_LONGEST_SECONDS: Final = 60.0

REFUSED: Final = "bind refused: "
_ADVICE: Final = {pdu.ESME_RINVPASWD: ", check the password", pdu.ESME_RINVSYSID: ", check the system_id"}

Phase = Literal["waiting", "connecting", "binding", "bound", "stopped"]


class Incoming(NamedTuple):
    """One deliver_sm or data_sm, to be given to `BindGroup.answer` once it is stored."""

    bind: Bind
    session: protocol.Session
    sequence: int
    sm: pdu.ShortMessage
    command_id: int


class BindState(NamedTuple):
    kind: BindKind
    phase: Phase
    since: dt.datetime
    in_flight: int
    last_error: str


class Group(Protocol):
    """What a bind tells of itself, always on the I/O thread."""

    @property
    def name(self) -> str: ...

    def changed(self) -> None: ...

    def delivered(self, incoming: list[Incoming]) -> None: ...

    def answered(self, outcomes: list[events.Answered | events.OutcomeUnknown]) -> None: ...

    def answered_late(self, late: list[events.AnsweredLate]) -> None: ...

    def noticed(self, notice: notices.Notice) -> None: ...


def status_name(status: int) -> str:
    return pdu.STATUS_NAMES.get(status, f"0x{status:08X}")


def backoff(attempt: int, given: BindSettings, *, refused: int | None = None) -> float:
    """Seconds before try `attempt` (from 0): full jitter below a bound that doubles up to its maximum.
    `refused` is the command_status of a bind that was answered.
    """
    doubled = 2.0 ** min(attempt, 30)
    if refused in WRONG:
        bound = min(WRONG_LONGEST_SECONDS, WRONG_SECONDS * doubled)
        return random.uniform(bound / 2, bound)
    bound = min(given.reconnect_max_seconds, given.reconnect_min_seconds * doubled)
    delay = random.uniform(0.05, max(bound, 0.05))
    return delay + TAKEN_SECONDS if refused in TAKEN else delay


class Bind:
    """One session at a time to one SMSC, for as long as it is not stopped. Used on the I/O thread only."""

    def __init__(self, io: io_thread.IoThread, settings: BindSettings, group: Group) -> None:
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
        self._retry: io_thread.Timer | None = None
        self._tick: io_thread.Timer | None = None
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
        elif self.phase != "stopped":
            self._close("")

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

    def _take(self, news: list[events.Event]) -> None:
        """Hands on what came, in as few calls as can be."""
        if news:
            last = news[-1]
            self._hand_over(news)
            if isinstance(last, events.Last):
                self._ended(last)
        self.flush()

    def _hand_over(self, news: list[events.Event]) -> None:
        session = self.session
        assert session is not None
        outcomes: list[events.Answered | events.OutcomeUnknown] = []
        incoming = []
        late = []
        for event in news:
            kind = type(event)
            if kind is events.Answered or kind is events.OutcomeUnknown:
                outcomes.append(event)  # type: ignore[arg-type]
            elif isinstance(event, events.Delivered):
                incoming.append(Incoming(self, session, event.sequence, event.sm, event.command_id))
            elif isinstance(event, events.AnsweredLate):
                late.append(event)
            elif isinstance(event, events.Noticed):
                self._group.noticed(event.notice)
            elif isinstance(event, events.Bound):
                self._bound_at = time.monotonic()
                self.last_error = ""
                self._enter("bound")
        if incoming:
            self._group.delivered(incoming)
        if late:
            self._group.answered_late(late)
        self._group.answered(outcomes)

    def _ended(self, last: events.Last) -> None:
        reason, refused = "unbound by the SMSC", None
        if isinstance(last, events.BindRefused):
            reason, refused = (
                f"{REFUSED}{status_name(last.status)}{_ADVICE.get(last.status, '')}",
                last.status,
            )
        elif isinstance(last, events.Dead):
            reason = last.reason
        self.flush()
        self._close("" if self._stopping else reason, refused)

    def _close(self, reason: str, refused: int | None = None) -> None:
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
            self._try_again(refused)

    def _try_again(self, refused: int | None) -> None:
        if self._bound_at is not None:
            if time.monotonic() - self._bound_at >= self.settings.stable_seconds:
                self._attempt = 0
            self._bound_at = None
        delay = backoff(self._attempt, self.settings, refused=refused)
        self._attempt += 1
        self._retry = self._io.call_later(delay, self.start)
        self._enter("waiting")

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self.since = dt.datetime.now(dt.UTC)
        fields = {"group": self._group.name, "host": self.settings.host, "port": self.settings.port}
        logger.info("smpp_bind_%s", phase, extra={**fields, "error": self.last_error})
        self._group.changed()
