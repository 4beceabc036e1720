"""What stands in for an operator whose settings were refused: always down, so that its messages wait."""

from collections.abc import Callable, Sequence
from uuid import UUID

from routing.contract import Inbound, Outbound, Outcome, Receipt, Sink, TransportState


class BrokenTransport:
    def __init__(self, reason: str) -> None:
        self._reason = reason

    def start(self, *, sink: Sink) -> None:
        pass

    def submit(self, messages: Sequence[Outbound], on_outcomes: Callable[[list[Outcome]], None]) -> None:
        raise AssertionError("a down operator is handed nothing")

    def withdraw(self, delivery_ids: Sequence[UUID]) -> list[UUID]:
        return list(delivery_ids)

    def acknowledge(self, arrived: Sequence[Receipt | Inbound]) -> None:
        pass

    def state(self) -> TransportState:
        return TransportState(up=False, window=0, detail={"error": self._reason})

    def stop(self, *, deadline: float) -> None:
        pass
