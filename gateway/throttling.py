"""A key's rate, exact over all processes, for a few microseconds a request.

The tokens are the database's (:mod:`gateway.buckets`), behind a connection of this module's own: no transaction, no
waiting for the disk. Requests that arrive together ask in one statement. A fast key's process takes a few
milliseconds' worth ahead; what it has not used after 250 ms it gives back. A key whose bucket is empty is refused
here until its next token.

While the store is away or slow requests go on unchecked, and a thread looks every second whether it is back.
"""

import atexit
import itertools
import logging
import math
import os
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg
from django.db import connection

from gateway import buckets
from gateway.buckets import Ask, Grant
from gateway.combining import Combiner

log = logging.getLogger(__name__)

# Requests per second from which on a process takes tokens ahead: at most this many seconds' worth, and at most this
# part of the burst.
_FAST = 1000.0
_AHEAD_SECONDS, _AHEAD_PART = 0.005, 0.01
# Seconds that tokens taken ahead may be used; and after which the unused are not given back but lost, since the
# bucket may have been full meanwhile.
_USABLE, _RETURNABLE = 0.25, 1.0
_RETRY_EVERY = 1.0
_OPTIONS = " -c synchronous_commit=off -c statement_timeout=250 -c lock_timeout=250"


class Standing(NamedTuple):
    """Where a key stands after a request.

    ``limit`` is requests per second, ``remaining`` whole tokens left, ``reset`` whole seconds until the bucket is
    full; ``wait`` is None when the request may go on, else seconds until one may.
    """

    limit: int
    remaining: int
    reset: int
    wait: float | None


def take(*, key_id: int, rate: float, burst: int) -> Standing:
    """Take one of the key's tokens. A refused request takes nothing."""
    return _throttle.take(key_id, rate, burst)


def failures() -> int:
    """Requests of this process that went on unchecked, because the store was away or slow."""
    return _throttle.unchecked


def forget() -> None:
    """Close the connection and drop what is kept; the next request begins anew."""
    global _throttle  # noqa: PLW0603 - the one instance of the process
    _throttle.close()
    _throttle = _Throttle()


class _Bucket:
    """What this process knows of a key's bucket: moments by ``time.monotonic``, guarded by the throttle's lock."""

    __slots__ = (
        "_ahead",
        "_cost",
        "_empty_until",
        "_full_at",
        "_held",
        "_held_until",
        "_key",
        "burst",
        "rate",
    )

    def __init__(self, key_id: int) -> None:
        self._key = f"key:{key_id}"
        self.rate, self.burst, self._cost, self._ahead = 0.0, 0, 0.0, 0
        self._held, self._held_until, self._full_at, self._empty_until = 0, 0.0, 0.0, 0.0

    def configure(self, rate: float, burst: int) -> None:
        self.rate, self.burst, self._cost = rate, burst, 1 / rate
        self._ahead = int(min(rate * _AHEAD_SECONDS, burst * _AHEAD_PART)) if rate >= _FAST else 0
        self._empty_until = 0.0

    def draw(self, now: float) -> Standing | None:
        """A token in hand, or a refusal that is certain; None when the store must be asked."""
        if self._held:
            if now >= self._held_until:
                return None
            self._held -= 1
            return self.standing(now)
        return self.standing(now, self._empty_until - now) if now < self._empty_until else None

    def ask(self, tokens: int, now: float) -> Ask:
        back = self._held if now - self._held_until < _RETURNABLE else 0
        self._held = 0
        return Ask(self._key, tokens + self._ahead, back, self._cost * 1e6, self.burst)

    def settle(self, ask: Ask, grant: Grant, asked_at: float, now: float) -> None:
        self._held, self._held_until = grant.tokens, now + _USABLE
        self._full_at = now + grant.debt
        if grant.tokens < ask.tokens:
            # From when it was asked, so that nothing is refused here which the store would give.
            self._empty_until = asked_at + grant.debt - (self.burst - 1) * self._cost

    def standing(self, now: float, wait: float | None = None) -> Standing:
        debt = max(0.0, self._full_at - now)
        # A hundredth for what is rounded up a microsecond.
        left = int(max(0.0, self.burst - debt / self._cost + 0.01)) + self._held
        reset = math.ceil(max(0.0, debt - self._held * self._cost))
        return Standing(max(1, round(self.rate)), min(self.burst, left), reset, wait)


class _Throttle:
    """The buckets of the keys seen, and the way to the store."""

    def __init__(self) -> None:
        self.unchecked = 0
        self._count = itertools.count(1)
        self._lock = threading.Lock()
        self._buckets: dict[int, _Bucket] = {}
        self._store = _Store()
        self._combiner = Combiner[_Bucket, Standing | None](self._serve, limit=1000)

    def take(self, key_id: int, rate: float, burst: int) -> Standing:
        with self._lock:
            bucket = self._buckets.get(key_id)
            if bucket is None:
                bucket = self._buckets[key_id] = _Bucket(key_id)
            if bucket.rate != rate or bucket.burst != burst:
                bucket.configure(rate, burst)
            standing = bucket.draw(time.monotonic())
        if standing is None and self._store.up:
            standing = self._combiner.submit(bucket)
        if standing is not None:
            return standing
        self.unchecked = next(self._count)
        return Standing(max(1, round(rate)), burst, 0, None)

    def _serve(self, group: Sequence[_Bucket]) -> list[Standing | None]:
        """One statement for requests of any keys; None for all of them when the store did not answer."""
        counts: dict[_Bucket, int] = {}
        for bucket in group:
            counts[bucket] = counts.get(bucket, 0) + 1
        asked_at = time.monotonic()
        with self._lock:
            asks = {bucket: bucket.ask(tokens, asked_at) for bucket, tokens in counts.items()}
        grants = self._store.take(list(asks.values()))
        if grants is None:
            return [None] * len(group)
        now = time.monotonic()
        with self._lock:
            for bucket, ask in asks.items():
                bucket.settle(ask, grants[ask.key], asked_at, now)
            return [bucket.draw(now) or bucket.standing(now, 0.0) for bucket in group]

    def close(self) -> None:
        self._store.close()


class _Store:
    """One connection, used by one thread at a time: the leader of a group, or while it is away the one that looks."""

    def __init__(self) -> None:
        self.up = True
        self._closed = threading.Event()
        self._connection: psycopg.Connection[Any] | None = None

    def take(self, asks: Sequence[Ask]) -> dict[str, Grant] | None:
        """What was given; None when the store is away."""
        if not self.up:
            return None
        try:
            return self._try(asks)
        except psycopg.Error as error:
            self.up = False
            self._gone(error)
        probes = [ask._replace(tokens=0, back=0) for ask in asks]
        threading.Thread(target=self._revive, args=(probes,), name="throttling", daemon=True).start()
        return None

    def close(self) -> None:
        self._closed.set()
        if self._connection is not None:
            self._connection.close()

    def _try(self, asks: Sequence[Ask]) -> dict[str, Grant]:
        if self._connection is None:
            self._connection = _connect()
        return buckets.take(store=self._connection, asks=asks)

    def _gone(self, error: psycopg.Error) -> None:
        log.warning("throttling.away", extra={"reason": type(error).__name__})
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _revive(self, probes: Sequence[Ask]) -> None:
        """Ask for nothing of the same buckets until that succeeds."""
        while not self._closed.wait(_RETRY_EVERY):
            try:
                self._try(probes)
            except psycopg.Error as error:
                self._gone(error)
            else:
                self.up = True
                log.info("throttling.back")
                return


def _connect() -> psycopg.Connection[Any]:
    """A connection of its own to the database that Django uses now."""
    given = connection.get_connection_params()
    given["options"] = given.get("options", "") + _OPTIONS
    for ours in ("cursor_factory", "context"):
        given.pop(ours, None)
    return psycopg.connect(**{"connect_timeout": 2, "tcp_user_timeout": 1000, **given}, autocommit=True)


_throttle = _Throttle()
_left_behind: list[_Throttle] = []


def _begin_anew() -> None:
    """In a forked process: the connection and the locks are the parent's."""
    global _throttle  # noqa: PLW0603 - the one instance of the process
    _left_behind.append(_throttle)
    _throttle = _Throttle()


os.register_at_fork(after_in_child=_begin_anew)
atexit.register(forget)
