"""A chunk's way into a worker: taken in hand, paced by the operator's rate, given to its transport."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from routing import delivery, hands, limits
from routing.contract import OperatorSettings, Outbound, Transport
from routing.desk import Desk
from routing.errors import OperatorDown

log = structlog.get_logger(__name__)


class _Process:
    """The process's desk; the worker's bootstep puts it here."""

    desk: Desk | None = None


process = _Process()


def hand_over(*, delivery_ids: Sequence[str]) -> None:
    """Take a chunk in hand; returns once its operators' transports have it, or it waits again."""
    desk = process.desk
    if desk is None:
        log.info("deliveries.left", reason="this worker is not serving operators")
        return  # the leases run out
    with desk:
        # Without its task the chunk would wait for its leases: longer than a database restarts.
        taken = desk.hands.outlasting(
            lambda: delivery.take(delivery_ids=delivery_ids, worker=desk.worker, now=datetime.now(tz=UTC))
        )
        for operator_id, messages in taken.items():
            _hand_over(desk, operator_id, messages)


def _hand_over(desk: Desk, operator_id: int, messages: Sequence[Outbound]) -> None:
    try:
        hand = desk.hand(operator_id)
    except OperatorDown:
        desk.hands.outlasting(lambda: hands.give_back(messages=messages, worker=desk.worker))
        return
    paced = desk.hands.outlasting(lambda: _paced(hand.settings, hand.transport, messages))
    hand.carry(paced)


def _paced(settings: OperatorSettings, transport: Transport, messages: Sequence[Outbound]) -> list[Outbound]:
    """Give each message its moment by the operator's rate, which all its workers share.

    A transport that cuts texts in its own way says with ``parts`` what each message counts.
    """
    if settings.rate is None:
        return list(messages)
    count: Callable[[Sequence[Outbound]], list[int]] | None = getattr(transport, "parts", None)
    counted = [message.parts for message in messages] if count is None else count(messages)
    moments = limits.moments(settings=settings, parts=counted)
    return [
        replace(message, parts=parts, not_before=moment)
        for message, parts, moment in zip(messages, counted, moments, strict=True)
    ]
