"""The one thread that does the I/O of all binds: a selector loop with calls from other threads and timers."""

from __future__ import annotations

import collections
import contextlib
import heapq
import itertools
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

logger = logging.getLogger(__name__)

_STOP_SECONDS: Final = 5.0

Callback = Callable[[], None]


class Timer:
    """A call to come; `cancel` on the I/O thread."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callback) -> None:
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        self.callback = None


class IoThread:
    """A selector loop on a daemon thread. `call_soon` may be used from any thread, all else only on this one.

    A callback that raises is logged and the loop goes on.
    """

    def __init__(self, *, name: str = "smpp-io") -> None:
        self._selector = selectors.DefaultSelector()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._soon: collections.deque[Callback] = collections.deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._awake = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._selector.register(self._wake_reader, selectors.EVENT_READ, self._drain_wake)
        self._thread.start()

    def stop(self) -> None:
        """Ends the loop and waits for it; connections still open are the owners' to close beforehand."""
        self._stopping = True
        self._wake()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def call_soon(self, callback: Callback) -> None:
        """Runs `callback` on the I/O thread, in order of calling."""
        self._soon.append(callback)
        if not self._awake:
            self._wake()

    def call_later(self, delay: float, callback: Callback) -> Timer:
        """Runs `callback` in `delay` seconds, at most about a millisecond late."""
        timer = Timer(callback)
        heapq.heappush(self._timers, (time.monotonic() + delay, next(self._order), timer))
        return timer

    def watch(self, sock: socket.socket, events: int, callback: Callable[[int], None]) -> None:
        """Calls back with the ready events from now on; replaces an earlier watch of the same socket."""
        try:
            self._selector.modify(sock, events, callback)
        except KeyError:
            self._selector.register(sock, events, callback)

    def unwatch(self, sock: socket.socket) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(sock)

    def _wake(self) -> None:
        self._awake = True
        with contextlib.suppress(OSError):  # full: the loop is to be woken already; closed: it has ended
            self._wake_writer.send(b"\0")

    def _drain_wake(self, _events: int) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake_reader.recv(4096)

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._turn()
        finally:
            self._selector.close()
            self._wake_reader.close()
            self._wake_writer.close()

    def _turn(self) -> None:
        ready = self._selector.select(self._patience())
        # Calls added from here on are run in this turn or wake the next one.
        self._awake = True
        for key, events in ready:
            self._guarded(key.data, events)
        if self._timers:
            self._run_timers()
        for _ in range(len(self._soon)):
            self._guarded(self._soon.popleft())
        self._awake = False

    def _patience(self) -> float | None:
        if self._soon:
            return 0
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            callback = heapq.heappop(self._timers)[2].callback
            if callback is not None:
                self._guarded(callback)

    def _guarded(self, callback: Callable[..., None], *args: int) -> None:
        try:
            callback(*args)
        except Exception:
            logger.exception("smpp_io_callback_failed")
