"""The long-lived part of a worker that consumes the queue ``webhooks``: a dispatcher and its recorder."""

import resource
import threading
from collections.abc import Sequence
from typing import Any

import structlog
from celery import bootsteps

from webhooks.client import Connector
from webhooks.dispatch import Dispatcher, Item
from webhooks.recording import Recorder

log = structlog.get_logger(__name__)

QUEUE = "webhooks"
# Seconds that a worker told to stop gives to requests under way, and then to writing their outcomes.
DRAIN_SECONDS = 10.0
WRITE_SECONDS = 5.0


class Sending:
    """A dispatcher and a recorder, started and stopped together."""

    def __init__(self, *, connector: Connector | None = None) -> None:
        self.recorder = Recorder(release=self._release)
        self.dispatcher = Dispatcher(
            report=self.recorder.report, give_back=self.recorder.give_back, connector=connector
        )

    def start(self) -> None:
        self.recorder.start()
        self.dispatcher.start()

    def hand_over(self, items: Sequence[Item]) -> None:
        """Send these; waits while too many are in hand. Those in hand already are not sent twice."""
        fresh = self.recorder.admit(items)
        if fresh:
            self.dispatcher.take(fresh)

    def _release(self, endpoint: str) -> None:
        self.dispatcher.release(endpoint)

    def stop(self, *, seconds: float = DRAIN_SECONDS) -> None:
        """Finish what is under way within ``seconds``, write every outcome, leave the rest to be claimed again."""
        self.dispatcher.stop(seconds=seconds)
        self.recorder.stop(seconds=WRITE_SECONDS)


_lock = threading.Lock()
_running: Sending | None = None


def running() -> Sending:
    """This process's; started by the first to ask when no worker step did."""
    global _running  # noqa: PLW0603 - one dispatcher a process is the point
    with _lock:
        if _running is None:
            _running = Sending()
            _running.start()
        return _running


def stop() -> None:
    """Stop this process's, if it runs."""
    global _running
    with _lock:
        ending, _running = _running, None
    if ending is not None:
        ending.stop()


class DispatcherStep(bootsteps.StartStopStep):
    """Starts with the worker, not with its connection to the broker, so that a reconnect disturbs no callback."""

    name = "Callbacks"

    def include_if(self, parent: Any) -> bool:
        return QUEUE in parent.app.amqp.queues.consume_from

    def start(self, parent: Any) -> None:
        _raise_file_limit()
        running()
        log.info("callbacks.started")

    def stop(self, parent: Any) -> None:
        stop()
        log.info("callbacks.stopped")

    def terminate(self, parent: Any) -> None:
        self.stop(parent)


def _raise_file_limit() -> None:
    """A connection is a file, and the usual soft limit of 1,024 is less than what endpoints may take together."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
