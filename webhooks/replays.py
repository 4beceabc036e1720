"""Sending callbacks again: a webhook's of a span of time, as a durable job of the relay's, or a single one.

A callback that is sent again keeps its event's id and goes on counting its attempts; its schedule begins anew. A
replay looks at a webhook's callbacks in the order of their keys and notes in its row, in the transaction that queues
them, how far it has come; whoever dies in between has done nothing.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from gateway import errors, ids
from gateway.errors import Detail
from webhooks import destinations
from webhooks.models import Replay, Webhook
from webhooks.models.callback import State

# Callbacks looked at in one step.
STEP = 1000
# A replay pauses while so many of its webhook's callbacks wait: fresh ones are not to wait for a long time behind it.
MOST_WAITING = 5000
CLOCKS_DIFFER = timedelta(minutes=1)

_STATES = {Replay.Only.FAILED.value: ["dead"], Replay.Only.ALL.value: ["dead", "delivered"]}

_RUNNING = "SELECT id FROM webhooks_replay WHERE state = 'running' ORDER BY id"
_TAKE = f"""
SELECT r.webhook_id, r.since, r.until, r.only, r.position, w.active, w.ordered,
       (SELECT count(*) FROM (
            SELECT 1 FROM webhooks_duecallback d
            WHERE d.endpoint = r.webhook_id AND d.next_attempt_at < '9999-01-01 00:00:00+00' LIMIT {MOST_WAITING}
        ) AS waiting)
FROM webhooks_replay r JOIN webhooks_webhook w ON w.id = r.webhook_id
WHERE r.id = %s AND r.state = 'running'
FOR UPDATE OF r SKIP LOCKED
"""
# What is open or held is on its way already, and stays as it is.
_REOPEN = """
WITH looked AS MATERIALIZED (
    SELECT id FROM webhooks_callback
    WHERE endpoint = %(endpoint)s AND id >= %(first)s AND id < %(until)s AND id > %(position)s
    ORDER BY id LIMIT %(step)s
), reopened AS (
    UPDATE webhooks_callback c SET state = %(state)s
    FROM looked l
    WHERE c.id = l.id AND c.id >= %(first)s AND c.id < %(until)s AND c.state = ANY(%(states)s)
    RETURNING c.id, c.tenant_id, c.endpoint, c.event_id, c.message_id, c.attempts
), written AS (
    INSERT INTO webhooks_duecallback (callback_id, tenant_id, endpoint, event_id, message_id, next_attempt_at, leased,
                                      ordered, base, attempt, first_attempt_at)
    SELECT id, tenant_id, endpoint, event_id, message_id,
           CASE WHEN %(held)s THEN '9999-01-01 00:00:00+00' ELSE now() END, false,
           %(ordered)s, attempts, 0, CASE WHEN %(held)s THEN now() END
    FROM reopened
    ON CONFLICT (callback_id) DO NOTHING
)
SELECT (SELECT count(*) FROM looked), (SELECT id FROM looked ORDER BY id DESC LIMIT 1),
       (SELECT count(*) FROM reopened)
"""
_SOON = """
UPDATE webhooks_duecallback SET next_attempt_at = now()
WHERE callback_id = %s AND tenant_id = %s AND NOT leased AND next_attempt_at > now()
  AND next_attempt_at < '9999-01-01 00:00:00+00'
"""
_ONE = """
SELECT c.endpoint, c.state, w.id IS NOT NULL, coalesce(w.active, true), coalesce(w.ordered, false),
       coalesce(m.callback_url, e.data->>'callbackUrl')
FROM webhooks_callback c
LEFT JOIN webhooks_webhook w ON w.id = c.endpoint AND w.tenant_id = c.tenant_id
LEFT JOIN gateway_message m ON m.id = c.message_id AND m.tenant_id = c.tenant_id
LEFT JOIN gateway_event e ON e.id = c.event_id AND e.tenant_id = c.tenant_id
WHERE c.id = %s AND c.tenant_id = %s
FOR UPDATE OF c
"""


class ReplayRunning(errors.Conflict):
    code = "REPLAY_RUNNING"
    message = "A replay of this webhook is running."
    action = "Wait until it has ended, then ask for the next."


class ReplayEnded(errors.Conflict):
    code = "REPLAY_ENDED"
    message = "The replay has ended."
    action = "There is nothing to cancel; its state says how it ended."


class WebhookGone(errors.Conflict):
    code = "WEBHOOK_GONE"
    message = "The webhook of this callback has been removed."
    action = "Nothing can be sent to it any more; make a webhook anew for events to come."


class _Span(NamedTuple):
    """What is looked at: callbacks of an endpoint, by their keys, after ``position``; and what becomes of them."""

    endpoint: UUID
    first: UUID
    until: UUID
    position: UUID
    states: list[str]
    step: int
    active: bool
    ordered: bool


def start(*, tenant_id: int, webhook: Webhook, since: datetime, until: datetime, only: str) -> Replay:
    """Ask for the callbacks made from ``since`` on and before ``until`` (aware) to be sent again.

    Clocks differ: an ``until`` of the next minute is taken for now. ``only`` is ``failed``, those given up, or
    ``all``, delivered ones too; those on their way are left alone.

    Raises:
        errors.Invalid: the span is empty, in the future, or older than what is kept; ``only`` is unknown.
        ReplayRunning: one of the webhook is under way.
    """
    now = datetime.now(tz=UTC)
    if until <= now + CLOCKS_DIFFER:
        until = min(until, now)
    _check(since=since, until=until, only=only, now=now)
    with transaction.atomic():
        # One at a time: the webhook's row is the lock.
        locked = Webhook.objects.for_tenant(tenant_id).select_for_update().filter(pk=webhook.pk).first()
        if locked is None:
            raise errors.NotFound("There is no such webhook.")
        running = Replay.objects.for_tenant(tenant_id).filter(webhook=locked, state=Replay.State.RUNNING)
        if running.exists():
            raise ReplayRunning
        return Replay.objects.create(tenant_id=tenant_id, webhook=locked, since=since, until=until, only=only)


def cancel(*, tenant_id: int, replay_id: UUID) -> Replay:
    """End a replay that runs; what it has queued is sent all the same.

    Raises:
        errors.NotFound: there is none, or it is another tenant's.
        ReplayEnded: it does not run any more.
    """
    mine = Replay.objects.for_tenant(tenant_id).filter(pk=replay_id)
    canceled = mine.filter(state=Replay.State.RUNNING).update(
        state=Replay.State.CANCELED, ended_at=datetime.now(tz=UTC)
    )
    found = mine.first()
    if found is None:
        raise errors.NotFound("There is no such replay.")
    if not canceled:
        raise ReplayEnded
    return found


def _check(*, since: datetime, until: datetime, only: str, now: datetime) -> None:
    wrong = []
    oldest = now - timedelta(days=settings.RETENTION_DAYS)
    if since < oldest:
        sentence = (
            f"since must be within the last {settings.RETENTION_DAYS} days: older callbacks are not kept."
        )
        wrong.append(Detail("since", "OUT_OF_RANGE", sentence))
    if until > now:
        wrong.append(Detail("until", "OUT_OF_RANGE", "until must not be in the future."))
    if since >= until:
        wrong.append(Detail("since", "OUT_OF_RANGE", "since must be before until."))
    if only not in _STATES:
        wrong.append(Detail("only", "INVALID", "only must be one of failed, all."))
    if wrong:
        raise errors.Invalid(" ".join(detail.message for detail in wrong), details=wrong)


def step() -> int:
    """Bring each running replay on by :data:`STEP` callbacks, where its webhook has not too many waiting.

    Returns:
        How many callbacks were looked at.
    """
    with connection.cursor() as cursor:
        cursor.execute(_RUNNING)
        keys = [key for (key,) in cursor.fetchall()]
    return sum(_bring_on(key) for key in keys)


def _bring_on(key: UUID) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_TAKE, [key])
        row = cursor.fetchone()
        if row is None:
            return 0
        endpoint, since, until, only, position, active, ordered, waiting = row
        room = min(STEP, MOST_WAITING - waiting) if active else STEP
        if room <= 0:
            return 0
        first = ids.floor(since)
        span = _Span(
            endpoint, first, ids.floor(until), position or UUID(int=0), _STATES[only], room, active, ordered
        )
        looked, last, reopened = _reopen(span)
        _note(key, looked, last, reopened, ended=looked < room)
    return looked


def _note(key: UUID, looked: int, last: UUID | None, reopened: int, *, ended: bool) -> None:
    replay = Replay.objects.get(pk=key)
    replay.looked_at += looked
    replay.replayed += reopened
    replay.position = last or replay.position
    if ended:
        replay.state = Replay.State.DONE
        replay.ended_at = datetime.now(tz=UTC)
    replay.save()


def retry(*, tenant_id: int, callback_id: UUID) -> None:
    """Send one callback again, also one to a message's callbackUrl; one that waits for its next attempt goes now.

    To a webhook that is inactive it is held.

    Raises:
        errors.NotFound: there is none, or it is another tenant's.
        WebhookGone: there is nobody to send it to.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_ONE, [callback_id, tenant_id])
        row = cursor.fetchone()
        if row is None:
            raise errors.NotFound("There is no such callback.")
        endpoint, state, is_webhooks, active, ordered, url = row
        if state == State.OPEN.value:
            cursor.execute(_SOON, [callback_id, tenant_id])
        if state not in _STATES[Replay.Only.ALL.value]:
            return
        if not is_webhooks and (
            url is None or destinations.of_host(tenant_id=tenant_id, url=url) != endpoint
        ):
            raise WebhookGone
        before = UUID(int=callback_id.int - 1)
        after = UUID(int=callback_id.int + 1)
        states = _STATES[Replay.Only.ALL.value]
        _reopen(_Span(endpoint, callback_id, after, before, states, 1, active, ordered))


def _reopen(span: _Span) -> tuple[int, UUID | None, int]:
    """Queue the span's callbacks of the given states; how many were looked at, the last of them, how many queued."""
    arguments: dict[str, Any] = span._asdict()
    arguments["state"] = State.OPEN.value if span.active else State.HELD.value
    arguments["held"] = not span.active
    with connection.cursor() as cursor:
        cursor.execute(_REOPEN, arguments)
        looked, last, reopened = cursor.fetchone()
    return looked, last, reopened
