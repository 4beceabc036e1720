"""`python -m deploy.watch`: one line a message, from accepted to its callback. Plain SQL: it stays small."""

import contextlib
import os
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from gateway import ids, statuses

POLL_SECONDS = 0.25
# Transactions end in another order than their keys were made in; nobody's takes so long.
OVERLAP = timedelta(seconds=3)
# More events than that in a poll and a line each would be noise that costs as much as the messages.
BUSY = 300
# A message that takes long is shown as far as it came, and again at its end.
PATIENCE_SECONDS = 8.0
# One that ended and has no callback by then has no webhook to be told.
CALLBACK_SECONDS = 2.0

_NEWS = """
SELECT e.id, e.message_id, e.type, e.occurred_at, m.recipient, m.channel, m.error_code
FROM gateway_event e JOIN gateway_message m ON m.id = e.message_id
WHERE e.id > %s ORDER BY e.id LIMIT %s
"""

_CALLBACKS = """
SELECT state, attempted_at FROM webhooks_callback
WHERE message_id = %s AND attempted_at IS NOT NULL ORDER BY attempted_at
"""

_ENDED = frozenset(f"message.{status}" for status in statuses.ENDED)


@dataclass(slots=True)
class Journey:
    """A message's way so far: (word, moment) a step."""

    recipient: str
    channel: str
    seen_at: float = field(default_factory=time.monotonic)
    steps: list[tuple[str, datetime]] = field(default_factory=list)
    ended_at: float | None = None
    error_code: str | None = None
    # As far as it had come when it was taking long.
    shown: bool = False

    @property
    def ended(self) -> bool:
        return self.ended_at is not None

    def line(self) -> str:
        """``12:00:01 sms +1415…01 accepted → sent 12 ms → delivered 230 ms → callback 245 ms``."""
        start = self.steps[0][1]
        words = [self.steps[0][0]]
        words += [f"{word} {(at - start) / timedelta(milliseconds=1):.0f} ms" for word, at in self.steps[1:]]
        if self.error_code:
            words.append(self.error_code)
        return f"{start:%H:%M:%S} {self.channel} {_masked(self.recipient)} {' → '.join(words)}"


def main() -> None:
    """Print lines until Ctrl-C; outlives restarts of the database."""
    watcher = Watcher(_start())
    connection: psycopg.Connection[Any] | None = None
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            try:
                connection = connection or psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
                for line in watcher.turn(connection, datetime.now(tz=UTC)):
                    print(line, flush=True)
            except psycopg.Error:
                connection = None
            time.sleep(POLL_SECONDS)


def _start() -> datetime:
    """Since when to look: the start of `make run`, so that a message sent at once has its line."""
    now = datetime.now(tz=UTC)
    started = datetime.fromtimestamp(float(os.environ.get("TRUNKLINE_STARTED_AT", now.timestamp())), tz=UTC)
    return max(started, now - timedelta(seconds=30))


class Watcher:
    """Reads events as they come and puts together the journeys that they make."""

    def __init__(self, now: datetime) -> None:
        self._since = ids.floor(now)
        self._seen: OrderedDict[UUID, None] = OrderedDict()
        self._journeys: dict[UUID, Journey] = {}
        self._busy = False

    def turn(self, connection: psycopg.Connection[Any], now: datetime) -> Iterator[str]:
        """The lines that are complete by now."""
        rows = connection.execute(_NEWS, [self._since, BUSY]).fetchall()
        fresh = [row for row in rows if row[0] not in self._seen]
        if len(rows) == BUSY:
            yield from self._skip(now)
            return
        self._busy = False
        self._since = max(self._since, ids.floor(now - OVERLAP))
        for key, message_id, type_, at, recipient, channel, error_code in fresh:
            self._remember(key)
            self._step(message_id, Journey(recipient, channel), type_, at, error_code)
        yield from self._complete(connection)

    def _skip(self, now: datetime) -> Iterator[str]:
        """Too much to show: go on from now, and say so once."""
        self._since = ids.floor(now)
        self._journeys.clear()
        if not self._busy:
            yield f"{now:%H:%M:%S} busy: lines are left out until it is calmer"
        self._busy = True

    def _remember(self, key: UUID) -> None:
        self._seen[key] = None
        while len(self._seen) > 10 * BUSY:
            self._seen.popitem(last=False)

    def _step(
        self, message_id: UUID, fresh: Journey, type_: str, at: datetime, error_code: str | None
    ) -> None:
        if type_ == "message.accepted":
            self._journeys[message_id] = fresh
        journey = self._journeys.get(message_id)
        if journey is None or not type_.startswith("message."):
            return
        journey.steps.append((type_.removeprefix("message."), at))
        if type_ in _ENDED and not journey.ended:
            journey.ended_at = time.monotonic()
        journey.error_code = error_code

    def _complete(self, connection: psycopg.Connection[Any]) -> Iterator[str]:
        for message_id, journey in list(self._journeys.items()):
            callbacks = connection.execute(_CALLBACKS, [message_id]).fetchall() if journey.ended else []
            waited = time.monotonic() - (journey.ended_at or journey.seen_at)
            if callbacks or (journey.ended and waited > CALLBACK_SECONDS):
                journey.steps += [(_word(state), at) for state, at in callbacks]
                del self._journeys[message_id]
                yield journey.line()
            elif waited > PATIENCE_SECONDS and not journey.shown:
                journey.shown = True
                yield f"{journey.line()} → …"
        while len(self._journeys) > 10 * BUSY:
            del self._journeys[next(iter(self._journeys))]


def _word(state: str) -> str:
    return "callback" if state == "delivered" else f"callback failed ({state})"


def _masked(recipient: str) -> str:
    return f"{recipient[:5]}…{recipient[-2:]}"


if __name__ == "__main__":
    main()
