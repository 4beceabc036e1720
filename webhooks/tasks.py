"""Callbacks, from the queue ``webhooks`` to the dispatcher of this process."""

import time
from datetime import UTC, datetime
from typing import Any

import structlog
from celery import shared_task
from django.db import InterfaceError, OperationalError, close_old_connections

from webhooks import loading, worker

AWAY_SECONDS = 0.3

log = structlog.get_logger(__name__)


@shared_task(name="webhooks.tasks.dispatch", acks_late=True, ignore_result=True)
def dispatch(*, callback_ids: list[str], leased_until: str, **_later: Any) -> None:
    """Hand a chunk of leased callbacks to the dispatcher; waits for room there, not for the answers.

    ``leased_until`` is the end of the lease under which they were claimed; those claimed anew since are left alone.
    """
    until = datetime.fromisoformat(leased_until)
    while datetime.now(tz=UTC) < until:
        close_old_connections()
        try:
            items = loading.load(callback_ids=callback_ids, leased_until=until)
        except (InterfaceError, OperationalError) as error:
            # Without its task a chunk waits for the end of its lease: longer than a database restarts.
            log.warning("callback.load_postponed", callbacks=len(callback_ids), reason=str(error))
            time.sleep(AWAY_SECONDS)
        else:
            if items:
                worker.running().hand_over(items)
            return
