"""Routing's part of the pipeline as Celery sees it: ids in, one verb called."""

from typing import Any

from celery import shared_task

from routing import handover


@shared_task(name="routing.deliver", acks_late=True, ignore_result=True)
def deliver(*, delivery_ids: list[str], **_later: Any) -> None:
    """Hand a chunk of leased deliveries to their operator and record what comes of each.

    Safe to run twice: rows that are not waiting to be taken are left alone.
    """
    handover.hand_over(delivery_ids=delivery_ids)
