"""The recorder: outcomes to rows, in batches, on a thread of its own beside the dispatcher's loop.

One transaction a batch: delivered callbacks leave the queue, failed ones get their next moment, every attempt is
written. While PostgreSQL is away the outcomes are kept and tried again; leases of what is held are renewed, so
that nobody else sends it meanwhile.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from django.db import (
    InterfaceError,
    OperationalError,
    close_old_connections,
    connection,
    connections,
    transaction,
)

from webhooks import backoff, destinations, learning, leases, outcomes
from webhooks.dispatch import MOST_HELD, Item
from webhooks.leases import RENEW_SECONDS
from webhooks.models.due_callback import HELD
from webhooks.outcomes import Outcome

log = structlog.get_logger(__name__)

# Seconds that outcomes gather before they are written, and how many are enough at once.
GATHER_SECONDS = 0.02
ENOUGH = 500
# Seconds between tries while PostgreSQL is away.
AWAY_SECONDS = 0.5
# Seconds after which what was learned is looked at again, when nothing else happens.
LEARN_SECONDS = 0.2

# Whoever holds the lease by now: it was delivered.
_DELIVERED = """
WITH r AS MATERIALIZED (
    SELECT * FROM unnest(%(ids)s::uuid[], %(tenants)s::bigint[], %(numbers)s::int2[], %(started)s::float8[],
                         %(took)s::int4[], %(codes)s::int2[], %(bodies)s::text[], %(failovers)s::bool[],
                         %(batches)s::text[])
        AS r(id, tenant_id, number, started, took, code, body, failover, batch)
), gone AS (
    DELETE FROM webhooks_duecallback WHERE callback_id = ANY(%(ids)s::uuid[])
), told AS (
    UPDATE webhooks_callback c
    SET state = 'delivered', attempts = r.number, status_code = r.code,
        attempted_at = to_timestamp(r.started + r.took / 1000.0)
    FROM r
    WHERE c.id = r.id AND c.id BETWEEN %(first)s::uuid AND %(last)s::uuid
)
INSERT INTO webhooks_attempt (id, number, tenant_id, started_at, duration_ms, status_code, outcome, body, failover,
                              batch)
SELECT id, number, tenant_id, to_timestamp(started), took, code, 'delivered', body, coalesce(failover, false), batch
FROM r
ON CONFLICT DO NOTHING
"""
# Only under the lease that the attempt was made with; a success that came first stands. `target` is the failover that
# it goes to now: the first try of a pair, which is an attempt and no step of the schedule. Otherwise it is at home.
_FAILED = """
WITH r AS MATERIALIZED (
    SELECT * FROM unnest(%(ids)s::uuid[], %(tenants)s::bigint[], %(numbers)s::int2[], %(started)s::float8[],
                         %(took)s::int4[], %(codes)s::int2[], %(bodies)s::text[], %(leases)s::timestamptz[],
                         %(words)s::text[], %(errors)s::text[], %(states)s::text[], %(next)s::timestamptz[],
                         %(targets)s::uuid[], %(failovers)s::bool[], %(batches)s::text[])
        AS r(id, tenant_id, number, started, took, code, body, lease, word, error, state, next_at, target, failover,
             batch)
), gone AS (
    DELETE FROM webhooks_duecallback d USING r
    WHERE d.callback_id = r.id AND d.next_attempt_at = r.lease AND r.state = 'dead'
    RETURNING d.callback_id
), again AS (
    UPDATE webhooks_duecallback d
    SET next_attempt_at = r.next_at, leased = false,
        attempt = d.attempt + (r.target IS NULL)::int, base = d.base + (r.target IS NOT NULL)::int,
        endpoint = coalesce(r.target, d.home, d.endpoint),
        home = CASE WHEN r.target IS NULL THEN NULL ELSE coalesce(d.home, d.endpoint) END,
        first_attempt_at = CASE r.state WHEN 'held' THEN now()
                                        ELSE coalesce(d.first_attempt_at, to_timestamp(r.started)) END
    FROM r
    WHERE d.callback_id = r.id AND d.next_attempt_at = r.lease AND r.state <> 'dead'
    RETURNING d.callback_id
), told AS (
    UPDATE webhooks_callback c
    SET state = r.state, attempts = r.number, status_code = r.code,
        attempted_at = to_timestamp(r.started + r.took / 1000.0)
    FROM r JOIN (SELECT callback_id FROM gone UNION ALL SELECT callback_id FROM again) f ON f.callback_id = r.id
    WHERE c.id = r.id AND c.id BETWEEN %(first)s::uuid AND %(last)s::uuid AND c.state <> 'delivered'
)
INSERT INTO webhooks_attempt (id, number, tenant_id, started_at, duration_ms, status_code, outcome, error, body,
                              failover, batch)
SELECT id, number, tenant_id, to_timestamp(started), took, code, word, error, body, coalesce(failover, false), batch
FROM r
ON CONFLICT DO NOTHING
"""
# Circuits that are open, and whether the next probe may go.
_OPEN = """
SELECT id, coalesce(paused_until <= now(), true), opened_at FROM webhooks_endpoint
WHERE id = ANY(%s::uuid[]) AND opened_at IS NOT NULL
"""


@dataclass(slots=True)
class Result:
    """An attempt's end, as it will be written. ``took`` in seconds."""

    item: Item
    outcome: Outcome
    took: float


class _Plan(NamedTuple):
    """What becomes of a failed callback: its state, its next moment, the failover that it goes to first."""

    state: str
    at: datetime | None
    target: UUID | None = None


_DEAD = _Plan("dead", None)


class Recorder:
    """Takes results from the dispatcher's thread and writes them; keeps what this process has in hand.

    ``release``: see :class:`webhooks.learning.Learning`.
    """

    def __init__(self, *, release: Callable[[str], None] | None = None) -> None:
        self._room = threading.Condition()
        self._held: dict[str, Item] = {}
        self._results: list[Result] = []
        self._returned: list[Item] = []
        self._wake = threading.Event()
        self._stopping = False
        self._renew_at = time.monotonic() + RENEW_SECONDS
        self._learning = learning.Learning()
        if release is not None:
            self._learning.release = release
        self._thread = threading.Thread(target=self._run, name="callback-recorder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def admit(self, items: Sequence[Item]) -> list[Item]:
        """Note these as in hand, waiting while there are too many; returns those that were not yet."""
        with self._room:
            while len(self._held) >= MOST_HELD and not self._stopping:
                self._room.wait(1.0)
            fresh = [item for item in items if item.callback_id not in self._held]
            self._held.update((item.callback_id, item) for item in fresh)
        return fresh

    def report(self, item: Item, outcome: Outcome, took: float) -> None:
        """An attempt ended; on the dispatcher's thread."""
        self._results.append(Result(item, outcome, took))
        self._wake.set()

    def give_back(self, items: Sequence[Item]) -> None:
        """These were not tried: let them be claimed again."""
        self._returned.extend(items)
        self._wake.set()

    def stop(self, *, seconds: float) -> None:
        """Write what there is, then end; what cannot be written within ``seconds`` is left to the leases."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    @property
    def held(self) -> int:
        """Callbacks in hand: waiting, under way, or ended and not yet written."""
        return len(self._held)

    def _run(self) -> None:
        while True:
            pause = self._renew_at - time.monotonic()
            self._wake.wait(max(0.0, min(pause, LEARN_SECONDS) if self._learning.pending else pause))
            if not self._stopping and len(self._results) < ENOUGH:
                time.sleep(GATHER_SECONDS)
            self._wake.clear()
            try:
                self._write()
                self._renew()
            except (OperationalError, InterfaceError) as error:
                log.warning("callback.record_postponed", waiting=len(self._results), reason=str(error))
                self._wake.set()
                time.sleep(AWAY_SECONDS)
                close_old_connections()
            except Exception:
                # The thread must outlive whatever one batch brings.
                log.exception("callback.record_failed")
                self._write_singly()
                self._learning.forget()
            else:
                if self._stopping and not self._results and not self._returned:
                    break
        connections.close_all()

    def _write(self) -> None:
        """One batch: results stay in the list until they are committed."""
        results = self._results[:ENOUGH]
        if results:
            record(results=results)
            del self._results[: len(results)]
            # At once: what failed may be back any moment, on its way to a failover.
            self._forget([result.item for result in results])
            self._learning.note(results=results)
        # Before anything is given back: an endpoint that wants rest is not to be claimed for.
        self._learning.write()
        returned = self._returned[:]
        if returned:
            leases.give_back(items=returned)
            del self._returned[: len(returned)]
            self._forget(returned)
        if self._results:
            self._wake.set()

    def _write_singly(self) -> None:
        """After a batch that cannot be written: find the result that spoils it, and leave that to its lease."""
        results = self._results[:ENOUGH]
        for result in results:
            try:
                record(results=[result])
            except Exception:
                log.exception("callback.record_dropped", callback_id=result.item.callback_id)
        del self._results[: len(results)]
        self._forget([result.item for result in results])

    def _forget(self, items: Iterable[Item]) -> None:
        with self._room:
            for item in items:
                self._held.pop(item.callback_id, None)
            self._room.notify_all()

    def _renew(self) -> None:
        """Renew the leases of what has been in hand for long; most is done long before."""
        now = time.monotonic()
        if now < self._renew_at:
            return
        self._renew_at = now + RENEW_SECONDS / 2
        with self._room:
            old = [item for item in self._held.values() if now - item.leased_at > RENEW_SECONDS]
        for endpoint in leases.renew(items=old) if old else ():
            # A webhook removed or switched off, maybe: what waits for it must not go on.
            self._learning.release(endpoint)


def record(*, results: Sequence[Result], roll: Callable[[], float] = random.random) -> None:
    """Write attempts and what follows from them, in one transaction."""
    delivered = [result for result in results if result.outcome.delivered]
    failed = [result for result in results if not result.outcome.delivered]
    if delivered and not failed:
        _record_delivered(delivered)
        return
    with transaction.atomic():
        if delivered:
            _record_delivered(delivered)
        if failed:
            _record_failed(failed, roll)


def _columns(results: Sequence[Result]) -> dict[str, Any]:
    keys = [result.item.callback_id for result in results]
    return {
        "ids": keys,
        # Bounds, so that only the days concerned are looked into; texts of keys sort as the keys do.
        "first": min(keys),
        "last": max(keys),
        "tenants": [result.item.tenant_id for result in results],
        "numbers": [result.item.base + result.item.attempt + 1 for result in results],
        "started": [result.item.started for result in results],
        "took": [round(result.took * 1000) for result in results],
        "codes": [result.outcome.status for result in results],
        "bodies": [outcomes.text(result.outcome.body) for result in results],
        # Mostly none: `unnest` pads what is missing with NULL.
        "failovers": [result.item.home is not None for result in results]
        if any(result.item.home is not None for result in results)
        else [],
        "batches": [result.item.batch for result in results]
        if any(result.item.batch is not None for result in results)
        else [],
    }


def _record_delivered(results: Sequence[Result]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_DELIVERED, _columns(results))


def _record_failed(results: Sequence[Result], roll: Callable[[], float]) -> None:
    plans = _plans(results, roll)
    columns = _columns(results)
    columns["leases"] = [result.item.lease for result in results]
    columns["words"] = [result.outcome.word for result in results]
    columns["errors"] = [result.outcome.error for result in results]
    columns["states"] = [plan.state for plan in plans]
    columns["next"] = [plan.at for plan in plans]
    columns["targets"] = [plan.target for plan in plans]
    with connection.cursor() as cursor:
        cursor.execute(_FAILED, columns)


def _plans(results: Sequence[Result], roll: Callable[[], float]) -> list[_Plan]:
    now = datetime.now(tz=UTC)
    failovers = _failovers(results)
    # The events of one request come back together.
    together: dict[str, tuple[float, datetime]] = {}
    plans = []
    for result in results:
        item = result.item
        chance = roll(), max(now, datetime.fromtimestamp(item.started + result.took, tz=UTC))
        if item.batch is not None:
            chance = together.setdefault(item.batch, chance)
        plan = _end(result)
        if plan is None and item.home is None and item.destination.webhook_id in failovers:
            target, alone = failovers[item.destination.webhook_id]
            plan = _Plan("open", now, target)
            if alone:
                del failovers[item.destination.webhook_id]
        plans.append(plan or _step(result, *chance))
    return _spare(results, plans, now, roll)


def _end(result: Result) -> _Plan | None:
    """For what makes any other try useless: the template, whose fault it is, or an endpoint that is gone for good."""
    item, word = result.item, result.outcome.word
    if word == outcomes.TEMPLATE:
        return _DEAD
    if word == outcomes.GONE and item.home is None:
        return _Plan("held", HELD) if item.destination.webhook_id else _DEAD
    return None


def _step(result: Result, roll: float, now: datetime, *, opened_at: datetime | None = None) -> _Plan:
    """The next moment by the schedule, in whose lifetime the time since ``opened_at`` does not count."""
    item, outcome = result.item, result.outcome
    started = datetime.fromtimestamp(item.started, tz=UTC)
    wait = 0.0 if outcome.retry_after is None else backoff.retry_after(value=outcome.retry_after, now=now)
    first = item.first_attempt_at or started
    if opened_at is not None:
        first += max(now - max(opened_at, first), timedelta())
    at = backoff.next_attempt(
        policy=item.destination.policy,
        attempts=item.attempt + 1,
        first_attempt_at=first,
        now=now,
        roll=roll,
        retry_after=wait,
    )
    return _DEAD if at is None else _Plan("open", at)


def _failovers(results: Sequence[Result]) -> dict[str | None, tuple[UUID, bool]]:
    """By webhook, the failover's endpoint where it may be tried now, and whether by one only: its circuit is open."""
    wanted = {
        item.destination.webhook_id: destinations.of_failover(webhook_id=item.destination.webhook_id)
        for item in (result.item for result in results)
        if item.home is None and item.destination.has_failover and item.destination.webhook_id is not None
    }
    if not wanted:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, [list(wanted.values())])
        probed = {endpoint: may_probe for endpoint, may_probe, _opened_at in cursor.fetchall()}
    return {
        webhook_id: (endpoint, endpoint in probed)
        for webhook_id, endpoint in wanted.items()
        if probed.get(endpoint, True)
    }


def _spare(
    results: Sequence[Result], plans: list[_Plan], now: datetime, roll: Callable[[], float]
) -> list[_Plan]:
    """Not dead after all: those whose day was over because their endpoint's circuit is open."""
    late = [
        index
        for index, (result, plan) in enumerate(zip(results, plans, strict=True))
        if plan is _DEAD and _end(result) is None and result.item.destination.policy.retries is None
    ]
    if late:
        with connection.cursor() as cursor:
            cursor.execute(_OPEN, [[UUID(results[index].item.endpoint) for index in late]])
            opened = {str(endpoint): opened_at for endpoint, _may_probe, opened_at in cursor.fetchall()}
        for index in late:
            opened_at = opened.get(results[index].item.endpoint)
            if opened_at is not None:
                plans[index] = _step(results[index], roll(), now, opened_at=opened_at)
    return plans
