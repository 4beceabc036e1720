"""Callbacks made by hand and a dispatcher without database: what it reports and gives back is kept."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Self

from gateway import ids
from webhooks import targets
from webhooks.client import Connector
from webhooks.destinations import Destination
from webhooks.dispatch import Dispatcher, Item
from webhooks.outcomes import Outcome

SECRET = "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
KEY = b"01234567890123456789012345678901"


def make_destination(url: str, *, method: str = "POST", headers: dict[str, str] | None = None, **fields: Any):
    return Destination(
        target=targets.read(url=url, method=method, headers=headers),
        **{"secret": KEY, "deadline": 3.0} | fields,
    )


def make_item(destination: Destination, **fields: Any) -> Item:
    key = str(ids.one())
    wanted = {
        "callback_id": key,
        "tenant_id": 1,
        "endpoint": "here",
        "event_id": str(ids.one()),
        "body": b'{"type":"message.delivered","timestamp":"2026-11-21T12:00:00.000Z","data":{"n":"%b"}}'
        % key.encode(),
        "lease": datetime.now(tz=UTC),
        "attempt": 0,
        "first_attempt_at": None,
    }
    return Item(destination=destination, **wanted | fields)


class Hand:
    """Use as a context manager; ``reports`` are (item, outcome, seconds) as they came."""

    def __init__(self, connector: Connector | None = None) -> None:
        self.reports: list[tuple[Item, Outcome, float]] = []
        self.returned: list[Item] = []
        self.dispatcher = Dispatcher(report=self._report, give_back=self.returned.extend, connector=connector)

    def _report(self, item: Item, outcome: Outcome, took: float) -> None:
        assert threading.current_thread().name == "callbacks"
        self.reports.append((item, outcome, took))

    def __enter__(self) -> Self:
        self.dispatcher.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.dispatcher.stop(seconds=0.1)

    def wait_for(self, count: int, *, seconds: float = 5.0) -> list[tuple[Item, Outcome, float]]:
        """The reports, once there are so many."""
        return self._wait(lambda: self.reports, count, seconds)

    def wait_for_returned(self, count: int, *, seconds: float = 5.0) -> list[Item]:
        return self._wait(lambda: self.returned, count, seconds)

    def _wait(self, of: Callable[[], list[Any]], count: int, seconds: float) -> list[Any]:
        until = time.monotonic() + seconds
        while len(of()) < count:
            assert time.monotonic() < until, f"{len(of())} of {count} came"
            time.sleep(0.005)
        return list(of())
