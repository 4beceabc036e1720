"""An operator that is not there: accepts everything, then reports it. For trying routes without an SMSC.

Settings: ``latency_ms`` (0) until the answer, ``receipt_delay_ms`` (200) until the receipt, ``outcome``
(``delivered`` | ``undeliverable`` | ``expired`` | ``rejected`` | ``none``).
"""

import heapq
import itertools
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from routing.contract import (
    Inbound,
    OperatorSettings,
    Outbound,
    Outcome,
    Receipt,
    ReceiptState,
    Sink,
    TransportState,
    Verdict,
)
from routing.errors import OperatorSettingsError

_SILENT = "none"


class SimulatorTransport:
    """One thread and a heap of what is due."""

    def __init__(self, operator: OperatorSettings) -> None:
        self._operator = operator
        self._latency = _milliseconds(operator, "latency_ms", 0)
        self._delay = _milliseconds(operator, "receipt_delay_ms", 200)
        self._state = _outcome(operator)
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._change = threading.Condition()
        self._stopping = False
        self._sink: Sink | None = None
        self._thread = threading.Thread(target=self._run, name=f"simulator {operator.slug}", daemon=True)

    def start(self, *, sink: Sink) -> None:
        self._sink = sink
        self._thread.start()

    def submit(self, messages: Sequence[Outbound], on_outcomes: Callable[[list[Outcome]], None]) -> None:
        for message in messages:
            at = max(time.monotonic(), message.not_before) + self._latency
            self._at(at, lambda message=message: self._answer(message, on_outcomes))  # type: ignore[misc]

    def _answer(self, message: Outbound, on_outcomes: Callable[[list[Outcome]], None]) -> None:
        now = datetime.now(tz=UTC)
        remote_ids = tuple(uuid.uuid4().hex for _part in range(message.parts))
        on_outcomes([Outcome(message.delivery_id, message.message_id, Verdict.ACCEPTED, now, remote_ids)])
        if self._state is not None:
            self._at(time.monotonic() + self._delay, lambda: self._report(remote_ids))

    def _report(self, remote_ids: Sequence[str]) -> None:
        if self._sink is None or self._state is None:
            return
        now = datetime.now(tz=UTC)
        receipts = [Receipt(self._operator.id, key, self._state, now, code="SIMULATED") for key in remote_ids]
        self._sink.receipts(self, receipts)

    def withdraw(self, delivery_ids: Sequence[UUID]) -> list[UUID]:
        return []

    def acknowledge(self, arrived: Sequence[Receipt | Inbound]) -> None:
        """Nobody waits for it."""

    def state(self) -> TransportState:
        return TransportState(up=not self._stopping, window=1000, detail={"simulated": True})

    def stop(self, *, deadline: float) -> None:
        with self._change:
            self._stopping = True
            self._change.notify()
        self._thread.join(timeout=deadline)

    def _at(self, moment: float, act: Callable[[], None]) -> None:
        with self._change:
            heapq.heappush(self._heap, (moment, next(self._order), act))
            self._change.notify()

    def _run(self) -> None:
        while (act := self._next()) is not None:
            act()

    def _next(self) -> Callable[[], None] | None:
        """Wait for what is due next; None when stopping."""
        with self._change:
            while not self._stopping:
                wait = self._heap[0][0] - time.monotonic() if self._heap else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._heap)[2]
                self._change.wait(wait)
        return None


def _milliseconds(operator: OperatorSettings, name: str, default: int) -> float:
    value = operator.settings.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
        raise OperatorSettingsError(
            f"{operator.slug}: {name} must be a number of milliseconds, not {value!r}."
        )
    return value / 1000


def _outcome(operator: OperatorSettings) -> ReceiptState | None:
    value = operator.settings.get("outcome", ReceiptState.DELIVERED.value)
    if value == _SILENT:
        return None
    try:
        return ReceiptState(value)
    except ValueError as error:
        raise OperatorSettingsError(f"{operator.slug}: there is no outcome {value!r}.") from error
