"""The test call: one attempt now, while the caller waits, and whether the endpoint kept to its format's rules."""

import asyncio
import functools
import ssl
import threading
import time
from dataclasses import dataclass, field

from gateway import errors
from webhooks import outcomes
from webhooks.batching import Batch
from webhooks.client import Connector
from webhooks.dispatch import Item, Sendable, request
from webhooks.errors import CallbackError, TimedOut
from webhooks.http1 import Response
from webhooks.outcomes import Outcome

# Test calls at once in a process: each takes one of its threads for as long as the endpoint likes.
MOST_AT_ONCE = 8
# Octopush gives an endpoint as many seconds (dev.octopush.com, "Callbacks").
OCTOPUSH_SECONDS = 1.0

_room = threading.BoundedSemaphore(MOST_AT_ONCE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a test call.

    ``status``, ``body`` (the first 16 KiB, as text) and ``body_length`` (bytes, as far as they were read) are of
    the answer, if there was one. ``outcome`` is a word of :mod:`webhooks.outcomes` or :mod:`webhooks.errors`,
    ``error`` a sentence when it is not ``delivered``. ``problems`` are sentences, one for each rule not kept.
    """

    status: int | None
    duration_ms: int
    body_length: int
    outcome: str
    error: str | None
    problems: list[str] = field(default_factory=list)
    body: str | None = None

    @property
    def conforms(self) -> bool:
        return not self.problems


def run(item: Item, *, connector: Connector | None = None) -> Verdict:
    """Send a callback now, by the dispatcher's own rules, and tell what came of it; nothing is recorded.

    Takes no longer than the item's deadline allows. Not to be called on a thread that runs a loop.

    Raises:
        errors.TooMany: MOST_AT_ONCE test calls are under way in this process.
    """
    if item.unrendered is not None:
        return _verdict(item, Outcome(outcomes.TEMPLATE, error=item.unrendered), 0.0, 0)
    if not _room.acquire(blocking=False):
        raise errors.TooMany("Too many test calls are under way.", retry_after=1)
    try:
        sendable = Batch([item]) if item.destination.batch_events > 1 else item
        return _verdict(item, *asyncio.run(_attempt(sendable, connector or Connector(tls=_tls()))))
    finally:
        _room.release()


async def _attempt(item: Sendable, connector: Connector) -> tuple[Outcome, float, int]:
    """The attempt's outcome, the seconds it took, and the bytes of its answer's body."""
    began, length = time.monotonic(), 0
    try:
        answer = await _exchange(
            item, connector, asyncio.get_running_loop().time() + item.destination.deadline
        )
        outcome, length = outcomes.of(answer, format=item.destination.format), answer.length
    except _Late as error:
        outcome = Outcome(error.outcome, error.status, error=str(error))
    except CallbackError as error:
        outcome = Outcome(error.outcome, error=str(error))
    finally:
        connector.close()
    return outcome, time.monotonic() - began, length


class _Late(TimedOut):
    """``status``: as far as the answer came."""

    def __init__(self, message: str, *, status: int | None) -> None:
        self.status = status
        super().__init__(message)


async def _exchange(item: Sendable, connector: Connector, deadline: float) -> Response:
    connection = await connector.open(target=item.target, deadline=deadline)
    answered: asyncio.Future[Response | CallbackError] = asyncio.get_running_loop().create_future()

    def done(result: Response | CallbackError) -> None:
        # An answer may come in the very turn in which the deadline passes.
        if not answered.done():
            answered.set_result(result)

    connection.send(request=request(item=item, timestamp=int(time.time())), on_done=done)
    try:
        async with asyncio.timeout_at(deadline):
            result = await answered
    except TimeoutError as error:
        late = f"no whole answer within {item.destination.deadline:g} s"
        raise _Late(late, status=connection.expire()) from error
    finally:
        connection.abort()
    if isinstance(result, CallbackError):
        raise result
    return result


def _verdict(item: Item, outcome: Outcome, took: float, length: int) -> Verdict:
    return Verdict(
        status=outcome.status,
        duration_ms=round(took * 1000),
        body_length=length,
        outcome=outcome.word,
        error=outcome.error,
        problems=_problems(item.destination.format, outcome, took, length),
        body=outcomes.text(outcome.body),
    )


def _problems(format: str, outcome: Outcome, took: float, length: int) -> list[str]:  # noqa: A002
    found = [] if outcome.error is None else [_sentence(outcome.error)]
    if format != outcomes.OCTOPUSH:
        return found
    if length and outcome.word != outcomes.UNEXPECTED_BODY:
        found.append("The answer has a body, which this format does not allow.")
    if took > OCTOPUSH_SECONDS and outcome.word != TimedOut.outcome:
        found.append(f"The answer took {took:.2f} s; this format allows {OCTOPUSH_SECONDS:g} s.")
    return found


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."


@functools.cache
def _tls() -> ssl.SSLContext:
    """One for all test calls: reading the system's certificates takes longer than a call."""
    return ssl.create_default_context()
