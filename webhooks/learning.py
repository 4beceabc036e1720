"""What an endpoint's answers teach: how much it may be given at once, until when it rests, when it is given up.

All of it is kept in the endpoint's row, shared by relays and workers. The number doubles while the endpoint keeps up
with all that it is given, and halves when it does not answer; failures open its circuit (:mod:`webhooks.breaker`)
and, after days without a success, switch its webhook off. Healthy endpoints are hardly ever written.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

import structlog
from django.db import connection

from webhooks import backoff, breaker, holding, outcomes
from webhooks.leases import DEFAULT_CAP

if TYPE_CHECKING:
    from webhooks.dispatch import Item
    from webhooks.recording import Result

_Value = TypeVar("_Value")

log = structlog.get_logger(__name__)

# Callbacks leased to one endpoint at once, at most and at least.
MOST = 1024
LEAST = 2
# No success for so long and so many failures since: the webhook is switched off.
GIVE_UP_AFTER = timedelta(days=5)
GIVE_UP_FAILURES = 20
# Seconds between two changes of one endpoint's number by one process.
_PAUSE = 0.1
_HALVE_PAUSE = 1.0
# An endpoint whose number is believed to be at its most is asked about again after this many seconds.
_BELIEVED = 10.0
# Seconds between two notes of one endpoint's failures, and between two looks at the row of one that succeeds.
_TROUBLE_SECONDS = 1.0
_HEALTHY_SECONDS = 1.0
# Callbacks whose day is prolonged when a circuit closes: more would keep the outcomes of all others waiting for
# longer than a lease. The rest are tried again all the same, but may be given up at their next failure.
_SHIFTED = 20_000
# Each of the tables in memory is forgotten when it has so many endpoints.
_REMEMBERED = 10_000

_DOUBLE = f"""
INSERT INTO webhooks_endpoint AS e (id, tenant_id, cap) VALUES (%s, %s, {DEFAULT_CAP * 2})
ON CONFLICT (id) DO UPDATE SET cap = least({MOST}, e.cap * 2)
RETURNING cap
"""
# After trouble any success counts: what an endpoint is given when its number is low can be no good part of it. A
# circuit closes by what began after it opened, a probe; its callbacks get back the time that they were kept waiting.
# `started` is 0 for a webhook whose failover took the callback: that it works at all counts, its own URL does not.
_HEAL = f"""
WITH old AS MATERIALIZED (
    SELECT e.id, e.opened_at, e.opened_at < to_timestamp(r.started) AS closes, r.started > 0 AS answers
    FROM unnest(%s::uuid[], %s::float8[]) AS r(id, started) JOIN webhooks_endpoint e ON e.id = r.id
    WHERE (e.cap < {DEFAULT_CAP} AND r.started > 0) OR e.failing_since IS NOT NULL
       OR e.opened_at < to_timestamp(r.started)
    ORDER BY e.id FOR UPDATE OF e
), waiting AS MATERIALIZED (
    SELECT d.callback_id, o.opened_at FROM old o JOIN webhooks_duecallback d ON d.endpoint = o.id
    WHERE o.closes AND d.first_attempt_at IS NOT NULL AND d.next_attempt_at < '9999-01-01 00:00:00+00'
    LIMIT {_SHIFTED} FOR UPDATE OF d SKIP LOCKED
), shifted AS (
    UPDATE webhooks_duecallback d
    SET first_attempt_at = d.first_attempt_at + (now() - greatest(w.opened_at, d.first_attempt_at))
    FROM waiting w WHERE d.callback_id = w.callback_id
)
UPDATE webhooks_endpoint e
SET cap = CASE WHEN o.closes THEN {breaker.FIRST_CAP}
               WHEN o.answers AND e.cap < {DEFAULT_CAP} THEN e.cap * 2 ELSE e.cap END,
    opened_at = CASE WHEN o.closes THEN NULL ELSE e.opened_at END,
    paused_until = CASE WHEN o.closes THEN NULL ELSE e.paused_until END,
    probes = CASE WHEN o.closes THEN 0 ELSE e.probes END,
    failing_since = NULL, failures = 0
FROM old o WHERE e.id = o.id
RETURNING e.id::text, coalesce(o.closes, false)
"""
# The only callback of an endpoint keeps its own schedule: no circuit makes it later.
_ONLY = """(
    SELECT min(x.next_attempt_at) FROM (
        SELECT d.next_attempt_at FROM webhooks_duecallback d WHERE d.endpoint = {id} LIMIT 2
    ) x HAVING count(*) = 1 AND min(x.next_attempt_at) > now()
)"""
_TROUBLE = f"""
INSERT INTO webhooks_endpoint AS e (id, tenant_id, cap, failing_since, failures, opened_at, paused_until)
SELECT r.id, r.tenant_id, CASE WHEN r.slow THEN {DEFAULT_CAP // 2} ELSE {DEFAULT_CAP} END,
       to_timestamp(r.since), r.failures, CASE WHEN r.opens THEN now() END,
       greatest(to_timestamp(r.rest),
                CASE WHEN r.opens THEN least({breaker.pause(probes="0")}, {_ONLY.format(id="r.id")}) END)
FROM unnest(%s::uuid[], %s::bigint[], %s::float8[], %s::int[], %s::bool[], %s::bool[], %s::float8[])
     AS r(id, tenant_id, since, failures, slow, opens, rest)
ORDER BY r.id
ON CONFLICT (id) DO UPDATE
SET cap = CASE WHEN excluded.cap < {DEFAULT_CAP} THEN greatest({LEAST}, e.cap / 2) ELSE e.cap END,
    failing_since = coalesce(e.failing_since, excluded.failing_since),
    failures = least(e.failures, 1000000000) + excluded.failures,
    opened_at = coalesce(e.opened_at, excluded.opened_at),
    paused_until = CASE
        WHEN coalesce(e.opened_at, excluded.opened_at) IS NULL THEN greatest(e.paused_until, excluded.paused_until)
        ELSE least(greatest(e.paused_until, excluded.paused_until, {breaker.pause(probes="e.probes")}),
                   {_ONLY.format(id="e.id")})
    END
RETURNING e.id::text, e.opened_at, e.opened_at = now(), e.failing_since, e.failures
"""


class _Trouble:
    """One endpoint's failures since they were last written."""

    __slots__ = ("failures", "item", "opens", "rest", "since", "slow")

    def __init__(self, item: "Item") -> None:
        self.item = item
        # Unix time of the first, and until when the endpoint wants rest; None: it did not say so.
        self.since = item.started
        self.rest: float | None = None
        self.failures = 0
        self.slow = False
        self.opens = False


def _nowhere(_endpoint: str) -> None:
    pass


class Learning:
    """One process's part in it. :meth:`note` only remembers; :meth:`write` may be repeated when it raised.

    ``release`` is called with an endpoint whose circuit is open: what waits for it in this process need not.
    """

    def __init__(self, *, release: Callable[[str], None] = _nowhere) -> None:
        self.release = release
        self._windows: dict[str, breaker.Window] = {}
        self._delivered: dict[str, tuple[Item, int]] = {}
        # When the last one that succeeded began, Unix time.
        self._successes: dict[str, float] = {}
        self._troubles: dict[str, _Trouble] = {}
        self._gone: set[str] = set()
        self._double_at: dict[str, float] = {}
        self._heal_at: dict[str, float] = {}
        self._halve_at: dict[str, float] = {}
        self._trouble_at: dict[str, float] = {}
        self._rests: dict[str, float] = {}
        self._look_at = 0.0

    @property
    def pending(self) -> bool:
        """Whether something waits for its moment to be written."""
        return bool(self._successes or self._troubles or self._gone)

    def note(self, *, results: "Iterable[Result]") -> None:
        """Remember what a batch of attempts says; the events of one request are one attempt."""
        now = time.monotonic()
        requests: set[str] = set()
        for result in results:
            item = result.item
            if result.outcome.delivered:
                delivered = self._delivered.get(item.endpoint)
                self._delivered[item.endpoint] = item, 1 if delivered is None else delivered[1] + 1
            if item.batch is not None:
                if item.batch in requests:
                    continue
                requests.add(item.batch)
            if result.outcome.delivered:
                self._note_success(item, now)
            else:
                self._note_failure(result, now)

    def write(self) -> None:
        """Write what is due to be written; the rest waits for the next call."""
        now = time.monotonic()
        self._double(now)
        self._heal(now)
        self._tell_troubles(now)
        for webhook_id in list(self._gone):
            _disable(webhook_id, "The endpoint answered 410 Gone.")
            self._gone.discard(webhook_id)

    def forget(self) -> None:
        """Give up what waits to be written, because it cannot be."""
        for table in (self._delivered, self._successes, self._troubles, self._gone):
            table.clear()

    def _window(self, endpoint: str) -> breaker.Window:
        window = self._windows.get(endpoint)
        if window is None:
            window = _bounded(self._windows)[endpoint] = breaker.Window()
        return window

    def _note_success(self, item: "Item", now: float) -> None:
        self._window(item.endpoint).succeeded(now=now)
        self._successes[item.endpoint] = item.started
        if item.home is not None:
            self._successes.setdefault(item.home, 0.0)
        trouble = self._troubles.get(item.endpoint)
        if trouble is not None and trouble.rest is None and not trouble.opens:
            del self._troubles[item.endpoint]

    def _note_failure(self, result: "Result", now: float) -> None:
        item, outcome = result.item, result.outcome
        if outcome.word == outcomes.TEMPLATE:
            return
        if outcome.word == outcomes.GONE and item.home is None:
            if item.destination.webhook_id is not None:
                self._gone.add(item.destination.webhook_id)
            return
        trouble = self._troubles.get(item.endpoint)
        if trouble is None:
            trouble = self._troubles[item.endpoint] = _Trouble(item)
        trouble.failures += 1
        slow = outcome.word in outcomes.SLOW
        trouble.slow = trouble.slow or slow
        if outcome.retry_after is not None:
            trouble.rest = max(trouble.rest or 0.0, _rest(outcome.retry_after))
        if self._window(item.endpoint).failed(now=now, unanswered=slow):
            trouble.opens = True
            # What comes after counts anew: the row knows that the circuit is open.
            del self._windows[item.endpoint]

    def _double(self, now: float) -> None:
        delivered, self._delivered = self._delivered, {}
        for endpoint, (item, count) in delivered.items():
            # A batch with a good part of the number: the endpoint is kept busy and keeps up.
            if count * 4 < DEFAULT_CAP or now < self._double_at.get(endpoint, 0.0):
                continue
            if endpoint in self._troubles and self._troubles[endpoint].slow:
                continue
            with connection.cursor() as cursor:
                cursor.execute(_DOUBLE, [UUID(endpoint), item.tenant_id])
                (cap,) = cursor.fetchone()
            _bounded(self._double_at)[endpoint] = now + (_BELIEVED if cap == MOST else _PAUSE)

    def _heal(self, now: float) -> None:
        """Endpoints that succeed: close circuits, forget failures, let low numbers grow."""
        if now < self._look_at or not self._successes:
            return
        ready = {key: at for key, at in self._successes.items() if now >= self._heal_at.get(key, 0.0)}
        if ready:
            with connection.cursor() as cursor:
                cursor.execute(_HEAL, [list(ready), list(ready.values())])
                healed = dict(cursor.fetchall())
            for endpoint in ready:
                wait = _PAUSE if endpoint in healed else _HEALTHY_SECONDS
                _bounded(self._heal_at)[endpoint] = now + wait
                del self._successes[endpoint]
            for endpoint in (key for key, closed in healed.items() if closed):
                self._windows.pop(endpoint, None)
                log.info("callback.circuit_closed", endpoint=endpoint)
        self._look_at = now + _PAUSE

    def _tell_troubles(self, now: float) -> None:
        ready = [trouble for key, trouble in self._troubles.items() if self._is_ready(key, trouble, now)]
        if not ready:
            return
        slow = [trouble.slow and now >= self._halve_at.get(trouble.item.endpoint, 0.0) for trouble in ready]
        rows = _write_troubles(ready, slow)
        for trouble, halves in zip(ready, slow, strict=True):
            self._told(trouble, now, halves=halves)
        by_endpoint = {trouble.item.endpoint: trouble.item for trouble in ready}
        for endpoint, opened_at, freshly, failing_since, failures in rows:
            if opened_at is not None:
                self.release(endpoint)
            if freshly:
                log.warning("callback.circuit_opened", endpoint=endpoint)
            _give_up(by_endpoint[endpoint], failing_since, failures)

    def _is_ready(self, endpoint: str, trouble: _Trouble, now: float) -> bool:
        if trouble.opens or now >= self._trouble_at.get(endpoint, 0.0):
            return True
        # A wish for rest does not wait, unless it is the same as before.
        return trouble.rest is not None and trouble.rest > self._rests.get(endpoint, 0.0) + 1

    def _told(self, trouble: _Trouble, now: float, *, halves: bool) -> None:
        endpoint = trouble.item.endpoint
        del self._troubles[endpoint]
        if trouble.rest is not None:
            _bounded(self._rests)[endpoint] = trouble.rest
        _bounded(self._trouble_at)[endpoint] = now + _TROUBLE_SECONDS
        if halves:
            for table in (self._halve_at, self._double_at, self._heal_at):
                _bounded(table)[endpoint] = now + _HALVE_PAUSE


def _write_troubles(
    troubles: Sequence[_Trouble], slow: Sequence[bool]
) -> list[tuple[str, datetime | None, bool | None, datetime, int]]:
    with connection.cursor() as cursor:
        cursor.execute(
            _TROUBLE,
            [
                [trouble.item.endpoint for trouble in troubles],
                [trouble.item.tenant_id for trouble in troubles],
                [trouble.since for trouble in troubles],
                [trouble.failures for trouble in troubles],
                list(slow),
                [trouble.opens for trouble in troubles],
                [trouble.rest for trouble in troubles],
            ],
        )
        return list(cursor.fetchall())


def _rest(retry_after: str) -> float:
    """Until when, Unix time."""
    now = datetime.now(tz=UTC)
    return now.timestamp() + backoff.retry_after(value=retry_after, now=now)


def _give_up(item: "Item", failing_since: datetime, failures: int) -> None:
    if item.destination.webhook_id != item.endpoint or failures < GIVE_UP_FAILURES:
        return
    if datetime.now(tz=UTC) - failing_since >= GIVE_UP_AFTER:
        _disable(item.endpoint, f"No success since {failing_since.astimezone(UTC):%Y-%m-%d %H:%M} UTC.")


def _disable(webhook_id: str, reason: str) -> None:
    if holding.disable(webhook_id=webhook_id, reason=reason):
        log.warning("webhook.disabled", webhook_id=webhook_id, reason=reason)


def _bounded(table: dict[str, _Value]) -> dict[str, _Value]:
    if len(table) > _REMEMBERED:
        table.clear()
    return table
