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
from typing import Any

import structlog
from django.db import (
    InterfaceError,
    OperationalError,
    close_old_connections,
    connection,
    connections,
    transaction,
)

from webhooks import backoff, holding, learning, leases, outcomes
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

# Whoever holds the lease by now: it was delivered.
_DELIVERED = """
WITH r AS MATERIALIZED (
    SELECT * FROM unnest(%(ids)s::uuid[], %(tenants)s::bigint[], %(numbers)s::int2[], %(started)s::float8[],
                         %(took)s::int4[], %(codes)s::int2[], %(bodies)s::text[])
        AS r(id, tenant_id, number, started, took, code, body)
), gone AS (
    DELETE FROM webhooks_duecallback WHERE callback_id = ANY(%(ids)s::uuid[])
), told AS (
    UPDATE webhooks_callback c
    SET state = 'delivered', attempts = r.number, status_code = r.code,
        attempted_at = to_timestamp(r.started + r.took / 1000.0)
    FROM r
    WHERE c.id = r.id AND c.id BETWEEN %(first)s::uuid AND %(last)s::uuid
)
INSERT INTO webhooks_attempt (id, number, tenant_id, started_at, duration_ms, status_code, outcome, body)
SELECT id, number, tenant_id, to_timestamp(started), took, code, 'delivered', body FROM r
ON CONFLICT DO NOTHING
"""
# Only under the lease that the attempt was made with; a success that came first stands.
_FAILED = """
WITH r AS MATERIALIZED (
    SELECT * FROM unnest(%(ids)s::uuid[], %(tenants)s::bigint[], %(numbers)s::int2[], %(started)s::float8[],
                         %(took)s::int4[], %(codes)s::int2[], %(bodies)s::text[], %(leases)s::timestamptz[],
                         %(words)s::text[], %(errors)s::text[], %(states)s::text[], %(next)s::timestamptz[])
        AS r(id, tenant_id, number, started, took, code, body, lease, word, error, state, next_at)
), gone AS (
    DELETE FROM webhooks_duecallback d USING r
    WHERE d.callback_id = r.id AND d.next_attempt_at = r.lease AND r.state = 'dead'
    RETURNING d.callback_id
), again AS (
    UPDATE webhooks_duecallback d
    SET next_attempt_at = r.next_at, leased = false, attempt = r.number - d.base,
        first_attempt_at = coalesce(d.first_attempt_at, to_timestamp(r.started))
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
INSERT INTO webhooks_attempt (id, number, tenant_id, started_at, duration_ms, status_code, outcome, error, body)
SELECT id, number, tenant_id, to_timestamp(started), took, code, word, error, body FROM r
ON CONFLICT DO NOTHING
"""


@dataclass(slots=True)
class Result:
    """An attempt's end, as it will be written. ``took`` in seconds."""

    item: Item
    outcome: Outcome
    took: float


class Recorder:
    """Takes results from the dispatcher's thread and writes them; keeps what this process has in hand."""

    def __init__(self) -> None:
        self._room = threading.Condition()
        self._held: dict[str, Item] = {}
        self._results: list[Result] = []
        self._returned: list[Item] = []
        self._wake = threading.Event()
        self._stopping = False
        self._renew_at = time.monotonic() + RENEW_SECONDS
        self._learning = learning.Learning()
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
            self._wake.wait(max(0.0, self._renew_at - time.monotonic()))
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
            # Before anything is given back: an endpoint that wants rest is not to be claimed for.
            self._learning.learn(results=[(result.item, result.outcome) for result in results])
            self._disable(results)
            self._forget([result.item for result in results])
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

    def _disable(self, results: Sequence[Result]) -> None:
        gone = {
            result.item.destination.webhook_id for result in results if result.outcome.word == outcomes.GONE
        }
        for webhook_id in gone - {None}:
            assert webhook_id is not None
            if holding.disable(webhook_id=webhook_id, reason="The endpoint answered 410 Gone."):
                log.warning("webhook.disabled", webhook_id=webhook_id, reason="gone")

    def _renew(self) -> None:
        """Renew the leases of what has been in hand for long; most is done long before."""
        now = time.monotonic()
        if now < self._renew_at:
            return
        self._renew_at = now + RENEW_SECONDS / 2
        with self._room:
            old = [item for item in self._held.values() if now - item.leased_at > RENEW_SECONDS]
        if old:
            leases.renew(items=old)


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
    }


def _record_delivered(results: Sequence[Result]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_DELIVERED, _columns(results))


def _record_failed(results: Sequence[Result], roll: Callable[[], float]) -> None:
    now = datetime.now(tz=UTC)
    plans = [_plan(result, now, roll()) for result in results]
    columns = _columns(results)
    columns["leases"] = [result.item.lease for result in results]
    columns["words"] = [result.outcome.word for result in results]
    columns["errors"] = [result.outcome.error for result in results]
    columns["states"] = [state for state, _next in plans]
    columns["next"] = [at for _state, at in plans]
    with connection.cursor() as cursor:
        cursor.execute(_FAILED, columns)


def _plan(result: Result, now: datetime, roll: float) -> tuple[str, datetime | None]:
    """A failed callback's state from now on, and its next moment."""
    item, outcome = result.item, result.outcome
    if outcome.word == outcomes.GONE:
        return ("held", HELD) if item.destination.webhook_id else ("dead", None)
    started = datetime.fromtimestamp(item.started, tz=UTC)
    wait = 0.0 if outcome.retry_after is None else backoff.retry_after(value=outcome.retry_after, now=now)
    at = backoff.next_attempt(
        policy=item.destination.policy,
        attempts=item.attempt + 1,
        first_attempt_at=item.first_attempt_at or started,
        now=max(now, started + timedelta(seconds=result.took)),
        roll=roll,
        retry_after=wait,
    )
    return ("dead", None) if at is None else ("open", at)
