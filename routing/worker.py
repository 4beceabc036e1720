"""The parts of a Celery worker that live as long as it does: the desk, and the queues that follow the operators.

The desk hangs on the *worker*: consumer steps are stopped and started at every broker reconnect, and a step that
requires the pool is stopped before running tasks end, which would close a bind in mid-window.
"""

from typing import Any

import structlog
from celery import bootsteps

from routing import handover
from routing.desk import Desk

log = structlog.get_logger(__name__)

ALL_OPERATORS = "operators"
PREFIX = "operator."
# How soon a queue is taken up again, and a stop noticed.
LOOK_UP_SECONDS = 0.1


class _Consumer:
    """The worker's consumer of the moment, to be told about queues."""

    current: Any = None
    queues: frozenset[str] = frozenset()


_consumer = _Consumer()


def _selected(worker: Any) -> tuple[bool, frozenset[str] | None]:
    """Whether a worker serves operators, and which: None is all of them."""
    names = set(worker.app.amqp.queues.consume_from)
    if ALL_OPERATORS in names:
        return True, None
    slugs = frozenset(name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX))
    return bool(slugs), slugs


class DeskStep(bootsteps.StartStopStep):
    """Opens the desk before the first task and closes it after the last."""

    requires = ()

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        self._desk: Desk | None = None
        self.enabled, self._serves = _selected(worker)
        super().__init__(worker, **kwargs)

    def start(self, worker: Any) -> None:
        if not self.enabled:
            return
        # Celery consumes these without being told; the desk may say otherwise.
        _consumer.queues = frozenset(PREFIX + slug for slug in self._serves or ())
        self._desk = Desk(serves=self._serves, on_queues=consume)
        handover.process.desk = self._desk
        self._desk.start()

    def stop(self, worker: Any) -> None:
        if self._desk is not None:
            self._desk.stop()
            self._desk = None

    def terminate(self, worker: Any) -> None:
        self.stop(worker)


class QueuesStep(bootsteps.StartStopStep):
    """Tells :func:`consume` which consumer is the live one; runs again after each broker reconnect."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        _consumer.current = consumer
        _look_up_often(consumer.connection)
        for name in _consumer.queues:
            consumer.call_soon(_add, consumer, name)

    def stop(self, consumer: Any) -> None:
        _consumer.current = None


def _look_up_often(connection: Any) -> None:
    """Celery's loop for threads does what it was asked to only between waits for the broker, of two seconds each."""
    wait = connection.drain_events

    def drain_events(timeout: float | None = None, **options: Any) -> Any:
        return wait(timeout=LOOK_UP_SECONDS if timeout is None else min(timeout, LOOK_UP_SECONDS), **options)

    connection.drain_events = drain_events


def consume(queues: set[str]) -> None:
    """Consume these queues from now on, and no operator's beside them, whatever the worker was started with."""
    before, _consumer.queues = _consumer.queues, frozenset(queues)
    consumer = _consumer.current
    if consumer is None:
        return
    for name in queues - before:
        consumer.call_soon(_add, consumer, name)
    for name in before - queues:
        consumer.call_soon(consumer.cancel_task_queue, name)


def _add(consumer: Any, name: str) -> None:
    """Consume a queue as publishers declare it: what a broker has declared one way it refuses the other."""
    consumer.app.amqp.queues[name]  # makes the definition that a publisher makes
    consumer.add_task_queue(name)
