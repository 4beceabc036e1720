"""HTTP operators of tests: messages for them, and what comes of each."""

import queue
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from routing.contract import OperatorSettings, Outbound, Outcome
from routing.transports.http_generic import HttpGenericTransport
from tests.fakes.http_operator import HttpOperator


class Changes:
    """The sink of an HTTP operator hears of its state only."""

    def __init__(self) -> None:
        self.count = 0

    def receipts(self, transport: Any, arrived: Any) -> None:
        raise AssertionError("an HTTP operator reports to the intake")

    def changed(self) -> None:
        self.count += 1


def outbound(text: str | None = "hello", **fields: Any) -> Outbound:
    given: dict[str, Any] = {
        "delivery_id": uuid.uuid4(),
        "message_id": uuid.uuid4(),
        "tenant_id": 1,
        "channel": "sms",
        "recipient": "+14155550101",
        "sender": "ACME",
        "text": text,
        "content": None,
        "parts": 1,
        "metadata": None,
        "expires_at": None,
    }
    return Outbound(**given | fields)


def operator(settings: dict[str, Any], *, rate: float | None = None, **secrets: str) -> OperatorSettings:
    return OperatorSettings(1, "one", "sms", rate, settings, secrets=secrets)


@contextmanager
def opened(
    fake: HttpOperator, *, rate: float | None = None, up: bool = True, **settings: Any
) -> Iterator[HttpGenericTransport]:
    transport = HttpGenericTransport(operator(fake.account(**settings), rate=rate))
    transport.start(sink=Changes())
    try:
        if up:
            wait(lambda: transport.state().up)
        yield transport
    finally:
        transport.stop(deadline=2)


class Answers:
    """Outcomes as they come."""

    def __init__(self) -> None:
        self._came: queue.SimpleQueue[list[Outcome]] = queue.SimpleQueue()

    def __call__(self, outcomes: list[Outcome]) -> None:
        self._came.put(outcomes)

    def next(self, count: int = 1, *, seconds: float = 5.0) -> list[Outcome]:
        found: list[Outcome] = []
        until = time.monotonic() + seconds
        while len(found) < count:
            found += self._came.get(timeout=max(0.0, until - time.monotonic()))
        return found

    def none_within(self, seconds: float) -> bool:
        try:
            self._came.get(timeout=seconds)
        except queue.Empty:
            return True
        return False


def submit(transport: HttpGenericTransport, messages: Sequence[Outbound]) -> list[Outcome]:
    answers = Answers()
    transport.submit(messages, answers)
    return answers.next(len(messages))


def wait(condition: Any, seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.005)


def soon(seconds: float, now: datetime) -> datetime:
    return datetime.fromtimestamp(now.timestamp() + seconds, tz=now.tzinfo)
