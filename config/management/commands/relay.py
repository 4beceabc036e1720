"""``manage.py relay``: moves what is due from the ledger to the queues, messages and callbacks alike."""

import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import structlog
from django.core.management.base import BaseCommand
from django.db import Error as DatabaseError
from django.db import connection
from kombu.exceptions import OperationalError as BrokerError

from config import housekeeping, plans
from config.celery import app
from gateway import tallies
from routing import sweeps
from routing.relay import Relay as MessageRelay
from routing.transports import whatsapp_sync
from webhooks import failover, holding, replays
from webhooks.relay import Relay as CallbackRelay

log = structlog.get_logger(__name__)

# An idle relay looks so often: half of it is the mean delay of a lone message.
IDLE_SECONDS = 0.005
# Operators' queues are full, or nobody is up: no hurry.
AWAY_SECONDS = 0.5


class Command(BaseCommand):
    help = "Move due messages and callbacks to their queues. Any number may run beside each other."

    def handle(self, *args: Any, **options: Any) -> None:
        app.set_current()
        plans.keep_to_indexes()
        stopping = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopping.set())
        messages, callbacks = MessageRelay(), CallbackRelay()
        loops = [
            Loop("messages", messages.tick, IDLE_SECONDS, stopping),
            Loop("callbacks", callbacks.tick, IDLE_SECONDS, stopping),
            Loop("failover", failover.divert, 0.5, stopping),
            Loop("replays", replays.step, 0.5, stopping),
            Loop("held", lambda: holding.sweep(now=_now()), 60.0, stopping),
            Loop("expired", lambda: sweeps.expire(now=_now()), 1.0, stopping),
            Loop("leases", lambda: sweeps.reclaim(now=_now()), 0.5, stopping),
            Loop("receipts", lambda: sweeps.rematch(now=_now()), 0.2, stopping),
            Loop("fallbacks", lambda: sweeps.fall_back(now=_now()), 0.5, stopping),
            Loop("templates", lambda: whatsapp_sync.keep(now=_now()), 30.0, stopping),
            Loop("tallies", lambda: tallies.roll_up(now=_now()), 5.0, stopping),
            Loop("housekeeping", lambda: housekeeping.keep(now=_now()), 60.0, stopping),
        ]
        log.info("relay.started")
        for loop in loops:
            loop.start()
        for loop in loops:
            loop.join()
        log.info("relay.stopped")


class Loop(threading.Thread):
    """Runs one turn after another; pauses when a turn found nothing; outlives the database and the broker."""

    def __init__(self, name: str, turn: Callable[[], int], idle: float, stopping: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self._turn = turn
        self._idle = idle
        self._stopping = stopping

    def run(self) -> None:
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                found = self._turn()
            except (DatabaseError, BrokerError, OSError) as error:
                log.warning("relay.turn_failed", loop=self.name, error=repr(error))
                connection.close()
                self._stopping.wait(AWAY_SECONDS)
                continue
            except Exception:
                # A loop that ended would leave a process that looks alive and moves nothing.
                log.exception("relay.turn_broken", loop=self.name)
                connection.close()
                self._stopping.wait(AWAY_SECONDS)
                continue
            if not found:
                self._stopping.wait(max(0.0, self._idle - (time.monotonic() - started)))
        connection.close()


def _now() -> datetime:
    return datetime.now(tz=UTC)
