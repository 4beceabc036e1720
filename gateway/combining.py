"""Group commit: threads that arrive together share one transaction, and an idle thread waits for nobody.

The first to come becomes the leader and runs its own item at once. Whoever comes meanwhile waits; when the leader
is done, the first of them leads all that wait. So the group is as large as the load makes it.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from gateway import errors

# After a group of so many, the next leader lets a few more come in: the larger the groups, the less each costs.
_BUSY, _GATHER_SECONDS = 4, 0.001

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Ticket(Generic[Item, Result]):
    __slots__ = ("error", "gate", "item", "result", "served")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.result: Result
        self.error: BaseException | None = None
        self.served = False
        self.gate: threading.Lock | None = None

    def wait(self) -> None:
        assert self.gate is not None
        self.gate.acquire()

    def wake(self) -> None:
        if self.gate is not None:
            self.gate.release()


class Combiner(Generic[Item, Result]):
    """``run`` gets at most ``limit`` items and returns a result each, or raises for all of them."""

    def __init__(self, run: Callable[[Sequence[Item]], Sequence[Result]], *, limit: int) -> None:
        self._run = run
        self._limit = limit
        self._lock = threading.Lock()
        self._waiting: list[_Ticket[Item, Result]] = []
        self._led = False
        # The size of the last group.
        self._last = 0

    def submit(self, item: Item) -> Result:
        """The item's result, once its group is through; raises what ``run`` raised for it."""
        ticket: _Ticket[Item, Result] = _Ticket(item)
        with self._lock:
            self._waiting.append(ticket)
            follows = self._led
            self._led = True
            if follows:
                ticket.gate = threading.Lock()
                ticket.gate.acquire()
        if follows:
            ticket.wait()
        if not ticket.served:
            self._lead()
        if ticket.error is not None:
            raise ticket.error
        return ticket.result

    def _lead(self) -> None:
        """Serve a group that starts with the caller's own ticket, then hand the lead on."""
        if self._last >= _BUSY:
            time.sleep(_GATHER_SECONDS)
        with self._lock:
            group, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
        self._last = len(group)
        try:
            self._serve(group)
        finally:
            with self._lock:
                next_leader = self._waiting[0] if self._waiting else None
                self._led = next_leader is not None
            for ticket in group[1:]:
                ticket.wake()
            if next_leader is not None:
                next_leader.wake()

    def _serve(self, group: list[_Ticket[Item, Result]]) -> None:
        try:
            results = self._run([ticket.item for ticket in group])
        except BaseException as error:  # noqa: BLE001 - handed to the threads that wait for it
            self._blame(group, error)
            return
        for ticket, result in zip(group, results, strict=True):
            ticket.result = result
            ticket.served = True

    def _blame(self, group: list[_Ticket[Item, Result]], error: BaseException) -> None:
        """Give the error to its cause: with several items, try each alone, unless nothing could help."""
        if len(group) > 1 and isinstance(error, Exception) and not isinstance(error, errors.Unavailable):
            for ticket in group:
                self._serve([ticket])
            return
        for ticket in group:
            ticket.error = error
            ticket.served = True
