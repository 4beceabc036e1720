"""A whatsapp and an sms operator, and messages with a fallback chain on their way through them."""

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from gateway.models import DueMessage, Event, FallbackTimer, Message
from routing import delivery, receipts, sweeps
from routing.contract import Outbound, Outcome, Receipt, ReceiptState, Verdict
from routing.delivery import Carrier
from routing.models import Delivery, Operator, Route
from routing.relay import Relay

SMS = {"channel": "sms", "content": {"text": "by text"}}


class World:
    """The relay, a worker and both operators, a step at a time; ``now`` goes on by :meth:`later`."""

    def __init__(
        self, make_operator: Callable[..., Operator], waiting: Callable[..., list[uuid.UUID]], now: datetime
    ) -> None:
        self._waiting = waiting
        self.now = now
        self.whatsapp = make_operator("wa", channel="whatsapp")
        self.sms = make_operator("sms")
        for operator in (self.whatsapp, self.sms):
            Route.objects.create(operator=operator, channel=operator.channel)
        self.slugs = {operator.pk: operator.slug for operator in (self.whatsapp, self.sms)}

    def make(
        self, *steps: dict[str, Any], expires_at: datetime | None = None, after: float | None = None
    ) -> uuid.UUID:
        """A whatsapp message with this chain; ``after`` seconds its first step's time is over."""
        (key,) = self._waiting(self.whatsapp, channel="whatsapp", sender="ACME", expires_at=expires_at)
        Message.objects.filter(pk=key).update(fallback=list(steps))
        if after is not None:
            FallbackTimer.objects.create(
                message_id=key, tenant_id=self.row(key).tenant_id, due_at=self.now + timedelta(seconds=after)
            )
        return key

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def lease(self) -> None:
        Relay().tick()

    def take(self, worker: str = "w1") -> list[Outbound]:
        """Lease what is due and take it in hand."""
        self.lease()
        keys = [str(key) for key in Delivery.objects.filter(worker=None).values_list("pk", flat=True)]
        taken = delivery.take(delivery_ids=keys, worker=worker, now=self.now)
        return [message for several in taken.values() for message in several]

    def answer(self, verdict: Verdict, *messages: Outbound, worker: str = "w1", **fields: Any) -> None:
        """The operators that have them in hand say so of each."""
        for message in messages:
            row = Delivery.objects.get(pk=message.delivery_id)
            told = [Outcome(message.delivery_id, message.message_id, verdict, self.now, **fields)]
            delivery.record(carrier=self.carrier(row.operator_id, worker), outcomes=told)

    def carrier(self, operator_id: int, worker: str = "w1") -> Carrier:
        return Carrier(operator_id, self.slugs[operator_id], worker)

    def send(self, *remote_ids: str) -> Outbound:
        """What is due goes out, under these ids."""
        (message,) = self.take()
        self.answer(Verdict.ACCEPTED, message, remote_ids=remote_ids)
        return message

    def refuse(self) -> Outbound:
        (message,) = self.take()
        self.answer(Verdict.REFUSED, message, code="0x0B", error_code="INVALID_RECIPIENT")
        return message

    def report(self, operator: Operator, *said: tuple[str, str]) -> None:
        """(remote id, state) of each receipt, in one batch."""
        arrived = [Receipt(operator.pk, name, ReceiptState(state), self.now) for name, state in said]
        assert receipts.record(arrived=arrived, slugs=self.slugs, now=self.now) == len(said)

    def sweep(self) -> int:
        return sweeps.fall_back(now=self.now)

    def row(self, key: uuid.UUID) -> Message:
        return Message.objects.get(pk=key)

    def status(self, key: uuid.UUID) -> str:
        return self.row(key).status

    def waits(self, key: uuid.UUID) -> int | None:
        """The operator it waits for."""
        return DueMessage.objects.filter(pk=key).values_list("lane", flat=True).first()

    def timer(self, key: uuid.UUID) -> float | None:
        """Seconds until its step's time is over."""
        at = FallbackTimer.objects.filter(pk=key).values_list("due_at", flat=True).first()
        return None if at is None else (at - self.now).total_seconds()

    def events(self, key: uuid.UUID) -> list[Event]:
        return list(Event.objects.filter(message_id=key).order_by("sequence"))

    def timeline(self, key: uuid.UUID) -> list[str]:
        return [event.type for event in self.events(key)]
