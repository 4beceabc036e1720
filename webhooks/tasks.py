"""Callbacks, from the queue ``webhooks`` to the dispatcher of this process."""

from datetime import datetime
from typing import Any

import structlog
from celery import shared_task
from django.db import InterfaceError, OperationalError, close_old_connections

from webhooks import loading, worker

log = structlog.get_logger(__name__)


@shared_task(name="webhooks.tasks.dispatch", acks_late=True, ignore_result=True)
def dispatch(*, callback_ids: list[str], leased_until: str, **_later: Any) -> None:
    """Hand a chunk of leased callbacks to the dispatcher; waits for room there, not for the answers.

    ``leased_until`` is the end of the lease under which they were claimed; those claimed anew since are left alone.
    """
    close_old_connections()
    try:
        items = loading.load(callback_ids=callback_ids, leased_until=datetime.fromisoformat(leased_until))
    except (InterfaceError, OperationalError) as error:
        # Nothing to try again here: the leases run out, and the relay claims them once more.
        log.warning("callback.load_failed", callbacks=len(callback_ids), reason=str(error))
        return
    if items:
        worker.running().hand_over(items)
