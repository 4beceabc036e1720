"""What became of a tenant's callbacks, attempt by attempt: to webhooks, and to messages' own URLs."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models.functions import Left

from gateway import errors
from webhooks import outcomes
from webhooks.models import Attempt, Callback, DueCallback, Webhook
from webhooks.models.callback import State

# Characters of each answer that a list has, and one delivery by itself.
SHORT, WHOLE = 256, 16 * 1024
# The last attempts that are told of.
MOST_ATTEMPTS = 200


class Try(NamedTuple):
    """An attempt; ``body`` is how its answer begins."""

    callback_id: UUID
    number: int
    started_at: datetime
    duration_ms: int
    status_code: int | None
    outcome: str
    error: str | None
    failover: bool
    batch: str | None
    body: str | None


class Delivery(NamedTuple):
    """A callback; ``webhook_id`` is None for a message's own URL or a webhook that was removed.

    ``next_attempt_at`` is None when it has ended, is held, or is being tried now.
    """

    callback: Callback
    webhook_id: UUID | None
    next_attempt_at: datetime | None
    attempts: list[Try]


def listed(
    *, webhook: Webhook, filters: Mapping[str, Any], before: UUID | None, limit: int
) -> list[Delivery]:
    """At most ``limit`` callbacks of a webhook, newest first, those with keys before ``before``; three queries.

    ``filters`` are look-ups of :class:`Callback`'s columns.
    """
    rows = Callback.objects.for_tenant(webhook.tenant_id).filter(endpoint=webhook.pk, **filters)
    if before is not None:
        rows = rows.filter(id__lt=before)
    page = list(rows.order_by("-id")[:limit])
    return _with_attempts(page, webhook.tenant_id, webhook.pk, characters=SHORT)


def find(*, tenant_id: int, key: UUID) -> Delivery:
    """One callback of the tenant's.

    Raises:
        errors.NotFound: there is none, or it is another tenant's.
    """
    callback = Callback.objects.for_tenant(tenant_id).filter(id=key).first()
    if callback is None:
        raise errors.NotFound("There is no such delivery.")
    is_webhooks = Webhook.objects.for_tenant(tenant_id).filter(pk=callback.endpoint).exists()
    webhook_id = callback.endpoint if is_webhooks else None
    (found,) = _with_attempts([callback], tenant_id, webhook_id, characters=WHOLE)
    return found


def _with_attempts(
    callbacks: Sequence[Callback], tenant_id: int, webhook_id: UUID | None, *, characters: int
) -> list[Delivery]:
    keys = [callback.pk for callback in callbacks]
    if not keys:
        return []
    due = dict(
        DueCallback.objects.for_tenant(tenant_id)
        .filter(callback_id__in=keys, leased=False)
        .values_list("callback_id", "next_attempt_at")
    )
    tries = _tries(tenant_id, keys, characters)
    return [
        Delivery(
            callback,
            webhook_id,
            due.get(callback.pk) if callback.state == State.OPEN else None,
            [each for each in tries[callback.pk] if not _came_since(each, callback)][-MOST_ATTEMPTS:],
        )
        for callback in callbacks
    ]


def _came_since(attempt: Try, callback: Callback) -> bool:
    """Whether it ended the callback after that was read, so that the two would contradict each other."""
    return (
        attempt.outcome == outcomes.DELIVERED
        and callback.state != State.DELIVERED
        and attempt.number > callback.attempts
    )


def _tries(tenant_id: int, keys: Sequence[UUID], characters: int) -> dict[UUID, list[Try]]:
    found: dict[UUID, list[Try]] = defaultdict(list)
    # The bounds leave out the days that have none of them.
    rows = Attempt.objects.for_tenant(tenant_id).filter(
        callback_id__in=keys, callback_id__gte=min(keys), callback_id__lte=max(keys)
    )
    columns = Try._fields[:-1]
    for row in rows.order_by("number").values_list(*columns, Left("body", characters)):
        found[row[0]].append(Try(*row))
    return found
