"""``manage.py watch``: one line a message, from accepted to its callback."""

import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand
from django.db import Error as DatabaseError
from django.db import connection

from gateway import ids, statuses
from gateway.hooks import hooks

POLL_SECONDS = 0.25
# Transactions end in another order than their keys were made in; nobody's takes so long.
OVERLAP = timedelta(seconds=3)
# More events than that in a poll and a line each would be noise that costs as much as the messages.
BUSY = 300
# A message that comes to no end is shown as far as it came.
PATIENCE_SECONDS = 8.0
# One that ended and has no callback by then has no webhook to be told.
CALLBACK_SECONDS = 2.0

_NEWS = """
SELECT e.id, e.message_id, e.tenant_id, e.type, e.occurred_at, m.recipient, m.channel, m.error_code
FROM gateway_event e JOIN gateway_message m ON m.id = e.message_id
WHERE e.id > %s ORDER BY e.id LIMIT %s
"""

_ENDED = frozenset(f"message.{status}" for status in statuses.ENDED)


@dataclass(slots=True)
class Journey:
    """A message's way so far: (word, moment) a step."""

    tenant_id: int
    recipient: str
    channel: str
    seen_at: float = field(default_factory=time.monotonic)
    steps: list[tuple[str, datetime]] = field(default_factory=list)
    ended_at: float | None = None
    error_code: str | None = None

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


class Command(BaseCommand):
    help = "Print one line a message as it goes from accepted to its callback. Ctrl-C ends it."

    def handle(self, *args: Any, **options: Any) -> None:
        watcher = Watcher(datetime.now(tz=UTC))
        while True:
            try:
                for line in watcher.turn(datetime.now(tz=UTC)):
                    self.stdout.write(line)
                    self.stdout.flush()
            except DatabaseError:
                connection.close()
            except KeyboardInterrupt:
                return
            time.sleep(POLL_SECONDS)


class Watcher:
    """Reads events as they come and puts together the journeys that they make."""

    def __init__(self, now: datetime) -> None:
        self._since = ids.floor(now)
        self._seen: OrderedDict[UUID, None] = OrderedDict()
        self._journeys: dict[UUID, Journey] = {}
        self._busy = False

    def turn(self, now: datetime) -> Iterator[str]:
        """The lines that are complete by now."""
        with connection.cursor() as cursor:
            cursor.execute(_NEWS, [self._since, BUSY])
            rows = cursor.fetchall()
        fresh = [row for row in rows if row[0] not in self._seen]
        if len(rows) == BUSY:
            yield from self._skip(now)
            return
        self._busy = False
        self._since = max(self._since, ids.floor(now - OVERLAP))
        for key, message_id, tenant_id, type_, at, recipient, channel, error_code in fresh:
            self._remember(key)
            self._step(message_id, Journey(tenant_id, recipient, channel), type_, at, error_code)
        yield from self._complete()

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

    def _complete(self) -> Iterator[str]:
        for message_id, journey in list(self._journeys.items()):
            callbacks = self._callbacks(message_id, journey) if journey.ended else []
            waited = time.monotonic() - (journey.ended_at or journey.seen_at)
            if callbacks or waited > (CALLBACK_SECONDS if journey.ended else PATIENCE_SECONDS):
                journey.steps += callbacks
                del self._journeys[message_id]
                yield journey.line()

    def _callbacks(self, message_id: UUID, journey: Journey) -> list[tuple[str, Any]]:
        """(word, moment) a callback; the moment is None while it is under way."""
        return [
            (_callback_word(line), line.get("occurredAt"))
            for timeline in hooks.timeline
            for line in timeline(journey.tenant_id, message_id)
        ]


def _callback_word(line: dict[str, Any]) -> str:
    return "callback" if line["type"] == "callback.delivered" else line["type"].replace(".", " ")


def _masked(recipient: str) -> str:
    return f"{recipient[:5]}…{recipient[-2:]}"
